//! The client connections of the node that devices are found at, and the instances that are bound over each.
//!
//! There is one for each phone that is connected: few bytes, and no step at which all are looked at. Nothing is
//! decided here; that is `streams`.

use super::streams::BOUND;
use crate::dense::{Arena, Index};
use crate::ids::{ConnId, InstanceId};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Instances remembered for one connection; one that registers at more is looked for in all of them.
pub const INSTANCES: usize = 8;
/// Parts with a lock each, for the shards not to meet.
const PARTS: usize = 16;

/// What became of noting an instance at a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Noted {
    /// It is the first time.
    New,
    /// It was there, or there is no room to remember it.
    Known,
    /// The connection has ended.
    Gone,
}

/// What the end of a connection was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Closed {
    /// It is remembered for a while, or nothing was bound over it.
    Now,
    /// It had ended before.
    Before,
    /// There is no room to remember it.
    Forgotten,
}

/// What is known of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream<'a> {
    /// The instances that are bound over it.
    pub instances: &'a [InstanceId],
    /// Whether it has not ended.
    pub is_open: bool,
}

/// A connection as it is kept. Nearly all are open, and of one instance: what is else of a few is kept apart.
struct Known {
    conn: ConnId,
    /// Its only instance.
    instance: InstanceId,
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    New,
    One,
    /// What it is stands in [`Part::others`].
    Other,
}

struct Other {
    instances: Vec<InstanceId>,
    is_closed: bool,
}

/// All of them.
#[derive(Default)]
pub(super) struct Connections {
    parts: Parts,
    hasher: RandomState,
}

struct Parts(Box<[Mutex<Part>]>);

#[derive(Default)]
struct Part {
    streams: Arena<Known>,
    by_conn: Index,
    /// By their places.
    others: BTreeMap<u32, Other>,
    /// Those that closed and when (Unix seconds), the oldest first.
    closed: VecDeque<(u64, ConnId)>,
}

impl Default for Parts {
    fn default() -> Self {
        Self((0..PARTS).map(|_| Mutex::default()).collect())
    }
}

impl Connections {
    /// Notes one, if it is not known.
    pub fn watch(&self, conn: ConnId) {
        let Some((mut part, hash)) = self.part(conn) else { return };
        if part.find(conn, hash).is_some() {
            return;
        }
        let at = part.streams.insert(Known { conn, instance: InstanceId(0), form: Form::New });
        let Part { streams, by_conn, .. } = &mut *part;
        by_conn.insert(hash, at, |at| streams.get(at).map_or(0, |known| self.hasher.hash_one(known.conn)));
    }

    /// Notes an instance at one.
    pub fn note(&self, conn: ConnId, instance: InstanceId) -> Noted {
        let Some((mut part, hash)) = self.part(conn) else { return Noted::Gone };
        let at = part.find(conn, hash);
        match at.and_then(|at| Some((at, part.stream(at)?))) {
            Some((at, Stream { instances, is_open: true })) => {
                if instances.len() >= INSTANCES || instances.contains(&instance) {
                    return Noted::Known;
                }
                let instances = instances.iter().copied().chain([instance]).collect();
                part.set(at, instances, false);
                Noted::New
            }
            _ => Noted::Gone,
        }
    }

