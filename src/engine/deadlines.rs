//! The timers of a shard, as data (DESIGN 3): a queue for each length of time.
//!
//! Transactions use few lengths (RFC 3261 table 4). Timers of one length fall due in the order in which they were
//! armed, so each length has a list that is added to at its end and taken from at its head: arming, disarming and
//! firing touch one entry and its neighbours, however many there are. A length that was not announced is waited for in
//! parts, each the largest power of two that fits. It is not a clock and runs nothing: `core` asks for what is due.
//! Bounded: [`Deadlines::arm`] answers `None` at the cap. A stale [`TimerId`] never touches a newer timer.

use crate::clock::Tick;
use crate::dense::{Chunks, NONE};

/// Parts of 0, 1, 2, 4 … milliseconds; what is longer than the longest is waited for in several of it.
const PARTS: usize = 20;
/// Lengths that may be announced.
const LENGTHS: usize = 12;
const LISTS: usize = PARTS + LENGTHS;
/// Nothing is due.
const NEVER: u64 = u64::MAX;

/// Names one armed timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerId {
    index: u32,
    generation: u32,
}

struct Entry<T> {
    /// When it is due.
    at: u64,
    /// When its list is done with it.
    wake: u64,
    item: Option<T>,
    generation: u32,
    list: u32,
    prev: u32,
    next: u32,
}

#[derive(Clone, Copy)]
struct List {
    /// Milliseconds from its end to its head.
    length: u64,
    head: u32,
    tail: u32,
}

/// Timers that each carry a `T`.
pub struct Deadlines<T> {
    elapsed: u64,
    entries: Chunks<Entry<T>, 10>,
    free: u32,
    lists: [List; LISTS],
    /// When the head of each list wakes.
    wakes: [u64; LISTS],
    len: usize,
    cap: usize,
}

impl<T: Copy> Deadlines<T> {
    /// At most `cap` timers, mostly of these lengths (milliseconds).
    pub fn new(cap: usize, lengths: &[u64]) -> Self {
        let parts = (0..PARTS).map(|part| if part == 0 { 0 } else { 1 << (part - 1) });
        let mut all = parts.chain(lengths.iter().copied().take(LENGTHS));
        Self {
            elapsed: 0,
            entries: Chunks::default(),
            free: NONE,
            lists: std::array::from_fn(|_| List { length: all.next().unwrap_or(NEVER), head: NONE, tail: NONE }),
            wakes: [NEVER; LISTS],
            len: 0,
            cap: cap.min(NONE as usize - 1),
        }
    }

    /// Arms a timer that is due `after` so many milliseconds. `None` if there are too many.
    pub fn arm(&mut self, now: Tick, after: u64, item: T) -> Option<TimerId> {
        if self.len >= self.cap {
            return None;
        }
        self.elapsed = self.elapsed.max(now.0);
        let index = self.take_entry(self.elapsed.saturating_add(after), item)?;
        self.link(index);
        self.len += 1;
        let generation = self.entries.get(index as usize)?.generation;
        Some(TimerId { index, generation })
    }

    /// Disarms a timer; false if it has fired or was disarmed before.
    pub fn disarm(&mut self, id: TimerId) -> bool {
        match self.entries.get(id.index as usize) {
            Some(entry) if entry.generation == id.generation && entry.item.is_some() => {}
            _ => return false,
        }
        self.unlink(id.index);
        self.release(id.index);
        true
    }

    /// Takes one timer that is due at `now`; call until it answers `None`.
    pub fn pop(&mut self, now: Tick) -> Option<T> {
        self.elapsed = self.elapsed.max(now.0);
        loop {
            let (list, wake) = self.wakes.iter().enumerate().min_by_key(|(_, wake)| **wake)?;
            if *wake > now.0 {
                return None;
            }
            let head = self.lists.get(list)?.head;
            self.unlink(head);
            if self.entries.get(head as usize)?.at <= now.0 {
                return self.release(head);
            }
            self.link(head);
        }
    }

    /// No timer is due before this moment. It may be a little early for lengths that were not announced.
    pub fn next(&self) -> Option<Tick> {
        self.wakes.iter().min().filter(|wake| **wake < NEVER).map(|wake| Tick(*wake))
    }

    /// The next timer to be due of those that were armed with this length, if that was announced.
    pub fn oldest(&self, length: u64) -> Option<T> {
        let list = self.lists.iter().skip(PARTS).find(|list| list.length == length)?;
        self.entries.get(list.head as usize)?.item
    }

