//! The self-signed certificate: made at first start, kept on disk, remade when the names it has to
//! cover change or its end comes near.
//!
//! Its key outlives a remake, so that who pinned the key need not pin again.

use super::Error;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Below this many seconds of life it is remade.
const RENEW: u64 = 30 * DAY;
/// How long it lives. Apple's clients refuse more than 825 days.
const LIFE: u64 = 820 * DAY;
const DAY: u64 = 86_400;
/// More names than this are left out; a certificate has to fit a handshake.
pub(super) const MAX_NAMES: usize = 200;

/// A self-signed certificate with what it covers.
pub(super) struct SelfSigned {
    pub names: BTreeSet<String>,
    pub not_after: u64,
    pub key: Arc<CertifiedKey>,
    key_pem: String,
}

impl SelfSigned {
    /// Whether it covers `names` and lives long enough.
    pub(super) fn serves(&self, names: &BTreeSet<String>, now_unix: u64) -> bool {
        names.is_subset(&self.names) && self.not_after > now_unix.saturating_add(RENEW)
    }

    /// Reads the one in `dir`; `None` if there is none or it cannot be used.
    pub(super) fn load(dir: &Path) -> Option<Self> {
        let key_pem = fs::read_to_string(key_path(dir)).ok()?;
        let chain = fs::read(certificate_path(dir)).ok()?;
        let certificate = CertificateDer::from_pem_slice(&chain).ok()?;
        let (names, not_after) = contents(&certificate)?;
        let key = certified(certificate, &key_pem).ok()?;
        Some(Self { names, not_after, key, key_pem })
    }

    /// Makes one for `names` with the key of `old` (or a new one) and writes it into `dir`.
    pub(super) fn make(dir: &Path, names: BTreeSet<String>, old: Option<&Self>, now_unix: u64) -> Result<Self, Error> {
        let pair = match old.and_then(|old| KeyPair::from_pem(&old.key_pem).ok()) {
            Some(pair) => pair,
            None => KeyPair::generate()?,
        };
        let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, "Nantucket (self-signed)");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let not_after = now_unix.saturating_add(LIFE);
        params.not_before = day(now_unix.saturating_sub(DAY), rcgen::date_time_ymd)?;
        params.not_after = day(not_after, rcgen::date_time_ymd)?;
        let certificate = params.self_signed(&pair)?;
        let key_pem = pair.serialize_pem();
        fs::create_dir_all(dir).map_err(|source| Error::File { path: dir.to_owned(), source })?;
        write(&key_path(dir), key_pem.as_bytes(), 0o600)?;
        write(&certificate_path(dir), certificate.pem().as_bytes(), 0o644)?;
        let key = certified(certificate.der().clone(), &key_pem)?;
        // The certificate's end is a whole day.
        Ok(Self { names, not_after: not_after - not_after % DAY, key, key_pem })
    }
}

/// Where the certificate is, for clients on this machine that pin it.
pub(super) fn certificate_path(dir: &Path) -> PathBuf {
    dir.join("self-signed.pem")
}

fn key_path(dir: &Path) -> PathBuf {
    dir.join("self-signed.key")
}

/// Replaces a file in one step, so that a crash leaves the old one.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let fail = |source| Error::File { path: path.to_owned(), source };
    let fresh = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(fail(e)),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh).map_err(fail)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(fail)?;
    fs::rename(&fresh, path).map_err(fail)
}

fn certified(certificate: CertificateDer<'static>, key_pem: &str) -> Result<Arc<CertifiedKey>, Error> {
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
        .map_err(|e| rustls::Error::General(format!("the self-signed certificate's key: {e}")))?;
    Ok(Arc::new(CertifiedKey::from_der(vec![certificate], key, &default_provider())?))
}

/// The names and the last second of a certificate.
fn contents(certificate: &CertificateDer<'_>) -> Option<(BTreeSet<String>, u64)> {
    use x509_parser::extensions::GeneralName;
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok()??.value.general_names.iter();
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    });
    Some((names.collect(), u64::try_from(parsed.validity().not_after.timestamp()).ok()?))
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(v4).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| std::net::Ipv6Addr::from(v6).to_string())
}

/// The day of a Unix time, in the type that `make` makes of year, month and day.
fn day<T>(unix: u64, make: impl Fn(i32, u8, u8) -> T) -> Result<T, Error> {
    let seconds = i64::try_from(unix).map_err(|_| Error::Date)?;
    let date = jiff::Timestamp::from_second(seconds).map_err(|_| Error::Date)?.to_zoned(jiff::tz::TimeZone::UTC).date();
    let (Ok(month), Ok(day)) = (u8::try_from(date.month()), u8::try_from(date.day())) else { return Err(Error::Date) };
    Ok(make(i32::from(date.year()), month, day))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NOW: u64 = 1_800_000_000;

    fn names(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn it_has_subject_alternative_names_and_survives_a_restart() {
        // R82
        let dir = tempfile::tempdir().unwrap();
        let wanted = names(&["front.example", "*.pbx.example", "localhost", "127.0.0.1", "::1"]);
        let made = SelfSigned::make(dir.path(), wanted.clone(), None, NOW).unwrap();
        let loaded = SelfSigned::load(dir.path()).unwrap();
        assert_eq!(loaded.names, wanted);
        assert_eq!(loaded.key.cert, made.key.cert);
        assert_eq!(loaded.not_after, made.not_after);
        loaded.key.keys_match().unwrap();
    }

    #[test]
    fn the_key_is_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        SelfSigned::make(dir.path(), names(&["localhost"]), None, NOW).unwrap();
        let mode = fs::metadata(key_path(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_remake_keeps_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let first = SelfSigned::make(dir.path(), names(&["localhost"]), None, NOW).unwrap();
        let second = SelfSigned::make(dir.path(), names(&["localhost", "b.example"]), Some(&first), NOW).unwrap();
        assert_ne!(first.key.cert, second.key.cert);
        assert_eq!(first.key_pem, second.key_pem);
    }

    #[test]
    fn it_is_due_when_a_name_is_missing_or_its_end_is_near() {
        let dir = tempfile::tempdir().unwrap();
        let made = SelfSigned::make(dir.path(), names(&["a.example", "localhost"]), None, NOW).unwrap();
        assert!(made.serves(&names(&["a.example"]), NOW));
        assert!(!made.serves(&names(&["b.example"]), NOW));
        assert!(made.serves(&names(&["a.example"]), made.not_after - RENEW - 1));
        assert!(!made.serves(&names(&["a.example"]), made.not_after - RENEW));
    }

    #[test]
    fn half_a_pair_is_none() {
        let dir = tempfile::tempdir().unwrap();
        SelfSigned::make(dir.path(), names(&["localhost"]), None, NOW).unwrap();
        let other = KeyPair::generate().unwrap();
        fs::write(key_path(dir.path()), other.serialize_pem()).unwrap();
        assert!(SelfSigned::load(dir.path()).is_none());
        fs::remove_file(key_path(dir.path())).unwrap();
        assert!(SelfSigned::load(dir.path()).is_none());
    }
}
