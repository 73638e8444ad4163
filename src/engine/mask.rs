//! Identical answers for accounts that exist and that do not.
//!
//! Some PBXs challenge only accounts they have and answer 404 or 403 for others: a stranger could list the accounts. So
//! how an instance challenges is learned from its own 401 and 407, and its refusal of a stranger's request is rewritten
//! into such a challenge, with a fresh nonce of the same form; credentials that come for it are refused as the instance
//! refuses a wrong password. The PBX is asked all the same, so that the time it takes tells nothing either. Until the
//! instance has challenged somebody there is nothing to imitate.
//!
//! Not for sources from which phones are registered, which see the PBX's own answers; and nothing here is ever a
//! success (R70). Called by `context` for the text of an answer that is about to be sent.

use super::core::{Engine, Moment};
use super::guarded::{credentials, is_new};
use super::tables::{Server, ServerId, Topic};
use crate::clock::Tick;
use crate::sip::auth;
use crate::sip::limits::Limits;
use crate::sip::method::Method;
use crate::sip::view::{Index, Name, View};
use std::ops::Range;

/// Longer answers are not learned.
const LONGEST: usize = 4_096;
/// Milliseconds between two looks at how an instance challenges.
const LOOK: u64 = 1_000;
/// What is different in each challenge.
const SECRETS: [&[u8]; 2] = [b"nonce", b"opaque"];

/// How one instance answers strangers.
#[derive(Default)]
pub struct Masks {
    register: Option<Sample>,
    other: Option<Sample>,
    /// How a wrong password is refused, where that is no challenge.
    wrong: Option<Sample>,
}

/// An answer of the instance, as it went to a client.
struct Sample {
    text: Box<[u8]>,
    /// What is different each time, with the bytes at its start that are not.
    secrets: Vec<(Range<usize>, usize)>,
    learned: Tick,
}

/// Which answer is imitated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Register,
    Other,
    Wrong,
}

impl Masks {
    const fn of_mut(&mut self, which: Which) -> &mut Option<Sample> {
        match which {
            Which::Register => &mut self.register,
            Which::Other => &mut self.other,
            Which::Wrong => &mut self.wrong,
        }
    }

    fn of(&self, which: Which) -> Option<&Sample> {
        match which {
            Which::Register => self.register.as_ref(),
            Which::Other => self.other.as_ref(),
            Which::Wrong => self.wrong.as_ref().or(self.register.as_ref()),
        }
    }

    fn learn(&mut self, which: Which, text: &[u8], now: Tick) {
        let slot = self.of_mut(which);
        if text.len() > LONGEST || slot.as_ref().is_some_and(|old| now.since(old.learned) < LOOK) {
            return;
        }
        let mut sample = Sample { text: text.into(), secrets: secrets(text), learned: now };
        if let Some(old) = slot.as_ref().filter(|old| old.secrets.len() == sample.secrets.len()) {
            for ((range, same), (before, known)) in sample.secrets.iter_mut().zip(&old.secrets) {
                let new = text.get(range.clone()).unwrap_or_default();
                let before = old.text.get(before.clone()).unwrap_or_default();
                let common = new.iter().zip(before).take_while(|(a, b)| a == b).count();
                // A nonce that was used twice is no reason to use it for ever.
                *same = if new == before { *known } else { common };
            }
        }
        *slot = Some(sample);
    }
}

