//! Seeded simulation: phones, PBXs, a rough network, reloads and restarts around the engines of a node, on
//! virtual time. A run is a function of its seed; a failing one prints it, and `NANTUCKET_SEED=<n>` replays it
//! alone. `NANTUCKET_SEEDS=<n>` runs more of them.

mod agent;
mod judge;
mod msg;
mod seats;
mod world;

use world::{Weather, World};

const FAIR: Weather = Weather {
    loss: 0,
    doubled: 0,
    delay: 40,
    reloads: false,
    restarts: false,
    breaks: false,
    drops: false,
    kind: true,
};
const ROUGH: Weather = Weather {
    loss: 80,
    doubled: 50,
    delay: 400,
    reloads: true,
    restarts: true,
    breaks: true,
    drops: false,
    kind: false,
};

/// Runs a world for each seed; prints the seed of one that fails.
fn each_seed(name: &str, weather: Weather, minutes: u64, check: impl Fn(&mut World)) {
    let number = |key: &str| std::env::var(key).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("NANTUCKET_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("NANTUCKET_SEEDS").unwrap_or(2),
    };
    for seed in seeds {
        let failed = Failed { name, seed };
        let mut world = World::new(seed, weather);
        world.run(minutes * 60_000);
        world.calm();
        assert!(world.judge.judged > 500, "hardly anything happened: {}", world.judge.judged);
        assert_eq!(world.counts(), (0, 0, 0), "something is left");
        let stats = world.shared.stats.shards.sum();
        assert_eq!((stats.server_transactions.read(), stats.kept_bytes.read()), (0, 0));
        for instance in &world.snapshot.instances {
            assert_eq!(instance.stats.transactions.read(), 0, "{}", instance.name);
        }
        check(&mut world);
        std::mem::forget(failed);
    }
}

/// Says which seed it was when a run panics.
struct Failed<'a> {
    name: &'a str,
    seed: u64,
}

impl Drop for Failed<'_> {
    fn drop(&mut self) {
        eprintln!("simulation `{}` failed: replay with NANTUCKET_SEED={}", self.name, self.seed);
    }
}

#[test]
fn in_fair_weather_all_is_answered() {
    // T01 T17 P05 C04
    each_seed("fair", FAIR, 6, |world| {
        assert_eq!(world.judge.strangers, 0);
        for agent in world.agents() {
            assert!(agent.unanswered.is_empty(), "{}: {:?}", agent.name, agent.unanswered);
            let odd: Vec<_> = agent.finals.keys().filter(|(_, status)| !matches!(status, 200 | 481 | 487)).collect();
            assert!(odd.is_empty(), "{}: {odd:?}", agent.name);
            assert!(agent.is_idle(), "{}", agent.name);
        }
    });
}

#[test]
fn a_network_that_loses_doubles_and_reorders_is_borne() {
    // T15 T17
    let weather = Weather { loss: 150, doubled: 100, delay: 900, ..FAIR };
    each_seed("lossy", weather, 6, |world| {
        for agent in world.agents() {
            let (asked, lost): (usize, usize) = (agent.finals.values().sum(), agent.unanswered.values().sum());
            assert!(lost * 20 <= asked, "{}: {lost} of {asked}", agent.name);
        }
    });
}

#[test]
fn reloads_leave_the_calls_of_others_alone() {
    // R35 R73 R75
    let weather = Weather { reloads: true, ..FAIR };
    each_seed("reloads", weather, 10, |world| {
        assert_eq!(world.judge.strangers, 0);
        for agent in world.agents().filter(|agent| agent.instance == "initech") {
            assert!(agent.unanswered.is_empty(), "{}: {:?}", agent.name, agent.unanswered);
            let odd: Vec<_> = agent.finals.keys().filter(|(_, status)| !matches!(status, 200 | 481 | 487)).collect();
            assert!(odd.is_empty(), "{}: {odd:?}", agent.name);
        }
        // An instance that was moved keeps its calls as well.
        for agent in world.agents().filter(|agent| agent.instance == "acme") {
            assert!(agent.unanswered.is_empty(), "{}: {:?}", agent.name, agent.unanswered);
        }
    });
}

#[test]
fn no_call_is_lost_with_a_connection_whose_phone_comes_back() {
    // P04 P05 R75: nor is one delivered to another device
    let weather = Weather { drops: true, ..FAIR };
    each_seed("drops", weather, 10, |world| {
        assert_eq!(world.judge.strangers, 0);
        assert!(world.shared.stats.followed.read() > 0, "nothing had to follow");
        for agent in world.agents() {
            assert!(agent.unanswered.is_empty(), "{}: {:?}", agent.name, agent.unanswered);
            let odd: Vec<_> = agent.finals.keys().filter(|(_, status)| !matches!(status, 200 | 481 | 487)).collect();
            assert!(odd.is_empty(), "{}: {odd:?}", agent.name);
        }
        assert_eq!(world.shared.stats.waiting.read(), 0);
    });
}

#[test]
fn calls_outlive_a_restart() {
    // R75 P04
    let weather = Weather { restarts: true, ..FAIR };
    each_seed("restarts", weather, 10, |_| {});
}

#[test]
fn everything_at_once_leaves_nothing_behind() {
    // T19 P07
    each_seed("rough", ROUGH, 10, |_| {});
}
