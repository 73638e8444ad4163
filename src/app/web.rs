//! The listening addresses of the HTTP front, kept to those of the table: those of HTTP, and all that several services
//! of a proxy share, one of which may be SIP (R78). A listener of SIP alone is the workers'.

use crate::admin::live::BoundListener;
use crate::http::{DoorKey, Server, Services};
use crate::ids::{ListenerId, ProxyId};
use crate::model::{DeviceCertificates, Service};
use crate::net::tcp;
use crate::route::snapshot::{Listener, Proxy, Snapshot};
use std::net::SocketAddr;

/// The HTTP front and what it listens on.
pub(super) struct Web {
    pub(super) server: Server,
    open: Vec<(Door, DoorKey)>,
    troubles: Vec<(Door, String)>,
}

/// A listening address.
#[derive(Clone, PartialEq, Debug)]
struct Door {
    bind: SocketAddr,
    services: Services,
    /// What is listed there, for people.
    names: Vec<Service>,
    /// What its TLS is made of besides certificates.
    papers: (DeviceCertificates, Box<str>),
}

impl Web {
    pub(super) const fn new(server: Server) -> Self {
        Self { server, open: Vec::new(), troubles: Vec::new() }
    }

    /// Closes what the table does not want any more, and what somebody else wants to have.
    pub(super) async fn close(&mut self, snapshot: &Snapshot) {
        let wanted = doors(snapshot);
        let lone = |bind: SocketAddr| listeners(snapshot).any(|(proxy, it)| it.bind == bind && is_lone(proxy, it));
        let stays = |door: &Door| {
            let moves = || wanted.iter().any(|it| it.is_moved(door)) && !lone(door.bind);
            wanted.iter().any(|it| it.is_at(door)) || moves()
        };
        let (kept, left) = std::mem::take(&mut self.open).into_iter().partition(|(door, _)| stays(door));
        self.open = kept;
        for (door, key) in left {
            self.leave(&door, key).await;
        }
    }

    /// Opens what is new; what cannot be bound is noted and leaves the rest alone. A listener that
    /// moves is opened at its new address before it leaves the old one.
    pub(super) async fn open(&mut self, snapshot: &Snapshot) {
        let known = std::mem::take(&mut self.troubles);
        for door in doors(snapshot) {
            match self.take(&door) {
                Ok(false) => {}
                Ok(true) => {
                    for service in &door.names {
                        tracing::info!(owner = owner(&door, snapshot), service = word(*service), address = %door.bind, "listening");
                    }
                    let old = self.open.iter().position(|(other, _)| door.is_moved(other));
                    if let Some((old, key)) = old.map(|place| self.open.remove(place)) {
                        self.leave(&old, key).await;
                    }
                }
                Err(error) => {
                    if !known.iter().any(|(other, _)| *other == door) {
                        let owner = owner(&door, snapshot);
                        tracing::error!(owner, services = ?door.names, address = %door.bind, error, "cannot listen");
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
        let open = self.open.iter().map(|(door, _)| (door, None));
        let all = open.chain(self.troubles.iter().map(|(door, error)| (door, Some(error))));
        all.flat_map(|(door, error)| {
            door.names.iter().map(move |service| BoundListener {
                owner: owner(door, snapshot),
                service: word(*service).into(),
                address: door.bind,
                error: error.cloned(),
            })
        })
        .collect()
    }

    /// Opens a door or changes what is spoken there; true if it was not there.
    fn take(&mut self, door: &Door) -> Result<bool, String> {
        if let Some((known, key)) = self.open.iter_mut().find(|(known, _)| door.is_at(known)) {
            if *known != *door {
                self.server.change(*key, door.services).map_err(|error| error.to_string())?;
                tracing::info!(services = ?door.names, address = %door.bind, "changed what is spoken here");
                known.clone_from(door);
            }
            return Ok(false);
        }
        let socket = tcp::probe(door.bind).and_then(|()| tcp::bind(door.bind)).map_err(|error| error.to_string())?;
        let (key, _) = self.server.listen(door.services, socket).map_err(|error| error.to_string())?;
        self.open.push((door.clone(), key));
        Ok(true)
    }

    async fn leave(&self, door: &Door, key: DoorKey) {
        self.server.unlisten(key).await;
        for service in &door.names {
            tracing::info!(service = word(*service), address = %door.bind, "no longer listening");
        }
    }
}

impl Door {
    fn proxy(&self) -> ProxyId {
        self.services.proxy
    }

    fn first(&self) -> ListenerId {
        self.services.any()
    }

    /// Whether it is the same address of the same proxy; with port 0 there may be several.
    fn is_at(&self, other: &Self) -> bool {
        (self.proxy(), self.bind, self.services.tls) == (other.proxy(), other.bind, other.services.tls)
            && (self.bind.port() != 0 || self.first() == other.first())
    }

    /// Whether it is `old` at another address.
    fn is_moved(&self, old: &Self) -> bool {
        let web = self.services.http;
        web.is_some() && web == old.services.http && self.services.tls == old.services.tls && self.bind != old.bind
    }
}

fn listeners(snapshot: &Snapshot) -> impl Iterator<Item = (&Proxy, &Listener)> {
    snapshot.proxies.iter().flat_map(|proxy| proxy.listeners.iter().map(move |it| (&**proxy, it)))
}

/// Whether SIP has an address to itself.
fn is_lone(proxy: &Proxy, listener: &Listener) -> bool {
    listener.service.sip().is_some() && proxy.sharing(listener).nth(1).is_none()
}

fn doors(snapshot: &Snapshot) -> Vec<Door> {
    let begins = |proxy: &Proxy, it: &Listener| {
        !is_lone(proxy, it) && proxy.sharing(it).next().is_some_and(|first| first.id == it.id)
    };
    let first = listeners(snapshot).filter(|(proxy, it)| begins(proxy, it));
    first
        .map(|(proxy, it)| Door {
            bind: it.bind,
            services: Services::of(proxy.id, proxy.sharing(it)),
            names: proxy.sharing(it).map(|it| it.service).collect(),
            papers: (proxy.device_certificates, proxy.device_authorities.clone()),
        })
        .collect()
}

fn owner(door: &Door, snapshot: &Snapshot) -> String {
    snapshot.proxy_by_id(door.proxy()).map_or_else(String::new, |proxy| proxy.name.to_string())
}

const fn word(service: Service) -> &'static str {
    match service {
        Service::SipUdp => "sip-udp",
        Service::SipTcp => "sip-tcp",
        Service::SipTls => "sip-tls",
        Service::SipWs => "sip-ws",
        Service::SipWss => "sip-wss",
        Service::Http => "http",
        Service::Https => "https",
    }
}
