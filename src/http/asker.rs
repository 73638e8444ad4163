//! Who is asking, as far as a request says it (R46): by Basic or bearer authorisation, or by the form or JSON document of
//! a sign-in. It believes what is said and verifies nothing: that is the instance's business, and a name that is not
//! the client's own gets nobody in. Nothing of it is kept or logged.

use super::authority::Authority;
use crate::licence::Roster;
use crate::model::SignIn;
use crate::route::snapshot::Instance;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{self, HeaderMap, HeaderValue};
use serde_json::Value;
use zeroize::Zeroizing;

/// The largest body of a sign-in that is looked at, in bytes.
pub(super) const MOST_BODY: usize = 16 * 1024;
/// The longest token that is looked at.
const MOST_TOKEN: usize = 16 * 1024;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const PLAIN: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Tells the light users of an instance from all others.
pub(super) struct Doorman<'a> {
    roster: &'a Roster,
    sign_in: &'a SignIn,
    name: &'a str,
    host: &'a str,
}

impl<'a> Doorman<'a> {
    /// None where there is nobody to keep out.
    pub(super) fn of(instance: &'a Instance, authority: Option<&'a Authority>) -> Option<Self> {
        let roster = instance.roster.as_deref().filter(|roster| roster.has_light())?;
        let sign_in = &instance.web.as_ref()?.sign_in;
        Some(Self { roster, sign_in, name: &instance.name, host: authority.map_or("", Authority::host) })
    }

    /// Whether a request is authorised as a light user.
    pub(super) fn knows_authorization(&self, headers: &HeaderMap) -> bool {
        headers.get_all(header::AUTHORIZATION).iter().any(|value| {
            let Some((scheme, rest)) = split_scheme(value.as_bytes()) else { return false };
            let name = match scheme {
                scheme if scheme.eq_ignore_ascii_case(b"basic") => basic(rest),
                scheme if scheme.eq_ignore_ascii_case(b"bearer") => self.bearer(rest),
                _ => None,
            };
            name.is_some_and(|name| self.knows(&name))
        })
    }

    /// Whether a path is one that sign-ins are sent to.
    pub(super) fn watches(&self, path: &str) -> bool {
        if self.sign_in.paths.is_empty() {
            return false;
        }
        let path = plain_path(path);
        self.sign_in.paths.iter().map(|wanted| wanted.to_lowercase()).any(|wanted| match wanted.strip_suffix('*') {
            Some(begin) => path.starts_with(begin) || path == begin.trim_end_matches('/'),
            None => path == wanted.trim_end_matches('/'),
        })
    }

    /// Whether the query of a sign-in names a light user.
    pub(super) fn knows_query(&self, query: Option<&str>) -> bool {
        query.is_some_and(|query| self.knows_form(query.as_bytes()))
    }

    /// Whether the body of a sign-in names a light user.
    pub(super) fn knows_body(&self, kind: Option<&HeaderValue>, body: &[u8]) -> bool {
        if let Some(boundary) = kind.and_then(boundary) {
            return self.knows_parts(&boundary, body);
        }
        // Whatever its type is said to be: an instance that reads it reads it by what it is.
        match body.trim_ascii_start().first() {
            Some(b'{') => serde_json::from_slice(body).is_ok_and(|document| self.knows_json(&document)),
            _ => self.knows_form(body),
        }
    }

    fn knows_json(&self, document: &Value) -> bool {
        named(document, &self.sign_in.field).is_some_and(|name| self.knows(&name))
    }

    fn knows_form(&self, form: &[u8]) -> bool {
        let mut pairs = form.split(|byte| *byte == b'&').map(|pair| {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
        });
        pairs.any(|(field, value)| form_text(field) == self.sign_in.field && self.knows(&form_text(value)))
    }

