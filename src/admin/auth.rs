//! Who is asking: the bearer token of a request (RFC 6750), and the name it has in the audit.

use super::Api;
use super::problem::{Code, Problem};
use crate::control::change;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Where the request came from; put into its extensions by the server.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Who signed in, as the audit names it.
#[derive(Clone, Debug)]
pub struct Actor(pub Arc<str>);

impl From<Actor> for change::Actor {
    fn from(actor: Actor) -> Self {
        Self(actor.0.to_string())
    }
}

/// The actor of the token made at the first start.
pub const ADMIN: &str = "admin-token";

/// Lets a request with the right token pass, and notes who it is.
pub async fn layer(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    api.stats.requests.inc();
    let token = bearer(&request);
    if token.is_some_and(|token| api.token.admits(token)) {
        request.extensions_mut().insert(Actor(Arc::from(ADMIN)));
        return next.run(request).await;
    }
    let source =
        request.extensions().get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(address)| address.ip());
    match api.sign_ins.fail(source, api.clock.now().tick) {
        Err(seconds) => Problem::new(
            Code::TooManyFailures,
            format!("too many requests without the right token came from {source}; wait {seconds} seconds"),
        )
        .with_retry_after(seconds),
        Ok(()) if token.is_none() => Problem::new(
            Code::Unauthorized,
            "this needs a token: send the text of the file admin-token in the data directory as Authorization: Bearer …",
        ),
        Ok(()) => Problem::new(
            Code::Unauthorized,
            "the token is not the one of this node; it is in the file admin-token in the node's data directory",
        ),
    }
    .into_response()
}

fn bearer(request: &Request) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
