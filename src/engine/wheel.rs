//! The timer wheel: every timer of a shard, as data (DESIGN 3).
//!
//! A hierarchical wheel of six levels with 64 slots each and a resolution of one millisecond. Entries live in
//! one vector with generations, so arming and disarming is O(1), allocates nothing once it has grown, and a
//! stale [`TimerId`] never touches a newer timer. It is not a clock and runs nothing: `core` asks for what is
//! due. Bounded: [`Wheel::arm`] answers `None` at the cap.

use crate::clock::Tick;

const LEVELS: usize = 6;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const SLOT_MASK: u64 = SLOTS as u64 - 1;
const NONE: u32 = u32::MAX;
/// The furthest a timer may lie ahead (a year): half of what the levels can tell apart, so that a slot of the
/// highest level never holds two revolutions.
const MAX_AHEAD: u64 = (1 << (SLOT_BITS * LEVELS as u32 - 1)) - 1;

/// Names one armed timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerId {
    index: u32,
    generation: u32,
}

#[derive(Clone, Copy)]
struct Entry<T> {
    at: u64,
    item: Option<T>,
    generation: u32,
    slot: u16,
    prev: u32,
    next: u32,
}

/// Timers that each carry a `T`.
pub struct Wheel<T> {
    elapsed: u64,
    entries: Vec<Entry<T>>,
    free: u32,
    heads: Vec<u32>,
    occupied: [u64; LEVELS],
    len: usize,
    cap: usize,
}

impl<T: Copy> Wheel<T> {
    /// An empty wheel that holds at most `cap` timers.
    pub fn new(cap: usize) -> Self {
        Self {
            elapsed: 0,
            entries: Vec::new(),
            free: NONE,
            heads: vec![NONE; LEVELS * SLOTS],
            occupied: [0; LEVELS],
            len: 0,
            cap: cap.min(NONE as usize - 1),
        }
    }

    /// Arms a timer; a moment that has passed is due at once. `None` if the wheel is full.
    pub fn arm(&mut self, at: Tick, item: T) -> Option<TimerId> {
        if self.len >= self.cap {
            return None;
        }
        let at = at.0.clamp(self.elapsed, self.elapsed.saturating_add(MAX_AHEAD));
        let index = self.take_entry(at, item)?;
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
        loop {
            let Some((level, slot, deadline)) = self.next_slot() else {
                self.elapsed = self.elapsed.max(now.0);
                return None;
            };
            if deadline > now.0 {
                self.elapsed = self.elapsed.max(now.0);
                return None;
            }
            self.elapsed = self.elapsed.max(deadline);
            let head = self.heads.get(slot_number(level, slot)).copied().unwrap_or(NONE);
            if level == 0 {
                self.unlink(head);
                return self.release(head);
            }
            self.cascade(head);
        }
    }

    /// No timer is due before this moment. It may be a little early for timers far away.
    pub fn next(&self) -> Option<Tick> {
        self.next_slot().map(|(_, _, deadline)| Tick(deadline))
    }

    /// Armed timers.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none is armed.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn cascade(&mut self, head: u32) {
        let mut at = head;
        while at != NONE {
            let next = self.entries.get(at as usize).map_or(NONE, |entry| entry.next);
            self.unlink(at);
            self.link(at);
            at = next;
        }
    }

    /// The occupied slot that comes first, as level, slot and the tick at which it begins.
    fn next_slot(&self) -> Option<(usize, u64, u64)> {
        for (level, &occupied) in self.occupied.iter().enumerate() {
            if occupied == 0 {
                continue;
            }
            let shift = SLOT_BITS * level as u32;
            let current = (self.elapsed >> shift) & SLOT_MASK;
            let ahead = u64::from(occupied.rotate_right(current as u32).trailing_zeros());
            let slot = (current + ahead) & SLOT_MASK;
            let start = ((self.elapsed >> shift) + ahead) << shift;
            return Some((level, slot, start));
        }
        None
    }

    fn take_entry(&mut self, at: u64, item: T) -> Option<u32> {
        if self.free == NONE {
            let index = u32::try_from(self.entries.len()).ok()?;
            self.entries.push(Entry { at, item: Some(item), generation: 0, slot: 0, prev: NONE, next: NONE });
            return Some(index);
        }
        let index = self.free;
        let entry = self.entries.get_mut(index as usize)?;
        self.free = entry.next;
        entry.at = at;
        entry.item = Some(item);
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

    fn link(&mut self, index: u32) {
        let elapsed = self.elapsed;
        let Some(entry) = self.entries.get_mut(index as usize) else { return };
        let level = level_of(elapsed, entry.at);
        let slot = (entry.at >> (SLOT_BITS * level as u32)) & SLOT_MASK;
        let number = slot_number(level, slot);
        let Some(head) = self.heads.get_mut(number) else { return };
        entry.slot = number as u16;
        entry.prev = NONE;
        entry.next = *head;
        let second = *head;
        *head = index;
        if let Some(second) = self.entries.get_mut(second as usize) {
            second.prev = index;
        }
        if let Some(occupied) = self.occupied.get_mut(level) {
            *occupied |= 1 << slot;
        }
    }

    fn unlink(&mut self, index: u32) {
        let Some(entry) = self.entries.get(index as usize) else { return };
        let (slot, prev, next) = (usize::from(entry.slot), entry.prev, entry.next);
        if let Some(after) = self.entries.get_mut(next as usize) {
            after.prev = prev;
        }
        if let Some(before) = self.entries.get_mut(prev as usize) {
            before.next = next;
            return;
        }
        if let Some(head) = self.heads.get_mut(slot) {
            *head = next;
        }
        if next == NONE
            && let Some(occupied) = self.occupied.get_mut(slot / SLOTS)
        {
            *occupied &= !(1 << (slot % SLOTS));
        }
    }
}

