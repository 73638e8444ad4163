//! A listening address as its connections see it: one service of a proxy, or several that are told apart by what a
//! client begins with (R78).

use super::server::ListenError;
use crate::ids::{ListenerId, ProxyId, Transport};
use crate::model::Service;
use crate::route::snapshot::Listener;
use crate::tls::Certificates;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What is spoken at one address, all of it under TLS or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Services {
    /// Whose.
    pub proxy: ProxyId,
    /// Under TLS.
    pub tls: bool,
    /// HTTP.
    pub http: Option<ListenerId>,
    /// SIP without a WebSocket.
    pub sip: Option<ListenerId>,
    /// SIP over WebSocket.
    pub ws: Option<ListenerId>,
}

impl Services {
    /// Those of listeners that have one address.
    pub fn of<'a>(proxy: ProxyId, listeners: impl IntoIterator<Item = &'a Listener>) -> Self {
        let mut services = Self { proxy, tls: false, http: None, sip: None, ws: None };
        for listener in listeners {
            services.tls = listener.service.is_tls();
            let place = match listener.service {
                Service::Http | Service::Https => &mut services.http,
                Service::SipWs | Service::SipWss => &mut services.ws,
                Service::SipTcp | Service::SipTls | Service::SipUdp => &mut services.sip,
            };
            *place = Some(listener.id);
        }
        services
    }

    /// HTTP alone.
    pub const fn web(id: ListenerId, tls: bool) -> Self {
        Self { proxy: id.proxy, tls, http: Some(id), sip: None, ws: None }
    }

    /// Whether connections may have to go to the workers.
    pub const fn has_sip(&self) -> bool {
        self.sip.is_some() || self.ws.is_some()
    }

    /// Any of its listeners, for what is said about a connection before it is known what it speaks.
    pub fn any(&self) -> ListenerId {
        let none = ListenerId { proxy: self.proxy, number: 0 };
        self.http.or(self.ws).or(self.sip).unwrap_or(none)
    }

    /// How SIP comes here without a WebSocket.
    pub const fn stream(&self) -> Transport {
        if self.tls { Transport::Tls } else { Transport::Tcp }
    }

    /// How SIP comes here in a WebSocket.
    pub const fn websocket(&self) -> Transport {
        if self.tls { Transport::Wss } else { Transport::Ws }
    }

    /// What clients may ask for in the TLS handshake (RFC 7301). Who asks for nothing is told by the first bytes.
    fn alpn(&self) -> Vec<&'static [u8]> {
        let mut names: Vec<&[u8]> = Vec::new();
        if self.http.is_some() || self.ws.is_some() {
            names.extend([&b"h2"[..], b"http/1.1"]);
        }
        if self.sip.is_some() {
            names.extend(SIP_PROTOCOLS);
        }
        names
    }
}

/// Names under which SIP is asked for.
const SIP_PROTOCOLS: [&[u8]; 3] = [b"sip/2", b"sip", b"sips"];

/// Whether a client asked for SIP.
pub(super) fn is_sip(alpn: Option<&[u8]>) -> bool {
    alpn.is_some_and(|asked| SIP_PROTOCOLS.contains(&asked))
}

/// A listening address.
pub(super) struct Door {
    what: ArcSwap<What>,
    pub stop: CancellationToken,
}

/// What a new connection finds there.
pub(super) struct What {
    pub services: Services,
    pub tls: Option<Arc<ServerConfig>>,
}

impl Door {
    pub(super) fn new(what: What, stop: CancellationToken) -> Self {
        Self { what: ArcSwap::from_pointee(what), stop }
    }

    /// What a connection finds that comes now.
    pub(super) fn what(&self) -> Arc<What> {
        self.what.load_full()
    }

    /// Makes it something else for connections to come.
    pub(super) fn change(&self, what: What) {
        self.what.store(Arc::new(what));
    }
}

impl What {
    pub(super) fn new(services: Services, certificates: &Arc<Certificates>) -> Result<Self, ListenError> {
        let tls = match services.tls {
            true => {
                let sip = services.sip.is_some() || services.ws.is_some();
                Some(certificates.server_config(Some(services.proxy), &services.alpn(), sip)?)
            }
            false => None,
        };
        Ok(Self { services, tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_offered_what_is_there() {
        // R78
        let id = |number| ListenerId { proxy: ProxyId(1), number };
        let web = Services::web(id(1), true);
        assert_eq!(web.alpn(), [&b"h2"[..], b"http/1.1"]);
        assert!(!web.has_sip());
        let all = Services { sip: Some(id(2)), ws: Some(id(3)), ..web };
        assert_eq!(all.alpn(), [&b"h2"[..], b"http/1.1", b"sip/2", b"sip", b"sips"]);
        assert!(is_sip(Some(b"sip")) && !is_sip(Some(b"h2")) && !is_sip(None));
        let sip = Services { http: None, ws: None, ..all };
        assert_eq!((sip.alpn().len(), sip.any(), sip.stream()), (3, id(2), Transport::Tls));
    }
}
