//! What is counted, what a count is about, and what of it is shown.

use crate::ids::InstanceId;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv6Addr};
use utoipa::ToSchema;

/// Something that proves, alone or in number, that somebody is up to no good.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A SIP request whose credentials the instance refused.
    Credentials,
    /// An HTTP sign-in that the instance refused.
    SignIn,
    /// A request for an account that the instance, or its list of users, does not have.
    UnknownAccount,
    /// A request for a name that nobody here has.
    UnknownName,
    /// A User-Agent of a scanner.
    Scanner,
    /// A request while its account was banned.
    WhileBanned,
}

impl Kind {
    /// All, in the order of their counters.
    pub const ALL: [Self; 6] =
        [Self::Credentials, Self::SignIn, Self::UnknownAccount, Self::UnknownName, Self::Scanner, Self::WhileBanned];

    /// The label in metrics, logs and documents.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::SignIn => "sign-in",
            Self::UnknownAccount => "unknown-account",
            Self::UnknownName => "unknown-name",
            Self::Scanner => "scanner",
            Self::WhileBanned => "while-banned",
        }
    }
}

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What.
    pub kind: Kind,
    /// Where it came from.
    pub source: IpAddr,
    /// Whether that is certain: it came over a stream, or with a nonce that was sent to that address.
    pub proven: bool,
    /// Whether its nonce was sent to that address a short while ago: an old one is refused whatever the password.
    pub fresh: bool,
    /// At which instance.
    pub instance: Option<InstanceId>,
    /// The account, or the name that was asked for.
    pub account: &'a [u8],
    /// What it says of itself.
    pub user_agent: &'a [u8],
    /// The method of the request.
    pub method: &'a [u8],
}

/// How far a ban reaches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// One account of one instance, from one source.
    Account,
    /// One instance, from one source.
    Instance,
    /// Everything from one source.
    Source,
}

impl Scope {
    /// All, in the order of their counters.
    pub const ALL: [Self; 3] = [Self::Account, Self::Instance, Self::Source];

    /// The label in metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Instance => "instance",
            Self::Source => "source",
        }
    }
}

/// A short text of a stranger, kept without an allocation and shown without what could hurt a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Short<const N: usize> {
    bytes: [u8; N],
    length: u8,
}

impl<const N: usize> Default for Short<N> {
    fn default() -> Self {
        Self { bytes: [0; N], length: 0 }
    }
}

impl<const N: usize> Short<N> {
    pub(super) fn of(text: &[u8]) -> Self {
        let mut short = Self::default();
        for (room, byte) in short.bytes.iter_mut().zip(text) {
            *room = *byte;
        }
        short.length = u8::try_from(text.len().min(N)).unwrap_or(u8::MAX);
        short
    }

    pub(super) fn show(&self) -> String {
        let text = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        String::from_utf8_lossy(text).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
    }
}

/// A source as it is shown: an IPv4 address, or the first one of an IPv6 /64.
pub fn source_address(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}
