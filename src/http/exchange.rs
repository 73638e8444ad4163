//! One request of a client and its answer by the instance.

use super::asker::{self, Doorman};
use super::authority::Authority;
use super::body::Body;
use super::front::Front;
use super::gate::{self, Permit};
use super::guarded::Offer;
use super::pause::Pause;
use super::request::Inward;
use super::response::Outside;
use super::route::Target;
use super::serve::Refused;
use super::tunnel::{self, Upgrade};
use super::upload::{Progress, Upload, Word};
use super::upstream::{ConnectError, Lease, Upstream};
use crate::route::snapshot::Instance;
use crate::stats::HttpRefusal;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// How long the body of a sign-in is waited for before it goes on as it is.
const SIGN_IN: Duration = Duration::from_secs(2);

/// The way a request goes.
pub(super) struct Way {
    pub target: Target,
    pub authority: Option<Authority>,
    pub trusted: bool,
    /// `https` or `http`, as the client sees it.
    pub scheme: &'static str,
}

/// Passes a request on and answers with what comes back.
pub(super) async fn run(
    front: &Arc<Front>,
    way: Way,
    mut parts: Parts,
    body: Incoming,
) -> Result<Response<Body>, Refused> {
    let shared = &front.shared;
    let instance = Arc::clone(&way.target.instance);
    let refuse = |why| Refused { why, instance: Some(Arc::clone(&instance)) };
    let Some(web) = instance.web.as_ref() else { return Err(refuse(HttpRefusal::WebOff)) };
    let doorman = Doorman::of(&instance, way.authority.as_ref());
    let inner = parts.uri.path().get(way.target.prefix..).unwrap_or_default();
    let signing_in = doorman.as_ref().filter(|doorman| doorman.watches(inner));
    let known = doorman.as_ref().is_some_and(|doorman| doorman.knows_authorization(&parts.headers))
        || signing_in.is_some_and(|doorman| doorman.knows_query(parts.uri.query()));
    if known {
        keep_out(&instance).map_err(refuse)?;
    }
    let watched = web.sign_in.paths.iter().any(|path| gate::is_at(inner, path)) && parts.method == Method::POST;
    let offer = (!way.trusted).then(|| Offer::of(front, &parts, watched));
    if offer.as_ref().is_some_and(|offer| !offer.passes(front, &instance)) {
        return Err(refuse(HttpRefusal::Banned));
    }
    let limit = gate::limit(&instance, shared.config.instance_requests);
    let gate = shared.gates.of(instance.id);
    let permit = gate.enter(&instance, limit).ok_or_else(|| refuse(HttpRefusal::Overloaded))?;
    instance.stats.http_requests.inc();
    let upstream = shared.gates.upstream(&gate, web, &shared.stats).map_err(|error| {
        tracing::warn!(%error, instance = &*instance.name, "no TLS towards the instance's web target");
        refuse(HttpRefusal::Unreachable)
    })?;

    let upgrade = Upgrade::asked(&mut parts);
    let mut upload = upload(front, &instance, &parts, body).map_err(refuse)?;
    if let Some(doorman) = signing_in.filter(|_| !known)
        && let Some(body) = read_sign_in(&mut upload, &mut parts).await
        && doorman.knows_body(parts.headers.get(header::CONTENT_TYPE), &body)
    {
        keep_out(&instance).map_err(refuse)?;
    }
    let prefix = prefix(&parts, &way.target);
    let inward = Inward {
        front,
        trusted: way.trusted,
        scheme: way.scheme,
        authority: way.authority.as_ref(),
        prefix: prefix.as_deref().filter(|_| way.target.strips()),
    };
    inward.apply(&mut parts).map_err(refuse)?;
    if let Some(upgrade) = &upgrade {
        upgrade.ask(&mut parts);
    }
    let call = Call { front, upstream: &upstream, upgrade: upgrade.is_some() };
    let Sent { mut lease, response, uploading } = call.send(parts, upload).await.map_err(refuse)?;
    tracing::debug!(instance = &*instance.name, status = response.status().as_u16(), "http");
    if let Some(offer) = &offer {
        offer.answered(front, &instance, response.status());
    }

    let outside = Outside {
        scheme: way.scheme,
        authority: way.authority.as_ref().map_or("", Authority::text),
        host: way.authority.as_ref().map_or("", Authority::host),
        prefix: prefix.as_deref().unwrap_or_default(),
        stripped: way.target.strips(),
        web,
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(upgrade) = upgrade else { return Err(refuse(HttpRefusal::BadAnswer)) };
        return tunnel::open(front, upgrade, response, permit, &outside, instance.id).map_err(refuse);
    }
    let (mut parts, incoming) = response.into_parts();
    outside.apply(&mut parts).map_err(refuse)?;
    if uploading {
        // The request is still going out while the answer comes in: both must be able to go on
        // when the client reads nothing for a while.
        lease.detach();
    }
    Ok(deliver(front, Response::from_parts(parts, incoming), lease, permit).await)
}

