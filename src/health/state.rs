//! When each target is probed and what its answers mean: the schedule of all probes of a node.
//!
//! Pure: it is told the time, the targets and the answers, and says which probes are due and which
//! targets went up or down. Hysteresis is in [`TargetHealth`], which the engine also feeds with the
//! failures it meets (passive health); a target that is down is looked at more often, so that it is
//! back soon. Called by `health::probe`.

use crate::clock::Tick;
use crate::ids::{BackendId, InstanceId, Transport};
use crate::model::State;
use crate::route::instances::Instances;
use crate::route::snapshot::{Backend, Instance, Map, Snapshot};
use crate::stats::{Counter, TargetHealth};
use std::collections::{BTreeMap, BTreeSet};
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

/// What is probed: an address, for all instances that have it. Over TLS each has terms of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TargetKey {
    /// The address.
    pub address: SocketAddr,
    /// The transport.
    pub transport: Transport,
    /// Whose terms of TLS are to be kept.
    pub terms: Option<InstanceId>,
}

/// A target that went up or down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turned {
    /// Which.
    pub target: TargetKey,
    /// One of the instances it turned for.
    pub instance: InstanceId,
    /// How many these are. Each has its own idea of it: what its requests met counts too.
    pub instances: u64,
    /// Up, or down.
    pub up: bool,
}

struct Target {
    members: BTreeMap<(InstanceId, BackendId), Arc<TargetHealth>>,
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
    /// The instances whose targets these are.
    taken: Instances,
    /// Whether some were left out.
    is_full: bool,
    /// Targets left unprobed because there are too many.
    pub unprobed: Counter,
}

impl Probes {
    /// A schedule for at most `most` targets.
    pub fn new(schedule: Schedule, most: usize) -> Self {
        let (targets, queue, taken, unprobed) = Default::default();
        Self { schedule, targets, queue, most, taken, is_full: false, unprobed }
    }

    /// Takes the targets of a snapshot: known ones keep their place, new ones are spread over one
    /// interval by `spread` (a random number for each call) so that 10,000 do not go out at once, and
    /// gone ones are forgotten. Only instances that are on are probed. Costs what changed.
    pub fn take(&mut self, now: Tick, snapshot: &Snapshot, spread: u64) {
        let mut place = spread;
        let mut spread = |every: u64| {
            place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            now.after((place >> 33) % every.max(1))
        };
        let before = std::mem::replace(&mut self.taken, snapshot.instances.clone());
        before.differences(&snapshot.instances, |old, new| {
            new.into_iter().for_each(|new| self.join(new, &mut spread));
            let stays = |target: &(TargetKey, BackendId)| {
                new.is_some_and(|new| targets(new).any(|(other, backend)| *target == (other, backend.id)))
            };
            if let Some(old) = old {
                let left = targets(old).map(|(target, backend)| (target, backend.id)).filter(|it| !stays(it));
                left.for_each(|(target, backend)| self.leave(target, (old.id, backend)));
            }
        });
        if self.is_full && self.targets.len() < self.most {
            self.is_full = false;
            snapshot.instances.iter().for_each(|instance| self.join(instance, &mut spread));
        }
    }

    fn join(&mut self, instance: &Instance, spread: &mut impl FnMut(u64) -> Tick) {
        for (target, backend) in targets(instance) {
            let (member, health) = ((instance.id, backend.id), Arc::clone(&backend.health));
            if let Some(known) = self.targets.get_mut(&target) {
                known.members.insert(member, health);
            } else if self.targets.len() >= self.most {
                self.is_full = true;
                self.unprobed.inc();
            } else {
                let at = spread(self.schedule.up_every);
                self.queue.insert((at, target));
                let members = BTreeMap::from([(member, health)]);
                self.targets.insert(target, Target { members, at, pending: false });
            }
        }
    }

    fn leave(&mut self, target: TargetKey, member: (InstanceId, BackendId)) {
        let Some(known) = self.targets.get_mut(&target) else { return };
        known.members.remove(&member);
        if known.members.is_empty() {
            self.queue.remove(&(known.at, target));
            self.targets.remove(&target);
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
            let Some((at, target)) = self.queue.first().copied().filter(|(at, _)| *at <= now) else { return };
            let pending = self.targets.get(&target).is_some_and(|target| target.pending);
            if pending {
                turned.extend(self.failed(now, target));
                continue;
            }
            self.queue.remove(&(at, target));
            send.push(target);
            self.plan(target, now.after(self.schedule.timeout), true);
        }
    }

