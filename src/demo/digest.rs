//! Digest authentication (RFC 2617, 7616, 8760): challenges, answers, and their check.
//!
//! Computed here and not by `rsip`, whose header writes `SHA256` for `SHA-256`, quotes `qop` and
//! prints `nc` as a decimal. Called by `phone` (answers) and `pbx` (challenges, checks).

use super::text;
use sha2::Digest as _;
use std::fmt::{self, Write as _};

/// A hash that both sides know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// RFC 2617; the meaning of an absent `algorithm`.
    Md5,
    /// RFC 8760.
    Sha256,
}

impl Algorithm {
    /// The value of the `algorithm` parameter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn read(name: Option<&str>) -> Option<Self> {
        match name {
            None => Some(Self::Md5),
            Some(name) => [Self::Md5, Self::Sha256].into_iter().find(|known| name.eq_ignore_ascii_case(known.name())),
        }
    }

    fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&md5::Md5::digest(text)),
            Self::Sha256 => hex(&sha2::Sha256::digest(text)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The value of a WWW-Authenticate or Proxy-Authenticate header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Challenge {
    /// Protection space.
    pub realm: String,
    /// The server's number used once.
    pub nonce: String,
    /// Returned unchanged.
    pub opaque: Option<String>,
    /// Which hash.
    pub algorithm: Algorithm,
    /// Whether `qop=auth` is offered.
    pub qop: bool,
    /// Whether only the nonce was too old.
    pub stale: bool,
}

impl Challenge {
    /// Reads a header's value; `None` when it is another scheme or an algorithm not known here.
    pub fn read(value: &str) -> Option<Self> {
        let parameters = parameters(value)?;
        let qop = find(&parameters, "qop").is_none_or(|list| list.split(',').any(|q| q.trim() == "auth"));
        if !qop {
            return None;
        }
        Some(Self {
            realm: find(&parameters, "realm")?.to_owned(),
            nonce: find(&parameters, "nonce")?.to_owned(),
            opaque: find(&parameters, "opaque").map(str::to_owned),
            algorithm: Algorithm::read(find(&parameters, "algorithm"))?,
            qop: find(&parameters, "qop").is_some(),
            stale: find(&parameters, "stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest realm=\"{}\", nonce=\"{}\", algorithm={}", self.realm, self.nonce, self.algorithm.name())?;
        if self.qop {
            f.write_str(", qop=\"auth\"")?;
        }
        if let Some(opaque) = &self.opaque {
            write!(f, ", opaque=\"{opaque}\"")?;
        }
        if self.stale {
            f.write_str(", stale=true")?;
        }
        Ok(())
    }
}

/// Who asks, what for: what an answer is computed over besides the challenge.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Account.
    pub username: &'a str,
    /// Its secret.
    pub password: &'a str,
    /// Method of the request.
    pub method: &'a str,
    /// Its Request-URI.
    pub uri: &'a str,
    /// The client's own number used once.
    pub cnonce: &'a str,
}

/// The value of an Authorization or Proxy-Authorization header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// Account.
    pub username: String,
    /// As challenged.
    pub realm: String,
    /// As challenged.
    pub nonce: String,
    /// What is asked for.
    pub uri: String,
    /// The hash, in lower case hex.
    pub response: String,
    /// As challenged.
    pub algorithm: Algorithm,
    /// As challenged.
    pub opaque: Option<String>,
    /// `cnonce` and `nc`, when `qop=auth` was offered.
    pub qop: Option<(String, u32)>,
}

impl Credentials {
    /// Answers a challenge for the first time (`nc` is 1).
    pub fn answer(challenge: &Challenge, claim: &Claim<'_>) -> Self {
        let mut credentials = Self {
            username: claim.username.to_owned(),
            realm: challenge.realm.clone(),
            nonce: challenge.nonce.clone(),
            uri: claim.uri.to_owned(),
            response: String::new(),
            algorithm: challenge.algorithm,
            opaque: challenge.opaque.clone(),
            qop: challenge.qop.then(|| (claim.cnonce.to_owned(), 1)),
        };
        credentials.response = credentials.hash(claim.password, claim.method);
        credentials
    }

    /// Reads a header's value; `None` when it is another scheme or incomplete.
    pub fn read(value: &str) -> Option<Self> {
        let parameters = parameters(value)?;
        let qop = match find(&parameters, "qop") {
            None => None,
            Some("auth") => {
                Some((find(&parameters, "cnonce")?.to_owned(), u32::from_str_radix(find(&parameters, "nc")?, 16).ok()?))
            }
            Some(_) => return None,
        };
        Some(Self {
            username: find(&parameters, "username")?.to_owned(),
            realm: find(&parameters, "realm")?.to_owned(),
            nonce: find(&parameters, "nonce")?.to_owned(),
            uri: find(&parameters, "uri")?.to_owned(),
            response: find(&parameters, "response")?.to_owned(),
            algorithm: Algorithm::read(find(&parameters, "algorithm"))?,
            opaque: find(&parameters, "opaque").map(str::to_owned),
            qop,
        })
    }

    /// Whether the response is the one of this password and method.
    pub fn verify(&self, password: &str, method: &str) -> bool {
        self.response.eq_ignore_ascii_case(&self.hash(password, method))
    }

    fn hash(&self, password: &str, method: &str) -> String {
        let secret = self.algorithm.hash(&format!("{}:{}:{password}", self.username, self.realm));
        let subject = self.algorithm.hash(&format!("{method}:{}", self.uri));
        let text = match &self.qop {
            Some((cnonce, count)) => format!("{secret}:{}:{count:08x}:{cnonce}:auth:{subject}", self.nonce),
            None => format!("{secret}:{}:{subject}", self.nonce),
        };
        self.algorithm.hash(&text)
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{}\", algorithm={}",
            self.username,
            self.realm,
            self.nonce,
            self.uri,
            self.response,
            self.algorithm.name()
        )?;
        if let Some(opaque) = &self.opaque {
            write!(f, ", opaque=\"{opaque}\"")?;
        }
        if let Some((cnonce, count)) = &self.qop {
            write!(f, ", qop=auth, nc={count:08x}, cnonce=\"{cnonce}\"")?;
        }
        Ok(())
    }
}

