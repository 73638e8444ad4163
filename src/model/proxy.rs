//! The row of a proxy: a named front, what it listens on, and its policies.

use super::{SCHEMA, schema, yes};
use crate::ids::{ProxyId, Transport};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A named front (R11, R78, R82).
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// Version of this document's shape.
    #[serde(default = "schema")]
    pub schema: u32,
    /// Given by the control plane at creation; 0 or absent in a request that creates.
    #[serde(default = "zero_proxy")]
    pub id: ProxyId,
    /// Its name; shares one name space with instances (R13).
    pub name: String,
    /// The complete host name clients are given.
    pub fqdn: String,
    /// `<name>.<base_domain>` selects an instance (R4, R5).
    pub base_domain: String,
    /// What it listens on; a service that is not listed does not listen (R78).
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// The instances it serves; none serves all (R11).
    #[serde(default)]
    pub instances: Option<Vec<String>>,
    /// The instance of SIP requests whose host names none (R4).
    #[serde(default)]
    pub default_instance: Option<String>,
    /// Where the bare host sends a browser (R5); none shows a landing page.
    #[serde(default)]
    pub redirection_url: Option<String>,
    /// Name of the certificate row for clients that name no host we hold another for.
    #[serde(default)]
    pub certificate: Option<String>,
    /// What a SIP request for an unknown name gets (R9).
    #[serde(default)]
    pub unknown: Unknown,
    /// Answer plain HTTP with a redirect to HTTPS.
    #[serde(default = "yes")]
    pub https_redirect: bool,
    /// Peers (CIDR) whose `Forwarded` and `X-Forwarded-*` fields are believed.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub trusted_peers: Vec<ipnet::IpNet>,
    /// Peers (CIDR), such as a load balancer, that begin each connection with a PROXY protocol header.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub proxy_protocol: Vec<ipnet::IpNet>,
    /// What becomes of a client whose TLS name (SNI), HTTP host and SIP domain name different instances.
    #[serde(default)]
    pub names: NamePolicy,
    /// Pages whose scripts may open a WebSocket here, as in `https://app.example`; none lets all.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Whether devices are asked for a certificate.
    #[serde(default)]
    pub device_certificates: DeviceCertificates,
    /// PEM certificates of the authorities that sign those of devices.
    #[serde(default)]
    pub device_authorities: String,
    /// How the proxy's own entry in a route is written for clients over TLS.
    #[serde(default)]
    pub tls_routes: TlsRoutes,
    /// Whether the proxy keeps the way to devices behind NAT open by itself.
    #[serde(default)]
    pub keep_alive: KeepAlive,
}

impl Proxy {
    /// A proxy of this name for `<instance>.<base_domain>`, itself reached by `fqdn`, with nothing else said.
    pub fn named(name: &str, fqdn: &str, base_domain: &str) -> Self {
        Self {
            schema: SCHEMA,
            id: zero_proxy(),
            name: name.to_owned(),
            fqdn: fqdn.to_owned(),
            base_domain: base_domain.to_owned(),
            listeners: Vec::new(),
            instances: None,
            default_instance: None,
            redirection_url: None,
            certificate: None,
            unknown: Unknown::default(),
            https_redirect: true,
            trusted_peers: Vec::new(),
            proxy_protocol: Vec::new(),
            names: NamePolicy::default(),
            origins: Vec::new(),
            device_certificates: DeviceCertificates::default(),
            device_authorities: String::new(),
            tls_routes: TlsRoutes::default(),
            keep_alive: KeepAlive::default(),
        }
    }
}

/// What becomes of a client whose names do not agree: that of the TLS handshake (SNI), the HTTP host and the SIP
/// domain. None of them is ever used in another's place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NamePolicy {
    /// Nothing.
    Off,
    /// It is counted and logged.
    #[default]
    Log,
    /// It is refused: 421 over HTTP, 403 over SIP.
    Enforce,
}

/// Whether devices are asked for a certificate of their own (mutual TLS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceCertificates {
    /// They are not asked.
    #[default]
    Off,
    /// They are asked; those that have none may go on.
    Optional,
    /// Without one that the authorities signed there is no connection.
    Required,
}

/// How the proxy's entry in Record-Route and Path is written for clients over TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TlsRoutes {
    /// As a `sips` URI (RFC 5630).
    #[default]
    Sips,
    /// As a `sip` URI with `transport=tls`, which RFC 5630 forbids and some phones need.
    Transport,
}

/// Whether the proxy keeps the way to devices behind NAT open by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeepAlive {
    /// Devices look after that.
    Off,
    /// Devices behind NAT that are silent for too long are sent line ends (RFC 5626 §3.5).
    #[default]
    Nat,
    /// They are sent OPTIONS; one that does not answer is gone.
    Options,
}

/// What a SIP request for an unknown name gets (R9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// 404.
    #[default]
    Refuse,
    /// Nothing.
    Drop,
}

/// One listening address of a proxy.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Unique inside the proxy; 0 in a request lets the control plane give one.
    #[serde(default)]
    pub number: u8,
    /// What is spoken there.
    pub service: Service,
    /// Address and port to bind; port 0 is the kernel's choice.
    #[schema(value_type = String)]
    pub bind: std::net::SocketAddr,
    /// `host` or `host:port` clients are told, where it differs from the address they reach.
    #[serde(default)]
    pub advertise: Option<String>,
}

/// What a listener speaks (R78, R82).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// SIP over UDP.
    SipUdp,
    /// SIP over TCP.
    SipTcp,
    /// SIP over TLS: the default of the product.
    SipTls,
    /// SIP over WebSocket (RFC 7118), in the clear.
    SipWs,
    /// SIP over WebSocket under TLS.
    SipWss,
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Service {
    /// Whether it is spoken under TLS.
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::SipTls | Self::SipWss | Self::Https)
    }

    /// The transport SIP has there; none for HTTP.
    pub const fn sip(self) -> Option<Transport> {
        Some(match self {
            Self::SipUdp => Transport::Udp,
            Self::SipTcp => Transport::Tcp,
            Self::SipTls => Transport::Tls,
            Self::SipWs => Transport::Ws,
            Self::SipWss => Transport::Wss,
            Self::Http | Self::Https => return None,
        })
    }
}

const fn zero_proxy() -> ProxyId {
    ProxyId(0)
}
