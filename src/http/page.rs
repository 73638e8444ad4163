//! Answers of our own: a page for people, a problem document (RFC 9457) for programs.
//!
//! Pages carry everything they need and say nothing about other instances. What they say is in
//! `wording`.

use super::body::Body;
use super::wording::{self, Text};
use crate::model::{Language, State};
use crate::stats::HttpRefusal;
use askama::Template;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;

/// What there is to say.
#[derive(Clone, Copy, Debug)]
pub(super) enum Page<'a> {
    /// A refusal; of which instance, where that is no secret.
    Refusal {
        /// Why.
        why: HttpRefusal,
        /// The instance's name as people know it.
        name: Option<&'a str>,
        /// Its state, where that is the reason.
        state: Option<State>,
        /// Its language.
        language: Option<Language>,
    },
    /// The bare proxy.
    Landing,
}

/// What a client likes to read; kept from its request.
#[derive(Clone, Default, Debug)]
pub(super) struct Taste {
    accept: Option<HeaderValue>,
    language: Option<HeaderValue>,
}

impl Taste {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let copy = |name: HeaderName| headers.get(name).cloned();
        Self { accept: copy(header::ACCEPT), language: copy(header::ACCEPT_LANGUAGE) }
    }

    /// The same of a head as it came.
    pub(super) fn read(head: &[u8]) -> Self {
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut parsed = httparse::Request::new(&mut fields);
        // What could be read counts.
        let _ = parsed.parse(head);
        let mut headers = HeaderMap::new();
        for field in parsed.headers.iter() {
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(field.name.as_bytes()), HeaderValue::from_bytes(field.value))
            {
                headers.append(name, value);
            }
        }
        Self::of(&headers)
    }

    /// The best of ours among the client's languages.
    fn language(&self) -> Option<Language> {
        let ranges = ranges(self.language.as_ref());
        let ours = ranges.filter_map(|(range, quality)| {
            let primary = range.split('-').next().unwrap_or(range);
            let language = match primary {
                p if p.eq_ignore_ascii_case("de") => Language::De,
                p if p.eq_ignore_ascii_case("en") => Language::En,
                _ => return None,
            };
            (quality > 0).then_some((language, quality))
        });
        // The first of equals wins.
        ours.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(language, _)| language)
    }

    /// Whether the client prefers JSON to a page.
    fn wants_json(&self) -> bool {
        let (mut json, mut html) = (0, 0);
        for (range, quality) in ranges(self.accept.as_ref()) {
            let range = range.to_ascii_lowercase();
            if range == "application/json" || range.ends_with("+json") {
                json = json.max(quality);
            } else if range == "text/html" || range == "application/xhtml+xml" || range == "text/*" {
                html = html.max(quality);
            }
        }
        json > html
    }
}

/// The members of a list with their weights in thousandths (RFC 9110 §12.4.2).
fn ranges(value: Option<&HeaderValue>) -> impl Iterator<Item = (&str, u16)> {
    let text = value.and_then(|v| v.to_str().ok()).unwrap_or_default();
    text.split(',').map(|member| {
        let mut parts = member.split(';').map(str::trim);
        let range = parts.next().unwrap_or_default();
        let weight = parts.find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")));
        (range, weight.map_or(1000, thousandths))
    })
}

fn thousandths(weight: &str) -> u16 {
    if weight.starts_with('1') {
        return 1000;
    }
    let digits = weight.strip_prefix("0.").unwrap_or_default().bytes().chain([b'0'; 3]).take(3);
    digits.fold(0, |sum, d| if d.is_ascii_digit() { sum * 10 + u16::from(d - b'0') } else { sum * 10 })
}

#[derive(Template)]
#[template(path = "http/page.html")]
struct Html<'a> {
    text: Text,
    name: Option<&'a str>,
    status: u16,
    code: &'static str,
    reload: Option<u32>,
}

/// RFC 9457, with our stable `code`.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'static str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_name: Option<&'a str>,
}

/// The status of a refusal.
pub(super) const fn status(why: HttpRefusal) -> StatusCode {
    use HttpRefusal as Why;
    match why {
        Why::BadRequest | Why::Malformed => StatusCode::BAD_REQUEST,
        Why::RestOnly | Why::LightUser | Why::Origin | Why::Banned => StatusCode::FORBIDDEN,
        Why::UnknownName | Why::WebOff => StatusCode::NOT_FOUND,
        Why::Method => StatusCode::METHOD_NOT_ALLOWED,
        Why::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        Why::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Why::TargetTooLong => StatusCode::URI_TOO_LONG,
        Why::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        Why::FieldsTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Why::Protocol => StatusCode::NOT_IMPLEMENTED,
        Why::Unreachable | Why::BadAnswer => StatusCode::BAD_GATEWAY,
        Why::InstanceOff | Why::InstanceFailed | Why::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        Why::InstanceTimeout => StatusCode::GATEWAY_TIMEOUT,
        Why::Loop => StatusCode::LOOP_DETECTED,
        Why::Upgrade => StatusCode::UPGRADE_REQUIRED,
    }
}

