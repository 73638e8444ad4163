//! The two ends of a request's way, and how each side is told our address.

use super::config::{Config, Inside};
use super::core::Moment;
use super::steer::{BackendRef, Ends, Place};
use super::tables::Server;
use super::token::FlowRef;
use crate::ids::{InstanceId, Transport};
use crate::model::TlsRoutes;
use crate::route::snapshot::Instance;
use std::net::{IpAddr, SocketAddr};

/// The ends of a request with a transaction. `None` where the node has no address towards the backend's family.
pub(super) fn of_server<'s>(moment: Moment<'s>, config: &Config, server: &Server) -> Option<Ends<'s>> {
    of(moment, config, server.instance, server.client_end, server.backend)
}

/// The ends of a way between a client and a backend.
pub(super) fn of<'s>(
    moment: Moment<'s>,
    config: &Config,
    instance: InstanceId,
    client: FlowRef,
    backend: BackendRef,
) -> Option<Ends<'s>> {
    let local = client.flow().local();
    let proxy = moment.snapshot.proxy_by_id(client.listener().proxy);
    let outside = match (proxy, moment.snapshot.listener(client.listener())) {
        (Some(proxy), Some(listener)) => Place::outside(listener, &proxy.fqdn, local),
        // The listener left the table while a transaction was going on.
        _ => Place::At(local),
    };
    let routes = proxy.map_or(TlsRoutes::Sips, |proxy| proxy.tls_routes);
    let inside = config.inside.towards(backend.address.ip())?;
    Some(Ends { instance, client, backend, outside, routes, inside: Place::At(inside.shared) })
}

/// Where answers to a request towards a backend are received: this shard's own socket, or for a stream the
/// address that all shards serve.
pub(super) fn sent_by_inside(inside: &Inside, target: IpAddr, transport: Transport) -> Option<SocketAddr> {
    let address = inside.towards(target)?;
    Some(if transport == Transport::Udp { address.own } else { address.shared })
}

/// The backend of an instance that a request from inside came from: the one at that very address, else one at
/// the same host, for a connection's port says nothing.
pub(super) fn backend_at(instance: &Instance, source: SocketAddr, transport: Transport) -> Option<BackendRef> {
    let ip = source.ip().to_canonical();
    let near = instance.backends.iter().filter(|b| b.address.ip().to_canonical() == ip);
    let rank = |port: u16, other: Transport| (port != source.port(), other != transport);
    let best = near.min_by_key(|b| rank(b.address.port(), b.transport))?;
    Some(BackendRef { id: best.id, address: best.address, transport: best.transport })
}
