//! `nantucket ban …`: who is kept out and why, the end of it, and bans by hand.

use super::exit::Failure;
use super::reach::Reach;
use super::show::{self, Shown};
use crate::admin::view::{BanView, MakeBan};
use crate::config::time::Time;
use std::net::IpAddr;

/// What to do with bans.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List bans, the newest first
    List(List),
    /// Show a ban with its evidence
    Show(Which),
    /// Lift a ban: what was counted for it is forgotten
    Lift(Which),
    /// Ban a source by hand
    Add(Add),
}

/// Which ones.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only those that hit this address
    #[arg(long, value_name = "IP")]
    source: Option<IpAddr>,
    /// Only those that hit requests for this instance
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
}

/// Which one.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// Its number, as `list` shows it
    #[arg(value_name = "ID")]
    id: u64,
}

/// Whom, and for how long.
#[derive(Debug, clap::Args)]
pub struct Add {
    /// An IPv4 address, or any address of an IPv6 /64
    #[arg(value_name = "IP")]
    source: IpAddr,
    /// Only for this instance
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Only for this account of the instance
    #[arg(long, value_name = "ACCOUNT", requires = "instance")]
    account: Option<String>,
    /// For how long, as in 30m, 12h or 7d
    #[arg(long = "for", value_name = "TIME", default_value = "1d")]
    length: Time,
    /// Why, for whoever looks later
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

/// Carries it out.
pub fn execute(command: &Command, reach: &Reach) -> Result<Shown, Failure> {
    let node = reach.node()?;
    match command {
        Command::List(List { source, instance }) => {
            let mut query = Vec::new();
            query.extend(source.map(|source| ("source", source.to_string())));
            query.extend(instance.clone().map(|instance| ("instance", instance)));
            let items: Vec<BanView> = node.all(&["bans"], &query)?;
            Ok(Shown::either(reach.json, &items, |items| table(items)))
        }
        Command::Show(Which { id }) => {
            let ban: BanView = node.get(&["bans", &id.to_string()], &[])?.value;
            Ok(Shown::either(reach.json, &ban, text))
        }
        Command::Lift(Which { id }) => {
            let ban: BanView = node.delete_with(&["bans", &id.to_string()], &[])?;
            Ok(Shown::either(reach.json, &ban, |it| format!("lifted: {} {}\n", whom(it), it.ban.reason)))
        }
        Command::Add(Add { source, instance, account, length, reason }) => {
            let asked = MakeBan {
                source: *source,
                instance: instance.clone(),
                account: account.clone(),
                seconds: length.ms() / 1_000,
                reason: reason.clone(),
            };
            let ban: BanView = node.post(&["bans"], &asked)?;
            Ok(Shown::either(reach.json, &ban, text))
        }
    }
}

fn table(items: &[BanView]) -> String {
    if items.is_empty() {
        return "no bans\n".into();
    }
    let rows = items.iter().map(|it| {
        let ban = &it.ban;
        [
            ban.id.to_string(),
            show::word(&ban.scope),
            ban.source.to_string(),
            it.instance_name.clone().unwrap_or_else(|| "-".into()),
            ban.account.clone().unwrap_or_else(|| "-".into()),
            ban.reason.clone(),
            ban.hits.to_string(),
            show::moment(ban.until),
        ]
    });
    show::table(["ID", "SCOPE", "SOURCE", "INSTANCE", "ACCOUNT", "WHY", "KEPT OUT", "ENDS"], rows)
}

fn text(it: &BanView) -> String {
    let ban = &it.ban;
    let evidence = &ban.evidence;
    let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let counts = evidence.counts.iter().map(|count| format!("{} {}", count.times, count.kind.label()));
    let proven = if evidence.proven { "yes" } else { "no: its datagrams only, and not where phones are registered" };
    show::facts([
        ("Ban", ban.id.to_string()),
        ("Of", whom(it)),
        ("Scope", show::word(&ban.scope)),
        ("Made", show::word(&ban.origin)),
        ("Why", dash(&ban.reason)),
        ("Since", show::moment(ban.since)),
        ("Ends", show::moment(ban.until)),
        ("Bans before", ban.level.to_string()),
        ("Kept out", ban.hits.to_string()),
        ("Counted", show::list(counts)),
        ("Accounts", format!("about {}", evidence.accounts)),
        ("First", if evidence.first == 0 { "-".into() } else { show::moment(evidence.first) }),
        ("Last", if evidence.last == 0 { "-".into() } else { show::moment(evidence.last) }),
        ("Account", dash(&evidence.account)),
        ("User-Agent", dash(&evidence.user_agent)),
        ("Method", dash(&evidence.method)),
        ("Source certain", proven.to_owned()),
    ])
}

fn whom(it: &BanView) -> String {
    let account = it.ban.account.as_ref().map_or_else(String::new, |account| format!("account {account} from "));
    let place = it.instance_name.as_ref().map_or_else(String::new, |name| format!(" at {name}"));
    format!("{account}{}{place}", it.ban.source)
}
