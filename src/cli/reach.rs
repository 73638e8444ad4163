//! How the command line reaches a node: address, token, and the certificate it trusts.

use super::exit::Failure;
use crate::admin::problem::{Code, Problem};
use crate::admin::token;
use crate::admin::view::Page;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::{Method, Request};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Body};
use url::Url;

const MAX_ANSWER: u64 = 256 << 20;
const PART: usize = 1000;
const CONNECT: Duration = Duration::from_secs(5);

/// Options of every command that talks to a node.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Reaching the node")]
pub struct Reach {
    /// Address of the node's API
    #[arg(
        long,
        global = true,
        env = "NANTUCKET_URL",
        hide_env_values = true,
        default_value = "https://127.0.0.1:8443",
        value_name = "URL"
    )]
    pub url: Url,
    /// File with the token; without it NANTUCKET_TOKEN, then `admin-token` in the data directory
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The node's data directory, for its token and its certificate
    #[arg(
        long,
        global = true,
        env = "NANTUCKET_DATA_DIR",
        hide_env_values = true,
        default_value = "/var/lib/nantucket",
        value_name = "DIR"
    )]
    pub data_dir: PathBuf,
    /// PEM file with the certificates to trust, instead of the one in the data directory
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Trust any certificate: for trying things out only
    #[arg(long, global = true, conflicts_with = "ca")]
    pub insecure: bool,
    /// Seconds to wait for an answer
    #[arg(long, global = true, default_value_t = 30, value_name = "SECONDS")]
    pub timeout: u64,
    /// Print JSON for scripts instead of tables
    #[arg(long, global = true)]
    pub json: bool,
}

/// Where `app` keeps the self-signed certificate inside the data directory.
pub const CERTIFICATE: &str = "tls/self-signed.pem";

/// A node's API.
pub struct Node {
    agent: Agent,
    base: Url,
    token: String,
}

/// An answer with its entity tag.
pub struct Tagged<T> {
    /// What was asked for.
    pub value: T,
    /// For `If-Match`.
    pub etag: Option<String>,
}

impl Reach {
    /// Reads token and certificate; no packet is sent yet.
    pub fn node(&self) -> Result<Node, Failure> {
        if self.url.scheme() != "https" {
            return Err(Failure::Usage(format!("{} must be https: the token would travel in the clear", self.url)));
        }
        let token = self.token()?;
        let mut tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        tls = if self.insecure { tls.disable_verification(true) } else { tls.root_certs(self.roots()?) };
        let agent = Agent::config_builder()
            .tls_config(tls.build())
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT.min(Duration::from_secs(self.timeout))))
            .timeout_global(Some(Duration::from_secs(self.timeout)))
            .user_agent(concat!("nantucket-cli/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Node { agent, base: self.url.clone(), token })
    }

    fn token(&self) -> Result<String, Failure> {
        if self.token_file.is_none()
            && let Ok(token) = std::env::var("NANTUCKET_TOKEN")
        {
            return Ok(token.trim().to_owned());
        }
        let path = self.token_file.clone().unwrap_or_else(|| self.data_dir.join(token::FILE));
        match token::read_file(&path) {
            Ok(Some(token)) => Ok(token),
            Ok(None) => Err(no_token(format!("there is no token in {}", path.display()))),
            Err(error) => Err(no_token(error.to_string())),
        }
    }

    fn roots(&self) -> Result<RootCerts, Failure> {
        let path = match &self.ca {
            Some(path) => path.clone(),
            None => self.data_dir.join(CERTIFICATE),
        };
        if self.ca.is_none() && !path.exists() {
            return Ok(RootCerts::new_with_certs(&system_roots()));
        }
        let pem = std::fs::read(&path)
            .map_err(|error| Failure::Usage(format!("the certificate {} cannot be read: {error}", path.display())))?;
        let certificates: Vec<Certificate<'static>> = ureq::tls::parse_pem(&pem)
            .filter_map(Result::ok)
            .filter_map(|item| match item {
                PemItem::Certificate(certificate) => Some(certificate),
                _ => None,
            })
            .collect();
        if certificates.is_empty() {
            return Err(Failure::Usage(format!("{} holds no certificate in PEM", path.display())));
        }
        Ok(RootCerts::new_with_certs(&certificates))
    }
}

/// What the machine trusts, for a node with a certificate of a public authority.
fn system_roots() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs().certs;
    found.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
}

fn no_token(reason: String) -> Failure {
    Problem::new(
        Code::Unauthorized,
        format!(
            "{reason}; name the file with --token-file or the node's data directory with --data-dir, \
             set NANTUCKET_TOKEN, or run this as the user the node runs as"
        ),
    )
    .into()
}

