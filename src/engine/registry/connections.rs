//! The client connections of the node that devices are found at, and the instances that are bound over each.
//!
//! There is one for each phone that is connected: few bytes, and no step at which all are looked at. Nothing is
//! decided here; that is `streams`.

use super::streams::BOUND;
use crate::dense::{Arena, Index};
use crate::ids::{ConnId, InstanceId};
use foldhash::fast::RandomState;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Instances remembered for one connection; one that registers at more is looked for in all of them.
pub const INSTANCES: usize = 8;
/// Parts with a lock each, for the shards not to meet.
const PARTS: usize = 64;

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

/// A connection. Nearly all are open, and of one instance.
#[derive(Default)]
pub(super) enum Stream {
    #[default]
    New,
    One(InstanceId),
    More(Box<More>),
}

#[derive(Default)]
pub(super) struct More {
    instances: Vec<InstanceId>,
    is_closed: bool,
}

impl Stream {
    pub fn instances(&self) -> &[InstanceId] {
        match self {
            Self::New => &[],
            Self::One(instance) => std::slice::from_ref(instance),
            Self::More(more) => &more.instances,
        }
    }

    pub fn is_open(&self) -> bool {
        !matches!(self, Self::More(more) if more.is_closed)
    }

    fn add(&mut self, instance: InstanceId) {
        if matches!(self, Self::New) {
            *self = Self::One(instance);
            return;
        }
        let instances = self.instances().iter().copied().chain([instance]).collect();
        *self = Self::More(Box::new(More { instances, is_closed: false }));
    }
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
    streams: Arena<(ConnId, Stream)>,
    by_conn: Index,
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
        let at = part.streams.insert((conn, Stream::New));
        let Part { streams, by_conn, .. } = &mut *part;
        by_conn.insert(hash, at, |at| streams.get(at).map_or(0, |(conn, _)| self.hasher.hash_one(conn)));
    }

    /// Notes an instance at one.
    pub fn note(&self, conn: ConnId, instance: InstanceId) -> Noted {
        let Some((mut part, hash)) = self.part(conn) else { return Noted::Gone };
        let at = part.find(conn, hash);
        match at.and_then(|at| part.streams.get_mut(at)) {
            Some((_, stream)) if stream.is_open() => {
                let known = stream.instances();
                if known.len() >= INSTANCES || known.contains(&instance) {
                    return Noted::Known;
                }
                stream.add(instance);
                Noted::New
            }
            _ => Noted::Gone,
        }
    }

    /// Asks what is known of one.
    pub fn look<T>(&self, conn: ConnId, ask: impl FnOnce(&Stream) -> T) -> Option<T> {
        let (part, hash) = self.part(conn)?;
        part.streams.get(part.find(conn, hash)?).map(|(_, stream)| ask(stream))
    }

    /// One ended. The instances that are bound over it, and what its end was.
    pub fn close(&self, conn: ConnId, now: u64) -> Option<(Vec<InstanceId>, Closed)> {
        let (mut part, hash) = self.part(conn)?;
        let at = part.find(conn, hash)?;
        let (_, stream) = part.streams.get_mut(at)?;
        let instances = stream.instances().to_vec();
        if !stream.is_open() {
            return Some((instances, Closed::Before));
        }
        if instances.is_empty() {
            part.remove(at, hash);
            return Some((instances, Closed::Now));
        }
        *stream = Stream::More(Box::new(More { instances: instances.clone(), is_closed: true }));
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
        let open = |part: &Mutex<Part>| part.lock().unwrap().streams.iter().filter(|(_, (_, it))| it.is_open()).count();
        self.parts.0.iter().map(open).sum()
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
        self.by_conn.find(hash, |at| self.streams.get(at).is_some_and(|(known, _)| *known == conn))
    }

    fn remove(&mut self, at: u32, hash: u64) {
        self.streams.remove(at);
        self.by_conn.remove(hash, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Shard;

    #[test]
    fn it_takes_few_bytes() {
        assert_eq!(size_of::<Option<(ConnId, Stream)>>(), 24);
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
            (all.note(one, InstanceId(3)), all.look(one, Stream::is_open), all.look(other, Stream::is_open)),
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
