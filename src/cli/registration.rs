//! `nantucket registration …`: who is registered, and the end of it.

use super::exit::Failure;
use super::reach::{Node, Reach};
use super::show::{self, Shown};
use crate::admin::view::{Count, EndedList, Registration, RegistrationPage};
use crate::ids::Transport;

/// Items of a page.
const PART: usize = 1000;

/// What to do with registrations.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List registrations, by instance and account
    List(List),
    /// Count registrations
    Count(Filter),
    /// End registrations: seats are free at once, phones over connections register anew
    End(End),
}

/// Which ones.
#[derive(Debug, clap::Args)]
pub struct Filter {
    /// Only of this instance
    #[arg(value_name = "INSTANCE")]
    instance: Option<String>,
    /// Only of this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only of this account
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Only devices whose User-Agent or instance id holds this text
    #[arg(long, value_name = "TEXT")]
    device: Option<String>,
    /// Only from this address or network
    #[arg(long, value_name = "IP[/BITS]")]
    source: Option<String>,
    /// Only over this transport: udp, tcp, tls, ws, wss
    #[arg(long, value_name = "TRANSPORT", value_parser = super::instance::fields::word::<Transport>)]
    transport: Option<Transport>,
}

/// Which ones, and how many.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    filter: Filter,
    /// How many at most; all without it
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Which ones end.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["id", "instance"])))]
pub struct End {
    /// Id of a registration, as `list --json` shows it
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// All of this instance, or of one user or account in it
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Only of this user
    #[arg(long, value_name = "NAME", requires = "instance")]
    user: Option<String>,
    /// Only of this account
    #[arg(long, value_name = "ACCOUNT", requires = "instance")]
    account: Option<String>,
}

impl Filter {
    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        let texts = [
            ("instance", &self.instance),
            ("user", &self.user),
            ("account", &self.account),
            ("device", &self.device),
            ("source", &self.source),
        ];
        query.extend(texts.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        query.extend(self.transport.map(|transport| ("transport", transport.to_string())));
        query
    }
}

/// Carries it out.
pub fn execute(command: &Command, reach: &Reach) -> Result<Shown, Failure> {
    let node = reach.node()?;
    match command {
        Command::List(args) => {
            let items = list(&node, args)?;
            Ok(Shown::either(reach.json, &items, |items| table(items)))
        }
        Command::Count(filter) => {
            let count: Count = node.get(&["registrations", "count"], &filter.query())?.value;
            Ok(Shown::either(reach.json, &count, |count| format!("{}\n", count.count)))
        }
        Command::End(args) => {
            let ended: EndedList = end(&node, args)?;
            Ok(Shown::either(reach.json, &ended, text))
        }
    }
}

fn list(node: &Node, args: &List) -> Result<Vec<Registration>, Failure> {
    let most = args.limit.unwrap_or(usize::MAX);
    let mut items = Vec::new();
    let mut after = None;
    while items.len() < most {
        let mut query = args.filter.query();
        query.push(("limit", PART.min(most - items.len()).to_string()));
        query.extend(after.map(|after| ("after", after)));
        let page: RegistrationPage = node.get(&["registrations"], &query)?.value;
        items.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(items)
}

fn end(node: &Node, args: &End) -> Result<EndedList, Failure> {
    if let Some(id) = &args.id {
        return node.delete_with(&["registrations", id], &[]);
    }
    let texts = [("instance", &args.instance), ("user", &args.user), ("account", &args.account)];
    let query: Vec<_> = texts.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
    node.delete_with(&["registrations"], &query)
}

fn table(items: &[Registration]) -> String {
    if items.is_empty() {
        return "no registrations\n".into();
    }
    let rows = items.iter().map(|it| {
        let binding = &it.binding;
        let kind = it.kind.map_or_else(|| "-".into(), |kind| show::word(&kind));
        [
            it.instance.clone(),
            binding.account.clone(),
            it.user.clone().unwrap_or_else(|| "-".into()),
            kind,
            binding.user_agent.clone(),
            show::list(binding.transport.iter().zip(binding.source).map(|(over, from)| format!("{over}:{from}"))),
            show::moment(binding.expires),
        ]
    });
    show::table(["INSTANCE", "ACCOUNT", "USER", "KIND", "DEVICE", "FROM", "EXPIRES"], rows)
}

fn text(ended: &EndedList) -> String {
    let rows = ended.items.iter().map(|it| {
        let registration = &it.registration;
        let told = if it.told { "by the end of its connection" } else { "no: the PBX keeps it until it expires" };
        [
            registration.instance.clone(),
            registration.binding.account.clone(),
            registration.binding.contact.clone(),
            told.into(),
        ]
    });
    let summary = format!("{} ended, {} of the phones told\n", ended.count, ended.told);
    if ended.items.is_empty() {
        return summary;
    }
    show::table(["INSTANCE", "ACCOUNT", "CONTACT", "TOLD"], rows) + &summary
}
