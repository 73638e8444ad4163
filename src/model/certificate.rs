//! The row of a certificate: an operator's own, or one that an authority issues by itself (ACME).

use super::{SCHEMA, schema};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The authority that is asked where no other is named.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// A certificate with its key (R82). The key is never shown again.
#[derive(Clone, PartialEq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Version of this document's shape.
    #[serde(default = "schema")]
    pub schema: u32,
    /// Its name, by which proxies refer to it.
    pub name: String,
    /// PEM, leaf first; empty where an authority has not issued it yet.
    #[serde(default)]
    pub chain: String,
    /// PEM private key; empty where an authority has not issued it yet.
    #[serde(default)]
    pub key: String,
    /// How it is got from an authority and renewed; none for one that an operator brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acme: Option<Acme>,
}

impl Certificate {
    /// One that an operator brings.
    pub fn own(name: &str, chain: &str, key: &str) -> Self {
        Self { schema: SCHEMA, name: name.to_owned(), chain: chain.to_owned(), key: key.to_owned(), acme: None }
    }

    /// Whether an authority is still to issue it.
    pub fn is_awaited(&self) -> bool {
        self.acme.is_some() && self.chain.is_empty()
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a certificate is got from an authority (ACME, RFC 8555).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// The hosts it is for; the authority must be able to reach this node under each.
    pub names: Vec<String>,
    /// Address of the authority's directory.
    #[serde(default = "directory")]
    pub directory: String,
    /// Mail addresses the authority may write to.
    #[serde(default)]
    pub contact: Vec<String>,
    /// Whether the authority's terms of service are agreed to.
    #[serde(default)]
    pub terms_agreed: bool,
    /// How the names are shown to be ours.
    #[serde(default)]
    pub challenge: AcmeChallenge,
    /// PEM root of a private authority's own server; empty takes the system's.
    #[serde(default)]
    pub root: String,
}

/// How a name is shown to be ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AcmeChallenge {
    /// Over a listener for plain HTTP, which the authority reaches on port 80 (RFC 8555 §8.3).
    #[default]
    #[serde(rename = "http-01")]
    Http01,
    /// Over a listener for HTTPS, which the authority reaches on port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

fn directory() -> String {
    LETS_ENCRYPT.to_owned()
}
