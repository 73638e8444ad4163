//! What is known of a client's connection, made once and read by every request on it.

use super::admission::Place;
use super::door::Services;
use super::handover::Exit;
use super::pulse::Pulse;
use super::request::put_value;
use super::server::Shared;
use bytes::{BufMut, BytesMut};
use http::{HeaderValue, Version};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// One connection of a client.
pub(super) struct Front {
    pub shared: Arc<Shared>,
    /// What is spoken where it came to.
    pub services: Services,
    /// The name of the TLS handshake.
    pub sni: Option<Box<str>>,
    /// The client's address.
    pub peer: IpAddr,
    /// The address it came to.
    pub local: IpAddr,
    pub pulse: Arc<Pulse>,
    /// How what turns out to be SIP leaves.
    pub exit: Option<Arc<Exit>>,
    /// Its place among the connections: a tunnel takes it along.
    _place: Place,
    forwarded_for: HeaderValue,
    /// `for=…`
    forwarded_element: Box<str>,
}

/// What is seen of a connection before its first request.
pub(super) struct Seen {
    pub services: Services,
    pub sni: Option<Box<str>>,
    /// The client's address, and the one it came to.
    pub ends: (SocketAddr, SocketAddr),
}

impl Front {
    pub(super) fn new(
        shared: Arc<Shared>,
        seen: Seen,
        (pulse, place, exit): (Arc<Pulse>, Place, Option<Arc<Exit>>),
    ) -> Self {
        let Seen { services, sni, ends: (peer, local) } = seen;
        let (peer, local) = (peer.ip().to_canonical(), local.ip().to_canonical());
        let text = peer.to_string();
        let mut element = BytesMut::from(&b"for="[..]);
        match peer {
            IpAddr::V4(_) => put_value(&mut element, text.as_bytes()),
            IpAddr::V6(_) => {
                element.put_slice(b"\"[");
                element.put_slice(text.as_bytes());
                element.put_slice(b"]\"");
            }
        }
        Self {
            shared,
            services,
            sni,
            peer,
            local,
            pulse,
            exit,
            _place: place,
            forwarded_for: HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("unknown")),
            forwarded_element: String::from_utf8_lossy(&element).into(),
        }
    }

    /// The client's address, for X-Forwarded-For.
    pub(super) fn forwarded_for(&self) -> &HeaderValue {
        &self.forwarded_for
    }

    /// The client's address, for Forwarded.
    pub(super) fn forwarded_element(&self) -> &str {
        &self.forwarded_element
    }

    /// Our Via for a request of this version.
    pub(super) fn via(&self, version: Version) -> HeaderValue {
        let via = &self.shared.via;
        match version {
            Version::HTTP_10 => via.of_10.clone(),
            Version::HTTP_2 => via.of_2.clone(),
            _ => via.of_11.clone(),
        }
    }
}
