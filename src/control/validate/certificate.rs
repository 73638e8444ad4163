//! A certificate's row.

use crate::control::draft::Draft;
use crate::model::Certificate;
use crate::route::certificate;
use crate::route::domain::fold;
use crate::route::problem::{Code, Problem};

/// The longest name of a certificate row.
const MOST_NAME: usize = 128;

pub(super) fn check(row: &Certificate, now: u64, problems: &mut Vec<Problem>) {
    let place = format!("certificate/{}", row.name);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if row.name.is_empty() || row.name.len() > MOST_NAME || !row.name.chars().all(allowed) {
        let reason = format!("is not 1 to {MOST_NAME} letters, digits, \"-\", \"_\" and \".\"");
        problems.push(Problem::new(place.as_str(), "name", Code::NameInvalid, reason));
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
