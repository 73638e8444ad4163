//! Files with documents.

use crate::cli::exit::Failure;
use std::io::Read as _;
use std::path::Path;

const MAX_FILE: u64 = 16 << 20;

/// Reads a file; `-` is standard input. What is no text in it is for the documents' own reader to refuse.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().take(MAX_FILE).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", path.display())))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
