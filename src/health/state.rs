//! When each target is probed and what its answers mean: the schedule of all probes of a node.
//!
//! Pure: it is told the time, the targets and the answers, and says which probes are due and which
//! targets went up or down. Hysteresis is in [`TargetHealth`], which the engine also feeds with the
//! failures it meets (passive health); a target that is down is looked at more often, so that it is
//! back soon. Called by `health::probe`.

use crate::clock::Tick;
use crate::ids::{BackendId, InstanceId, Transport};
use crate::route::snapshot::{Map, Snapshot};
use crate::stats::{Counter, TargetHealth};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

/// How targets are probed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Schedule {
    /// Milliseconds between probes of a target that is up.
    pub up_every: u64,
    /// Milliseconds between probes of a target that is down.
    pub down_every: u64,
    /// Milliseconds after which a probe without answer is a failure.
    pub timeout: u64,
    /// Failures in a row that make a target down.
    pub fall: u32,
    /// Good answers in a row that make it up again.
    pub rise: u32,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { up_every: 15_000, down_every: 3_000, timeout: 2_000, fall: 3, rise: 2 }
    }
}

/// What is probed: one backend address of one instance.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TargetKey {
    /// The instance.
    pub instance: InstanceId,
    /// Its backend.
    pub backend: BackendId,
    /// The address.
    pub address: SocketAddr,
    /// The transport.
    pub transport: Transport,
}

/// A target that went up or down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turned {
    /// Which.
    pub target: TargetKey,
    /// Up, or down.
    pub up: bool,
}

struct Target {
    health: Arc<TargetHealth>,
    /// When something is to be done: send the next probe, or give the pending one up.
    at: Tick,
    pending: bool,
}

/// The probes of a node.
pub struct Probes {
    schedule: Schedule,
    targets: Map<TargetKey, Target>,
    queue: BTreeSet<(Tick, TargetKey)>,
    most: usize,
    /// Targets left unprobed because there are too many.
    pub unprobed: Counter,
}

impl Probes {
    /// A schedule for at most `most` targets.
    pub fn new(schedule: Schedule, most: usize) -> Self {
        Self { schedule, targets: Map::default(), queue: BTreeSet::new(), most, unprobed: Counter::default() }
    }

    /// Takes the targets of a snapshot: known ones keep their place, new ones are spread over one
    /// interval by `spread` (a random number for each call) so that 10,000 do not go out at once, and
    /// gone ones are forgotten. Only instances that are on are probed.
    pub fn take(&mut self, now: Tick, snapshot: &Snapshot, spread: u64) {
        let mut live: Map<TargetKey, Arc<TargetHealth>> = Map::default();
        for instance in snapshot.instances.iter().filter(|instance| instance.state == crate::model::State::On) {
            for backend in &instance.backends {
                let (instance, backend_id, address) = (instance.id, backend.id, backend.address);
                let key = TargetKey { instance, backend: backend_id, address, transport: backend.transport };
                live.insert(key, Arc::clone(&backend.health));
            }
        }
        let queue = &mut self.queue;
        self.targets.retain(|key, target| {
            let stays = live.contains_key(key);
            if !stays {
                queue.remove(&(target.at, *key));
            }
            stays
        });
        let mut place = spread;
        for (key, health) in live {
            if let Some(known) = self.targets.get_mut(&key) {
                known.health = health;
                continue;
            }
            if self.targets.len() >= self.most {
                self.unprobed.inc();
                continue;
            }
            place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = now.after((place >> 33) % self.schedule.up_every.max(1));
            self.queue.insert((at, key));
            self.targets.insert(key, Target { health, at, pending: false });
        }
    }

    /// How targets are probed.
    pub const fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Targets that are probed.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether no target is probed.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// When [`Self::due`] is to be called again.
    pub fn next(&self) -> Option<Tick> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// What is due at `now`: targets to be probed go into `send`, probes that were not answered in time
    /// count as failures and what turned by them goes into `turned`. At most `batch` of them, so that
    /// a caller is never kept long.
    pub fn due(&mut self, now: Tick, batch: usize, send: &mut Vec<TargetKey>, turned: &mut Vec<Turned>) {
        for _ in 0..batch {
            let Some((at, key)) = self.queue.first().copied().filter(|(at, _)| *at <= now) else { return };
            let pending = self.targets.get(&key).is_some_and(|target| target.pending);
            if pending {
                turned.extend(self.failed(now, key));
                continue;
            }
            self.queue.remove(&(at, key));
            send.push(key);
            self.plan(key, now.after(self.schedule.timeout), true);
        }
    }

    /// A probe was answered: any final response counts, the PBX is alive.
    pub fn answered(&mut self, now: Tick, key: TargetKey) -> Option<Turned> {
        let rise = self.schedule.rise;
        self.settle(now, key, |health| health.success(rise)).then_some(Turned { target: key, up: true })
    }

    /// A probe failed: time over, refused, unreachable.
    pub fn failed(&mut self, now: Tick, key: TargetKey) -> Option<Turned> {
        let fall = self.schedule.fall;
        self.settle(now, key, |health| health.failure(fall)).then_some(Turned { target: key, up: false })
    }

