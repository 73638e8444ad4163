//! `nantucket instance list`.

use super::fields::word;
use crate::admin::view::InstanceHealth;
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::{self, Shown};
use crate::ids::InstanceId;
use crate::model::{Instance, State};
use std::collections::HashMap;

/// Which ones.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only those whose name holds this text
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// Only those in this state: off, starting, on, stopping, failed
    #[arg(long, value_name = "STATE", value_parser = word::<State>)]
    state: Option<State>,
}

/// Lists them.
pub fn execute(args: &Args, reach: &Reach) -> Result<Shown, Failure> {
    let node = reach.node()?;
    let mut query = Vec::new();
    query.extend(args.text.clone().map(|text| ("name", text)));
    query.extend(args.state.map(|state| ("state", show::word(&state))));
    let rows: Vec<Instance> = node.all(&["instances"], &query)?;
    if reach.json {
        return Ok(Shown::either(true, &rows, |_| String::new()));
    }
    let health: Vec<InstanceHealth> = node.all(&["health"], &query)?;
    let health = health.into_iter().map(|it| (it.id, it)).collect();
    Ok(Shown::either(false, &rows, |rows| text(rows, &health)))
}

fn text(rows: &[Instance], health: &HashMap<InstanceId, InstanceHealth>) -> String {
    if rows.is_empty() {
        return "no instances\n".into();
    }
    let rows = rows.iter().map(|row| {
        let live = health.get(&row.id);
        let up = live.map_or_else(
            || "-".into(),
            |it| {
                let up = it.targets.iter().filter(|target| target.up).count();
                format!("{up}/{}", it.targets.len())
            },
        );
        let count = |of: fn(&InstanceHealth) -> u64| live.map_or_else(|| "-".into(), |it| of(it).to_string());
        [
            row.name.clone(),
            show::word(&row.state),
            show::list(row.backends.iter().map(|it| format!("{}:{}", it.transport, it.address))),
            row.web.as_ref().map_or_else(|| "-".into(), |web| web.url.clone()),
            up,
            count(|it| it.bindings),
            count(|it| it.calls),
        ]
    });
    show::table(["NAME", "STATE", "BACKENDS", "WEB", "UP", "BINDINGS", "CALLS"], rows)
}
