//! What the guard is asked about a request, and what it is told of how it was answered.
//!
//! Behind a balancer whose forwarding fields are believed, every request seems to come from the balancer: nothing is
//! counted or banned there. With the PROXY protocol instead, sources are known.

use super::front::Front;
use crate::guard::{Kind, Report};
use crate::route::snapshot::Instance;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header;
use http::request::Parts;
use http::{Method, StatusCode};
use std::hash::BuildHasher;
use std::net::IpAddr;

/// The credentials a request offers, as far as they are told apart.
pub(super) struct Offer {
    source: IpAddr,
    account: Vec<u8>,
    user_agent: Vec<u8>,
    method: Method,
    /// Whether it was sent to where people sign in.
    is_sign_in: bool,
    /// Whether there are credentials at all.
    is_empty: bool,
}

impl Offer {
    /// Reads them off a request; `is_sign_in` tells that it went to where people sign in.
    pub(super) fn of(front: &Front, parts: &Parts, is_sign_in: bool) -> Self {
        let value = |name| parts.headers.get(name).map(http::HeaderValue::as_bytes);
        let (offered, user_agent) = (value(header::AUTHORIZATION), value(header::USER_AGENT));
        Self::read(front.peer, offered, user_agent, parts.method.clone(), is_sign_in)
    }

    /// The same of the values of Authorization and User-Agent.
    pub(super) fn read(
        source: IpAddr,
        offered: Option<&[u8]>,
        user_agent: Option<&[u8]>,
        method: Method,
        is_sign_in: bool,
    ) -> Self {
        let offered = offered.map(<[u8]>::trim_ascii);
        let account = match offered {
            Some(value) => name(value),
            None if is_sign_in => b"sign-in".to_vec(),
            None => Vec::new(),
        };
        let user_agent = user_agent.unwrap_or_default();
        Self {
            source,
            account,
            user_agent: user_agent.get(..user_agent.len().min(64)).unwrap_or_default().to_vec(),
            method,
            is_sign_in,
            is_empty: offered.is_none() && !is_sign_in,
        }
    }

    /// Whose they are.
    pub(super) fn account(&self) -> &[u8] {
        &self.account
    }

    /// Whether the request may go to the instance.
    pub(super) fn passes(&self, front: &Front, instance: &Instance) -> bool {
        let (guard, now) = (&front.shared.config.guard, front.shared.clock.now());
        if guard.is_idle() || guard.lets(self.source, true, instance.id, &self.account, &instance.never_ban, now.tick) {
            return true;
        }
        self.note(front, instance, Kind::WhileBanned);
        false
    }

    /// Tells how the instance answered.
    pub(super) fn answered(&self, front: &Front, instance: &Instance, status: StatusCode) {
        if self.is_empty {
            return;
        }
        match status {
            // Who is signed in may be forbidden this or that.
            StatusCode::UNAUTHORIZED => self.note(front, instance, Kind::SignIn),
            StatusCode::FORBIDDEN if self.is_sign_in => self.note(front, instance, Kind::SignIn),
            status if status.is_success() => {
                front.shared.config.guard.signed_in(self.source, instance.id, &self.account);
            }
            _ => {}
        }
    }

    fn note(&self, front: &Front, instance: &Instance, kind: Kind) {
        let report = Report {
            kind,
            source: self.source,
            proven: true,
            fresh: true,
            instance: Some(instance.id),
            account: &self.account,
            user_agent: &self.user_agent,
            method: self.method.as_str().as_bytes(),
        };
        front.shared.config.guard.note(&report, &instance.never_ban, front.shared.clock.now());
    }
}

/// A request was for a name that nobody here has.
pub(super) fn unknown_name(front: &Front, host: &str, method: &Method, user_agent: &[u8]) {
    let report = Report {
        kind: Kind::UnknownName,
        source: front.peer,
        proven: true,
        fresh: true,
        instance: None,
        account: host.as_bytes(),
        user_agent,
        method: method.as_str().as_bytes(),
    };
    front.shared.config.guard.note(&report, &[], front.shared.clock.now());
}

/// What credentials are known by: the user of Basic ones. Of others a number: nobody is to read a token off a list of
/// bans.
fn name(value: &[u8]) -> Vec<u8> {
    let at = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
    let (scheme, rest) = value.split_at(at);
    if scheme.eq_ignore_ascii_case(b"basic")
        && let Ok(pair) = BASE64_STANDARD.decode(rest.trim_ascii())
    {
        let end = pair.iter().position(|byte| *byte == b':').unwrap_or(pair.len());
        return pair.get(..end).unwrap_or_default().to_vec();
    }
    let number = foldhash::quality::FixedState::default().hash_one(value);
    format!("token {:08x}", number >> 32).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_known_by_their_user_and_never_by_their_secret() {
        assert_eq!(name(b"Basic YW5uOnNlY3JldA=="), b"ann");
        assert_eq!(name(b"basic  YW5uOnNlY3JldA=="), b"ann");
        let token = String::from_utf8(name(b"Bearer abc.def.ghi")).unwrap();
        assert!(token.starts_with("token ") && !token.contains("abc"));
        assert_ne!(name(b"Bearer 1"), name(b"Bearer 2"));
        assert!(String::from_utf8(name(b"Basic !!")).unwrap().starts_with("token "));
    }
}
