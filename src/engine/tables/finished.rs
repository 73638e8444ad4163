//! Requests that are answered for good and only wait out their retransmissions (RFC 3261 §17.2.2, timer J).
//!
//! Most of what a shard remembers is this: half a minute of answers. All of them last equally long, so they are kept in
//! the order in which they were given, page by page, each page with the texts of its answers. A page is filled and
//! emptied from one end to the other and then used again: nothing of an answer is touched between, and nothing moves
//! when there are more of them. Who belongs to which request is the table's to know.

use crate::clock::Tick;
use crate::engine::transaction::key::Key;
use crate::stats::InstanceStats;
use std::collections::VecDeque;
use std::sync::Arc;

/// Answers on a page.
const ANSWERS: usize = 256;
/// Room for their texts at first.
const TEXTS: usize = ANSWERS * 512;
/// Empty pages that are kept to be used again.
const SPARE: usize = 4;

/// The answers of the last half minute.
#[derive(Default)]
pub struct Finished {
    pages: VecDeque<Page>,
    spare: Vec<Page>,
    /// Names the first answer of the first page.
    first: u32,
    /// Answers of the first page that are forgotten.
    forgotten: usize,
    len: usize,
    bytes: usize,
}

#[derive(Default)]
struct Page {
    answers: Vec<Answer>,
    texts: Vec<u8>,
}

struct Answer {
    key: Key,
    until: Tick,
    /// None once it is forgotten.
    stats: Option<Arc<InstanceStats>>,
    /// Where its text ends; it begins where the one before ends.
    end: u32,
}

impl Finished {
    /// Keeps an answer until then; its name. None is kept longer than one that is kept later.
    pub fn push(&mut self, key: Key, until: Tick, stats: Arc<InstanceStats>, text: &[u8]) -> u32 {
        if self.pages.back().is_none_or(|page| page.answers.len() == ANSWERS) {
            let page = self
                .spare
                .pop()
                .unwrap_or_else(|| Page { answers: Vec::with_capacity(ANSWERS), texts: Vec::with_capacity(TEXTS) });
            self.pages.push_back(page);
        }
        let before = (self.pages.len() - 1) * ANSWERS;
        let Some(page) = self.pages.back_mut() else { return self.first };
        let name = self.first.wrapping_add((before + page.answers.len()) as u32);
        page.texts.extend_from_slice(text);
        page.answers.push(Answer { key, until, stats: Some(stats), end: page.texts.len() as u32 });
        self.len += 1;
        self.bytes += text.len();
        name
    }

    /// The text of an answer.
    pub fn text(&self, name: u32) -> Option<&[u8]> {
        let place = name.wrapping_sub(self.first) as usize;
        let page = self.pages.get(place / ANSWERS)?;
        page.text(place % ANSWERS)
    }

    /// Forgets the oldest answer, if it is over by now: what it answered, and on whose behalf.
    pub fn pop(&mut self, now: Tick) -> Option<(Key, Arc<InstanceStats>)> {
        self.next().filter(|until| *until <= now)?;
        let page = self.pages.front_mut()?;
        let bytes = page.text(self.forgotten)?.len();
        let answer = page.answers.get_mut(self.forgotten)?;
        let ended = (answer.key, answer.stats.take()?);
        self.forgotten += 1;
        self.len -= 1;
        self.bytes -= bytes;
        if self.forgotten == ANSWERS || self.len == 0 {
            self.turn();
        }
        Some(ended)
    }

    /// When the oldest one is over.
    pub fn next(&self) -> Option<Tick> {
        Some(self.pages.front()?.answers.get(self.forgotten)?.until)
    }

    /// Answers that are kept.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Bytes of their texts.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The first page is done with.
    fn turn(&mut self) {
        let Some(mut page) = self.pages.pop_front() else { return };
        self.first = self.first.wrapping_add(ANSWERS as u32);
        self.forgotten = 0;
        if self.spare.len() < SPARE {
            page.answers.clear();
            page.texts.clear();
            self.spare.push(page);
        }
    }
}

impl Page {
    fn text(&self, place: usize) -> Option<&[u8]> {
        let end = self.answers.get(place)?.end as usize;
        let start = place.checked_sub(1).and_then(|before| self.answers.get(before)).map_or(0, |before| before.end);
        self.texts.get(start as usize..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(n: u64) -> Vec<u8> {
        format!("{n}").repeat(n as usize % 5).into_bytes()
    }

    #[test]
    fn answers_are_found_until_they_are_over() {
        // T17 T19
        let mut finished = Finished::default();
        let stats = Arc::<InstanceStats>::default();
        let mut names = VecDeque::new();
        let mut rng = fastrand::Rng::with_seed(3);
        let (mut now, mut serial) = (0, 0);
        for _ in 0..20_000 {
            now += rng.u64(0..3);
            for _ in 0..rng.u64(0..3) {
                let name = finished.push(Key(u128::from(serial)), Tick(now + 500), Arc::clone(&stats), &text(serial));
                names.push_back((name, serial, now + 500));
                serial += 1;
            }
            while let Some((key, _)) = finished.pop(Tick(now)) {
                let (name, serial, until) = names.pop_front().unwrap();
                assert!(until <= now && key == Key(u128::from(serial)));
                // A whole page is given back at once, and the name may be another's then, but never early.
                assert!(finished.text(name).is_none_or(|found| found == text(serial)));
            }
            assert_eq!(finished.next(), names.front().map(|(.., until)| Tick(*until)));
            assert_eq!(finished.len(), names.len());
            if let Some((name, serial, _)) = names.get(rng.usize(0..names.len().max(1))) {
                assert_eq!(finished.text(*name), Some(&text(*serial)[..]));
            }
        }
        let kept: usize = names.iter().map(|(_, serial, _)| text(*serial).len()).sum();
        assert!(finished.bytes() == kept && names.len() > 100, "{}", names.len());
        assert_eq!(Arc::strong_count(&stats), 1 + names.len());
        assert!(finished.spare.len() <= SPARE);
    }
}
