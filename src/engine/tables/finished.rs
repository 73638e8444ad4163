//! Requests that are answered for good and only wait for their repetitions to end (RFC 3261 §17.2, RFC 6026 §7.1).
//!
//! Most of what a shard remembers is this: half a minute of answers. All of them last equally long (J, H, L), so they
//! are kept in the order in which they were given, page by page, each page with the texts of its answers. A page is
//! filled and emptied from one end to the other and then used again: nothing of an answer is touched between, and
//! nothing moves when there are more of them. Of an INVITE more is left than its answer: the table keeps it and has it
//! here for its turn only. Who belongs to which request is the table's to know, and how many there may be.

use crate::clock::Tick;
use crate::engine::transaction::key::Key;
use std::collections::VecDeque;

/// Answers on a page.
const ANSWERS: usize = 1 << PLACE;
/// Bits of a name that tell the place on a page.
const PLACE: u32 = 8;
/// Bytes of their texts; a single one may be larger.
const TEXTS: usize = ANSWERS * 512;
/// Empty pages that are kept to be used again.
const SPARE: usize = 4;
/// What an answer takes beside its text, with its key in the table.
pub const BESIDE: usize = 80;
/// What is taken to be left of an INVITE: both of its transactions, their timers and the request.
pub const INVITE: usize = 2_048;

/// The answers of the last half minute.
#[derive(Default)]
pub struct Finished {
    pages: VecDeque<Page>,
    spare: Vec<Page>,
    /// The number of the first page.
    first: u32,
    /// Answers of the first page that are forgotten.
    forgotten: usize,
    len: usize,
    /// Those of them that stand for an INVITE.
    invites: usize,
    bytes: usize,
}

struct Page {
    answers: Vec<Answer>,
    texts: Vec<u8>,
}

struct Answer {
    key: Key,
    until: Tick,
    /// Where its text ends; it begins where the one before ends.
    end: u32,
    /// Whether it stands for an INVITE.
    invite: bool,
}

impl Answer {
    const fn cost(&self, text: usize) -> usize {
        if self.invite { INVITE } else { text + BESIDE }
    }
}

impl Finished {
    /// Keeps an answer until then; its name. None is kept longer than one that is kept later.
    pub fn push(&mut self, key: Key, until: Tick, text: &[u8]) -> u32 {
        self.add(Answer { key, until, end: 0, invite: false }, text)
    }

    /// An INVITE was answered, of which the table keeps what is left.
    pub fn push_invite(&mut self, key: Key, until: Tick) {
        self.add(Answer { key, until, end: 0, invite: true }, b"");
    }

    fn add(&mut self, answer: Answer, text: &[u8]) -> u32 {
        if self.pages.back().is_none_or(|page| page.is_full(text.len())) {
            self.pages.push_back(self.spare.pop().unwrap_or_default());
        }
        let number = self.first.wrapping_add(self.pages.len() as u32 - 1);
        let Some(page) = self.pages.back_mut() else { return 0 };
        let name = number << PLACE | page.answers.len() as u32;
        page.texts.extend_from_slice(text);
        self.len += 1;
        self.invites += usize::from(answer.invite);
        self.bytes += answer.cost(text.len());
        page.answers.push(Answer { end: page.texts.len() as u32, ..answer });
        name
    }

    /// The text of an answer.
    pub fn text(&self, name: u32) -> Option<&[u8]> {
        // Names wrap around after so many pages.
        let page = (name >> PLACE).wrapping_sub(self.first) & (u32::MAX >> PLACE);
        self.pages.get(page as usize)?.text(name as usize % ANSWERS)
    }

    /// Forgets the oldest answer, if it is over by now: what it answered, and its name.
    pub fn pop(&mut self, now: Tick) -> Option<(Key, u32)> {
        self.next().filter(|until| *until <= now)?;
        self.pop_oldest()
    }

