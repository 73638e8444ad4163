//! Lists of patterns that operators may edit, as data files: what tells soft clients and scanners by what they say of
//! themselves. What is wrong with a list is told by line and key, all at once. It reads no file.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use toml::Spanned;

/// The most patterns of a kind.
pub const MOST_PATTERNS: usize = 1_000;
/// The longest pattern, in bytes.
pub const MOST_LENGTH: usize = 128;
/// How much of a text is looked at.
pub const MOST_TEXT: usize = 256;

/// Lower case; `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<[u8]>);

/// Texts of which a list remembers what it said.
const REMEMBERED: usize = 512;

/// A list that remembers what it said of the texts of late: a fleet of phones has few User-Agents, and a list has a
/// hundred patterns.
#[derive(Default)]
pub struct Patterns {
    list: Box<[Pattern]>,
    seeds: foldhash::quality::RandomState,
    /// The hash of a text; its lowest bit is what was said of it.
    said: Box<[AtomicU64]>,
}

impl Patterns {
    /// Whether one of the patterns is that of a header field's value.
    pub fn any(&self, text: &[u8]) -> bool {
        let text = text.get(..MOST_TEXT).unwrap_or(text);
        // The seeds are this process's own, so nobody finds two texts with one hash.
        let hash = self.seeds.hash_one(text) | 1;
        let place = usize::try_from(hash >> 8).unwrap_or_default() % self.said.len().max(1);
        let Some(said) = self.said.get(place) else { return any(&self.list, text) };
        let known = said.load(Relaxed);
        if known | 1 == hash {
            return known & 1 == 1;
        }
        let found = any(&self.list, text);
        said.store(hash - u64::from(!found), Relaxed);
        found
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl From<Box<[Pattern]>> for Patterns {
    fn from(list: Box<[Pattern]>) -> Self {
        let said = (0..REMEMBERED).map(|_| AtomicU64::new(0)).collect();
        Self { list, said, seeds: Default::default() }
    }
}

impl Clone for Patterns {
    fn clone(&self) -> Self {
        self.list.clone().into()
    }
}

impl PartialEq for Patterns {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl Eq for Patterns {}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list.fmt(f)
    }
}

/// What is wrong with a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its line, the first is 1.
    pub line: usize,
    /// The entry, as in `user_agents[3]`; empty for the whole file.
    pub key: String,
    /// Why.
    pub reason: String,
}

impl Fault {
    /// What is wrong with the file as TOML.
    pub fn of(text: &str, error: &toml::de::Error) -> Self {
        let place = error.span().map_or(0, |span| span.start);
        Self { line: line(text, place), key: String::new(), reason: error.message().to_owned() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, key, reason } = self;
        let key = if key.is_empty() { String::new() } else { format!(" {key}") };
        write!(f, "line {line}{key}: {reason}")
    }
}

/// Reads the lists of one file.
pub struct Reader<'a> {
    text: &'a str,
    everything: &'static str,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    /// Of this text; `everything` says what a pattern that matches everything would do.
    pub const fn new(text: &'a str, everything: &'static str) -> Self {
        Self { text, everything, faults: Vec::new() }
    }

    /// Reads one list; what is wrong with it is kept for [`Self::end`].
    pub fn read(&mut self, name: &str, list: &[Spanned<String>]) -> Box<[Pattern]> {
        if let Some(first) = list.get(MOST_PATTERNS) {
            let reason = format!("there are {} patterns, at most {MOST_PATTERNS} are allowed", list.len());
            self.faults.push(Fault { line: line(self.text, first.span().start), key: name.to_owned(), reason });
            return Box::default();
        }
        let mut patterns = Vec::with_capacity(list.len());
        for (entry, n) in list.iter().zip(0..) {
            match Pattern::of(entry.as_ref(), self.everything) {
                Ok(pattern) => patterns.push(pattern),
                Err(reason) => {
                    let line = line(self.text, entry.span().start);
                    self.faults.push(Fault { line, key: format!("{name}[{n}]"), reason });
                }
            }
        }
        patterns.into()
    }

    /// Everything that was wrong, if anything was.
    pub fn end(self) -> Result<(), Vec<Fault>> {
        if self.faults.is_empty() { Ok(()) } else { Err(self.faults) }
    }
}

/// Whether one of the patterns is that of a header field's value.
fn any(patterns: &[Pattern], text: &[u8]) -> bool {
    let text = text.get(..MOST_TEXT).unwrap_or(text).trim_ascii();
    patterns.iter().any(|pattern| pattern.matches(text))
}

fn line(text: &str, place: usize) -> usize {
    1 + text.bytes().take(place).filter(|byte| *byte == b'\n').count()
}

impl Pattern {
    /// Reads one; `everything` says what one that matches everything would do.
    pub fn of(text: &str, everything: &str) -> Result<Self, String> {
        if text.len() > MOST_LENGTH {
            return Err(format!("the pattern has {} bytes, at most {MOST_LENGTH} are allowed", text.len()));
        }
        if let Some(bad) = text.chars().find(|c| c.is_control()) {
            return Err(format!("the pattern holds the control character U+{:04X}", u32::from(bad)));
        }
        if text.trim() != text {
            return Err(format!("the pattern \"{text}\" begins or ends with a blank, which no header field does"));
        }
        if text.bytes().all(|byte| byte == b'*') {
            let what = if text.is_empty() { "is empty" } else { "matches everything" };
            return Err(format!("the pattern \"{text}\" {what}: {everything}"));
        }
        Ok(Self(text.to_ascii_lowercase().into_bytes().into()))
    }

    /// Whether all of a text is as the pattern says; its case does not matter.
    pub fn matches(&self, text: &[u8]) -> bool {
        // Mostly the last byte tells.
        if let Some(last) = self.0.last().filter(|last| **last != b'*')
            && text.last().is_none_or(|byte| byte.to_ascii_lowercase() != *last)
        {
            return false;
        }
        let (mut pattern, mut rest) = (&*self.0, text);
        // Where the last star was, and where the text behind it was tried: one more byte is given to it each time.
        let mut star: Option<(&[u8], &[u8])> = None;
        loop {
            match (pattern.split_first(), rest.split_first()) {
                (Some((b'*', after)), _) => {
                    star = Some((after, rest));
                    pattern = after;
                }
                (Some((expected, after)), Some((byte, behind))) if byte.to_ascii_lowercase() == *expected => {
                    (pattern, rest) = (after, behind);
                }
                (None, None) => return true,
                _ => {
                    let Some((after, tried)) = star else { return false };
                    let Some((_, behind)) = tried.split_first() else { return false };
                    star = Some((after, behind));
                    (pattern, rest) = (after, behind);
                }
            }
        }
    }
}
