//! What is wrong with a configuration: which file, where in it, which key.

use std::fmt;
use std::path::PathBuf;

/// A configuration that cannot be used.
#[derive(Debug)]
pub struct Error {
    /// The file, or none for the environment.
    pub file: Option<PathBuf>,
    /// Line and column, from 1.
    pub position: Option<(usize, usize)>,
    /// The key, as in `limits.connections`, or the variable.
    pub key: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}", file.display())?,
            None => f.write_str("environment")?,
        }
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for Error {}
