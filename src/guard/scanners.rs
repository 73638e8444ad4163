//! The list that tells scanners by their User-Agent. It ships as data (`config/scanners.toml`) and an operator may put
//! another in its place. A scanner that calls itself a phone is found by what it does, not by this list.

use crate::pattern::{Fault, Patterns, Reader};
use serde::Deserialize;
use toml::Spanned;

/// The list that is built in, as text.
pub const BUILT_IN: &str = include_str!("../../config/scanners.toml");

/// Patterns, ready to be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanners(Patterns);

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    user_agents: Vec<Spanned<String>>,
}

impl Scanners {
    /// The list that is built in.
    pub fn built_in() -> Self {
        // A test reads it; nothing else can be wrong with it.
        Self::parse(BUILT_IN).unwrap_or_default()
    }

    /// Reads a list. `Err` lists everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let file: File = toml::from_str(text).map_err(|error| vec![Fault::of(text, &error)])?;
        let mut reader = Reader::new(text, "every phone would be a scanner");
        let user_agents = reader.read("user_agents", &file.user_agents);
        reader.end().map(|()| Self(user_agents.into()))
    }

    /// Whether a User-Agent is a scanner's.
    pub fn has(&self, user_agent: &[u8]) -> bool {
        self.0.any(user_agent)
    }

    /// How many patterns there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_list_is_sound_and_tells_scanners_from_phones() {
        let list = Scanners::parse(BUILT_IN).unwrap();
        for scanner in
            ["friendly-scanner", "Friendly-Scanner", "sipvicious", "sipcli/v1.8", "pplsip", "VaxSIPUserAgent/3.1"]
        {
            assert!(list.has(scanner.as_bytes()), "{scanner}");
        }
        for phone in
            ["", "Yealink SIP-T46U 108.86.0.20", "snomD785/10.1", "Z 5.6.1", "baresip v3.1.0", "SIPp", "PolycomVVX"]
        {
            assert!(!list.has(phone.as_bytes()), "{phone}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_line() {
        let faults = Scanners::parse("user_agents = [\n  \"*\",\n  \" x\",\n]\n").unwrap_err();
        assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [2, 3]);
        assert!(faults[0].reason.contains("every phone would be a scanner"));
        assert_eq!(Scanners::parse("agents = []").unwrap_err()[0].line, 1);
    }
}
