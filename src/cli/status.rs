//! `nantucket status`.

use super::exit::Failure;
use super::reach::Reach;
use super::show::{self, Shown};
use crate::admin::view::Status;

/// Shows the node.
pub fn execute(reach: &Reach) -> Result<Shown, Failure> {
    let status: Status = reach.node()?.get(&["status"], &[])?.value;
    Ok(Shown::either(reach.json, &status, text))
}

fn text(status: &Status) -> String {
    let mut text = show::facts([
        ("version", status.version.clone()),
        ("phase", show::word(&status.phase)),
        ("uptime", show::duration(status.uptime_seconds)),
        ("revision", status.revision.to_string()),
        ("instances", status.instances.to_string()),
        ("proxies", status.proxies.to_string()),
    ]);
    text.push('\n');
    let rows = status.listeners.iter().map(|it| {
        let state = it.error.as_ref().map_or_else(|| "bound".into(), |error| format!("not bound: {error}"));
        [it.owner.clone(), it.service.clone(), it.address.to_string(), state]
    });
    text.push_str(&show::table(["LISTENER", "SERVICE", "ADDRESS", "STATE"], rows));
    text
}
