//! The keys of tokens on disk: read at the start, rotated weekly, so that calls and registrations
//! outlive the process (P04, R75).

use super::data;
use crate::engine::token::{Key, Keyring};
use std::io;
use std::path::{Path, PathBuf};

const FILE: &str = "keys.json";

/// The file of one node.
#[derive(Debug)]
pub(super) struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// Reads the ring, or makes the first one. A file that cannot be read is an error: new keys would
    /// cut off every call in progress.
    pub(super) fn open(dir: &Path, now_unix: u64) -> io::Result<(Self, Keyring)> {
        let file = Self { path: dir.join(FILE) };
        let keys: Vec<Key> = match std::fs::read(&file.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", file.path.display()))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", file.path.display()))),
        };
        let ring = Keyring::new(keys);
        let ring = file.rotate(&ring, now_unix)?.unwrap_or(ring);
        Ok((file, ring))
    }

    /// The ring with a new key, already on disk, if one is due.
    pub(super) fn rotate(&self, ring: &Keyring, now_unix: u64) -> io::Result<Option<Keyring>> {
        if !ring.is_due(now_unix) {
            return Ok(None);
        }
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        let rotated = ring.rotated(now_unix, secret);
        data::write(&self.path, &serde_json::to_vec(rotated.keys())?)?;
        Ok(Some(rotated))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::token::ROTATION;

    const START: u64 = 1_800_000_000;

    #[test]
    fn a_restart_finds_the_same_keys_and_a_week_brings_a_new_one() {
        // P04 R75
        let dir = tempfile::tempdir().unwrap();
        let (_, first) = KeyFile::open(dir.path(), START).unwrap();
        assert_eq!(first.keys().len(), 1);
        let (file, again) = KeyFile::open(dir.path(), START + 10).unwrap();
        assert_eq!(again, first);
        assert_eq!(file.rotate(&again, START + ROTATION - 1).unwrap(), None);
        let rotated = file.rotate(&again, START + ROTATION).unwrap().unwrap();
        assert_eq!(rotated.keys().len(), 2);
        let (_, read) = KeyFile::open(dir.path(), START + ROTATION).unwrap();
        assert_eq!(read, rotated);
    }

    #[test]
    fn a_damaged_file_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "[{").unwrap();
        assert_eq!(KeyFile::open(dir.path(), START).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(std::fs::read(dir.path().join(FILE)).unwrap(), b"[{");
    }
}
