//! The listening addresses as a whole: what the table wants is bound, what fails is tried again and
//! shown, and nothing that works is touched (R73, R78).

use crate::admin::live::BoundListener;
use crate::driver::Front;
use crate::driver::listeners::{Bound, Trouble, wanted};
use crate::ids::{ListenerId, ProxyId, Transport};
use crate::model::DeviceCertificates;
use crate::route::snapshot::{Map, Snapshot};
use crate::tls::Certificates;
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// What the node's own listeners are called.
const INSIDE: &str = "inside";

/// The listeners of the table.
#[derive(Default)]
pub(super) struct Listeners {
    troubles: Vec<Trouble>,
    /// The TLS of each proxy's SIP listeners, kept while what it is made of stays: its tickets hold so long.
    secured: Map<ProxyId, Secured>,
}

/// The TLS of a proxy's SIP listeners, and what it was made of.
struct Secured {
    device_certificates: DeviceCertificates,
    device_authorities: Box<str>,
    config: Arc<ServerConfig>,
}

impl Listeners {
    /// Makes the SIP listeners those of the snapshot.
    pub(super) async fn apply(&mut self, front: &mut Front, snapshot: &Snapshot, certificates: &Arc<Certificates>) {
        let before: Vec<Bound> = front.bound().to_vec();
        let known: Vec<_> = self.troubles.drain(..).map(|trouble| trouble.wanted).collect();
        self.secured.retain(|id, _| snapshot.proxy_by_id(*id).is_some());
        let secure = |listener| secure(&mut self.secured, listener, snapshot, certificates);
        self.troubles = front.listen(&wanted(snapshot), secure).await;
        for bound in front.bound().iter().filter(|bound| !bound.wanted.shared && !before.contains(bound)) {
            let (owner, service) = (owner(bound.wanted.listener, snapshot), service(bound.wanted.transport));
            tracing::info!(owner, service, address = %bound.address, "listening");
        }
        for bound in before.iter().filter(|bound| !bound.wanted.shared && !front.bound().contains(bound)) {
            tracing::info!(service = service(bound.wanted.transport), address = %bound.address, "no longer listening");
        }
        for Trouble { wanted, error } in self.troubles.iter().filter(|trouble| !known.contains(&trouble.wanted)) {
            let owner = owner(wanted.listener, snapshot);
            tracing::error!(owner, service = service(wanted.transport), address = %wanted.bind, %error, "cannot listen");
        }
    }

    /// Whether something could not be bound and is worth another try.
    pub(super) fn has_troubles(&self) -> bool {
        !self.troubles.is_empty()
    }

    /// All of them, for people.
    pub(super) fn show(&self, front: &Front, snapshot: &Snapshot) -> Vec<BoundListener> {
        // What shares a socket is shown by whoever has it.
        let own = front.bound().iter().filter(|bound| !bound.wanted.shared);
        let bound = front.inside().iter().chain(own).map(|bound| BoundListener {
            owner: owner(bound.wanted.listener, snapshot),
            service: service(bound.wanted.transport).into(),
            address: bound.address,
            error: None,
        });
        let missing = self.troubles.iter().map(|Trouble { wanted, error }| BoundListener {
            owner: owner(wanted.listener, snapshot),
            service: service(wanted.transport).into(),
            address: wanted.bind,
            error: Some(error.to_string()),
        });
        bound.chain(missing).collect()
    }
}

/// A listener of the node itself.
pub(super) fn own(owner: &str, service: &str, address: SocketAddr) -> BoundListener {
    tracing::info!(owner, service, %address, "listening");
    BoundListener { owner: owner.into(), service: service.into(), address, error: None }
}

fn owner(listener: ListenerId, snapshot: &Snapshot) -> String {
    if listener.is_inside() {
        return INSIDE.into();
    }
    snapshot.proxy_by_id(listener.proxy).map_or_else(String::new, |proxy| proxy.name.to_string())
}

/// The TLS of a listener: made anew only if its proxy says something else than before.
fn secure(
    secured: &mut Map<ProxyId, Secured>,
    listener: ListenerId,
    snapshot: &Snapshot,
    certificates: &Arc<Certificates>,
) -> io::Result<Arc<ServerConfig>> {
    let proxy = snapshot.proxy_by_id(listener.proxy).ok_or(io::ErrorKind::NotFound)?;
    let same = |known: &&Secured| {
        known.device_certificates == proxy.device_certificates && known.device_authorities == proxy.device_authorities
    };
    if let Some(known) = secured.get(&proxy.id).filter(same) {
        return Ok(Arc::clone(&known.config));
    }
    let config = certificates.server_config(Some(proxy.id), &[], true).map_err(io::Error::other)?;
    let (device_certificates, device_authorities) = (proxy.device_certificates, proxy.device_authorities.clone());
    secured.insert(proxy.id, Secured { device_certificates, device_authorities, config: Arc::clone(&config) });
    Ok(config)
}

const fn service(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "sip-udp",
        Transport::Tcp => "sip-tcp",
        Transport::Tls => "sip-tls",
        Transport::Ws => "sip-ws",
        Transport::Wss => "sip-wss",
    }
}
