//! The listening addresses as a whole: what the table wants is bound, what fails is tried again and
//! shown, and nothing that works is touched (R73, R78).

use crate::admin::live::BoundListener;
use crate::driver::Front;
use crate::driver::listeners::{Bound, Trouble, wanted};
use crate::ids::{ListenerId, Transport};
use crate::route::snapshot::Snapshot;
use std::net::SocketAddr;

/// What the node's own listeners are called.
const INSIDE: &str = "inside";

/// The listeners of the table.
#[derive(Default)]
pub(super) struct Listeners {
    troubles: Vec<Trouble>,
}

impl Listeners {
    /// Makes the SIP listeners those of the snapshot.
    pub(super) async fn apply(&mut self, front: &mut Front, snapshot: &Snapshot) {
        let before: Vec<Bound> = front.bound().to_vec();
        let known: Vec<_> = self.troubles.drain(..).map(|trouble| trouble.wanted).collect();
        self.troubles = front.listen(&wanted(snapshot)).await;
        for bound in front.bound().iter().filter(|bound| !before.contains(bound)) {
            let (owner, service) = (owner(bound.wanted.listener, snapshot), service(bound.wanted.transport));
            tracing::info!(owner, service, address = %bound.address, "listening");
        }
        for bound in before.iter().filter(|bound| !front.bound().contains(bound)) {
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
        let bound = front.inside().iter().chain(front.bound()).map(|bound| BoundListener {
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

const fn service(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "sip-udp",
        _ => "sip-tcp",
    }
}
