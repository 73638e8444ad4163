//! `nantucket plan` and `nantucket apply`: a table file against a node.

use super::exit::Failure;
use super::file::{Finding, Source};
use super::reach::Reach;
use super::show::{self, Shown};
use crate::admin::problem::Problem;
use crate::admin::view::Wanted;
use crate::control::change::{Applied, Change};
use crate::control::plan::{Plan, Touched, UsersTouched};
use crate::route::problem;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Which file.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Table file, TOML or JSON, with [[instances]], [[proxies]] and [[certificates]]; - is standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Remove instances and proxies that the file does not list
    #[arg(long)]
    complete: bool,
}

impl Args {
    fn read(&self) -> Result<(Source, Wanted), Failure> {
        let source = Source::read(&self.file)?;
        let mut wanted: Wanted = source.parse()?;
        wanted.complete |= self.complete;
        Ok((source, wanted))
    }
}

/// Shows what the file would change. Refused if it would be.
pub fn plan(args: &Args, reach: &Reach) -> Result<Shown, Failure> {
    let (source, wanted) = args.read()?;
    let plan: Plan = reach.node()?.post(&["plan"], &wanted).map_err(|failure| in_file(&source, &wanted, failure))?;
    let refused = !plan.problems.is_empty();
    if !refused || reach.json {
        return Ok(Shown { refused, ..Shown::either(reach.json, &plan, text) });
    }
    let findings: Vec<Finding> = plan.problems.iter().map(|it| finding(&wanted, it)).collect();
    Err(Failure::Refused(format!("it would be refused:\n{}", source.report(&findings).trim_end())))
}

/// Makes the changes, all or none.
pub fn apply(args: &Args, reach: &Reach) -> Result<Shown, Failure> {
    let (source, wanted) = args.read()?;
    let applied: Applied =
        reach.node()?.post(&["apply"], &wanted).map_err(|failure| in_file(&source, &wanted, failure))?;
    Ok(Shown::either(reach.json, &applied, |it| {
        let (instances, proxies) = (it.instances.len(), it.proxies.len());
        format!("revision {}: {instances} instances and {proxies} proxies made or changed\n", it.revision)
    }))
}

/// Adds file and line to a refusal that names rows.
fn in_file(source: &Source, wanted: &Wanted, failure: Failure) -> Failure {
    let Failure::Problem(problem) = failure else { return failure };
    let Problem { detail, errors, code, .. } = *problem;
    if errors.is_empty() {
        return Failure::Problem(Box::new(Problem::new(code, detail)));
    }
    let findings: Vec<Finding> = errors
        .iter()
        .map(|it| Finding { key: key(wanted, &it.row, &it.field), reason: format!("{} [{}]", it.reason, it.code) })
        .collect();
    let detail = format!("{detail}\n{}", source.report(&findings).trim_end());
    Failure::Problem(Box::new(Problem::new(code, detail)))
}

/// A problem of a row, at its place in the file.
pub fn finding(wanted: &Wanted, problem: &problem::Problem) -> Finding {
    let key = key(wanted, &problem.row, &problem.field);
    let named = if key.is_empty() { format!("{} {}: ", problem.row, problem.field) } else { String::new() };
    Finding { key, reason: format!("{named}{} [{}]", problem.reason, problem.code.text()) }
}

/// `instance/acme` and `backends[0].address` as the path of the file: `instances[3].backends[0].address`.
fn key(wanted: &Wanted, row: &str, field: &str) -> String {
    let Some((kind, name)) = row.split_once('/') else { return field.to_owned() };
    if kind == "users" {
        return users_key(wanted, name, field);
    }
    let at = |mut names: Box<dyn Iterator<Item = &String> + '_>| names.position(|it| it.eq_ignore_ascii_case(name));
    let (list, at) = match kind {
        "instance" => ("instances", at(Box::new(wanted.instances.iter().map(|row| &row.name)))),
        "proxy" => ("proxies", at(Box::new(wanted.proxies.iter().map(|row| &row.name)))),
        _ => ("certificates", at(Box::new(wanted.certificates.iter().map(|row| &row.name)))),
    };
    let Some(at) = at else { return String::new() };
    let dot = if field.is_empty() { "" } else { "." };
    format!("{list}[{at}]{dot}{field}")
}

/// A problem of a list of users, in the single change it comes from.
fn users_key(wanted: &Wanted, instance: &str, field: &str) -> String {
    let of = |change: &Change| match change {
        Change::PutUsers { instance: owner, .. } | Change::ImportUsers { instance: owner, .. } => {
            owner.eq_ignore_ascii_case(instance).then_some("")
        }
        Change::PutUser { instance: owner, .. } => owner.eq_ignore_ascii_case(instance).then_some(".user"),
        _ => None,
    };
    let found = wanted.changes.iter().zip(0..).find_map(|(change, n)| Some((n, of(change)?)));
    found.map_or_else(String::new, |(n, part)| format!("changes[{n}]{part}.{field}"))
}

fn text(plan: &Plan) -> String {
    let mut text = String::new();
    for (verb, touched) in [
        ("add", &plan.added),
        ("remove", &plan.removed),
        ("retarget", &plan.retargeted),
        ("switch", &plan.state),
        ("rename", &plan.renamed),
        ("change", &plan.changed),
    ] {
        for Touched { name, before, after, calls, bindings, .. } in touched {
            let _ = write!(text, "{verb} instance {name}");
            if !before.is_empty() || !after.is_empty() {
                let _ = write!(text, ": {} → {}", or_dash(before), or_dash(after));
            }
            if *calls > 0 || *bindings > 0 {
                let _ = write!(text, " ({calls} calls, {bindings} bindings)");
            }
            text.push('\n');
        }
    }
    for (verb, names) in [
        ("add proxy", &plan.proxies_added),
        ("remove proxy", &plan.proxies_removed),
        ("change proxy", &plan.proxies_changed),
        ("open listener", &plan.listeners_opened),
        ("close listener", &plan.listeners_closed),
        ("store or remove certificate", &plan.certificates),
    ] {
        for name in names {
            let _ = writeln!(text, "{verb} {name}");
        }
    }
    for UsersTouched { instance, count, added, removed, changed } in &plan.users {
        let _ = match count {
            Some(count) => {
                writeln!(text, "users of {instance}: {count} ({added} added, {changed} changed, {removed} removed)")
            }
            None => writeln!(text, "users of {instance}: no list, every account is a full user of its own"),
        };
    }
    if text.is_empty() {
        return format!("nothing to change (revision {})\n", plan.revision);
    }
    let summary = show::facts([
        ("calls that lose their instance", plan.calls.to_string()),
        ("bindings that do", plan.bindings.to_string()),
        ("on revision", plan.revision.to_string()),
    ]);
    format!("{text}\n{summary}")
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}
