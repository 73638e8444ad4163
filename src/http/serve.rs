//! One request, from its head to its answer.

use super::authority::{Authority, Bad};
use super::body::{Body, Busy};
use super::exchange;
use super::front::Front;
use super::guarded;
use super::page::{self, Page, Taste};
use super::request::{self, X_FORWARDED_PROTO};
use super::route::{self, Asked, Decision};
use super::sip_socket;
use crate::route::snapshot::{Instance, Proxy};
use crate::stats::HttpRefusal;
use crate::tls::challenges;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use std::net::IpAddr;
use std::sync::Arc;

/// A request that is not answered, with the instance it was for.
pub(super) struct Refused {
    pub why: HttpRefusal,
    pub instance: Option<Arc<Instance>>,
}

impl From<HttpRefusal> for Refused {
    fn from(why: HttpRefusal) -> Self {
        Self { why, instance: None }
    }
}

/// A stream that is reset instead of answered (HT11).
#[derive(Debug, thiserror::Error)]
#[error("the stream is malformed")]
pub(super) struct Reset(#[source] h2::Error);

/// Answers a request.
pub(super) async fn serve(front: Arc<Front>, request: Request<Incoming>) -> Result<Response<Body>, Reset> {
    let busy = Busy::new(&front.pulse);
    let stats = &front.shared.stats;
    stats.requests.inc();
    let taste = Taste::of(request.headers());
    let h1 = request.version() != Version::HTTP_2;
    let mut response = match answer(&front, request, &taste).await {
        Ok(response) => response,
        Err(refused) => {
            let mut response = refuse(&front, &refused, &taste)?;
            if h1 && ends_connection(refused.why) {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    };
    response.body_mut().hold(busy);
    Ok(response)
}

/// Says why a request is not answered.
pub(super) fn refuse(front: &Front, refused: &Refused, taste: &Taste) -> Result<Response<Body>, Reset> {
    front.shared.stats.refuse(refused.why);
    if refused.why == HttpRefusal::Malformed {
        return Err(Reset(h2::Reason::PROTOCOL_ERROR.into()));
    }
    tracing::debug!(why = refused.why.label(), peer = %front.peer, "http request refused");
    let instance = refused.instance.as_deref();
    let mut response = page::answer(
        Page::Refusal {
            why: refused.why,
            name: instance.map(|i| i.display_name()).filter(|name| !name.is_empty()),
            state: instance.map(|i| i.state),
            language: instance.map(|i| i.language),
        },
        taste,
    );
    if refused.why == HttpRefusal::Upgrade {
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    Ok(response)
}

/// After these the client may be in the middle of something we do not read to its end.
fn ends_connection(why: HttpRefusal) -> bool {
    use HttpRefusal as Why;
    let in_the_middle = matches!(why, Why::RequestTimeout | Why::BodyTooLarge | Why::TargetTooLong);
    in_the_middle || matches!(why, Why::Banned | Why::BadRequest | Why::Method | Why::Protocol | Why::Misdirected)
}

async fn answer(front: &Arc<Front>, request: Request<Incoming>, taste: &Taste) -> Result<Response<Body>, Refused> {
    let shared = &front.shared;
    let snapshot = shared.cell.load();
    // A proxy that left the table says nothing about who lives here.
    let proxy = snapshot.proxy_by_id(front.services.proxy).ok_or(HttpRefusal::UnknownName)?;
    let (parts, body) = request.into_parts();
    if let Some(answer) = acme(front, &parts) {
        return Ok(answer);
    }
    let authority = check(&parts, front)?;
    if let Some(listener) = sip_socket::asked(front, &parts) {
        return Ok(sip_socket::open(front, &snapshot, proxy, parts, authority.as_ref(), listener)?);
    }
    if front.services.http.is_none() {
        // Nothing but SIP is spoken at this address (W01).
        let upgrade = parts.headers.contains_key(header::UPGRADE) || parts.method == Method::CONNECT;
        return Err(if upgrade { HttpRefusal::BadRequest } else { HttpRefusal::UnknownName }.into());
    }
    let trusted = is_trusted(proxy, front.peer);
    if !trusted && !shared.config.guard.admits(front.peer, true, shared.clock.tick()) {
        return Err(HttpRefusal::Banned.into());
    }
    let secure = front.services.tls || (trusted && parts.headers.get(X_FORWARDED_PROTO).is_some_and(|v| v == "https"));
    let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let host = authority.as_ref().map(Authority::host);
    let asked = Asked { secure, sni: front.sni.as_deref(), local: front.local, host, target };
    let now = shared.clock.now().unix;
    let misdirected = |a: &str, b: &str| !shared.certificates.same(Some(proxy.id), a, b);
    let mismatch = |host: &str| note_mismatch(front, host);
    match route::decide(&snapshot, proxy, &asked, now, misdirected, mismatch) {
        Decision::Forward(target) => {
            drop(snapshot);
            let scheme = if secure { "https" } else { "http" };
            exchange::run(front, exchange::Way { target, authority, trusted, scheme }, parts, body).await
        }
        Decision::Refuse(why, instance) => {
            if why == HttpRefusal::UnknownName && !trusted {
                let agent = parts.headers.get(header::USER_AGENT).map_or(&b""[..], |value| value.as_bytes());
                let host = authority.as_ref().map_or("", Authority::host);
                guarded::unknown_name(front, host, &parts.method, agent);
            }
            Err(Refused { why, instance })
        }
        Decision::Redirect(status, location) => redirect(status, location),
        Decision::Landing => Ok(page::answer(Page::Landing, taste)),
        Decision::Capabilities => {
            let mut response = Response::new(Body::empty());
            let allowed = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
            response.headers_mut().insert(header::ALLOW, allowed);
            Ok(response)
        }
    }
}

/// The answer to an ACME authority that looks whether a name is ours (RFC 8555 §8.3), while it is asked to.
fn acme(front: &Front, parts: &Parts) -> Option<Response<Body>> {
    let token = parts.uri.path().strip_prefix(challenges::PATH).filter(|_| !front.services.tls)?;
    let answer = front.shared.certificates.challenges().answer(token)?;
    let mut response = Response::new(Body::full(String::from(answer).into()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Some(response)
}

/// Counts and tells of a host that is another instance's than the TLS name (S04).
pub(super) fn note_mismatch(front: &Front, host: &str) {
    let shared = &front.shared;
    shared.stats.name_mismatches.inc();
    if let Some(suppressed) = shared.mismatches.pass(shared.clock.tick()) {
        let (sni, peer) = (front.sni.as_deref().unwrap_or_default(), front.peer);
        tracing::warn!(reason = "name-mismatch", sni, host, %peer, suppressed, "names of different instances");
    }
}

/// What HTTP itself demands of a request, beyond what hyper has checked.
fn check(parts: &Parts, front: &Front) -> Result<Option<Authority>, HttpRefusal> {
    let h2 = parts.version == Version::HTTP_2;
    let websocket = parts.extensions.get::<hyper::ext::Protocol>();
    match parts.method {
        // HT02: extended CONNECT (RFC 8441) is the only one that is for us.
        Method::CONNECT if websocket.is_none() => return Err(HttpRefusal::Method),
        Method::CONNECT if websocket.is_some_and(|p| p.as_str() != "websocket") => return Err(HttpRefusal::Protocol),
        // It would show the client's secrets, and ours, to scripts.
        Method::TRACE => return Err(HttpRefusal::Method),
        _ => {}
    }
    let authority = Authority::of(parts).map_err(|bad| match bad {
        Bad::Request => HttpRefusal::BadRequest,
        Bad::Malformed => HttpRefusal::Malformed,
    })?;
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > front.shared.config.target_bytes as usize {
        return Err(HttpRefusal::TargetTooLong);
    }
    if h2 && parts.headers.get_all(header::CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(HttpRefusal::Malformed);
    }
    if !request::coding_is_plain(&parts.headers) {
        return Err(HttpRefusal::Protocol);
    }
    if request::loops(&parts.headers, &front.shared.config.pseudonym) {
        return Err(HttpRefusal::Loop);
    }
    Ok(authority)
}

/// Whether the word of a peer about clients before it is believed.
pub(super) fn is_trusted(proxy: &Proxy, peer: IpAddr) -> bool {
    proxy.trusted_peers.iter().any(|net| net.contains(&peer))
}

fn redirect(status: StatusCode, location: String) -> Result<Response<Body>, Refused> {
    let location = HeaderValue::try_from(location).map_err(|_| HttpRefusal::BadRequest)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}
