//! `nantucket usage …`: monthly marks and events.

use super::exit::Failure;
use super::reach::Reach;
use super::show::{self, Shown};
use crate::admin::view::MonthList;
use crate::usage::{EventPage, Mark, Month, Topic, csv};

/// What to show.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// The most users instances had at once in each month (UTC)
    Months(Months),
    /// What happened to licences and seats, newest first
    Events(Events),
}

/// Which months.
#[derive(Debug, clap::Args)]
pub struct Months {
    /// Only of this instance
    #[arg(value_name = "INSTANCE")]
    instance: Option<String>,
    /// From this month on, as in 2026-11
    #[arg(long, value_name = "MONTH")]
    from: Option<Month>,
    /// Up to this month
    #[arg(long, value_name = "MONTH")]
    to: Option<Month>,
    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// Which events.
#[derive(Debug, clap::Args)]
pub struct Events {
    /// Only about this instance
    #[arg(value_name = "INSTANCE")]
    instance: Option<String>,
    /// Only of this topic: seats-warning, licence-state, licence-deadline, over-allocated, licence
    #[arg(long, value_name = "TOPIC", value_parser = topic)]
    topic: Option<Topic>,
    /// How many at most
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Only events older than this number
    #[arg(long, value_name = "ID")]
    before: Option<u64>,
}

/// Carries it out.
pub fn execute(command: &Command, reach: &Reach) -> Result<Shown, Failure> {
    match command {
        Command::Months(args) => months(args, reach),
        Command::Events(args) => events(args, reach),
    }
}

fn months(args: &Months, reach: &Reach) -> Result<Shown, Failure> {
    let mut query = Vec::new();
    query.extend(args.instance.clone().map(|name| ("instance", name)));
    query.extend(args.from.map(|month| ("from", month.to_string())));
    query.extend(args.to.map(|month| ("to", month.to_string())));
    let list: MonthList = reach.node()?.get(&["usage", "months"], &query)?.value;
    if args.csv {
        return Ok(Shown { text: csv(&list.items), refused: false });
    }
    Ok(Shown::either(reach.json, &list, |list| table(&list.items)))
}

fn table(marks: &[Mark]) -> String {
    if marks.is_empty() {
        return "no users in these months\n".into();
    }
    let rows = marks.iter().map(|mark| {
        [
            mark.month.to_string(),
            mark.name.clone(),
            show::word(&mark.kind),
            mark.used.to_string(),
            mark.licensed.to_string(),
            show::moment(mark.at),
        ]
    });
    show::table(["MONTH", "INSTANCE", "KIND", "USED", "LICENSED", "REACHED"], rows)
}

fn events(args: &Events, reach: &Reach) -> Result<Shown, Failure> {
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.instance.clone().map(|name| ("instance", name)));
    query.extend(args.topic.map(|topic| ("topic", topic.word().to_owned())));
    query.extend(args.before.map(|id| ("before", id.to_string())));
    let page: EventPage = reach.node()?.get(&["events"], &query)?.value;
    Ok(Shown::either(reach.json, &page, text))
}

fn text(page: &EventPage) -> String {
    if page.items.is_empty() {
        return "no events\n".into();
    }
    let rows = page
        .items
        .iter()
        .map(|it| [it.id.to_string(), show::moment(it.at), it.event.topic().word().to_owned(), it.text.clone()]);
    let mut text = show::table(["ID", "WHEN", "TOPIC", "WHAT"], rows);
    if let Some(next) = page.next {
        text.push_str(&format!("older ones: --before {next}\n"));
    }
    text
}

fn topic(word: &str) -> Result<Topic, String> {
    let words = Topic::ALL.map(Topic::word).join(", ");
    Topic::ALL.into_iter().find(|topic| topic.word() == word).ok_or_else(|| format!("is none of {words}"))
}
