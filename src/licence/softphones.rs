//! The list that tells soft clients from phones (R46): patterns of accounts and of User-Agents. It ships as data
//! (`config/softphones.toml`) and an operator may put another in its place; what is wrong with one is told by line and
//! key, all at once.

pub use crate::pattern::Fault;
use crate::pattern::{Pattern, Patterns, Reader};
use serde::Deserialize;
use toml::Spanned;

/// The list that is built in, as text.
pub const BUILT_IN: &str = include_str!("../../config/softphones.toml");

/// Patterns, ready to be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Softphones {
    accounts: Box<[Pattern]>,
    user_agents: Patterns,
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
        let file: File = toml::from_str(text).map_err(|error| vec![Fault::of(text, &error)])?;
        let mut reader = Reader::new(text, "every phone would be a soft client");
        let accounts = reader.read("accounts", &file.accounts);
        let user_agents = reader.read("user_agents", &file.user_agents);
        reader.end().map(|()| Self { accounts, user_agents: user_agents.into() })
    }

    /// Whether an account is a soft client's by its pattern.
    pub fn has_account(&self, account: &[u8]) -> bool {
        self.accounts.iter().any(|pattern| pattern.matches(account))
    }

    /// Whether a User-Agent is a soft client's by its pattern.
    pub fn has_user_agent(&self, user_agent: &[u8]) -> bool {
        self.user_agents.any(user_agent)
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

#[cfg(test)]
mod tests;