const fn slot_number(level: usize, slot: u64) -> usize {
    level * SLOTS + slot as usize
}

/// The level whose slots tell `at` from `elapsed`.
const fn level_of(elapsed: u64, at: u64) -> usize {
    let differing = (elapsed ^ at) | SLOT_MASK;
    let level = (63 - differing.leading_zeros()) / SLOT_BITS;
    if level as usize >= LEVELS { LEVELS - 1 } else { level as usize }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(wheel: &mut Wheel<u64>, now: u64) -> Vec<u64> {
        std::iter::from_fn(|| wheel.pop(Tick(now))).collect()
    }

    #[test]
    fn fires_on_its_millisecond_and_not_before() {
        // T15
        for at in [0, 1, 63, 64, 65, 4_095, 4_096, 32_000, 180_001, 16_777_216, 3_000_000_000] {
            let mut wheel = Wheel::new(8);
            wheel.arm(Tick(at), at).unwrap();
            if at > 0 {
                assert!(drain(&mut wheel, at - 1).is_empty(), "{at}");
            }
            assert_eq!(drain(&mut wheel, at), [at]);
            assert!(wheel.is_empty());
            assert_eq!(wheel.next(), None);
        }
    }

    #[test]
    fn agrees_with_a_sorted_list() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut wheel = Wheel::new(10_000);
        let mut model: std::collections::BTreeMap<u64, (u64, TimerId)> = std::collections::BTreeMap::new();
        let (mut now, mut serial) = (0, 0);
        for _ in 0..50_000 {
            match rng.u8(0..4) {
                0 | 1 => {
                    let at = now + if rng.bool() { rng.u64(0..200) } else { rng.u64(0..400_000) };
                    serial += 1;
                    let id = wheel.arm(Tick(at), serial).unwrap();
                    model.insert(serial, (at, id));
                }
                2 => {
                    let keys: Vec<u64> = model.keys().copied().collect();
                    if let Some(key) = (!keys.is_empty()).then(|| keys[rng.usize(0..keys.len())]) {
                        let (_, id) = model.remove(&key).unwrap();
                        assert!(wheel.disarm(id));
                        assert!(!wheel.disarm(id));
                    }
                }
                _ => {
                    now += rng.u64(0..300);
                    let mut fired = drain(&mut wheel, now);
                    fired.sort_unstable();
                    let due: Vec<u64> = model.iter().filter(|(_, (at, _))| *at <= now).map(|(k, _)| *k).collect();
                    assert_eq!(fired, due);
                    model.retain(|_, (at, _)| *at > now);
                }
            }
            assert_eq!(wheel.len(), model.len());
            let first = model.values().map(|(at, _)| *at).min();
            assert_eq!(wheel.next().is_some(), first.is_some());
            if let (Some(next), Some(first)) = (wheel.next(), first) {
                assert!(next.0 <= first, "would sleep past {first} until {}", next.0);
            }
        }
    }

    #[test]
    fn full_is_refused_and_an_old_id_harms_nobody() {
        // T19
        let mut wheel = Wheel::new(2);
        let a = wheel.arm(Tick(5), 1).unwrap();
        assert!(wheel.arm(Tick(6), 2).is_some());
        assert_eq!(wheel.arm(Tick(7), 3), None);
        assert_eq!(wheel.pop(Tick(5)), Some(1));
        let b = wheel.arm(Tick(9), 3).unwrap();
        assert!(!wheel.disarm(a), "its place belongs to another");
        assert!(wheel.disarm(b));
    }
}
