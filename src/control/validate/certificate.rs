//! A certificate's row.

use crate::control::draft::Draft;
use crate::model::{Acme, Certificate};
use crate::route::certificate;
use crate::route::domain::{self, fold};
use crate::route::problem::{Code, Problem};
use crate::tls::devices;

/// The longest name of a certificate row.
const MOST_NAME: usize = 128;
/// The most hosts of one order, as Let's Encrypt has it.
const MOST_HOSTS: usize = 100;
/// The most mail addresses of an account.
const MOST_CONTACTS: usize = 8;

pub(super) fn check(row: &Certificate, now: u64, problems: &mut Vec<Problem>) {
    let place = format!("certificate/{}", row.name);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if row.name.is_empty() || row.name.len() > MOST_NAME || !row.name.chars().all(allowed) {
        let reason = format!("is not 1 to {MOST_NAME} letters, digits, \"-\", \"_\" and \".\"");
        problems.push(Problem::new(place.as_str(), "name", Code::NameInvalid, reason));
    }
    if let Some(acme) = &row.acme {
        check_acme(&place, acme, problems);
    }
    if row.is_awaited() {
        return;
    }
    match certificate::parse(row) {
        Err(fault) => problems.push(Problem::new(place, fault.field, fault.code, fault.reason)),
        Ok(parsed) => {
            if parsed.names.is_empty() {
                let reason = "has no subject alternative name: no client would accept it";
                problems.push(Problem::new(place.as_str(), "chain", Code::CertificateNoSan, reason));
            }
            if parsed.not_after < now {
                problems.push(Problem::new(place, "chain", Code::CertificateExpired, "its time is over"));
            }
        }
    }
}

/// What an authority is asked for: hosts it can reach us under, and no wildcards, which it shows by DNS only.
fn check_acme(place: &str, acme: &Acme, problems: &mut Vec<Problem>) {
    let mut add = |field: String, code, reason: String| problems.push(Problem::new(place, field, code, reason));
    if acme.names.is_empty() || acme.names.len() > MOST_HOSTS {
        add("acme.names".into(), Code::OutOfRange, format!("are {}, not 1 to {MOST_HOSTS}", acme.names.len()));
    }
    for (name, n) in acme.names.iter().zip(0..) {
        if let Err(fault) = domain::check_host(name) {
            add(format!("acme.names[{n}]"), Code::NameInvalid, fault.to_string());
        } else if acme.names.iter().take(n).any(|other| fold(other) == fold(name)) {
            add(format!("acme.names[{n}]"), Code::Duplicate, "is there twice".into());
        }
    }
    match url::Url::parse(&acme.directory) {
        Ok(url) if url.scheme() == "https" && acme.directory.len() <= 2_000 => {}
        _ => add("acme.directory".into(), Code::UrlInvalid, "is not an https:// address".into()),
    }
    for (mail, n) in acme.contact.iter().zip(0..) {
        let sound = mail.len() <= 254 && mail.bytes().all(|b| b.is_ascii_graphic()) && mail.contains('@');
        if !sound || n >= MOST_CONTACTS {
            add(format!("acme.contact[{n}]"), Code::TextInvalid, "is not a mail address, or one too many".into());
        }
    }
    if !acme.terms_agreed {
        let reason = "is false: an authority issues only to those who agree to its terms of service";
        add("acme.terms_agreed".into(), Code::OutOfRange, reason.into());
    }
    if !acme.root.is_empty()
        && let Err(reason) = devices::roots(&acme.root)
    {
        add("acme.root".into(), Code::CertificateInvalid, reason);
    }
}

/// A row that goes away must not be named by a proxy or an instance.
pub(super) fn check_unused(draft: &Draft<'_>, folded: &str, problems: &mut Vec<Problem>) {
    for proxy in draft.proxies.values() {
        if proxy.row.certificate.as_ref().is_some_and(|name| fold(name) == folded) {
            let reason = format!("proxy {} names it in certificate", proxy.row.name);
            problems.push(Problem::new(format!("certificate/{folded}"), "", Code::InUse, reason));
        }
    }
    for instance in draft.instances.values() {
        let row = &instance.row;
        let own = row.certificate.iter().map(|name| (name, "certificate"));
        let shown = row.backends.iter().map(|backend| (&backend.tls.certificate, "a backend"));
        if let Some((_, place)) = own.chain(shown).find(|(name, _)| fold(name) == folded) {
            let reason = format!("instance {} names it in {place}", row.name);
            problems.push(Problem::new(format!("certificate/{folded}"), "", Code::InUse, reason));
        }
    }
}
