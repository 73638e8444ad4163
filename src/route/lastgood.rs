//! The last good table on disk, so that a node serves without its control plane (R76).
//!
//! One line of JSON says format, revision, length and SHA-256 of the second line, which holds the
//! rows and the addresses their host names stood for. The file is replaced whole: written aside,
//! synced, renamed, and the folder synced. It holds private keys and is readable by its owner only.
//! The one place of the pure rooms that touches files; called by `control::watch`.

use super::resolved::Resolved;
use crate::model::Table;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// The version of this file's shape.
const FORMAT: u32 = 1;

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LastGood {
    /// The rows, at their revision.
    pub table: Arc<Table>,
    /// What their host names stood for.
    #[serde(default)]
    pub resolved: Resolved,
    /// Unix seconds at which it was known to be the newest.
    #[serde(default)]
    pub fresh_at: u64,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    revision: u64,
    length: usize,
    sha256: String,
}

/// Why there is no last good table.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read; `NotFound` on the first start.
    #[error("the last good table cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file is not one, or of a later version of this program.
    #[error("the last good table is unusable: {0}")]
    Format(String),
    /// The file was changed or cut short after it was written.
    #[error("the last good table is damaged: {0}")]
    Damaged(&'static str),
}

/// Replaces the file at `path`.
pub fn save(path: &Path, last: &LastGood) -> io::Result<()> {
    let body = serde_json::to_vec(last)?;
    let header = Header { format: FORMAT, revision: last.table.revision, length: body.len(), sha256: checksum(&body) };
    let aside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    serde_json::to_writer(&mut file, &header)?;
    file.write_all(b"\n")?;
    file.write_all(&body)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Reads the file at `path` and checks that it is as it was written.
pub fn load(path: &Path) -> Result<LastGood, LoadError> {
    let bytes = fs::read(path)?;
    let end = memchr::memchr(b'\n', &bytes).ok_or(LoadError::Damaged("it has no header"))?;
    let (header, rest) = bytes.split_at(end);
    let header: Header = serde_json::from_slice(header).map_err(|error| LoadError::Format(error.to_string()))?;
    if header.format != FORMAT {
        return Err(LoadError::Format(format!("its format is {}, known is {FORMAT}", header.format)));
    }
    let body = rest.get(1..).and_then(|rest| rest.strip_suffix(b"\n")).unwrap_or_default();
    if body.len() != header.length {
        return Err(LoadError::Damaged("its length is wrong"));
    }
    if checksum(body) != header.sha256 {
        return Err(LoadError::Damaged("its checksum is wrong"));
    }
    let last: LastGood = serde_json::from_slice(body).map_err(|error| LoadError::Format(error.to_string()))?;
    if last.table.revision != header.revision {
        return Err(LoadError::Damaged("its revision is wrong"));
    }
    Ok(last)
}

fn checksum(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::testing::{certificate, instance, proxy, table};
    use std::os::unix::fs::PermissionsExt;

    fn last() -> LastGood {
        let mut table = table([instance(1, "acme")], [proxy(1, "front")]);
        table.revision = 42;
        table.certificates.push(Arc::new(certificate("own", &["pbx.example"])));
        let mut resolved = Resolved::default();
        resolved.set("pbx.internal", vec!["192.0.2.1".parse().unwrap()]);
        LastGood { table: Arc::new(table), resolved, fresh_at: 1_700_000_000 }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        // R76
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lastgood.json");
        assert!(matches!(load(&path), Err(LoadError::Io(error)) if error.kind() == io::ErrorKind::NotFound));
        let mut last = last();
        save(&path, &last).unwrap();
        assert_eq!(load(&path).unwrap(), last);
        Arc::make_mut(&mut last.table).revision = 43;
        save(&path, &last).unwrap();
        assert_eq!(load(&path).unwrap().table.revision, 43);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left aside");
    }

    #[test]
    fn a_damaged_file_is_told_from_a_good_one() {
        // R76
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lastgood.json");
        save(&path, &last()).unwrap();
        let good = fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(37) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(load(&path).is_err(), "a changed bit in byte {at} of {}", good.len());
            fs::write(&path, &good[..at]).unwrap();
            assert!(load(&path).is_err(), "cut after {at} bytes");
        }
        fs::write(&path, [good.as_slice(), b"{}\n"].concat()).unwrap();
        assert!(matches!(load(&path), Err(LoadError::Damaged(_))));
        fs::write(&path, good).unwrap();
        assert!(load(&path).is_ok());
    }
}