impl Node {
    /// GET.
    pub fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, String)]) -> Result<Tagged<T>, Failure> {
        self.call::<(), T>(Method::GET, path, query, None, None)
    }

    /// GET of a whole list, part by part.
    pub fn all<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, String)]) -> Result<Vec<T>, Failure> {
        let mut items = Vec::new();
        let mut query = query.to_vec();
        query.push(("limit", PART.to_string()));
        loop {
            let page: Page<T> = self.get(path, &query)?.value;
            items.extend(page.items);
            let Some(next) = page.next else { return Ok(items) };
            query.retain(|(name, _)| *name != "after");
            query.push(("after", next));
        }
    }

    /// POST.
    pub fn post<B: Serialize, T: DeserializeOwned>(&self, path: &[&str], body: &B) -> Result<T, Failure> {
        self.call(Method::POST, path, &[], None, Some(body)).map(|answer| answer.value)
    }

    /// PUT, only if the row is still the one that was read.
    pub fn put<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &[&str],
        etag: Option<&str>,
        body: &B,
    ) -> Result<T, Failure> {
        self.call(Method::PUT, path, &[], etag, Some(body)).map(|answer| answer.value)
    }

    /// Sends text of a media type.
    pub fn send_text<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        (media_type, text): (&str, Vec<u8>),
    ) -> Result<T, Failure> {
        let answer = self.exchange(method, path, query, None, "application/json", Some((media_type, text)))?;
        self.read_json(&answer.value)
    }

    /// GET of text of a media type.
    pub fn get_text(&self, path: &[&str], query: &[(&str, String)], media_type: &str) -> Result<String, Failure> {
        let answer = self.exchange(Method::GET, path, query, None, media_type, None)?;
        String::from_utf8(answer.value).map_err(|error| self.unreachable(error.to_string()))
    }

    /// DELETE.
    pub fn delete(&self, path: &[&str]) -> Result<(), Failure> {
        self.call::<(), Value>(Method::DELETE, path, &[], None, None).map(|_| ())
    }

    /// DELETE of all that a query names, with what it says of them.
    pub fn delete_with<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, String)]) -> Result<T, Failure> {
        self.call::<(), T>(Method::DELETE, path, query, None, None).map(|answer| answer.value)
    }

    fn call<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        etag: Option<&str>,
        body: Option<&B>,
    ) -> Result<Tagged<T>, Failure> {
        const JSON: &str = "application/json";
        let body = body.map(serde_json::to_vec).transpose().map_err(|error| Failure::Usage(error.to_string()))?;
        let answer = self.exchange(method, path, query, etag, JSON, body.map(|body| (JSON, body)))?;
        Ok(Tagged { value: self.read_json(&answer.value)?, etag: answer.etag })
    }

    /// One request and its answer as text; a refusal is an error.
    fn exchange(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        etag: Option<&str>,
        accept: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Tagged<Vec<u8>>, Failure> {
        let url = self.address(path, query)?;
        let unreachable = |reason: String| self.unreachable(reason);
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header("authorization", format!("Bearer {}", self.token))
            .header("accept", accept);
        if let Some(etag) = etag {
            request = request.header("if-match", etag);
        }
        if let Some((media_type, _)) = &body {
            request = request.header("content-type", *media_type);
        }
        let request = request
            .body(body.map(|(_, bytes)| bytes).unwrap_or_default())
            .map_err(|error| no_token(error.to_string()))?;
        let mut response = self.agent.run(request).map_err(|error| unreachable(advice(&error)))?;
        let etag = response.headers().get("etag").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let text = read(response.body_mut()).map_err(|error| unreachable(error.to_string()))?;
        let status = response.status();
        if !status.is_success() {
            return Err(match serde_json::from_slice::<Problem>(&text) {
                Ok(problem) => problem.into(),
                Err(_) => unreachable(format!("it answered {status}, which is not the API of a Nantucket node")),
            });
        }
        Ok(Tagged { value: text, etag })
    }

    fn read_json<T: DeserializeOwned>(&self, text: &[u8]) -> Result<T, Failure> {
        let text = if text.is_empty() { b"null".as_slice() } else { text };
        serde_json::from_slice(text)
            .map_err(|error| self.unreachable(format!("its answer is not understood by this version: {error}")))
    }

    fn unreachable(&self, reason: String) -> Failure {
        Failure::Unreachable { url: self.base.to_string(), reason }
    }

    fn address(&self, path: &[&str], query: &[(&str, String)]) -> Result<Url, Failure> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::Usage(format!("{} is not the address of an API", self.base)))?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }
}

fn read(body: &mut Body) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    body.as_reader().take(MAX_ANSWER).read_to_end(&mut text)?;
    Ok(text)
}

fn advice(error: &ureq::Error) -> String {
    let text = error.to_string();
    let hint = match error {
        ureq::Error::Io(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
            "; is the node running, and is --url right?"
        }
        ureq::Error::Timeout(_) => "; is --url right, and does a firewall let this machine through?",
        _ if text.contains("certificate") || text.contains("UnknownIssuer") => {
            "; name the node's data directory with --data-dir or its certificate with --ca"
        }
        _ => "",
    };
    format!("{text}{hint}")
}
