//! `nantucket certificate failures`: which phones do not get through TLS, and what to do.

use crate::admin::view::TlsFailures;
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::{self, Shown};

/// How many of the last failures are shown.
const LAST: usize = 20;

/// Shows them.
pub fn execute(reach: &Reach) -> Result<Shown, Failure> {
    let all: TlsFailures = reach.node()?.get(&["tls", "failures"], &[])?.value;
    Ok(Shown::either(reach.json, &all, text))
}

fn text(all: &TlsFailures) -> String {
    if all.reasons.is_empty() {
        return "no TLS handshake has failed\n".into();
    }
    let mut text = String::new();
    for reason in &all.reasons {
        text.push_str(&format!("{} ({})\n  {}\n", reason.reason, reason.count, reason.advice));
    }
    let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let sources = all.sources.iter().map(|it| {
        let sni = it.sni.clone().unwrap_or_else(|| "-".into());
        [it.address.to_string(), it.count.to_string(), it.reason.clone(), dash(&it.version), sni, show::moment(it.last)]
    });
    text.push('\n');
    text.push_str(&show::table(["SOURCE", "FAILURES", "LAST REASON", "VERSION", "NAME", "LAST"], sources));
    let last = all.last.iter().take(LAST).map(|it| {
        let ciphers = it.ciphers.first().map_or("-", String::as_str);
        let ciphers = match it.ciphers.len() {
            0 | 1 => ciphers.to_owned(),
            more => format!("{ciphers} and {} more", more - 1),
        };
        [show::moment(it.at), it.source.to_string(), it.listener.clone(), it.reason.clone(), ciphers]
    });
    text.push('\n');
    text.push_str(&show::table(["WHEN", "SOURCE", "LISTENER", "REASON", "CIPHERS"], last));
    text
}
