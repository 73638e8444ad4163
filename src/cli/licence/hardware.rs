//! `nantucket licence hardware`: what this machine is recognised by (R57).

use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::{self, Shown};
use crate::control::licence::view::HardwareView;

/// Shows it.
pub fn execute(reach: &Reach) -> Result<Shown, Failure> {
    let view: HardwareView = reach.node()?.get(&["licence", "hardware"], &[])?.value;
    Ok(Shown::either(reach.json, &view, |it| {
        let id = [("hardware id", it.id.clone())];
        let cpu = it.cpu.iter().map(|property| (property.name.as_str(), property.value.clone()));
        show::facts(id.into_iter().chain(cpu).chain([("key fingerprint", it.fingerprint.clone())]))
    }))
}