    /// A probe was answered: any final response counts, the PBX is alive.
    pub fn answered(&mut self, now: Tick, target: TargetKey) -> Option<Turned> {
        let rise = self.schedule.rise;
        self.settle(now, target, true, |health| health.success(rise))
    }

    /// A probe failed: time over, refused, unreachable.
    pub fn failed(&mut self, now: Tick, target: TargetKey) -> Option<Turned> {
        let fall = self.schedule.fall;
        self.settle(now, target, false, |health| health.failure(fall))
    }

    fn settle(
        &mut self,
        now: Tick,
        target: TargetKey,
        up: bool,
        note: impl Fn(&TargetHealth) -> bool,
    ) -> Option<Turned> {
        let known = self.targets.get(&target).filter(|known| known.pending)?;
        let (mut turned, mut is_up) = (None, true);
        for ((instance, _), health) in &known.members {
            if note(health) {
                let instances = turned.map_or(0, |turned: Turned| turned.instances) + 1;
                turned = Some(Turned { target, instance: *instance, instances, up });
            }
            is_up &= health.is_up();
        }
        let every = if is_up { self.schedule.up_every } else { self.schedule.down_every };
        self.queue.remove(&(known.at, target));
        self.plan(target, now.after(every), false);
        turned
    }

    fn plan(&mut self, target: TargetKey, at: Tick, pending: bool) {
        if let Some(known) = self.targets.get_mut(&target) {
            known.at = at;
            known.pending = pending;
            self.queue.insert((at, target));
        }
    }
}

/// What is to be probed of an instance.
fn targets(instance: &Instance) -> impl Iterator<Item = (TargetKey, &Backend)> {
    let backends = instance.backends.iter().filter(|_| instance.state == State::On);
    backends.map(|backend| {
        let terms = (backend.transport == Transport::Tls).then_some(instance.id);
        (TargetKey { address: backend.address, transport: backend.transport, terms }, backend)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;
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
    fn instances_that_share_an_address_share_its_probe() {
        let at = |id: u32, host: &str| {
            let mut row = instance(id, &format!("i{id}"));
            row.backends[0].address = host.into();
            row
        };
        let handles = crate::route::handles::Handles::default();
        let compile =
            |rows: Vec<model::Instance>| crate::route::compile(&table(rows, []), &handles, &Default::default(), 0).0;
        let snapshot = compile((1..=100).map(|id| at(id, "192.0.2.1")).chain([at(101, "192.0.2.2")]).collect());
        let mut probes = Probes::new(SCHEDULE, 10);
        probes.take(Tick(0), &snapshot, 7);
        assert_eq!(probes.len(), 2);
        let shared_address: SocketAddr = "192.0.2.1:5060".parse().unwrap();
        let shared = |probes: &mut Probes| loop {
            let (now, send, _) = step(probes);
            if let Some(target) = send.into_iter().find(|target| target.address == shared_address) {
                return (now, target);
            }
        };
        // What a request of one of them met counts for that one alone.
        snapshot.instances[0].backends[0].health.failure(3);
        for turns in [None, Some((1, false)), Some((99, false))] {
            let (now, target) = shared(&mut probes);
            let turned = probes.failed(now, target);
            assert_eq!(turned.map(|turned| (turned.instances, turned.up)), turns);
        }
        assert!(snapshot.instances.iter().take(100).all(|instance| !instance.backends[0].health.is_up()));
        assert!(snapshot.instances[100].backends[0].health.is_up());
        // One that leaves takes nothing from the others, the last one takes the probe along.
        probes.take(Tick(2_000), &compile(vec![at(2, "192.0.2.1"), at(3, "192.0.2.1")]), 7);
        assert_eq!((probes.len(), probes.queue.len()), (1, 1));
        probes.take(Tick(2_000), &compile(vec![at(2, "192.0.2.3"), at(3, "192.0.2.4")]), 7);
        assert_eq!(probes.len(), 2);
    }

    #[test]
    fn what_was_left_out_is_probed_when_there_is_room() {
        let handles = crate::route::handles::Handles::default();
        let compile = |ids: std::ops::RangeInclusive<u32>| {
            let rows = ids.map(|id| instance(id, &format!("i{id}")));
            crate::route::compile(&table(rows, []), &handles, &Default::default(), 0).0
        };
        let mut probes = Probes::new(SCHEDULE, 2);
        probes.take(Tick(0), &compile(1..=3), 7);
        assert_eq!((probes.len(), probes.unprobed.read()), (2, 1));
        probes.take(Tick(0), &compile(2..=3), 7);
        assert_eq!((probes.len(), probes.is_full), (2, false));
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
