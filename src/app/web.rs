//! The listening addresses of the HTTP front, kept to those of the table.

use crate::admin::live::BoundListener;
use crate::http::{Protocol, Server};
use crate::ids::ListenerId;
use crate::model::Service;
use crate::net::tcp;
use crate::route::snapshot::Snapshot;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// A socket that was just told to close is gone after a few of these.
const PAUSE: Duration = Duration::from_millis(10);
const TRIES: usize = 20;

/// The HTTP front and what it listens on.
pub(super) struct Web {
    pub(super) server: Server,
    open: Vec<Door>,
    troubles: Vec<(Door, String)>,
}

/// A listening address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Door {
    listener: ListenerId,
    https: bool,
    bind: SocketAddr,
}

impl Web {
    pub(super) const fn new(server: Server) -> Self {
        Self { server, open: Vec::new(), troubles: Vec::new() }
    }

    /// Closes what the table does not want any more; true if there was something.
    pub(super) fn close(&mut self, snapshot: &Snapshot) -> bool {
        let wanted = wanted(snapshot);
        let before = self.open.len();
        let server = &self.server;
        self.open.retain(|door| {
            let stays = wanted.iter().any(|it| (it.listener, it.https) == (door.listener, door.https));
            if !stays {
                server.unlisten(door.listener);
                tracing::info!(service = door.service(), address = %door.bind, "no longer listening");
            }
            stays
        });
        self.open.len() < before
    }

    /// Opens what is new; what cannot be bound is noted and leaves the rest alone. A listener that
    /// moves is opened at its new address before it leaves the old one.
    pub(super) async fn open(&mut self, snapshot: &Snapshot, just_closed: bool) {
        let known = std::mem::take(&mut self.troubles);
        for door in wanted(snapshot) {
            if self.open.contains(&door) {
                continue;
            }
            match self.listen(door, just_closed).await {
                Ok(()) => {
                    tracing::info!(owner = owner(door, snapshot), service = door.service(), address = %door.bind, "listening");
                    self.open.retain(|other| other.listener != door.listener);
                    self.open.push(door);
                }
                Err(error) => {
                    if !known.iter().any(|(other, _)| *other == door) {
                        let owner = owner(door, snapshot);
                        tracing::error!(owner, service = door.service(), address = %door.bind, error, "cannot listen");
                    }
                    self.troubles.push((door, error));
                }
            }
        }
    }

    /// Whether something could not be bound and is worth another try.
    pub(super) fn has_troubles(&self) -> bool {
        !self.troubles.is_empty()
    }

    /// All of them, for people.
    pub(super) fn show(&self, snapshot: &Snapshot) -> Vec<BoundListener> {
        let shown = |door: &Door, error: Option<String>| BoundListener {
            owner: owner(*door, snapshot),
            service: door.service().into(),
            address: door.bind,
            error,
        };
        let open = self.open.iter().map(|door| shown(door, None));
        open.chain(self.troubles.iter().map(|(door, error)| shown(door, Some(error.clone())))).collect()
    }

    async fn listen(&self, door: Door, patient: bool) -> Result<(), String> {
        let mut tries = if patient { TRIES } else { 1 };
        let socket = loop {
            tries -= 1;
            match tcp::probe(door.bind).and_then(|()| tcp::bind(door.bind)) {
                Ok(socket) => break socket,
                Err(error) if tries > 0 && error.kind() == io::ErrorKind::AddrInUse => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error.to_string()),
            }
        };
        let protocol = if door.https { Protocol::Https } else { Protocol::Http };
        self.server.listen(door.listener, protocol, socket).map(drop).map_err(|error| error.to_string())
    }
}

impl Door {
    const fn service(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }
}

fn wanted(snapshot: &Snapshot) -> Vec<Door> {
    let listeners = snapshot.proxies.iter().flat_map(|proxy| &proxy.listeners);
    let door = |it: &crate::route::snapshot::Listener| {
        let https = match it.service {
            Service::Http => false,
            Service::Https => true,
            _ => return None,
        };
        Some(Door { listener: it.id, https, bind: it.bind })
    };
    listeners.filter_map(door).collect()
}

fn owner(door: Door, snapshot: &Snapshot) -> String {
    snapshot.proxy_by_id(door.listener.proxy).map_or_else(String::new, |proxy| proxy.name.to_string())
}
