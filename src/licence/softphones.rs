//! The list that tells soft clients from phones (R46): patterns of accounts and of User-Agents. It ships as data
//! (`config/softphones.toml`) and an operator may put another in its place; what is wrong with one is told by line and
//! key, all at once.

use serde::Deserialize;
use std::fmt;
use toml::Spanned;

/// The list that is built in, as text.
pub const BUILT_IN: &str = include_str!("../../config/softphones.toml");
/// The most patterns of a kind.
const MOST_PATTERNS: usize = 1_000;
/// The longest pattern, in bytes.
const MOST_LENGTH: usize = 128;
/// How much of a User-Agent is looked at.
const MOST_TEXT: usize = 256;

/// Patterns, ready to be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Softphones {
    accounts: Box<[Pattern]>,
    user_agents: Box<[Pattern]>,
}

/// Lower case; `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern(Box<[u8]>);

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

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, key, reason } = self;
        let key = if key.is_empty() { String::new() } else { format!(" {key}") };
        write!(f, "line {line}{key}: {reason}")
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    accounts: Vec<Spanned<String>>,
    user_agents: Vec<Spanned<String>>,
}

impl Softphones {
    /// The list that is built in.
    pub fn built_in() -> Self {
        // A test reads it; nothing else can be wrong with it.
        Self::parse(BUILT_IN).unwrap_or_default()
    }

    /// Reads a list. `Err` lists everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let line = |place: usize| 1 + text.bytes().take(place).filter(|byte| *byte == b'\n').count();
        let file: File = toml::from_str(text).map_err(|error| {
            let place = error.span().map_or(0, |span| span.start);
            vec![Fault { line: line(place), key: String::new(), reason: error.message().to_owned() }]
        })?;
        let mut faults = Vec::new();
        let mut read = |name: &str, list: &[Spanned<String>]| -> Box<[Pattern]> {
            if let Some(first) = list.get(MOST_PATTERNS) {
                let reason = format!("there are {} patterns, at most {MOST_PATTERNS} are allowed", list.len());
                faults.push(Fault { line: line(first.span().start), key: name.to_owned(), reason });
                return Box::default();
            }
            let mut patterns = Vec::with_capacity(list.len());
            for (entry, n) in list.iter().zip(0..) {
                match Pattern::of(entry.as_ref()) {
                    Ok(pattern) => patterns.push(pattern),
                    Err(reason) => {
                        faults.push(Fault { line: line(entry.span().start), key: format!("{name}[{n}]"), reason });
                    }
                }
            }
            patterns.into()
        };
        let accounts = read("accounts", &file.accounts);
        let user_agents = read("user_agents", &file.user_agents);
        if faults.is_empty() { Ok(Self { accounts, user_agents }) } else { Err(faults) }
    }

    /// Whether an account is a soft client's by its pattern.
    pub fn has_account(&self, account: &[u8]) -> bool {
        self.accounts.iter().any(|pattern| pattern.matches(account))
    }

    /// Whether a User-Agent is a soft client's by its pattern.
    pub fn has_user_agent(&self, user_agent: &[u8]) -> bool {
        let text = user_agent.get(..MOST_TEXT).unwrap_or(user_agent).trim_ascii();
        self.user_agents.iter().any(|pattern| pattern.matches(text))
    }

    /// How many patterns there are.
    pub fn len(&self) -> usize {
        self.accounts.len() + self.user_agents.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Pattern {
    fn of(text: &str) -> Result<Self, String> {
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
            return Err(format!("the pattern \"{text}\" {what}: every phone would be a soft client"));
        }
        Ok(Self(text.to_ascii_lowercase().into_bytes().into()))
    }

    /// Whether all of a text is as the pattern says; its case does not matter.
    fn matches(&self, text: &[u8]) -> bool {
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

#[cfg(test)]
mod tests;
