//! What the API says when it refuses: a problem document (RFC 9457) with a stable `code`.
//!
//! The text is for people and may change; `code` and the codes in `errors` are for programs and
//! stay. Handlers return [`Problem`] as their error; nothing else makes a refusal.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// The media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was refused, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// A parameter of the address is missing or cannot be read.
    BadParameter,
    /// The body is not JSON, or not of the expected shape.
    BadBody,
    /// The body is of a media type that this route does not read.
    UnsupportedMediaType,
    /// The body is larger than the API reads.
    BodyTooLarge,
    /// No token, or not the right one.
    Unauthorized,
    /// Too many failed sign-ins from this address.
    TooManyFailures,
    /// No such route.
    UnknownRoute,
    /// The route exists, but not with this method.
    MethodNotAllowed,
    /// No row of that name.
    NotFound,
    /// It meets another row: a name that is taken, an address in use, a row that others refer to.
    Conflict,
    /// The row was changed by someone else since it was read.
    Stale,
    /// Fields are missing or wrong; `errors` lists all of them.
    Invalid,
    /// The store cannot be written or read at the moment.
    StoreUnavailable,
    /// A fault of the program.
    Internal,
}

impl Code {
    /// Every code, in the order of the enum.
    pub const ALL: [Self; 14] = [
        Self::BadParameter,
        Self::BadBody,
        Self::UnsupportedMediaType,
        Self::BodyTooLarge,
        Self::Unauthorized,
        Self::TooManyFailures,
        Self::UnknownRoute,
        Self::MethodNotAllowed,
        Self::NotFound,
        Self::Conflict,
        Self::Stale,
        Self::Invalid,
        Self::StoreUnavailable,
        Self::Internal,
    ];

    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadParameter => "bad-parameter",
            Self::BadBody => "bad-body",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::BodyTooLarge => "body-too-large",
            Self::Unauthorized => "unauthorized",
            Self::TooManyFailures => "too-many-failures",
            Self::UnknownRoute => "unknown-route",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Stale => "stale",
            Self::Invalid => "invalid",
            Self::StoreUnavailable => "store-unavailable",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status it is sent with.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadParameter | Self::BadBody => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::UnknownRoute | Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Stale => StatusCode::PRECONDITION_FAILED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooManyFailures => StatusCode::TOO_MANY_REQUESTS,
            Self::StoreUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::BadParameter => "A parameter cannot be read",
            Self::BadBody => "The body cannot be read",
            Self::UnsupportedMediaType => "Unsupported media type",
            Self::BodyTooLarge => "The body is too large",
            Self::Unauthorized => "Sign in with a token",
            Self::TooManyFailures => "Too many failed sign-ins",
            Self::UnknownRoute => "No such route",
            Self::MethodNotAllowed => "Method not allowed",
            Self::NotFound => "Not found",
            Self::Conflict => "In conflict with another row",
            Self::Stale => "Changed by someone else",
            Self::Invalid => "Not valid",
            Self::StoreUnavailable => "The store is not available",
            Self::Internal => "Internal fault",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// Kind and name of the row, as in `instance/acme`; empty where the request is about one row.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub row: String,
    /// Path of the field, as in `backends[0].address`.
    pub field: String,
    /// What is wrong with it and what would be right, for people.
    pub reason: String,
    /// The same for programs.
    pub code: String,
    /// The line of the CSV it is on; `field` is the column then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What the CSV says there, or its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// A refusal (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Identifies the kind of problem: `urn:nantucket:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short summary of the kind.
    pub title: String,
    /// The HTTP status, again.
    pub status: u16,
    /// What happened here, whose fault it is and what to do.
    pub detail: String,
    /// The kind, for programs.
    pub code: Code,
    /// Every field that is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// Seconds after which a new try makes sense; also sent as `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl Problem {
    /// A refusal with its explanation.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:nantucket:problem:{code}"),
            title: code.title().into(),
            status: code.status().as_u16(),
            detail: detail.into(),
            code,
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// The same, naming fields.
    pub fn with_errors(mut self, errors: Vec<FieldProblem>) -> Self {
        self.errors = errors;
        self
    }

    /// The same, naming one field.
    pub fn with_error(mut self, field: impl Into<String>, reason: impl Into<String>, code: &str) -> Self {
        self.errors.push(FieldProblem {
            row: String::new(),
            field: field.into(),
            reason: reason.into(),
            code: code.into(),
            line: None,
            value: None,
        });
        self
    }

    /// The same, naming when to try again.
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.code.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if self.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"nantucket\""));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_the_same_word_everywhere() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
            assert!(Problem::new(code, "").kind.ends_with(code.name()));
        }
        assert_eq!(Code::ALL.len(), Code::Internal as usize + 1);
    }

    #[test]
    fn a_problem_travels_whole() {
        let sent = Problem::new(Code::Invalid, "two fields")
            .with_error("name", "empty", "empty")
            .with_error("backends[0].address", "no port", "address")
            .with_retry_after(3);
        let response = sent.clone().into_response();
        assert_eq!(response.status(), 422);
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "3");
        let text = serde_json::to_string(&sent).unwrap();
        assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), sent);
    }

    #[test]
    fn only_a_missing_token_asks_for_one() {
        assert!(Problem::new(Code::Unauthorized, "").into_response().headers().contains_key(header::WWW_AUTHENTICATE));
        assert!(!Problem::new(Code::NotFound, "").into_response().headers().contains_key(header::WWW_AUTHENTICATE));
    }
}
