//! A PBX's accounts: who they are, where they are, and whether a request is theirs.
//!
//! Digest with one challenge per hash (RFC 8760), bindings with Path (RFC 3327). As strict as the
//! strictest PBX in the field: a Path without `path` in the first Supported is refused with 420.
//! Called by `pbx`; sends nothing.

use super::digest::{Algorithm, Challenge, Credentials};
use super::message::{Field, Request, Response};
use super::recent::Recent;
use super::text::{self, Address, Uri};
use crate::clock::{Clock, Tick};
use std::collections::HashMap;

/// Nonces that are good at a time.
const NONCES: usize = 256;
/// Contacts an account may bind.
const MAX_CONTACTS: usize = 8;
/// Seconds granted when none are asked for.
const DEFAULT_EXPIRES: u32 = 300;
/// Most seconds granted.
const MAX_EXPIRES: u32 = 3600;

/// One registered contact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// Where it is.
    pub uri: String,
    /// The way to it.
    pub path: Vec<String>,
    until: Tick,
}

/// Who sent a request, as far as can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Identity {
    /// The account it claims.
    Proven,
    /// Not yet: challenge it.
    Unknown,
    /// As [`Self::Unknown`], but only the nonce was too old.
    Stale,
}

/// The accounts.
pub struct Registrar {
    realm: String,
    passwords: HashMap<String, String>,
    algorithms: Vec<Algorithm>,
    bindings: HashMap<String, Vec<Binding>>,
    nonces: Recent<String, ()>,
    clock: Clock,
}

impl Registrar {
    /// Accounts by user, with their passwords; challenges go out in the order of `algorithms`.
    pub fn new(realm: &str, passwords: HashMap<String, String>, algorithms: Vec<Algorithm>) -> Self {
        Self {
            realm: realm.to_owned(),
            passwords,
            algorithms,
            bindings: HashMap::new(),
            nonces: Recent::new(NONCES),
            clock: Clock::start(),
        }
    }

    /// Whether there is such an account.
    pub fn knows(&self, user: &str) -> bool {
        self.passwords.contains_key(user)
    }

    /// The newest binding of an account that has not expired.
    pub fn find(&self, user: &str) -> Option<&Binding> {
        let now = self.clock.now().tick;
        self.bindings.get(user)?.iter().rev().find(|binding| binding.until > now)
    }

    /// How many bindings have not expired.
    pub fn count(&self) -> usize {
        let now = self.clock.now().tick;
        self.bindings.values().flatten().filter(|binding| binding.until > now).count()
    }

    /// Checks the credentials in `field` for the account `user`.
    pub fn identify(&self, request: &Request, field: Field, user: &str) -> Identity {
        let Some(credentials) = request.fields.rows(field).find_map(Credentials::read) else {
            return Identity::Unknown;
        };
        let Some(password) = self.passwords.get(user) else { return Identity::Unknown };
        let meant = credentials.username == user && credentials.realm == self.realm && credentials.uri == request.uri;
        if !meant || !credentials.verify(password, &request.method.to_string()) {
            return Identity::Unknown;
        }
        if self.nonces.find(&credentials.nonce).is_some() { Identity::Proven } else { Identity::Stale }
    }

    /// Adds a challenge for each hash, with a new nonce.
    pub fn challenge(&mut self, mut response: Response, field: Field, nonce: String, stale: bool) -> Response {
        for algorithm in &self.algorithms {
            let challenge = Challenge {
                realm: self.realm.clone(),
                nonce: nonce.clone(),
                opaque: None,
                algorithm: *algorithm,
                qop: true,
                stale,
            };
            response.fields.push(field, challenge.to_string());
        }
        self.nonces.insert(nonce, ());
        response
    }

    /// Carries out a REGISTER whose sender is known; `tag` goes into the answer.
    pub fn register(&mut self, request: &Request, user: &str, tag: &str) -> Response {
        let path: Vec<String> = request.fields.list(Field::PATH).map(str::to_owned).collect();
        let supported = request.fields.first(Field::Supported).unwrap_or_default();
        if !path.is_empty() && !supported.split(',').any(|option| option.trim() == "path") {
            return request.reply(420, tag).with(Field::Other("Unsupported"), "path");
        }
        let now = self.clock.now().tick;
        let default = request.fields.first(Field::Expires).and_then(|value| value.trim().parse().ok());
        let bindings = self.bindings.entry(user.to_owned()).or_default();
        bindings.retain(|binding| binding.until > now);
        for contact in request.fields.list(Field::Contact) {
            if contact == "*" {
                bindings.clear();
                continue;
            }
            let address = Address::read(contact);
            let asked = text::param(address.parameters, "expires").and_then(|value| value.parse().ok()).or(default);
            let seconds = asked.unwrap_or(DEFAULT_EXPIRES).min(MAX_EXPIRES);
            bindings.retain(|binding| binding.uri != address.uri);
            if seconds == 0 {
                continue;
            }
            if bindings.len() >= MAX_CONTACTS {
                return request.reply(403, tag);
            }
            let until = now.after(u64::from(seconds) * 1000);
            bindings.push(Binding { uri: address.uri.to_owned(), path: path.clone(), until });
        }
        let mut response = request.reply(200, tag);
        for binding in bindings.iter() {
            let seconds = binding.until.since(now) / 1000;
            response.fields.push(Field::Contact, format!("<{}>;expires={seconds}", binding.uri));
        }
        for value in &path {
            response.fields.push(Field::PATH, value);
        }
        response.with(Field::Supported, "path")
    }
}

