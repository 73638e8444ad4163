//! WebSockets for SIP at an address that HTTP shares (RFC 7118, RFC 8441): who offers the subprotocol `sip` is ours, with
//! any path and any Host. Everything else that asks for a WebSocket is tunnelled to the instance (`tunnel`).

use super::authority::Authority;
use super::body::Body;
use super::exchange::knows_upgrade;
use super::front::Front;
use super::tunnel::lists;
use crate::greeting::Greeting;
use crate::ids::ListenerId;
use crate::net::ws::upgrade::{self, SIP};
use crate::route::snapshot::{Proxy, Snapshot};
use crate::stats::HttpRefusal;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use std::sync::Arc;

/// The listener that a request's WebSocket belongs to, if it asks for one with SIP in it here.
pub(super) fn asked(front: &Front, parts: &Parts) -> Option<ListenerId> {
    let listener = front.exit.as_ref()?.websockets()?;
    let h2 = is_extended(parts);
    let h1 = knows_upgrade(parts.version) && lists(&parts.headers, header::UPGRADE, "websocket");
    let mut offers = parts.headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    ((h1 || h2) && offers.any(|value| upgrade::offers_sip(value.as_bytes()))).then_some(listener)
}

/// Opens it, or says why not.
pub(super) fn open(
    front: &Front,
    snapshot: &Snapshot,
    proxy: &Proxy,
    mut parts: Parts,
    authority: Option<&Authority>,
    listener: ListenerId,
) -> Result<Response<Body>, HttpRefusal> {
    let h2 = is_extended(&parts);
    if !h2 && (parts.method != Method::GET || !lists(&parts.headers, header::CONNECTION, "upgrade")) {
        return Err(HttpRefusal::BadRequest);
    }
    if one(&parts.headers, header::SEC_WEBSOCKET_VERSION)? != Some(b"13") {
        return Err(HttpRefusal::Upgrade);
    }
    let key = one(&parts.headers, header::SEC_WEBSOCKET_KEY)?.filter(|key| upgrade::is_key(key));
    let accept = match (h2, key) {
        (false, Some(key)) => Some(upgrade::accept(key)),
        (false, None) => return Err(HttpRefusal::BadRequest),
        (true, _) => None,
    };
    let origin = one(&parts.headers, header::ORIGIN)?.map(<[u8]>::to_ascii_lowercase);
    let origin = origin.map(String::from_utf8).transpose().map_err(|_| HttpRefusal::BadRequest)?;
    let host = authority.map_or("", Authority::host).to_ascii_lowercase();
    // W07
    if !snapshot.lets(proxy, &host, origin.as_deref(), front.shared.clock.now().unix) {
        return Err(HttpRefusal::Origin);
    }
    let client = parts.extensions.remove::<OnUpgrade>().ok_or(HttpRefusal::BadRequest)?;
    let exit = front.exit.as_ref().ok_or(HttpRefusal::BadRequest)?;
    let said = Greeting { host: Some(host.into()), origin: origin.map(Into::into), ..Greeting::default() };
    let shared = &front.shared;
    shared.tunnels.spawn(Arc::clone(exit).websocket(Arc::clone(shared), listener, client, said));
    answer(accept.as_deref())
}

fn answer(accept: Option<&str>) -> Result<Response<Body>, HttpRefusal> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    // W01, and W10: no extension is agreed on.
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SIP));
    if let Some(accept) = accept {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers
            .insert(header::SEC_WEBSOCKET_ACCEPT, HeaderValue::try_from(accept).map_err(|_| HttpRefusal::BadRequest)?);
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    }
    Ok(response)
}

fn is_extended(parts: &Parts) -> bool {
    parts.method == Method::CONNECT && parts.extensions.get::<hyper::ext::Protocol>().is_some()
}

/// The value of a field that may be there once.
fn one(headers: &HeaderMap, name: HeaderName) -> Result<Option<&[u8]>, HttpRefusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(|value| value.as_bytes().trim_ascii());
    if values.next().is_some() { Err(HttpRefusal::BadRequest) } else { Ok(first) }
}