    /// Asks what is known of one.
    pub fn look<T>(&self, conn: ConnId, ask: impl FnOnce(Stream<'_>) -> T) -> Option<T> {
        let (part, hash) = self.part(conn)?;
        part.stream(part.find(conn, hash)?).map(ask)
    }

    /// One ended. The instances that are bound over it, and what its end was.
    pub fn close(&self, conn: ConnId, now: u64) -> Option<(Vec<InstanceId>, Closed)> {
        let (mut part, hash) = self.part(conn)?;
        let at = part.find(conn, hash)?;
        let Stream { instances, is_open } = part.stream(at)?;
        let instances = instances.to_vec();
        if !is_open {
            return Some((instances, Closed::Before));
        }
        if instances.is_empty() {
            part.remove(at, hash);
            return Some((instances, Closed::Now));
        }
        part.set(at, instances.clone(), true);
        if part.closed.len() >= BOUND / PARTS {
            part.remove(at, hash);
            return Some((instances, Closed::Forgotten));
        }
        part.closed.push_back((now, conn));
        Some((instances, Closed::Now))
    }

    /// Forgets those that closed up to this moment.
    pub fn forget(&self, until: u64) {
        for part in &self.parts.0 {
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some((_, conn)) = part.closed.pop_front_if(|(at, _)| *at <= until) {
                let hash = self.hasher.hash_one(conn);
                if let Some(at) = part.find(conn, hash) {
                    part.remove(at, hash);
                }
            }
        }
    }

    /// How many are open.
    #[cfg(test)]
    pub fn open(&self) -> usize {
        let open =
            |part: &Part| part.streams.iter().filter_map(|(at, _)| part.stream(at)).filter(|it| it.is_open).count();
        self.parts.0.iter().map(|part| open(&part.lock().unwrap())).sum()
    }

    fn part(&self, conn: ConnId) -> Option<(MutexGuard<'_, Part>, u64)> {
        let hash = self.hasher.hash_one(conn);
        // The index uses the lowest bits.
        let part = self.parts.0.get((hash >> 40) as usize % PARTS)?;
        Some((part.lock().unwrap_or_else(PoisonError::into_inner), hash))
    }
}

impl Part {
    fn find(&self, conn: ConnId, hash: u64) -> Option<u32> {
        self.by_conn.find(hash, |at| self.streams.get(at).is_some_and(|known| known.conn == conn))
    }

    fn stream(&self, at: u32) -> Option<Stream<'_>> {
        let known = self.streams.get(at)?;
        Some(match known.form {
            Form::New => Stream { instances: &[], is_open: true },
            Form::One => Stream { instances: std::slice::from_ref(&known.instance), is_open: true },
            Form::Other => {
                let other = self.others.get(&at)?;
                Stream { instances: &other.instances, is_open: !other.is_closed }
            }
        })
    }

    fn set(&mut self, at: u32, instances: Vec<InstanceId>, is_closed: bool) {
        let Some(known) = self.streams.get_mut(at) else { return };
        match instances[..] {
            [instance] if !is_closed => (known.instance, known.form) = (instance, Form::One),
            _ => {
                known.form = Form::Other;
                self.others.insert(at, Other { instances, is_closed });
            }
        }
    }

    fn remove(&mut self, at: u32, hash: u64) {
        self.streams.remove(at);
        self.others.remove(&at);
        self.by_conn.remove(hash, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Shard;

    #[test]
    fn it_takes_few_bytes() {
        assert_eq!(size_of::<Option<Known>>(), 16);
    }

    #[test]
    fn one_that_closed_is_remembered_for_a_while() {
        let all = Connections::default();
        let [one, other] = [1, 2].map(|serial| ConnId::new(1, Shard(0), serial));
        assert_eq!((all.note(one, InstanceId(1)), all.close(one, 5)), (Noted::Gone, None));
        all.watch(one);
        all.watch(one);
        all.watch(other);
        assert_eq!(all.open(), 2);
        let noted = [1, 1, 2].map(|id| all.note(one, InstanceId(id)));
        assert_eq!(noted, [Noted::New, Noted::Known, Noted::New]);
        assert_eq!(all.close(other, 6), Some((vec![], Closed::Now)), "nothing was bound over it");
        let both = vec![InstanceId(1), InstanceId(2)];
        assert_eq!(all.close(one, 7), Some((both.clone(), Closed::Now)));
        assert_eq!(all.close(one, 8), Some((both, Closed::Before)));
        assert_eq!(
            (all.note(one, InstanceId(3)), all.look(one, |it| it.is_open), all.look(other, |it| it.is_open)),
            (Noted::Gone, Some(false), None)
        );
        all.forget(6);
        assert!(all.look(one, |_| ()).is_some());
        all.forget(7);
        assert!(all.look(one, |_| ()).is_none());
    }

    #[test]
    fn so_many_that_closed_are_remembered() {
        // T19
        let all = Connections::default();
        let ends = (0..2 * BOUND as u32).map(|serial| {
            let conn = ConnId::new(1, Shard(0), serial);
            all.watch(conn);
            all.note(conn, InstanceId(1));
            all.close(conn, 1).unwrap().1
        });
        let kept = ends.filter(|end| *end == Closed::Now).count();
        assert!(kept <= BOUND && kept > BOUND - PARTS, "{kept}");
    }
}
