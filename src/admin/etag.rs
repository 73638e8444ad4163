//! Entity tags: the revision that wrote a row, as a strong tag (RFC 9110 §8.8.3).

use super::problem::{Code, Problem};
use crate::control::change::Versioned;
use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The revision that `If-Match` asks for: none if the header is missing or `*`.
pub fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    match value.as_bytes() {
        b"*" => Ok(None),
        tag => revision(tag).map(Some).ok_or_else(|| {
            Problem::new(
                Code::Stale,
                "If-Match is not a tag of this API: send the ETag of the row as it was read, or *",
            )
        }),
    }
}

/// Answers a GET: the row with its tag, or 304 if the caller has it already.
pub fn answer<T, V: Serialize>(headers: &HeaderMap, versioned: &Versioned<T>, view: &V) -> Response {
    answer_with(headers, versioned, || Json(view).into_response())
}

/// As [`answer`], in whatever form.
pub fn answer_with<T>(headers: &HeaderMap, versioned: &Versioned<T>, view: impl FnOnce() -> Response) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| {
        value.as_bytes().split(|b| *b == b',').any(|tag| revision(tag.trim_ascii()) == Some(versioned.revision))
    });
    let mut response = if known { StatusCode::NOT_MODIFIED.into_response() } else { view() };
    response.headers_mut().insert(header::ETAG, tag(versioned.revision));
    response
}

/// Answers a change: the row as it is now, with its tag.
pub fn changed<T, V: Serialize>(status: StatusCode, versioned: &Versioned<T>, view: &V) -> Response {
    let mut response = (status, Json(view)).into_response();
    response.headers_mut().insert(header::ETAG, tag(versioned.revision));
    response
}

fn tag(revision: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{revision}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

fn revision(tag: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(tag).ok()?.strip_prefix('"')?.strip_suffix('"')?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_strong_tag_of_ours_is_a_revision() {
        assert_eq!(revision(b"\"17\""), Some(17));
        for bad in ["17", "W/\"17\"", "\"\"", "\"+1\"", "\"a\"", "\"", "\"99999999999999999999\""] {
            assert_eq!(revision(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_tag_that_is_not_ours_never_matches() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, HeaderValue::from_static(value));
            if_match(&headers).map_err(|problem| problem.code)
        };
        assert_eq!(if_match(&HeaderMap::new()).unwrap(), None);
        assert_eq!(with("*"), Ok(None));
        assert_eq!(with("\"3\""), Ok(Some(3)));
        assert_eq!(with("W/\"3\""), Err(Code::Stale));
    }
}