    fn settle(&mut self, now: Tick, key: TargetKey, note: impl FnOnce(&TargetHealth) -> bool) -> bool {
        let Some(target) = self.targets.get(&key).filter(|target| target.pending) else { return false };
        let turned = note(&target.health);
        let every = if target.health.is_up() { self.schedule.up_every } else { self.schedule.down_every };
        self.queue.remove(&(target.at, key));
        self.plan(key, now.after(every), false);
        turned
    }

    fn plan(&mut self, key: TargetKey, at: Tick, pending: bool) {
        if let Some(target) = self.targets.get_mut(&key) {
            target.at = at;
            target.pending = pending;
            self.queue.insert((at, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{self, State};
    use crate::route::testing::{compiled, instance, table};

    const SCHEDULE: Schedule = Schedule { up_every: 100, down_every: 30, timeout: 10, fall: 3, rise: 2 };

    fn probes() -> (Probes, Arc<TargetHealth>) {
        let snapshot = compiled(&table([instance(1, "acme")], []));
        let mut probes = Probes::new(SCHEDULE, 10);
        probes.take(Tick(0), &snapshot, 7);
        (probes, Arc::clone(&snapshot.instances[0].backends[0].health))
    }

    /// Lets time pass to the next event; returns its tick, what is sent and what turned.
    fn step(probes: &mut Probes) -> (Tick, Vec<TargetKey>, Vec<Turned>) {
        let (now, mut send, mut turned) = (probes.next().unwrap(), Vec::new(), Vec::new());
        probes.due(now, 100, &mut send, &mut turned);
        (now, send, turned)
    }

    #[test]
    fn silence_makes_down_after_three_and_answers_up_after_two() {
        let (mut probes, health) = probes();
        for failure in 1..=3 {
            let (sent_at, send, _) = step(&mut probes);
            assert_eq!(send.len(), 1);
            let (gave_up, send, turned) = step(&mut probes);
            assert_eq!(gave_up.since(sent_at), 10);
            assert!(send.is_empty());
            assert_eq!(turned.len(), usize::from(failure == 3), "failure {failure}");
            assert_eq!(health.is_up(), failure < 3);
        }
        let mut last = None;
        for answer in 1..=2 {
            let (now, send, _) = step(&mut probes);
            if let Some(last) = last.replace(now) {
                assert_eq!(now.since(last), 30, "a target that is down is probed more often");
            }
            let turned = probes.answered(now, send[0]);
            assert_eq!(turned.is_some_and(|turned| turned.up), answer == 2);
        }
        assert!(health.is_up());
        assert_eq!(probes.next().unwrap().since(last.unwrap()), 100);
    }

    #[test]
    fn an_answer_after_its_time_is_not_counted() {
        let (mut probes, _) = probes();
        let (_, send, _) = step(&mut probes);
        step(&mut probes);
        assert_eq!(probes.answered(Tick(1_000), send[0]), None);
        assert_eq!(probes.targets.len(), probes.queue.len());
    }

    #[test]
    fn a_reload_keeps_place_and_health_and_forgets_what_is_gone() {
        // R73
        let mut off = instance(2, "off");
        off.state = State::Off;
        let rows = table([instance(1, "acme"), off.clone()], []);
        let handles = crate::route::handles::Handles::default();
        let compile = |rows: &model::Table| crate::route::compile(rows, &handles, &Default::default(), 0).0;
        let mut probes = Probes::new(SCHEDULE, 10);
        probes.take(Tick(0), &compile(&rows), 7);
        assert_eq!(probes.targets.len(), 1, "only instances that are on are probed");
        let at = probes.next();
        probes.take(Tick(5), &compile(&table([instance(1, "renamed"), off.clone()], [])), 8);
        assert_eq!(probes.next(), at);
        let mut moved = instance(1, "acme");
        moved.backends[0].address = "198.51.100.99".into();
        probes.take(Tick(6), &compile(&table([moved], [])), 8);
        assert_eq!(probes.queue.len(), 1);
        assert_eq!(probes.queue.first().unwrap().1.address.to_string(), "198.51.100.99:5060");
        probes.take(Tick(7), &compile(&table([off], [])), 8);
        assert_eq!((probes.targets.len(), probes.next()), (0, None));
    }

    #[test]
    fn first_probes_are_spread_and_bounded() {
        let snapshot = compiled(&table((1..=1_000).map(|id| instance(id, &format!("i{id}"))), []));
        let mut probes = Probes::new(Schedule { up_every: 10_000, ..SCHEDULE }, 900);
        probes.take(Tick(0), &snapshot, 7);
        assert_eq!(probes.unprobed.read(), 100);
        let (mut send, mut turned) = (Vec::new(), Vec::new());
        probes.due(Tick(1_000), 10_000, &mut send, &mut turned);
        assert!((50..=130).contains(&send.len()), "{} in the first tenth", send.len());
        probes.due(Tick(1_000), 10_000, &mut send, &mut turned);
        assert!(turned.is_empty());
    }
}
