//! The vendor's private key on disk: readable by its owner only, and never printed.

use crate::cli::exit::Failure;
use crate::licence::Signer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use zeroize::Zeroizing;

const HEAD: &str = "# Private key of a licence vendor. Whoever has it can issue licences.\n";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: String,
    private: String,
}

/// Makes a key and writes it to a file that must not be there yet.
pub(super) fn make(id: &str, path: &Path) -> Result<Signer, Failure> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|error| Failure::Usage(format!("no randomness: {error}")))?;
    let signer = Signer::new(id, &seed).map_err(|error| Failure::Usage(error.to_string()))?;
    let private = Zeroizing::new(STANDARD.encode(seed.as_slice()));
    let body = Zeroizing::new(format!("{HEAD}id = \"{id}\"\nprivate = \"{}\"\n", *private));
    let written = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path).and_then(|mut file| {
        file.write_all(body.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| Failure::Usage(format!("{} cannot be written: {error}", path.display())))?;
    Ok(signer)
}

/// Reads a key. One that others can read is refused: it may be theirs already.
pub(super) fn read(path: &Path) -> Result<Signer, Failure> {
    let named = |reason: &dyn std::fmt::Display| Failure::Usage(format!("{}: {reason}", path.display()));
    let mut text = Zeroizing::new(String::new());
    let mut file = std::fs::File::open(path).map_err(|error| named(&error))?;
    let mode = file.metadata().map_err(|error| named(&error))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(named(&format!("others can read this private key (mode {:o}): chmod 600", mode & 0o777)));
    }
    file.read_to_string(&mut text).map_err(|error| named(&error))?;
    // Nothing of the text is shown: a message of the parser would quote it.
    let wrong = || named(&"not a private key made by `nantucket licence keygen`");
    let File { id, private } = toml::from_str(&text).map_err(|_| wrong())?;
    let private = Zeroizing::new(private);
    let bytes = STANDARD.decode(private.as_bytes()).map(Zeroizing::new).map_err(|_| wrong())?;
    let seed = <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new).map_err(|_| wrong())?;
    Signer::new(&id, &seed).map_err(|error| named(&error))
}