impl Sample {
    /// Writes the same answer to another request, whose own answer is `real`. The nonces it makes are told to `made`.
    fn write(&self, real: &View<'_>, rng: &mut fastrand::Rng, out: &mut Vec<u8>, mut made: impl FnMut(&[u8])) {
        let mut index = Index::default();
        let Ok(sample) = View::read(&self.text, &mut index, &Limits::DEFAULT) else { return };
        out.clear();
        let rows = sample.rows();
        let head = rows.first().map_or(0, |row| row.line.start as usize);
        out.extend_from_slice(self.text.get(..head).unwrap_or_default());
        let mut done = [false; Name::COUNT];
        for row in rows {
            let Some(done) = done.get_mut(row.name as usize) else { continue };
            let mirrored = matches!(row.name, Name::Via | Name::From | Name::To | Name::CallId | Name::CSeq);
            if !mirrored {
                self.copy(row.line.start as usize..row.line.end as usize, rng, out, &mut made);
            } else if !std::mem::replace(done, true) {
                for own in real.rows_named(row.name) {
                    out.extend_from_slice(real.text(own.line));
                }
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    fn copy(&self, range: Range<usize>, rng: &mut fastrand::Rng, out: &mut Vec<u8>, made: &mut impl FnMut(&[u8])) {
        let mut at = range.start;
        for (secret, same) in self.secrets.iter().filter(|(it, _)| range.start <= it.start && it.end <= range.end) {
            let fixed = secret.start + same;
            out.extend_from_slice(self.text.get(at..fixed).unwrap_or_default());
            let start = out.len() - same;
            let old = self.text.get(fixed..secret.end).unwrap_or_default();
            let is_hex = old.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
            out.extend(old.iter().map(|byte| alike(*byte, is_hex, rng)));
            made(out.get(start..).unwrap_or_default());
            at = secret.end;
        }
        out.extend_from_slice(self.text.get(at..range.end).unwrap_or_default());
    }
}

/// Another character of the same sort.
fn alike(byte: u8, is_hex: bool, rng: &mut fastrand::Rng) -> u8 {
    let pick = |from: &[u8], rng: &mut fastrand::Rng| from.get(rng.usize(..from.len())).copied().unwrap_or(byte);
    match byte {
        b'0'..=b'9' | b'a'..=b'f' if is_hex => pick(b"0123456789abcdef", rng),
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
            pick(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", rng)
        }
        other => other,
    }
}

/// Where the parts of an answer are that differ from challenge to challenge.
fn secrets(text: &[u8]) -> Vec<(Range<usize>, usize)> {
    let mut index = Index::default();
    let Ok(view) = View::read(text, &mut index, &Limits::DEFAULT) else { return Vec::new() };
    let mut found = Vec::new();
    for value in super::guarded::challenges(&view) {
        let start = value.as_ptr() as usize - text.as_ptr() as usize;
        for name in SECRETS {
            let span = auth::param(value, name).map(|(_, span)| span);
            found.extend(span.map(|span| (start + span.start as usize..start + span.end as usize, 0)));
        }
    }
    found.sort_unstable_by_key(|(range, _)| range.start);
    found
}

impl Engine {
    /// Looks at an answer that is about to be sent as `text`: one that teaches how the instance challenges is learned,
    /// one that would tell a stranger whether an account exists is rewritten. The status that is sent.
    pub(super) fn disguise(&mut self, moment: Moment<'_>, id: ServerId, status: u16, text: &mut Vec<u8>) -> u16 {
        let Some(server) = self.tables.server(id).filter(|server| is_new(server)) else { return status };
        // Nearly every answer ends here.
        if matches!(status, 100..=399) && !matches!(server.topic, Topic::Other) {
            return status;
        }
        let Some(instance) = moment.snapshot.by_id(server.instance) else { return status };
        let Some(room) = self.shared.registry.find(server.instance) else { return status };
        let (guard, source, now) = (&self.shared.guard, server.flow.peer().ip(), moment.now.tick);
        let is_register = server.topic == Topic::Register;
        if matches!(status, 401 | 407) {
            room.masks(|masks| masks.learn(if is_register { Which::Register } else { Which::Other }, text, now));
            return status;
        }
        let mut index = std::mem::take(&mut self.room.own_index);
        let mut sent = status;
        if let Ok(request) = View::read(server.request.bytes(), index.get(), &self.config.limits) {
            let which = if guard.masks(source, &instance.never_ban, now) {
                tells(server, &request, status, |nonce| guard.was_made_up(source, nonce, now))
            } else {
                None
            };
            let mut real = Index::default();
            let copy = text.clone();
            if let Some(which) = which
                && let Ok(real) = View::read(&copy, &mut real, &Limits::DEFAULT)
            {
                let rng = &mut self.rng;
                room.masks(|masks| {
                    let Some(sample) = masks.of(which) else { return };
                    sample.write(&real, rng, text, |nonce| guard.make_up(source, nonce, now));
                    sent = View::read(&sample.text, &mut Index::default(), &Limits::DEFAULT)
                        .map_or(status, |view| view.status());
                    guard.stats.masked.inc();
                });
            } else if is_register && status == 403 && credentials(&request).is_some() {
                let account = super::guarded::account(&request);
                // Only of an account that exists it is known that its password was wrong.
                if room.with(|live| live.ledger.is_live(account) || live.bindings.has(account)) {
                    room.masks(|masks| masks.learn(Which::Wrong, text, now));
                }
            }
        }
        self.room.own_index = index;
        sent
    }
}

/// Whether an answer tells a stranger something of an account, and what it is to be told instead.
fn tells(server: &Server, request: &View<'_>, status: u16, was_made_up: impl FnOnce(&[u8]) -> bool) -> Option<Which> {
    let nonce = credentials(request);
    if server.topic == Topic::Register {
        let tells = matches!(status, 403 | 404 | 405 | 410 | 480 | 484 | 604);
        return tells.then_some(if nonce.is_some() { Which::Wrong } else { Which::Register });
    }
    let tells = matches!(status, 403 | 404 | 410 | 480 | 484 | 486 | 600 | 603 | 604)
        || (request.method() == Method::Options
            && matches!(status, 200..=299)
            && request.request_uri().is_ok_and(|uri| uri.user.is_some()));
    // Who answers the instance's own challenge is judged by the instance: a right password may dial a wrong number.
    let is_judged = nonce.is_some_and(|nonce| !was_made_up(nonce));
    (tells && !is_judged).then_some(Which::Other)
}