fn parameters(value: &str) -> Option<Vec<(&str, String)>> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("digest").then(|| {
        text::split(rest, ',')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.trim(), text::unquote(value.trim())))
            .collect()
    })
}

fn find<'a>(parameters: &'a [(&str, String)], name: &str) -> Option<&'a str> {
    parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC7616_NONCE: &str = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    const RFC7616_CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

    fn rfc7616(algorithm: Algorithm) -> Credentials {
        let challenge = Challenge::read(&format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={}, nonce=\"{RFC7616_NONCE}\", \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
            algorithm.name()
        ))
        .unwrap();
        let claim = Claim {
            username: "Mufasa",
            password: "Circle of Life",
            method: "GET",
            uri: "/dir/index.html",
            cnonce: RFC7616_CNONCE,
        };
        Credentials::answer(&challenge, &claim)
    }

    #[test]
    fn rfc_2617_section_3_5() {
        let challenge = Challenge::read(
            "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
        )
        .unwrap();
        assert_eq!(challenge.algorithm, Algorithm::Md5);
        let claim = Claim {
            username: "Mufasa",
            password: "Circle Of Life",
            method: "GET",
            uri: "/dir/index.html",
            cnonce: "0a4f113b",
        };
        assert_eq!(Credentials::answer(&challenge, &claim).response, "6629fae49393a05397450978507c4ef1");
    }

    #[test]
    fn rfc_7616_section_3_9_1() {
        assert_eq!(rfc7616(Algorithm::Md5).response, "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(
            rfc7616(Algorithm::Sha256).response,
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }

    #[test]
    fn what_is_written_is_read_again_and_verifies() {
        for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
            let answer = rfc7616(algorithm);
            let read = Credentials::read(&answer.to_string()).unwrap();
            assert_eq!(read, answer);
            assert!(read.verify("Circle of Life", "GET"));
            assert!(!read.verify("Circle of Lies", "GET"));
            assert!(!read.verify("Circle of Life", "POST"));
        }
    }

    #[test]
    fn a_challenge_without_qop_is_answered_as_in_rfc_2069() {
        let challenge = Challenge::read("Digest realm=\"r\", nonce=\"n\"").unwrap();
        let claim = Claim { username: "u", password: "p", method: "REGISTER", uri: "sip:harbor", cnonce: "c" };
        let answer = Credentials::answer(&challenge, &claim);
        assert_eq!(answer.qop, None);
        assert!(!answer.to_string().contains("qop"));
        assert!(answer.verify("p", "REGISTER"));
    }

    #[test]
    fn other_schemes_and_algorithms_are_passed_over() {
        assert_eq!(Challenge::read("Basic realm=\"r\""), None);
        assert_eq!(Challenge::read("Digest realm=\"r\", nonce=\"n\", algorithm=SHA-512-256"), None);
        assert_eq!(Challenge::read("Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\""), None);
        assert_eq!(Credentials::read("Digest username=\"u\""), None);
    }

    #[test]
    fn a_challenge_survives_its_own_text() {
        let challenge = Challenge {
            realm: "harbor".into(),
            nonce: "n1".into(),
            opaque: Some("o".into()),
            algorithm: Algorithm::Sha256,
            qop: true,
            stale: true,
        };
        assert_eq!(Challenge::read(&challenge.to_string()), Some(challenge));
    }
}
