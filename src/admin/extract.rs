//! What handlers read from a request, each refusing with a [`Problem`] instead of axum's plain text.

use super::problem::{Code, Problem};
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The largest body the API reads, in bytes.
pub const MAX_BODY: usize = 1 << 20;
/// The same for whole tables: more than 50,000 instances.
pub const MAX_TABLE: usize = 64 << 20;

/// The same for 10,000 users with everything of theirs as long as it may be.
pub const MAX_USERS: usize = 32 << 20;

/// A JSON body. A refusal names the path of the field at fault.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        json(&read(request, state, &["application/json"]).await?).map(Self)
    }
}

/// Rows as JSON or as CSV, which is not looked into yet.
pub enum Rows<T> {
    /// A JSON body.
    Json(T),
    /// A body of `text/csv`.
    Csv(Bytes),
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Rows<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let csv = media_type(request.headers()).as_deref() == Some("text/csv");
        let bytes = read(request, state, &["application/json", "text/csv"]).await?;
        if csv { Ok(Self::Csv(bytes)) } else { json(&bytes).map(Self::Json) }
    }
}

/// The body of a PATCH: a JSON merge patch (RFC 7396), which must be an object here.
pub struct Patch(pub Value);

impl<S: Send + Sync> FromRequest<S> for Patch {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = read(request, state, &["application/merge-patch+json", "application/json"]).await?;
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|e| Problem::new(Code::BadBody, format!("the body is not JSON: {e}")))?;
        if !value.is_object() {
            return Err(Problem::new(
                Code::BadBody,
                "a merge patch is an object with the fields to change; null removes a field",
            ));
        }
        Ok(Self(value))
    }
}

/// The query of the address.
pub struct Ask<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Ask<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Query::from_request_parts(parts, state)
            .await
            .map(|Query(query)| Self(query))
            .map_err(|e| Problem::new(Code::BadParameter, e.body_text()))
    }
}

/// The one `{name}` of the route.
pub struct Named(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(name)| Self(name))
            .map_err(|e| Problem::new(Code::BadParameter, e.body_text()))
    }
}

/// The `{name}` of a route below a row, and that row's.
#[derive(Debug, Deserialize)]
pub struct Owned {
    /// The row.
    #[serde(rename = "name")]
    pub owner: String,
    /// What is below it.
    #[serde(rename = "user")]
    pub name: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Owned {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(owned)| owned)
            .map_err(|e| Problem::new(Code::BadParameter, e.body_text()))
    }
}

/// Turns a row with a patch applied back into its type.
pub fn typed<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|e| bad_field(&e))
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|e| bad_field(&e))?;
    reader.end().map_err(|e| Problem::new(Code::BadBody, format!("after the JSON document: {e}")))?;
    Ok(value)
}

async fn read<S: Send + Sync>(request: Request, state: &S, accepted: &[&str]) -> Result<Bytes, Problem> {
    let media_type = media_type(request.headers());
    if !media_type.as_deref().is_none_or(|it| accepted.contains(&it)) {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            format!("send the body as {} in UTF-8", accepted.join(" or ")),
        ));
    }
    let bytes = Bytes::from_request(request, state).await.map_err(|e| match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(Code::BodyTooLarge, "the body is larger than this route reads; send fewer rows at once")
        }
        _ => Problem::new(Code::BadBody, e.body_text()),
    })?;
    if bytes.is_empty() {
        return Err(Problem::new(Code::BadBody, "the body is empty"));
    }
    Ok(bytes)
}

/// Lower case, without parameters; none if the header is missing.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or_default();
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn bad_field(e: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let path = e.path().to_string();
    let reason = e.inner().to_string();
    if path == "." {
        return Problem::new(Code::BadBody, reason);
    }
    Problem::new(Code::BadBody, format!("{path}: {reason}")).with_error(path, reason, "shape")
}