/// The user part of the address in From or To.
pub fn user_in(request: &Request, field: Field) -> String {
    let value = request.fields.first(field).unwrap_or_default();
    Uri::read(Address::read(value).uri).map_or("", |uri| uri.user).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::digest::Claim;
    use super::super::message::Method;
    use super::*;

    fn registrar() -> Registrar {
        let passwords = [("alice".to_owned(), "secret".to_owned())].into();
        Registrar::new("harbor", passwords, vec![Algorithm::Sha256, Algorithm::Md5])
    }

    fn register(contact: &str) -> Request {
        let mut request = Request::new(Method::Register, "sip:harbor");
        request.fields.push(Field::From, "<sip:alice@harbor>;tag=1");
        request.fields.push(Field::To, "<sip:alice@harbor>");
        request.fields.push(Field::Contact, contact);
        request
    }

    fn contacts(response: &Response) -> Vec<&str> {
        response.fields.list(Field::Contact).collect()
    }

    #[test]
    fn every_hash_is_challenged_in_order_and_accepted() {
        // T10
        let mut registrar = registrar();
        let request = register("<sip:alice@1.2.3.4>");
        let refusal = registrar.challenge(request.reply(401, "t"), Field::WwwAuthenticate, "n".into(), false);
        let challenges: Vec<_> = refusal.fields.rows(Field::WwwAuthenticate).filter_map(Challenge::read).collect();
        let hashes: Vec<_> = challenges.iter().map(|challenge| challenge.algorithm).collect();
        assert_eq!(hashes, [Algorithm::Sha256, Algorithm::Md5]);
        for challenge in &challenges {
            for (password, identity) in [("secret", Identity::Proven), ("wrong", Identity::Unknown)] {
                let claim = Claim { username: "alice", password, method: "REGISTER", uri: "sip:harbor", cnonce: "c" };
                let mut again = request.clone();
                again.fields.push(Field::Authorization, Credentials::answer(challenge, &claim).to_string());
                assert_eq!(registrar.identify(&again, Field::Authorization, "alice"), identity);
                assert_eq!(registrar.identify(&again, Field::Authorization, "bob"), Identity::Unknown);
            }
        }
    }

    #[test]
    fn a_nonce_of_another_registrar_is_stale() {
        let mut other = registrar();
        let request = register("<sip:alice@1.2.3.4>");
        let refusal = other.challenge(request.reply(401, "t"), Field::WwwAuthenticate, "n".into(), false);
        let challenge = Challenge::read(refusal.fields.first(Field::WwwAuthenticate).unwrap()).unwrap();
        let claim = Claim { username: "alice", password: "secret", method: "REGISTER", uri: "sip:harbor", cnonce: "c" };
        let mut again = request;
        again.fields.push(Field::Authorization, Credentials::answer(&challenge, &claim).to_string());
        assert_eq!(registrar().identify(&again, Field::Authorization, "alice"), Identity::Stale);
    }

    #[test]
    fn a_path_is_kept_and_given_back_but_only_when_supported() {
        // P01 P02
        let mut registrar = registrar();
        let mut request = register("<sip:alice@1.2.3.4>");
        request.fields.push(Field::PATH, "<sip:token@10.0.0.1;lr>");
        request.fields.push(Field::Supported, "replaces");
        assert_eq!(registrar.register(&request, "alice", "t").status, 420);
        request.fields.set(Field::Supported, "replaces, path");
        let granted = registrar.register(&request, "alice", "t");
        assert_eq!(granted.fields.first(Field::PATH), Some("<sip:token@10.0.0.1;lr>"));
        assert_eq!(registrar.find("alice").unwrap().path, ["<sip:token@10.0.0.1;lr>"]);
    }

    #[test]
    fn bindings_are_refreshed_replaced_and_removed() {
        let mut registrar = registrar();
        registrar.register(&register("<sip:alice@1.2.3.4>;expires=60"), "alice", "t");
        let two = registrar.register(&register("<sip:alice@5.6.7.8>"), "alice", "t");
        assert_eq!(contacts(&two), ["<sip:alice@1.2.3.4>;expires=60", "<sip:alice@5.6.7.8>;expires=300"]);
        assert_eq!(registrar.find("alice").unwrap().uri, "sip:alice@5.6.7.8");
        let one = registrar.register(&register("<sip:alice@5.6.7.8>;expires=0"), "alice", "t");
        assert_eq!(contacts(&one).len(), 1);
        assert!(contacts(&registrar.register(&register("*"), "alice", "t")).is_empty());
        assert_eq!((registrar.count(), registrar.find("alice")), (0, None));
    }
}