/// Seconds after which it is worth coming back.
const fn retry_after(why: HttpRefusal, state: Option<State>) -> Option<u32> {
    match (why, state) {
        (HttpRefusal::Overloaded, _) => Some(5),
        (HttpRefusal::InstanceOff, Some(State::Starting)) => Some(10),
        (HttpRefusal::InstanceOff | HttpRefusal::InstanceFailed, _) => Some(60),
        _ => None,
    }
}

/// Makes the answer. For HEAD, hyper leaves out the body and keeps its length.
pub(super) fn answer(page: Page<'_>, taste: &Taste) -> Response<Body> {
    let (why, name, state, language) = match page {
        Page::Refusal { why, name, state, language } => (Some(why), name, state, language),
        Page::Landing => (None, None, None, None),
    };
    let language = taste.language().or(language).unwrap_or_default();
    let status = why.map_or(StatusCode::OK, status);
    let text = wording::text(why, state, language);
    let code = why.map_or("", HttpRefusal::label);
    let (kind, content) = if why.is_some() && taste.wants_json() {
        let problem = Problem {
            r#type: "about:blank",
            title: text.title,
            status: status.as_u16(),
            detail: text.lead,
            code,
            instance_name: name,
        };
        (HeaderValue::from_static("application/problem+json"), serde_json::to_vec(&problem).unwrap_or_default())
    } else {
        let reload = if state == Some(State::Starting) { Some(10) } else { None };
        let html = Html { text, name, status: status.as_u16(), code, reload };
        (HeaderValue::from_static("text/html; charset=utf-8"), html.render().unwrap_or_default().into_bytes())
    };
    let mut response = Response::new(Body::full(Bytes::from(content)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(text.language));
    headers.insert(header::VARY, HeaderValue::from_static("accept, accept-language"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    );
    if let Some(seconds) = why.and_then(|why| retry_after(why, state)) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if why == Some(HttpRefusal::Method) {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn taste(accept: &str, language: &str) -> Taste {
        let value = |text: &str| (!text.is_empty()).then(|| HeaderValue::from_str(text).unwrap());
        Taste { accept: value(accept), language: value(language) }
    }

    fn refusal(why: HttpRefusal) -> Page<'static> {
        Page::Refusal { why, name: None, state: None, language: None }
    }

    async fn read(page: Page<'_>, taste: &Taste) -> (Response<()>, String) {
        let (parts, body) = answer(page, taste).into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (Response::from_parts(parts, ()), String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn the_first_choice_among_our_languages_counts() {
        for (header, language) in [
            ("de", Some(Language::De)),
            ("de-AT,en;q=0.8", Some(Language::De)),
            ("fr,en;q=0.5,de;q=0.7", Some(Language::De)),
            ("en-GB, de", Some(Language::En)),
            ("de;q=0,en;q=0.1", Some(Language::En)),
            ("fr", None),
            ("", None),
        ] {
            assert_eq!(taste("", header).language(), language, "{header}");
        }
    }

    #[test]
    fn json_is_for_those_who_ask() {
        for (accept, json) in [
            ("application/json", true),
            ("application/problem+json, text/html;q=0.5", true),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false),
            ("text/html;q=0.9, application/json;q=0.8", false),
            ("*/*", false),
            ("", false),
        ] {
            assert_eq!(taste(accept, "").wants_json(), json, "{accept}");
        }
    }

    #[tokio::test]
    async fn an_instance_that_is_off_answers_in_its_language() {
        // HT18 R34
        let page = |state| Page::Refusal {
            why: HttpRefusal::InstanceOff,
            name: Some("Müller <& Söhne>"),
            state: Some(state),
            language: Some(Language::De),
        };
        let (head, body) = read(page(State::Off), &taste("", "")).await;
        assert_eq!(
            (head.status(), &head.headers()["retry-after"]),
            (StatusCode::SERVICE_UNAVAILABLE, &HeaderValue::from(60))
        );
        assert!(body.contains("lang=\"de\"") && body.contains("Wartung"), "{body}");
        assert!(body.contains("Müller &#60;&#38; Söhne&#62;"), "names are escaped: {body}");
        assert!(!body.contains("http-equiv=\"refresh\""));
        let (_, starting) = read(page(State::Starting), &taste("", "en")).await;
        assert!(starting.contains("lang=\"en\"") && starting.contains("http-equiv=\"refresh\""));
        let (head, body) = read(page(State::Off), &taste("application/json", "en")).await;
        assert_eq!(head.headers()["content-type"], "application/problem+json");
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&problem["status"], &problem["code"]), (&503.into(), &"instance-off".into()));
    }

    #[tokio::test]
    async fn every_refusal_has_words_in_both_languages() {
        for why in HttpRefusal::ALL {
            let mut seen = Vec::new();
            for language in ["en", "de"] {
                let (head, body) = read(refusal(why), &taste("", language)).await;
                assert!(head.status().is_client_error() || head.status().is_server_error());
                assert!(body.contains(why.label()));
                for outside in ["http://", "https://", "src=", "@import", "url("] {
                    assert!(!body.contains(outside), "a page needs nothing from outside: {outside}");
                }
                seen.push(body);
            }
            assert_ne!(seen[0], seen[1], "{}", why.label());
        }
    }
}