/// Refuses a light user (R46); in shadow mode it is counted and passes.
fn keep_out(instance: &Instance) -> Result<(), HttpRefusal> {
    if instance.shadow {
        instance.stats.shadow_refused.inc();
        return Ok(());
    }
    Err(HttpRefusal::LightUser)
}

/// The body of a sign-in; none where there is none, or it is too long or too slow to be one.
async fn read_sign_in(upload: &mut Upload, parts: &mut Parts) -> Option<Zeroizing<Vec<u8>>> {
    if upload.size_hint().lower() > asker::MOST_BODY as u64 {
        return None;
    }
    let body = upload.peek(asker::MOST_BODY, SIGN_IN).await;
    // What was expected has been said: the body is here.
    if upload.progress().is_some() {
        parts.headers.remove(header::EXPECT);
    }
    body
}

/// The body to send on, if its announced length is allowed.
fn upload(front: &Front, instance: &Instance, parts: &Parts, body: Incoming) -> Result<Upload, HttpRefusal> {
    let config = &front.shared.config;
    if body.is_end_stream() {
        return Ok(Upload::none());
    }
    let limit = match instance.limits.http_body_bytes {
        0 => config.body_bytes,
        own => own,
    };
    if body.size_hint().lower() > limit {
        return Err(HttpRefusal::BodyTooLarge);
    }
    debug_assert!(parts.method != Method::CONNECT, "hyper gives CONNECT no body");
    Ok(Upload::new(body, limit, config.body, &instance.stats))
}

fn prefix(parts: &Parts, target: &Target) -> Option<String> {
    (target.prefix > 0).then(|| parts.uri.path().get(..target.prefix).unwrap_or_default().to_owned())
}

/// Hands the answer over to the client's connection.
async fn deliver(front: &Front, response: Response<Incoming>, lease: Lease, permit: Permit) -> Response<Body> {
    let (parts, incoming) = response.into_parts();
    if incoming.is_end_stream() {
        let mut lease = Some(lease);
        std::future::poll_fn(|cx| {
            if let Some(lease) = lease.take() {
                lease.give_back(cx);
            }
            std::task::Poll::Ready(())
        })
        .await;
        return Response::from_parts(parts, Body::empty());
    }
    let pause = Pause::new(front.shared.config.answer_body);
    Response::from_parts(parts, Body::answer(incoming, lease, permit, pause))
}

/// Sends a request, a second time where that can do no harm.
struct Call<'a> {
    front: &'a Front,
    upstream: &'a Arc<Upstream>,
    /// Whether it may become a tunnel; then only a fresh connection will do.
    upgrade: bool,
}

/// A request that was answered.
struct Sent {
    lease: Lease,
    response: Response<Incoming>,
    /// Whether its body is still going out.
    uploading: bool,
}

