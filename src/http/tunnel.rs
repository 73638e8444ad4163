//! WebSockets through us: h1 Upgrade (RFC 6455) or h2 Extended CONNECT (RFC 8441) on the client's
//! side, h1 Upgrade on the instance's; then bytes both ways.
//!
//! A tunnel lives as long as its two ends want, across any change of the table. Only when its own
//! instance leaves, moves, is switched off or passes its limit does its gate tell it to close.

use super::body::Body;
use super::exchange::knows_upgrade;
use super::front::Front;
use super::gate::{self, CloseCode, Entry, Permit};
use super::relay::Relay;
use super::response::Outside;
use super::stream::Stream;
use super::wire::Wire;
use crate::ids::InstanceId;
use crate::net::ws::upgrade;
use crate::stats::HttpRefusal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A client's wish for a WebSocket.
pub(super) struct Upgrade {
    client: OnUpgrade,
    /// What the instance has to answer where we asked with a key of our own (HTTP/2 has none).
    accept: Option<HeaderValue>,
    key: Option<HeaderValue>,
}

impl Upgrade {
    /// Whether a request asks for one; any other upgrade is not for us and left alone.
    pub(super) fn asked(parts: &mut Parts) -> Option<Self> {
        let h2 = parts.method == Method::CONNECT && parts.extensions.get::<hyper::ext::Protocol>().is_some();
        // HT10
        let h1 = knows_upgrade(parts.version)
            && parts.method == Method::GET
            && lists(&parts.headers, header::UPGRADE, "websocket")
            && lists(&parts.headers, header::CONNECTION, "upgrade");
        if !h1 && !h2 {
            return None;
        }
        let client = parts.extensions.remove::<OnUpgrade>()?;
        let key = h2.then(|| STANDARD.encode(fastrand::u128(..).to_ne_bytes()));
        Some(Self {
            client,
            accept: key.as_deref().and_then(|key| HeaderValue::try_from(upgrade::accept(key.as_bytes())).ok()),
            key: key.and_then(|key| HeaderValue::try_from(key).ok()),
        })
    }

    /// Makes the request to the instance ask for it.
    pub(super) fn ask(&self, parts: &mut Parts) {
        parts.method = Method::GET;
        parts.version = Version::HTTP_11;
        parts.extensions.remove::<hyper::ext::Protocol>();
        let headers = &mut parts.headers;
        headers.remove(header::TE);
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        if let Some(key) = &self.key {
            headers.insert(header::SEC_WEBSOCKET_KEY, key.clone());
            headers.entry(header::SEC_WEBSOCKET_VERSION).or_insert(HeaderValue::from_static("13"));
        }
    }
}

/// The instance agreed: answers the client and lets the bytes flow.
pub(super) fn open(
    front: &Arc<Front>,
    upgrade: Upgrade,
    mut response: Response<Incoming>,
    permit: Permit,
    outside: &Outside<'_>,
    instance: InstanceId,
) -> Result<Response<Body>, HttpRefusal> {
    // HT13: the protocol that was asked for, and no other.
    let sound = lists(response.headers(), header::UPGRADE, "websocket")
        && lists(response.headers(), header::CONNECTION, "upgrade")
        && upgrade.accept.as_ref().is_none_or(|a| response.headers().get(header::SEC_WEBSOCKET_ACCEPT) == Some(a));
    if !sound {
        return Err(HttpRefusal::BadAnswer);
    }
    let instance_side = hyper::upgrade::on(&mut response);
    let (mut parts, _) = response.into_parts();
    outside.apply(&mut parts)?;
    if upgrade.accept.is_some() {
        parts.status = StatusCode::OK;
        parts.headers.remove(header::SEC_WEBSOCKET_ACCEPT);
    } else {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    let (entry, close) = permit.gate().add_tunnel();
    let tunnel = Tunnel { front: Arc::clone(front), instance, permit, entry, close };
    front.shared.tunnels.spawn(tunnel.run(upgrade.client, instance_side));
    Ok(Response::from_parts(parts, Body::empty()))
}

struct Tunnel {
    front: Arc<Front>,
    instance: InstanceId,
    permit: Permit,
    entry: Entry,
    close: oneshot::Receiver<CloseCode>,
}

impl Tunnel {
    async fn run(self, client: OnUpgrade, instance: OnUpgrade) {
        let Self { front, instance: id, permit, entry, close } = self;
        let shared = &front.shared;
        let linger = shared.config.linger;
        // Whatever fails here, one of the two is gone, and dropping the other tells it.
        let Ok((client, instance)) = tokio::try_join!(client, instance) else { return };
        let Ok(instance) = instance.downcast::<TokioIo<Wire>>() else { return };
        let (wire, ahead) = (instance.io.into_inner(), instance.read_buf);
        let stats = permit.stats();
        shared.stats.tunnels_opened.inc();
        shared.stats.tunnels.inc();
        stats.tunnels.inc();
        let (inward, outward) = (&stats.http_bytes_in, &stats.http_bytes_out);
        // The table may have changed between our decision and our entry.
        let close = async {
            let moved = {
                let snapshot = shared.cell.load();
                let web = snapshot.by_id(id).and_then(|i| gate::reachable(i));
                !web.is_some_and(|web| permit.gate().leads_to(web))
            };
            if moved { Ok(CloseCode::Restart) } else { close.await }
        };
        let stopped = match client.downcast::<TokioIo<Stream>>() {
            // Two sockets, with nothing of hyper's in between.
            Ok(client) => {
                let (mut stream, early) = (client.io.into_inner(), client.read_buf);
                stream.stop_watching();
                Relay::new(stream, wire, inward, outward).after(&early, &ahead).run(close, linger).await
            }
            Err(client) => {
                let client = TokioIo::new(client);
                Relay::new(client, wire, inward, outward).after(&[], &ahead).run(close, linger).await
            }
        };
        if stopped {
            shared.stats.tunnels_closed.inc();
        }
        stats.tunnels.dec();
        shared.stats.tunnels.dec();
        drop(entry);
    }
}

/// Whether a field lists a token.
pub(super) fn lists(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    let mut members = headers.get_all(name).iter().flat_map(|v| v.as_bytes().split(|b| *b == b','));
    members.any(|member| member.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}