    fn knows_parts(&self, boundary: &str, body: &[u8]) -> bool {
        let limit = format!("--{boundary}");
        let field = format!("name=\"{}\"", self.sign_in.field).to_ascii_lowercase();
        let mut from = 0;
        let mut ends = memchr::memmem::find_iter(body, limit.as_bytes()).chain([body.len()]);
        ends.any(|end| {
            let part = body.get(from..end).unwrap_or_default();
            from = end + limit.len();
            let Some(head) = memchr::memmem::find(part, b"\r\n\r\n") else { return false };
            let (head, value) = part.split_at(head);
            let head = text(head).to_ascii_lowercase();
            let disposition = head.lines().find(|line| line.starts_with("content-disposition:"));
            let ours = disposition.is_some_and(|line| line.split(';').any(|param| param.trim() == field));
            ours && self.knows(text(value).trim())
        })
    }

    fn bearer(&self, token: &[u8]) -> Option<String> {
        if self.sign_in.claim.is_empty() || token.len() > MOST_TOKEN {
            return None;
        }
        let mut parts = token.split(|byte| *byte == b'.');
        let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
        let payload = Zeroizing::new(URL_SAFE.decode(payload).ok()?);
        named(&serde_json::from_slice(&payload).ok()?, &self.sign_in.claim)
    }

    /// Whether a name is a light user's: with `@` and the instance behind it, or without.
    fn knows(&self, name: &str) -> bool {
        let name = name.trim();
        if self.roster.is_light(name) {
            return true;
        }
        let Some((user, domain)) = name.rsplit_once('@') else { return false };
        let label = domain.split('.').next().unwrap_or_default();
        (label.eq_ignore_ascii_case(self.name) || domain.eq_ignore_ascii_case(self.host)) && self.roster.is_light(user)
    }
}

/// The scheme and the rest of an Authorization header field.
fn split_scheme(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let value = value.trim_ascii();
    let blank = value.iter().position(u8::is_ascii_whitespace)?;
    let (scheme, rest) = value.split_at(blank);
    Some((scheme, rest.trim_ascii()))
}

/// The user of Basic credentials (RFC 7617), in UTF-8 or else Latin-1.
fn basic(credentials: &[u8]) -> Option<String> {
    let decoded = Zeroizing::new(PLAIN.decode(credentials).or_else(|_| URL_SAFE.decode(credentials)).ok()?);
    let user = decoded.split(|byte| *byte == b':').next()?;
    Some(text(user))
}

/// A text in JSON: at this name, or at these names one inside of the other.
fn named(document: &Value, name: &str) -> Option<String> {
    let found = document.get(name).or_else(|| name.split('.').try_fold(document, |inner, step| inner.get(step)))?;
    match found {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A form's field or value without its escapes.
fn form_text(escaped: &[u8]) -> String {
    let spaced: Vec<u8> = escaped.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    text(&percent_encoding::percent_decode(&spaced).collect::<Vec<u8>>())
}

/// UTF-8, or else Latin-1, in which every byte is a character.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// The boundary of a multipart form.
fn boundary(kind: &HeaderValue) -> Option<String> {
    let kind = kind.to_str().ok()?;
    let mut params = kind.split(';').map(str::trim);
    if !params.next()?.eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let named = |param: &str| {
        let (name, value) = param.split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then(|| value.trim_matches('"').to_owned())
    };
    params.find_map(named).filter(|boundary| !boundary.is_empty())
}

/// A path as most servers read it: without case, escapes, double slashes, dots, matrix parameters and a slash at its
/// end.
fn plain_path(path: &str) -> String {
    let decoded = text(&percent_encoding::percent_decode_str(path).collect::<Vec<u8>>()).to_lowercase();
    let mut plain = String::with_capacity(decoded.len());
    let mut kept: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => _ = kept.pop(),
            name => kept.push(name),
        }
    }
    for segment in kept {
        plain.push('/');
        plain.push_str(segment);
    }
    plain
}

#[cfg(test)]
mod tests;