impl Call<'_> {
    async fn send(&self, mut parts: Parts, mut upload: Upload) -> Result<Sent, HttpRefusal> {
        let config = &self.front.shared.config;
        let progress = upload.progress();
        let word = self.expectation(&mut parts, &mut upload);
        if progress.is_some() && !parts.headers.contains_key(header::CONTENT_LENGTH) {
            // hyper leaves out a body of unknown length where the method mostly has none.
            parts.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let mut lease = self.lease().await.map_err(|error| refusal_of(&error))?;
        let repeatable = lease.is_reused() && progress.is_none() && parts.method.is_idempotent();
        let mut again = repeatable.then(|| parts.clone());
        let mut request = request(parts, upload, word.as_ref());
        let mut first = true;
        loop {
            let mut failed = match lease.send(request, config.answer, progress.as_deref()).await {
                Some(Ok(response)) => {
                    let unwanted = word.is_some_and(|word| word.hold());
                    let upload = progress.filter(|progress| !unwanted && !progress.is_done());
                    return Ok(Sent { lease, response, uploading: upload.is_some() });
                }
                Some(Err(failed)) => failed,
                None => return Err(fault(progress.as_ref()).unwrap_or(HttpRefusal::InstanceTimeout)),
            };
            if let Some(why) = fault(progress.as_ref()) {
                return Err(why);
            }
            // HT09: again only where no byte was sent, or once where it is idempotent and it was a
            // kept connection that let us down.
            request = match (failed.take_message(), again.take()) {
                (Some(message), _) if first => message,
                (None, Some(parts)) if first && lost_connection(failed.error()) => {
                    self::request(parts, Upload::none(), None)
                }
                _ => return Err(bad_answer(failed.error())),
            };
            first = false;
            self.front.shared.stats.retries.inc();
            lease = self.open().await.map_err(|error| refusal_of(&error))?;
        }
    }

    async fn lease(&self) -> Result<Lease, ConnectError> {
        if !self.upgrade
            && let Some(lease) = self.upstream.reuse(self.front.shared.clock).await
        {
            return Ok(lease);
        }
        self.open().await
    }

    async fn open(&self) -> Result<Lease, ConnectError> {
        let shared = &self.front.shared;
        self.upstream.open(shared.clock, shared.config.connect, self.upgrade).await
    }

    /// RFC 9110 §10.1.1: the expectation goes on, and the body waits for the instance's word.
    fn expectation(&self, parts: &mut Parts, upload: &mut Upload) -> Option<Word> {
        let expects = parts.headers.get(header::EXPECT)?.as_bytes().eq_ignore_ascii_case(b"100-continue");
        if !expects {
            return None;
        }
        let word = upload.expect(self.front.shared.config.expect);
        if word.is_none() {
            parts.headers.remove(header::EXPECT);
        }
        word
    }
}

fn request(parts: Parts, upload: Upload, word: Option<&Word>) -> Request<Upload> {
    let mut request = Request::from_parts(parts, upload);
    if let Some(word) = word {
        let word = word.clone();
        hyper::ext::on_informational(&mut request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                word.go_on();
            }
        });
    }
    request
}

/// What the client did wrong while we sent.
fn fault(progress: Option<&Arc<Progress>>) -> Option<HttpRefusal> {
    progress.and_then(|p| p.refusal())
}

/// What a connection that was not made is to the client.
pub(super) fn refusal_of(error: &ConnectError) -> HttpRefusal {
    tracing::debug!(%error, "no connection to an instance");
    match error {
        ConnectError::Slow => HttpRefusal::InstanceTimeout,
        ConnectError::Refused(_) | ConnectError::Http(_) => HttpRefusal::Unreachable,
    }
}

fn bad_answer(error: &hyper::Error) -> HttpRefusal {
    tracing::debug!(%error, "no answer of an instance");
    if error.is_parse() { HttpRefusal::BadAnswer } else { HttpRefusal::Unreachable }
}

/// Whether the connection ended before an answer began.
fn lost_connection(error: &hyper::Error) -> bool {
    !error.is_parse() && !error.is_user()
}

/// HTTP/1.0 knows no upgrade (HT10).
pub(super) fn knows_upgrade(version: Version) -> bool {
    version == Version::HTTP_11
}
