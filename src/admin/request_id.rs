//! `X-Request-Id`: the caller's, if it is harmless in a log, else one of ours; echoed in the answer.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

/// The header.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
const MAX_LEN: usize = 64;

/// Gives the request an id, repeats it in the answer, and logs both under it.
pub async fn layer(request: Request, next: Next) -> Response {
    let id = match request.headers().get(HEADER) {
        Some(value) if is_harmless(value.as_bytes()) => value.clone(),
        _ => ours(),
    };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    let shown = id.to_str().unwrap_or_default();
    if method.is_safe() {
        tracing::debug!(request = shown, %method, path, status, "API");
    } else {
        tracing::info!(request = shown, %method, path, status, "API");
    }
    response.headers_mut().insert(HEADER, id);
    response
}

fn is_harmless(id: &[u8]) -> bool {
    (1..=MAX_LEN).contains(&id.len()) && id.iter().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(b))
}

fn ours() -> HeaderValue {
    let text = format!("{:016x}", fastrand::u64(..));
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_short_word_is_taken_over() {
        assert!(is_harmless(b"abc-1_2.3"));
        assert!(is_harmless(&[b'a'; MAX_LEN]));
        assert!(!is_harmless(&[b'a'; MAX_LEN + 1]));
        for bad in [&b""[..], b"a b", b"a\tb", b"\xc3\xa9", b"a;b", b"a\"b"] {
            assert!(!is_harmless(bad), "{bad:?}");
        }
        assert!(is_harmless(ours().as_bytes()));
    }
}