    /// Forgets the oldest answer, whether it is over or not.
    pub fn pop_oldest(&mut self) -> Option<(Key, u32)> {
        let page = self.pages.front()?;
        let answer = page.answers.get(self.forgotten)?;
        let invite = usize::from(answer.invite);
        let cost = answer.cost(page.text(self.forgotten)?.len());
        let ended = (answer.key, self.first << PLACE | self.forgotten as u32);
        let done = self.forgotten + 1 == page.answers.len();
        self.forgotten += 1;
        self.len -= 1;
        self.invites -= invite;
        self.bytes -= cost;
        if done {
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

    /// Those of which nothing but the answer is left.
    pub const fn plain(&self) -> usize {
        self.len - self.invites
    }

    /// Bytes that they take.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The first page is done with.
    fn turn(&mut self) {
        let Some(mut page) = self.pages.pop_front() else { return };
        self.first = self.first.wrapping_add(1);
        self.forgotten = 0;
        // One with a giant on it is not kept.
        if self.spare.len() < SPARE && page.texts.capacity() <= TEXTS {
            page.answers.clear();
            page.texts.clear();
            self.spare.push(page);
        }
    }
}

impl Default for Page {
    fn default() -> Self {
        Self { answers: Vec::with_capacity(ANSWERS), texts: Vec::with_capacity(TEXTS) }
    }
}

impl Page {
    fn is_full(&self, more: usize) -> bool {
        let texts = self.texts.len();
        self.answers.len() == ANSWERS || (texts > 0 && texts + more > TEXTS)
    }

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
        format!("{n}").repeat(n as usize % 5 * 40).into_bytes()
    }

    #[test]
    fn answers_are_found_until_they_are_over() {
        // T17 T19
        let mut finished = Finished::default();
        let mut names = VecDeque::new();
        let mut rng = fastrand::Rng::with_seed(3);
        let (mut now, mut serial, mut pages) = (0, 0, 0);
        for _ in 0..20_000 {
            now += rng.u64(0..3);
            for _ in 0..rng.u64(0..5) {
                let name = finished.push(Key(u128::from(serial)), Tick(now + 500), &text(serial));
                names.push_back((name, serial, now + 500));
                serial += 1;
            }
            let mut gone = Vec::new();
            while let Some(ended) = finished.pop(Tick(now)) {
                gone.push(ended);
            }
            // A few are forgotten early.
            if rng.u8(..) == 0 {
                gone.extend((0..rng.usize(0..300)).map_while(|_| finished.pop_oldest()));
            }
            for (key, name) in gone {
                let (expected, serial, _) = names.pop_front().unwrap();
                assert_eq!((key, name), (Key(u128::from(serial)), expected));
                // A whole page is given back at once, and the name may be another's then, but never early.
                assert!(finished.text(name).is_none_or(|found| found == text(serial)));
            }
            assert_eq!(finished.next(), names.front().map(|(.., until)| Tick(*until)));
            assert_eq!(finished.len(), names.len());
            pages = pages.max(finished.pages.len());
            if let Some((name, serial, _)) = names.get(rng.usize(0..names.len().max(1))) {
                assert_eq!(finished.text(*name), Some(&text(*serial)[..]));
            }
        }
        let kept: usize = names.iter().map(|(_, serial, _)| text(*serial).len() + BESIDE).sum();
        assert!(finished.bytes() == kept && names.len() > 100 && pages > 3, "{} on {pages}", names.len());
        assert!(finished.spare.len() <= SPARE && finished.spare.iter().all(|page| page.texts.capacity() == TEXTS));
        while finished.pop_oldest().is_some() {}
        assert_eq!((finished.bytes(), finished.len(), finished.pages.len()), (0, 0, 0));
    }

    #[test]
    fn names_wrap_around_and_giants_have_a_page_of_their_own() {
        // T17 T19
        let mut finished = Finished { first: u32::MAX - 1, ..Finished::default() };
        let giant = vec![b'x'; TEXTS + 1];
        let texts = [&b"a"[..], &giant, b"b", b"c", &giant, b"d"];
        let names = texts.map(|text| finished.push(Key(7), Tick(1), text));
        assert_eq!(finished.pages.len(), 5);
        assert_eq!(names.map(|name| finished.text(name).map(<[u8]>::len)), texts.map(|text| Some(text.len())));
        finished.push_invite(Key(8), Tick(2));
        assert_eq!((finished.len(), finished.plain()), (7, 6));
        assert_eq!(finished.bytes(), 2 * (TEXTS + 1) + 4 + 6 * BESIDE + INVITE);
        assert_eq!(std::iter::from_fn(|| finished.pop(Tick(1))).count(), 6);
        assert_eq!((finished.pop(Tick(1)), finished.bytes(), finished.plain()), (None, INVITE, 0));
        assert!(finished.pop(Tick(2)).is_some_and(|(key, _)| key == Key(8)) && finished.spare.len() == 3);
    }
}
