//! What the operator decided about strangers.

use super::scanners::Scanners;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What becomes of those who are found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing is counted, nobody is banned.
    Off,
    /// It is counted, and bans are made and shown, but hinder nobody.
    Watch,
    /// Bans count.
    #[default]
    Enforce,
}

/// What becomes of a request with the User-Agent of a scanner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Treatment {
    /// It is dropped without an answer, and its connection closed.
    #[default]
    Drop,
    /// It goes on like any other, and is counted.
    Pass,
}

/// The policy; times in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Whether bans count.
    pub mode: Mode,
    /// Sources that are neither counted nor banned, at no instance.
    pub allow: Vec<IpNet>,
    /// For how long failures add up.
    pub window: u64,
    /// Refused sign-ins of one account from one source before that account is banned there.
    pub failures: u32,
    /// Different accounts that fail from one source before it is banned, besides twice those that are registered.
    pub accounts: u32,
    /// Different unknown names from one source before it is banned.
    pub names: u32,
    /// Requests of a scanner before its source is banned.
    pub scans: u32,
    /// The first ban; each further one is twice as long.
    pub first_ban: u64,
    /// The longest ban.
    pub longest_ban: u64,
    /// For how long a ban that is over makes the next one longer.
    pub memory: u64,
    /// Bans at one time.
    pub bans: usize,
    /// What becomes of scanners.
    pub scanner: Treatment,
    /// What tells them.
    pub scanners: Scanners,
    /// How long a banned source's connection is held before it is closed.
    pub tarpit: u64,
    /// Connections that are held so at one time.
    pub tarpits: u32,
    /// Whether strangers are answered the same for accounts that exist and that do not.
    pub mask: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            allow: Vec::new(),
            window: 600_000,
            failures: 10,
            accounts: 10,
            names: 30,
            scans: 3,
            first_ban: 60_000,
            longest_ban: 86_400_000,
            memory: 86_400_000,
            bans: 10_000,
            scanner: Treatment::Drop,
            scanners: Scanners::built_in(),
            tarpit: 20_000,
            tarpits: 256,
            mask: true,
        }
    }
}

impl Policy {
    /// Whether a source is never counted and never banned.
    pub fn allows(&self, source: IpAddr) -> bool {
        holds(&self.allow, source)
    }
}

/// Whether an address lies in one of these networks.
pub fn holds(networks: &[IpNet], source: IpAddr) -> bool {
    let source = source.to_canonical();
    networks.iter().any(|network| network.contains(&source))
}
