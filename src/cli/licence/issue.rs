//! `nantucket licence issue`.

use super::date::{Moment, moment};
use super::sign::Sign;
use crate::cli::exit::Failure;
use crate::cli::show::Shown;
use crate::licence::edition::Edition;
use crate::licence::hardware::HardwareId;
use crate::licence::release::Release;
use crate::licence::terms::{Contract, Feature, Pack, Right, Server, Terms, Volume};
use crate::model::{Kind, Seats};

/// Which kind.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// A volume licence: the pool of an installation's cloud instances
    Volume(VolumeArgs),
    /// A server licence: one dedicated instance
    Server(ServerArgs),
    /// A user pack, for a server licence
    Pack(PackArgs),
    /// A feature licence: soft clients for a server licence
    Feature(FeatureArgs),
    /// An update contract: releases to come, for a server licence and all that is attached to it
    Contract(ContractArgs),
}

/// A volume licence.
#[derive(Debug, clap::Args)]
pub struct VolumeArgs {
    /// Full users
    #[arg(long, value_name = "N")]
    users: u32,
    /// Light users
    #[arg(long, value_name = "N", default_value_t = 0)]
    light: u32,
    /// Without soft clients
    #[arg(long)]
    no_softphones: bool,
    /// The machine it is for, as `nantucket licence hardware` shows it; without it, the first it is installed on
    #[arg(long, value_name = "ID")]
    hardware: Option<HardwareId>,
    #[command(flatten)]
    sign: Sign,
}

/// A server licence.
#[derive(Debug, clap::Args)]
pub struct ServerArgs {
    /// free, compact, appliance, vm or cloud
    #[arg(long, value_parser = edition)]
    edition: Edition,
    /// The newest release it may be used with, as in 8.1
    #[arg(long)]
    release: Release,
    /// With soft clients
    #[arg(long)]
    softphones: bool,
    /// The machine it is for, as `nantucket licence hardware` shows it; without it, the first it is installed on
    #[arg(long, value_name = "ID")]
    hardware: Option<HardwareId>,
    #[command(flatten)]
    sign: Sign,
}

/// A user pack.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("count").required(true).args(["users", "light"]))]
pub struct PackArgs {
    /// Full users
    #[arg(long, value_name = "N")]
    users: Option<u32>,
    /// Light users
    #[arg(long, value_name = "N")]
    light: Option<u32>,
    /// The newest release it may be used with, as in 8.1
    #[arg(long)]
    release: Release,
    /// The only server licence it may be attached to; without it, any
    #[arg(long, value_name = "ID")]
    server: Option<String>,
    #[command(flatten)]
    sign: Sign,
}

/// A feature licence.
#[derive(Debug, clap::Args)]
pub struct FeatureArgs {
    /// The server licence it is for
    #[arg(long, value_name = "ID")]
    server: String,
    /// The newest release it may be used with, as in 8.1
    #[arg(long)]
    release: Release,
    #[command(flatten)]
    sign: Sign,
}

/// An update contract.
#[derive(Debug, clap::Args)]
pub struct ContractArgs {
    /// The server licence it is for
    #[arg(long, value_name = "ID")]
    server: String,
    /// The release it entitles to, as in 8.2
    #[arg(long)]
    release: Release,
    /// From when on it runs; without it, from its date
    #[arg(long, value_name = "DATE", value_parser = moment)]
    from: Option<Moment>,
    /// From when on it runs no more: 2027-12-31 (its beginning in UTC), or 365d after its start
    #[arg(long, value_name = "DATE", value_parser = moment)]
    until: Moment,
    #[command(flatten)]
    sign: Sign,
}

/// Issues it.
pub fn execute(command: Command) -> Result<Shown, Failure> {
    let (terms, sign, issued) = match command {
        Command::Volume(VolumeArgs { users, light, no_softphones, hardware, sign }) => {
            let users = Seats { full: users, light };
            let terms = Terms::Volume(Volume { users, rights: rights(!no_softphones), hardware });
            (terms, sign, None)
        }
        Command::Server(ServerArgs { edition, release, softphones, hardware, sign }) => {
            let included = edition.included();
            let server = Server { edition, included, entitlement: release, rights: rights(softphones), hardware };
            (Terms::Server(server), sign, None)
        }
        Command::Pack(PackArgs { users, light, release, server, sign }) => {
            let (kind, count) = match (users, light) {
                (Some(count), _) => (Kind::Full, count),
                (None, light) => (Kind::Light, light.unwrap_or_default()),
            };
            (Terms::Pack(Pack { kind, count, entitlement: release, server }), sign, None)
        }
        Command::Feature(FeatureArgs { server, release, sign }) => {
            (Terms::Feature(Feature { rights: rights(true), entitlement: release, server }), sign, None)
        }
        Command::Contract(ContractArgs { server, release, from, until, sign }) => {
            let issued = sign.date();
            let from = from.map_or(issued, |it| it.from(issued));
            let contract = Contract { server, release, from, until: until.from(from) };
            (Terms::Contract(contract), sign, Some(issued))
        }
    };
    let issued = issued.unwrap_or_else(|| sign.date());
    sign.issue(issued, terms)
}

fn rights(softphones: bool) -> Vec<Right> {
    if softphones { vec![Right::Softphone] } else { Vec::new() }
}

fn edition(text: &str) -> Result<Edition, String> {
    [Edition::Free, Edition::Compact, Edition::Appliance, Edition::Vm, Edition::Cloud]
        .into_iter()
        .find(|edition| edition.name() == text)
        .ok_or_else(|| "free, compact, appliance, vm or cloud are known".to_owned())
}
