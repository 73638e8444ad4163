//! The command line: one file a subcommand, all of them clients of a node's API.
//!
//! `run` and `demo` are parsed here and carried out by `main`; `check` works without a node.
//! A command returns what stdout shows, or a [`Failure`] that says what stderr shows and how the
//! process ends. Nothing here reads the store.

pub mod audit;
pub mod ban;
pub mod certificate;
pub mod check;
pub mod exit;
pub mod explain;
pub mod file;
pub mod instance;
pub mod licence;
pub mod plan;
pub mod proxy;
pub mod reach;
pub mod registration;
pub mod show;
pub mod status;
pub mod table;
pub mod usage;
pub mod user;

use exit::Failure;
use reach::Reach;
use show::Shown;
use std::path::PathBuf;

/// The front door and control plane of hosted telephony: SIP and HTTP by instance name, from one
/// hot-reloaded table.
#[derive(Debug, clap::Parser)]
#[command(name = "nantucket", version, after_help = exit::HELP, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Start a node: front and control plane in one process
    Run(Run),
    /// Show everything at work: two instances with built-in PBXs, phones that call, changes while they do
    Demo(crate::demo::Args),
    /// Everything else.
    #[command(flatten)]
    Client(Box<Client>),
}

/// What is done from outside of a node.
#[derive(Debug, clap::Subcommand)]
pub enum Client {
    /// Create, show and change instances, the customers' PBXs
    Instance(Remote<instance::Command>),
    /// List, add, change, import and export the users of an instance
    User(Remote<user::Command>),
    /// Create, show and change proxies, the named fronts
    Proxy(Remote<proxy::Command>),
    /// Add, show and remove certificates
    Certificate(Remote<certificate::Command>),
    /// Install, show and book licences; issue them, the vendor's side
    #[command(subcommand)]
    Licence(licence::Command),
    /// Show the revision and hash of the table, and what is wrong in it
    Table(Reach),
    /// Show what a table file would change, without changing anything
    Plan(With<plan::Args>),
    /// Make the changes of a table file, all of them or none
    Apply(With<plan::Args>),
    /// Check a configuration or a table file, without a node
    Check(check::Args),
    /// Show what would become of a request, and by which rule
    Explain(With<explain::Args>),
    /// Show who is registered, and end registrations
    Registration(Remote<registration::Command>),
    /// Show who is kept out and why, lift bans, make some
    Ban(Remote<ban::Command>),
    /// Show the most users of each month, and what happened to licences and seats
    Usage(Remote<usage::Command>),
    /// Show who changed what, and when
    Audit(With<audit::Args>),
    /// Show the node: version, phase, listeners
    Status(Reach),
}

/// A group of commands that talk to a node.
#[derive(Debug, clap::Args)]
pub struct Remote<C: clap::Subcommand> {
    #[command(flatten)]
    reach: Reach,
    #[command(subcommand)]
    command: C,
}

/// A command that talks to a node.
#[derive(Debug, clap::Args)]
pub struct With<A: clap::Args> {
    #[command(flatten)]
    args: A,
    #[command(flatten)]
    reach: Reach,
}

/// Start a node.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:
  0    ended by a signal, everything in time
  64   the configuration is not valid
  69   something it needs is missing: an address, the data directory, a file
  130  ended by a second signal, at once")]
pub struct Run {
    /// Bootstrap file; without it, built-in defaults
    #[arg(long, env = "NANTUCKET_CONFIG", hide_env_values = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where table, keys, certificate and token are kept
    #[arg(long, env = "NANTUCKET_DATA_DIR", hide_env_values = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl Client {
    /// Carries it out.
    pub fn execute(self) -> Result<Shown, Failure> {
        match self {
            Self::Instance(it) => instance::execute(it.command, &it.reach),
            Self::User(it) => user::execute(it.command, &it.reach),
            Self::Proxy(it) => proxy::execute(it.command, &it.reach),
            Self::Certificate(it) => certificate::execute(it.command, &it.reach),
            Self::Licence(command) => licence::execute(command),
            Self::Table(reach) => table::execute(&reach),
            Self::Plan(it) => plan::plan(&it.args, &it.reach),
            Self::Apply(it) => plan::apply(&it.args, &it.reach),
            Self::Check(args) => check::execute(&args),
            Self::Explain(it) => explain::execute(&it.args, &it.reach),
            Self::Registration(it) => registration::execute(&it.command, &it.reach),
            Self::Ban(it) => ban::execute(&it.command, &it.reach),
            Self::Usage(it) => usage::execute(&it.command, &it.reach),
            Self::Audit(it) => audit::execute(&it.args, &it.reach),
            Self::Status(reach) => status::execute(&reach),
        }
    }
}