    /// Armed timers.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none is armed.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn take_entry(&mut self, at: u64, item: T) -> Option<u32> {
        let new = Entry { at, wake: 0, item: Some(item), generation: 0, list: 0, prev: NONE, next: NONE };
        if self.free == NONE {
            let index = u32::try_from(self.entries.len()).ok()?;
            self.entries.push(new);
            return Some(index);
        }
        let index = self.free;
        let entry = self.entries.get_mut(index as usize)?;
        self.free = entry.next;
        *entry = Entry { generation: entry.generation, ..new };
        Some(index)
    }

    fn release(&mut self, index: u32) -> Option<T> {
        let free = self.free;
        let entry = self.entries.get_mut(index as usize)?;
        let item = entry.item.take();
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = free;
        self.free = index;
        self.len = self.len.saturating_sub(1);
        item
    }

    /// Puts an entry at the end of the list that it waits in next.
    fn link(&mut self, index: u32) {
        let Some(entry) = self.entries.get_mut(index as usize) else { return };
        let left = entry.at.saturating_sub(self.elapsed);
        let announced = self.lists.iter().skip(PARTS).position(|list| list.length == left);
        let number = announced.map_or_else(|| part(left), |place| PARTS + place);
        let Some(list) = self.lists.get_mut(number) else { return };
        entry.wake = self.elapsed.saturating_add(list.length);
        entry.list = number as u32;
        entry.prev = list.tail;
        entry.next = NONE;
        let (before, wake) = (list.tail, entry.wake);
        list.tail = index;
        match self.entries.get_mut(before as usize) {
            Some(before) => before.next = index,
            None => {
                list.head = index;
                if let Some(first) = self.wakes.get_mut(number) {
                    *first = wake;
                }
            }
        }
    }

    fn unlink(&mut self, index: u32) {
        let Some(entry) = self.entries.get(index as usize) else { return };
        let (number, prev, next) = (entry.list as usize, entry.prev, entry.next);
        let Some(list) = self.lists.get_mut(number) else { return };
        match self.entries.get_mut(next as usize) {
            Some(after) => after.prev = prev,
            None => list.tail = prev,
        }
        if let Some(before) = self.entries.get_mut(prev as usize) {
            before.next = next;
            return;
        }
        list.head = next;
        let wake = self.entries.get(next as usize).map_or(NEVER, |entry| entry.wake);
        if let Some(first) = self.wakes.get_mut(number) {
            *first = wake;
        }
    }
}

/// The list of the largest part that is no longer than so many milliseconds.
fn part(left: u64) -> usize {
    ((u64::BITS - left.leading_zeros()) as usize).min(PARTS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const LENGTHS: [u64; 3] = [500, 3_500, 32_000];

    fn drain(timers: &mut Deadlines<u64>, now: u64) -> Vec<u64> {
        std::iter::from_fn(|| timers.pop(Tick(now))).collect()
    }

    #[test]
    fn fires_on_its_millisecond_and_not_before() {
        // T15
        for after in [0, 1, 63, 64, 65, 500, 4_095, 4_096, 32_000, 180_001, 16_777_216, 3_000_000_000] {
            let mut timers = Deadlines::new(8, &LENGTHS);
            timers.arm(Tick(7), after, after).unwrap();
            if after > 0 {
                assert!(drain(&mut timers, 7 + after - 1).is_empty(), "{after}");
            }
            assert_eq!(drain(&mut timers, 7 + after), [after]);
            assert!(timers.is_empty());
            assert_eq!(timers.next(), None);
        }
    }

    #[test]
    fn a_length_that_was_announced_is_waited_for_at_once() {
        let mut timers = Deadlines::new(8, &LENGTHS);
        for now in [0, 3, 9] {
            timers.arm(Tick(now), 32_000, now).unwrap();
        }
        assert_eq!(timers.next(), Some(Tick(32_000)));
        assert_eq!((drain(&mut timers, 32_003), timers.next()), (vec![0, 3], Some(Tick(32_009))));
    }

    #[test]
    fn agrees_with_a_sorted_list() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut timers = Deadlines::new(10_000, &LENGTHS);
        let mut model: BTreeMap<u64, (u64, TimerId)> = BTreeMap::new();
        let (mut now, mut serial) = (0, 0);
        for _ in 0..50_000 {
            match rng.u8(0..4) {
                0 | 1 => {
                    let after = match rng.u8(0..3) {
                        0 => rng.u64(0..200),
                        1 => rng.u64(0..400_000),
                        _ => LENGTHS[rng.usize(0..LENGTHS.len())],
                    };
                    serial += 1;
                    let id = timers.arm(Tick(now), after, serial).unwrap();
                    model.insert(serial, (now + after, id));
                }
                2 => {
                    let keys: Vec<u64> = model.keys().copied().collect();
                    if let Some(key) = (!keys.is_empty()).then(|| keys[rng.usize(0..keys.len())]) {
                        let (_, id) = model.remove(&key).unwrap();
                        assert!(timers.disarm(id));
                        assert!(!timers.disarm(id));
                    }
                }
                _ => {
                    now += rng.u64(0..300);
                    let mut fired = drain(&mut timers, now);
                    fired.sort_unstable();
                    let due: Vec<u64> = model.iter().filter(|(_, (at, _))| *at <= now).map(|(k, _)| *k).collect();
                    assert_eq!(fired, due);
                    model.retain(|_, (at, _)| *at > now);
                }
            }
            assert_eq!(timers.len(), model.len());
            let first = model.values().map(|(at, _)| *at).min();
            assert_eq!(timers.next().is_some(), first.is_some());
            if let (Some(next), Some(first)) = (timers.next(), first) {
                assert!(next.0 <= first, "would sleep past {first} until {}", next.0);
            }
        }
    }

    #[test]
    fn full_is_refused_and_an_old_id_harms_nobody() {
        // T19
        let mut timers = Deadlines::new(2, &LENGTHS);
        let a = timers.arm(Tick(0), 5, 1).unwrap();
        assert!(timers.arm(Tick(0), 6, 2).is_some());
        assert_eq!(timers.arm(Tick(0), 7, 3), None);
        assert_eq!(timers.pop(Tick(5)), Some(1));
        let b = timers.arm(Tick(5), 4, 3).unwrap();
        assert!(!timers.disarm(a), "its place belongs to another");
        assert!(timers.disarm(b));
    }
}
