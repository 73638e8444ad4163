//! Steering: which of a message's headers are ours, where they send it, and what it looks like when
//! it leaves.
//!
//! [`analyse`] reads what tokens in Route and Request-URI say, [`request_out`] and [`response_out`]
//! make the edits of a forwarded message: Via, Max-Forwards, Max-Breadth, Route, Record-Route, Path,
//! Contact, and all that hides an instance's inside from clients (R8). Everything else in a message
//! stays byte for byte (F07). Nothing here knows transactions, targets or health: the engine's
//! pipeline calls it in between. Pure, and without allocation once its buffers have grown.
//!
//! Two entries of ours stand in every recorded route, because the sides always differ (RFC 5658):
//! the outside one carries [`Token::ToBackend`](super::token::Token), the inside one
//! [`Token::ToClient`](super::token::Token). Whoever sends a request in the dialog sends both, the
//! one of its own side first.

mod analyse;
mod entry;
mod error;
mod hide;
mod loops;
mod policy;
mod register;
mod request;
mod response;

pub use analyse::{Arrival, Inbound, Way, analyse};
pub use error::{EditError, SteerError};
pub use policy::names_other_instance;
pub use register::{own_contact, registered_uri};
pub use request::{Plan, keep_vias, request_out};
pub use response::{Back, response_out};

use super::token::{FlowRef, Keyring, OpenError, Recent, SealError, Token};
use crate::ids::{BackendId, Flow, InstanceId, ListenerId, Transport};
use crate::model::{Service, TlsRoutes};
use crate::route::snapshot::Listener;
use crate::sip::{decimal, host};
use std::net::SocketAddr;

/// The parameter of a Contact or Request-URI that carries a token of ours.
pub const TOKEN_PARAM: &[u8] = b"nt";

/// One of our two sides.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// Outside: phones, soft clients, browsers. Not trusted.
    Client,
    /// Inside: the instances' PBXs.
    Instance,
}

impl Side {
    /// The side a listener is on.
    pub const fn of(listener: ListenerId) -> Self {
        if listener.is_inside() { Self::Instance } else { Self::Client }
    }

    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Instance,
            Self::Instance => Self::Client,
        }
    }
}

/// A target of an instance as tokens carry it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackendRef {
    /// Which of the instance's backends it was when the token was made.
    pub id: BackendId,
    /// Its address.
    pub address: SocketAddr,
    /// UDP or TCP.
    pub transport: Transport,
}

/// The keys and the time they are judged by.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    /// The node's keys.
    pub ring: &'a Keyring,
    /// Unix seconds.
    pub now_unix: u64,
}

impl Keys<'_> {
    fn open<'s>(&self, text: &[u8], scratch: &'s mut Recent) -> Option<Result<Token<'s>, OpenError>> {
        scratch.open(self.ring, text, self.now_unix)
    }

    /// As [`Self::seal`], of a token that comes back with the answers.
    fn seal_known(&self, token: &Token<'_>, scratch: &mut Recent, out: &mut Vec<u8>) -> Result<(), SealError> {
        scratch.seal(self.ring, token, self.now_unix, out)
    }

    fn seal(&self, token: &Token<'_>, out: &mut Vec<u8>) -> Result<(), SealError> {
        self.ring.seal(token, self.now_unix, out)
    }
}

/// Reused room for what is decoded on the way.
#[derive(Default, Debug)]
pub struct Scratch {
    /// An opened token.
    token: Recent,
    /// Restored URIs that an [`Inbound`] points into.
    text: Vec<u8>,
}

/// How an address of ours is written in a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place<'a> {
    /// A host as advertised, with the port behind it unless `None`.
    Named(&'a str, Option<u16>),
    /// An address and port.
    At(SocketAddr),
}

impl<'a> Place<'a> {
    /// What clients of a listener are told: what it advertises, else over TLS the name their certificate was checked
    /// against (`fqdn`, S02), else the address they reached (`local`; from a token its port may be 0), else the one
    /// it is bound to.
    pub fn outside(listener: &'a Listener, fqdn: &'a str, local: SocketAddr) -> Self {
        let port = if listener.bind.port() == 0 { local.port() } else { listener.bind.port() };
        match (listener.advertise.as_deref(), listener.advertised_host()) {
            (Some(text), Some(host)) if text.len() == host.len() => {
                let usual = matches!(listener.service, Service::SipUdp | Service::SipTcp) && port == 5060;
                Self::Named(text, (!usual).then_some(port))
            }
            (Some(text), _) => Self::Named(text, None),
            // With its port: a name alone would be looked up as a service (RFC 3263 §4.1).
            (None, _) if matches!(listener.service, Service::SipTls | Service::SipWss) => Self::Named(fqdn, Some(port)),
            (None, _) if local.ip().is_unspecified() => Self::At(SocketAddr::new(listener.bind.ip(), port)),
            (None, _) => Self::At(SocketAddr::new(local.ip().to_canonical(), port)),
        }
    }

    /// Writes host and port.
    pub fn write(&self, out: &mut Vec<u8>) {
        let port = match *self {
            Self::Named(host, port) => {
                out.extend_from_slice(host.as_bytes());
                port
            }
            Self::At(address) if address.is_ipv6() => {
                out.push(b'[');
                host::write(address.ip(), out);
                out.push(b']');
                Some(address.port())
            }
            Self::At(address) => {
                host::write(address.ip(), out);
                Some(address.port())
            }
        };
        if let Some(port) = port {
            out.push(b':');
            decimal::write(port.into(), out);
        }
    }
}

/// The two ends of a way through us, and how each side is told our address.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// Whose way it is.
    pub instance: InstanceId,
    /// The client's end.
    pub client: FlowRef,
    /// The instance's end.
    pub backend: BackendRef,
    /// What clients are told: see [`Place::outside`].
    pub outside: Place<'a>,
    /// How clients over TLS are told it.
    pub routes: TlsRoutes,
    /// What PBXs are told: the node's stable inside address.
    pub inside: Place<'a>,
}

impl Ends<'_> {
    /// The transport of one side.
    const fn transport(&self, side: Side) -> Transport {
        match side {
            Side::Client => self.client.transport(),
            Side::Instance => self.backend.transport,
        }
    }
}

/// The client's end of a flow, as sealed into tokens: our own address only where the listener is
/// bound to every address and so does not tell it.
pub fn flow_ref(flow: &Flow, listener: Option<&Listener>) -> FlowRef {
    let full = FlowRef::from(flow);
    if listener.is_some_and(|l| !l.bind.ip().is_unspecified()) { full.without_local() } else { full }
}

#[cfg(test)]
mod tests;
