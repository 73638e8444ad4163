//! Why a change of licences or bookings is refused: the rule, the numbers, and a sentence for people.

use super::document::DocumentError;
use serde::Serialize;
use std::fmt;

/// A refusal. Nothing changes then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The rule, as in `R18`.
    pub rule: &'static str,
    /// A code that stays, for programs.
    pub code: &'static str,
    /// What is refused and why, with the numbers.
    pub text: String,
    /// The numbers by name, as in `licensed`.
    pub numbers: Vec<(&'static str, u64)>,
}

impl Refusal {
    /// A refusal without numbers.
    pub fn new(rule: &'static str, code: &'static str, text: impl Into<String>) -> Self {
        Self { rule, code, text: text.into(), numbers: Vec::new() }
    }

    /// With a number.
    pub fn with(mut self, name: &'static str, number: impl Into<u64>) -> Self {
        self.numbers.push((name, number.into()));
        self
    }

    /// One of its numbers.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.numbers.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text, self.rule)
    }
}

impl std::error::Error for Refusal {}

impl From<DocumentError> for Refusal {
    fn from(error: DocumentError) -> Self {
        Self::new("R64", error.kind(), error.to_string())
    }
}
