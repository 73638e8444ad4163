//! What this machine is recognised by (R57): properties of its CPU, and a key pair made at the installation.
//!
//! Only what stays the same as long as the CPU does is taken: neither the flags nor the microcode (an update of the
//! kernel changes them) nor the number of cores (a virtual machine may get more). Read once, at the start; what it
//! means for the licences is `licence::binding`'s and `control::licence`'s.

use super::data;
use crate::licence::hardware::{Machine, Property};
use ed25519_dalek::SigningKey;
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

const FILE: &str = "installation.key";
const CPU: &str = "/proc/cpuinfo";
/// The properties of a CPU, as Linux names them on x86 and on ARM.
const PROPERTIES: [&str; 10] = [
    "vendor_id",
    "cpu family",
    "model",
    "model name",
    "stepping",
    "CPU implementer",
    "CPU architecture",
    "CPU variant",
    "CPU part",
    "CPU revision",
];

/// Reads the machine, and makes the key pair if there is none. A key that cannot be read is an error: a new one would
/// make this another machine.
pub(super) fn open(dir: &Path) -> io::Result<Machine> {
    let cpu = properties(&std::fs::read_to_string(CPU).unwrap_or_default());
    let path = dir.join(FILE);
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let seed: Zeroizing<[u8; 32]> = match std::fs::read(&path).map(Zeroizing::new) {
        Ok(bytes) => bytes.as_slice().try_into().map(Zeroizing::new).map_err(|_| {
            named(io::Error::new(io::ErrorKind::InvalidData, "is not the key pair of an installation (32 bytes)"))
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut seed = Zeroizing::new([0; 32]);
            getrandom::fill(&mut *seed).map_err(io::Error::other)?;
            data::write(&path, &*seed).map_err(named)?;
            seed
        }
        Err(error) => return Err(named(error)),
    };
    Ok(Machine { cpu, key: SigningKey::from_bytes(&seed).verifying_key().to_bytes() })
}

/// The properties of the first CPU.
fn properties(text: &str) -> Vec<Property> {
    let first = text.split("\n\n").next().unwrap_or_default();
    let of = |wanted: &str| {
        let mut pairs = first.lines().filter_map(|line| line.split_once(':'));
        pairs.find(|(name, _)| name.trim() == wanted).map(|(_, value)| value.trim().to_owned())
    };
    let arch = Property { name: "architecture".into(), value: std::env::consts::ARCH.into() };
    let known = PROPERTIES.iter().filter_map(|name| Some(Property { name: (*name).into(), value: of(name)? }));
    std::iter::once(arch).chain(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const TEXT: &str = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 2\n\
        model name\t: AMD EPYC\nstepping\t: 1\nmicrocode\t: 0x1\ncpu MHz\t\t: 2596.120\nflags\t\t: fpu vme\n\n\
        processor\t: 1\nvendor_id\t: Other\n";

    #[test]
    fn what_an_update_changes_is_no_property() {
        // R57
        let found = properties(TEXT);
        let names: Vec<_> = found.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["architecture", "vendor_id", "cpu family", "model", "model name", "stepping"]);
        assert_eq!(found[1].value, "AuthenticAMD", "of the first CPU");
        let updated = TEXT.replace("0x1", "0x2").replace("2596.120", "3100.000").replace("fpu vme", "fpu vme md_clear");
        assert_eq!(properties(&updated), found);
        assert_ne!(properties(&TEXT.replace("cpu family\t: 26", "cpu family\t: 25")), found);
        let arm = properties("CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n");
        assert_eq!(arm.len(), 3);
    }

    #[test]
    fn the_key_pair_stays_and_is_private() {
        // R57
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let made = open(dir.path()).unwrap();
        assert_eq!(open(dir.path()).unwrap(), made);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, b"short").unwrap();
        assert_eq!(open(dir.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        std::fs::remove_file(&path).unwrap();
        let again = open(dir.path()).unwrap();
        assert_eq!(again.cpu, made.cpu);
        assert_ne!(again.id(), made.id(), "the same CPU with a new key pair is another machine");
    }
}
