//! The administrator's bearer token: made once at the first start, kept as its SHA-256.
//!
//! The token itself lies in `admin-token` (mode 0600) in the data directory, where the command
//! line finds it; the server reads only `admin-token.sha256`. The operator may move the first
//! file away and the server goes on. To replace the token, remove both and restart; to bring a
//! token of one's own, write it into `admin-token` before the first start.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq as _;

/// Name of the file with the token itself.
pub const FILE: &str = "admin-token";
/// Name of the file with its SHA-256, in hexadecimal.
pub const HASH_FILE: &str = "admin-token.sha256";
/// Tokens start with it, so that one found in a log or a repository is recognised.
const PREFIX: &str = "nt_";
/// Shorter ones can be guessed.
const MIN_LEN: usize = 24;
const MAX_LEN: u64 = 512;

/// The SHA-256 of a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of this token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Whether `token` is the one, in time that does not depend on where it differs.
    pub fn admits(&self, token: &str) -> bool {
        self.0.ct_eq(&Self::of(token).0).into()
    }

    fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn from_hex(text: &str) -> Option<Self> {
        let mut digest = [0; 32];
        let text = text.as_bytes();
        if text.len() != 64 {
            return None;
        }
        for (byte, pair) in digest.iter_mut().zip(text.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(digest))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest(…)")
    }
}

/// Where the token came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Made now: tell the operator where it lies.
    Made,
    /// The operator's own, found in `admin-token`.
    Adopted,
    /// Of an earlier start.
    Kept,
}

/// The token as the server knows it.
#[derive(Debug)]
pub struct Opened {
    /// What a request's token is compared with.
    pub digest: Digest,
    /// Where it came from.
    pub origin: Origin,
    /// The file that holds the token itself, if it was not moved away.
    pub path: PathBuf,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}; check that the data directory belongs to the user Nantucket runs as")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The hash file is damaged.
    #[error("{0} is not the SHA-256 of a token in hexadecimal; remove it to have it made anew from admin-token")]
    Damaged(PathBuf),
    /// A token of the operator's own is too short or has characters that a header cannot carry.
    #[error("the token in {0} must have {MIN_LEN} or more characters, letters, digits and -._~+/= only")]
    Unfit(PathBuf),
}

/// Reads the token's hash from `dir`; at the first start makes token and hash.
pub fn open(dir: &Path) -> Result<Opened, Error> {
    let path = dir.join(FILE);
    let hash_path = dir.join(HASH_FILE);
    if let Some(text) = read(&hash_path)? {
        let digest = Digest::from_hex(text.trim()).ok_or(Error::Damaged(hash_path))?;
        return Ok(Opened { digest, origin: Origin::Kept, path });
    }
    let (token, origin) = match read(&path)? {
        Some(text) => (text.trim().to_owned(), Origin::Adopted),
        None => (make().map_err(|source| Error::Io { path: path.clone(), source })?, Origin::Made),
    };
    if !is_fit(&token) {
        return Err(Error::Unfit(path));
    }
    match origin {
        Origin::Made => write(&path, &token)?,
        // For its owner's eyes only, unless it comes from a place that cannot be written.
        _ => drop(std::fs::set_permissions(&path, Permissions::from_mode(0o600))),
    }
    let digest = Digest::of(&token);
    write(&hash_path, &digest.hex())?;
    Ok(Opened { digest, origin, path })
}

/// Reads a token from a file, as the command line does.
pub fn read_file(path: &Path) -> Result<Option<String>, Error> {
    Ok(read(path)?.map(|text| text.trim().to_owned()))
}

fn make() -> io::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| io::Error::other(e.to_string()))?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// RFC 6750 §2.1: the characters of a bearer token.
fn is_fit(token: &str) -> bool {
    token.len() >= MIN_LEN && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b))
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let mut text = String::new();
    file.take(MAX_LEN).read_to_string(&mut text).map_err(failed)?;
    Ok(Some(text))
}

/// Writes the whole file or nothing, readable by its owner only from its first moment.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    let partial = path.with_extension("partial");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial).map_err(failed)?;
    file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&partial, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    // R83
    #[test]
    fn the_first_start_makes_a_token_and_later_ones_keep_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path()).unwrap();
        assert_eq!(first.origin, Origin::Made);
        let token = read_file(&first.path).unwrap().unwrap();
        assert!(token.starts_with(PREFIX) && token.len() > 40);
        assert_eq!((mode(&first.path), mode(&dir.path().join(HASH_FILE))), (0o600, 0o600));
        assert!(first.digest.admits(&token));
        assert!(!first.digest.admits(&format!("{token}x")));
        assert!(!std::fs::read_to_string(dir.path().join(HASH_FILE)).unwrap().contains(&token));

        std::fs::remove_file(&first.path).unwrap();
        let second = open(dir.path()).unwrap();
        assert_eq!((second.origin, &second.digest), (Origin::Kept, &first.digest));
        assert!(!first.path.exists());
    }

    #[test]
    fn two_first_starts_make_two_tokens() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_ne!(open(a.path()).unwrap().digest, open(b.path()).unwrap().digest);
    }

    #[test]
    fn a_token_of_ones_own_is_adopted_if_it_is_long_enough() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "short\n").unwrap();
        assert!(matches!(open(dir.path()), Err(Error::Unfit(_))));
        std::fs::write(dir.path().join(FILE), "with blanks and other things in it\n").unwrap();
        assert!(matches!(open(dir.path()), Err(Error::Unfit(_))));
        let (shortest, one_less) = ("a".repeat(MIN_LEN), "a".repeat(MIN_LEN - 1));
        std::fs::write(dir.path().join(FILE), one_less).unwrap();
        assert!(matches!(open(dir.path()), Err(Error::Unfit(_))));
        std::fs::write(dir.path().join(FILE), format!("{shortest}\n")).unwrap();
        let opened = open(dir.path()).unwrap();
        assert_eq!(opened.origin, Origin::Adopted);
        assert!(opened.digest.admits(&shortest));
        assert_eq!(mode(&opened.path), 0o600);
    }

    #[test]
    fn a_damaged_hash_is_named_and_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "00ff", &"zz".repeat(32), &"é".repeat(32)] {
            std::fs::write(dir.path().join(HASH_FILE), text).unwrap();
            assert!(matches!(open(dir.path()), Err(Error::Damaged(_))), "{text}");
        }
    }
}
