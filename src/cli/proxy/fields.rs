//! The options that describe a proxy, shared by `add` and `set`, and how they become a row.

use crate::cli::instance::fields::word;
use crate::model::{DeviceCertificates, KeepAlive, Listener, NamePolicy, Proxy, Service, TlsRoutes, Unknown};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// What may be said about a proxy.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Fields {
    /// An address to listen on, as in sip-udp=0.0.0.0:5060 or https=[::]:443,advertise=front.example:443;
    /// services: sip-tls, sip-udp, sip-tcp, sip-ws, sip-wss, http, https; give it again for more; those under TLS may
    /// share one address, and so may those in the clear but sip-udp
    #[arg(long = "listen", value_name = "SERVICE=ADDRESS", value_parser = listener)]
    pub listeners: Vec<Listener>,
    /// Serve only this instance; give it again for more
    #[arg(long = "instance", value_name = "NAME")]
    pub instances: Vec<String>,
    /// The instance of SIP requests whose host names none
    #[arg(long, value_name = "NAME")]
    pub default_instance: Option<String>,
    /// Where the bare host sends a browser
    #[arg(long = "redirect", value_name = "URL")]
    pub redirection_url: Option<String>,
    /// Certificate for clients that name no host we hold another for
    #[arg(long, value_name = "NAME")]
    pub certificate: Option<String>,
    /// What becomes of a client whose TLS name, HTTP host and SIP domain are of different instances: off, log or
    /// enforce
    #[arg(long, value_name = "POLICY", value_parser = word::<NamePolicy>)]
    pub names: Option<NamePolicy>,
    /// Whether devices are asked for a certificate: off, optional or required
    #[arg(long, value_name = "RULE", value_parser = word::<DeviceCertificates>)]
    pub device_certificates: Option<DeviceCertificates>,
    /// File with the certificates (PEM) of the authorities that sign those of devices
    #[arg(long, value_name = "FILE", value_parser = contents)]
    pub device_authorities: Option<String>,
    /// How the way to devices over UDP behind NAT is kept open: off (devices look after that), nat (line ends) or
    /// options (OPTIONS; who does not answer is gone)
    #[arg(long, value_name = "MEANS", value_parser = word::<KeepAlive>)]
    pub keep_alive: Option<KeepAlive>,
    /// What a SIP request for an unknown name gets: refuse or drop
    #[arg(long, value_name = "ANSWER", value_parser = word::<Unknown>)]
    pub unknown: Option<Unknown>,
    /// Answer plain HTTP with a redirect to HTTPS
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub https_redirect: Option<bool>,
    /// A peer (address or CIDR) whose Forwarded fields are believed; give it again for more
    #[arg(long = "trusted-peer", value_name = "CIDR", value_parser = network)]
    pub trusted_peers: Vec<IpNet>,
    /// A load balancer (address or CIDR) that begins its connections with a PROXY protocol header, and must; give it
    /// again for more
    #[arg(long = "proxy-protocol", value_name = "CIDR", value_parser = network)]
    pub proxy_protocol: Vec<IpNet>,
    /// How the proxy's entry in routes is written for clients over TLS: sips, or transport for phones that need it
    #[arg(long, value_name = "FORM", value_parser = word::<TlsRoutes>)]
    pub tls_routes: Option<TlsRoutes>,
    /// A page whose scripts may open a WebSocket for SIP, as in https://app.example; give it again for more
    #[arg(long = "origin", value_name = "ORIGIN")]
    pub origins: Vec<String>,
}

/// What may be taken away from a proxy.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Removals {
    /// Listen on nothing
    #[arg(long, conflicts_with = "listeners")]
    pub no_listen: bool,
    /// Serve every instance
    #[arg(long, conflicts_with = "instances")]
    pub all_instances: bool,
    /// Have no default instance
    #[arg(long, conflicts_with = "default_instance")]
    pub no_default_instance: bool,
    /// Show a landing page on the bare host
    #[arg(long, conflicts_with = "redirection_url")]
    pub no_redirect: bool,
    /// Use the self-signed certificate
    #[arg(long, conflicts_with = "certificate")]
    pub no_certificate: bool,
    /// Believe nobody's Forwarded fields
    #[arg(long, conflicts_with = "trusted_peers")]
    pub no_trusted_peer: bool,
    /// Take no PROXY protocol header from anybody
    #[arg(long, conflicts_with = "proxy_protocol")]
    pub no_proxy_protocol: bool,
    /// Let every page's scripts open a WebSocket for SIP
    #[arg(long, conflicts_with = "origins")]
    pub all_origins: bool,
}

impl Fields {
    /// Writes what was said into the row.
    pub fn apply(self, row: &mut Proxy) {
        if !self.listeners.is_empty() {
            row.listeners = with_known_numbers(self.listeners, &row.listeners);
        }
        if !self.instances.is_empty() {
            row.instances = Some(self.instances);
        }
        if !self.trusted_peers.is_empty() {
            row.trusted_peers = self.trusted_peers;
        }
        if !self.origins.is_empty() {
            row.origins = self.origins;
        }
        if !self.proxy_protocol.is_empty() {
            row.proxy_protocol = self.proxy_protocol;
        }
        row.tls_routes = self.tls_routes.unwrap_or(row.tls_routes);
        row.default_instance = self.default_instance.or(row.default_instance.take());
        row.redirection_url = self.redirection_url.or(row.redirection_url.take());
        row.certificate = self.certificate.or(row.certificate.take());
        row.names = self.names.unwrap_or(row.names);
        row.device_certificates = self.device_certificates.unwrap_or(row.device_certificates);
        if let Some(authorities) = self.device_authorities {
            row.device_authorities = authorities;
        }
        row.keep_alive = self.keep_alive.unwrap_or(row.keep_alive);
        row.unknown = self.unknown.unwrap_or(row.unknown);
        row.https_redirect = self.https_redirect.unwrap_or(row.https_redirect);
    }
}

impl Removals {
    /// Takes away what was named.
    pub fn apply(&self, row: &mut Proxy) {
        if self.no_listen {
            row.listeners.clear();
        }
        if self.all_instances {
            row.instances = None;
        }
        if self.no_default_instance {
            row.default_instance = None;
        }
        if self.no_redirect {
            row.redirection_url = None;
        }
        if self.no_certificate {
            row.certificate = None;
        }
        if self.no_trusted_peer {
            row.trusted_peers.clear();
        }
        if self.no_proxy_protocol {
            row.proxy_protocol.clear();
        }
        if self.all_origins {
            row.origins.clear();
        }
    }
}

/// The text of a file.
fn contents(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

/// A listener that stays keeps its number, which tokens of calls in progress carry.
fn with_known_numbers(mut wanted: Vec<Listener>, known: &[Listener]) -> Vec<Listener> {
    for listener in &mut wanted {
        let same = known.iter().find(|it| it.service == listener.service && it.bind == listener.bind);
        listener.number = same.map_or(0, |it| it.number);
    }
    wanted
}

/// `service=address:port[,advertise=host[:port]]`
fn listener(text: &str) -> Result<Listener, String> {
    let (place, advertise) = match text.split_once(',') {
        None => (text, None),
        Some((place, option)) => match option.split_once('=') {
            Some(("advertise", host)) if !host.is_empty() => (place, Some(host.to_owned())),
            _ => return Err(format!("'{option}' is not advertise=HOST")),
        },
    };
    let (service, address) =
        place.split_once('=').ok_or("write SERVICE=ADDRESS:PORT, as in sip-udp=0.0.0.0:5060".to_owned())?;
    let service = word::<Service>(service)?;
    let bind = address
        .parse::<SocketAddr>()
        .map_err(|_| format!("'{address}' is not an IP address with a port, as in 0.0.0.0:5060 or [::]:5060"))?;
    Ok(Listener { number: 0, service, bind, advertise })
}

fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("'{text}' is neither an IP address nor a network such as 10.0.0.0/8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_read_with_and_without_advertise() {
        let plain = listener("sip-udp=0.0.0.0:5060").unwrap();
        assert_eq!((plain.service, plain.bind.port(), plain.advertise), (Service::SipUdp, 5060, None));
        let full = listener("https=[::]:443,advertise=front.example:443").unwrap();
        assert_eq!((full.service, full.bind.is_ipv6()), (Service::Https, true));
        assert_eq!(full.advertise.as_deref(), Some("front.example:443"));
        for bad in ["", "0.0.0.0:5060", "sip-udp=host:5060", "sip-udp=0.0.0.0", "sips=0.0.0.0:1", "http=0.0.0.0:1,x"] {
            assert!(listener(bad).is_err(), "{bad}");
        }
    }

    // R78
    #[test]
    fn a_listener_that_stays_keeps_its_number() {
        let mut known = listener("sip-udp=0.0.0.0:5060").unwrap();
        known.number = 3;
        let wanted = ["sip-udp=0.0.0.0:5060,advertise=a", "sip-tcp=0.0.0.0:5060"].map(|text| listener(text).unwrap());
        let numbers: Vec<_> = with_known_numbers(wanted.into(), &[known]).iter().map(|it| it.number).collect();
        assert_eq!(numbers, [3, 0]);
    }

    #[test]
    fn a_single_address_is_a_network_of_one() {
        assert_eq!(network("10.0.0.1").unwrap().to_string(), "10.0.0.1/32");
        assert_eq!(network("fd00::/8").unwrap().to_string(), "fd00::/8");
        assert!(network("10.0.0.0/33").is_err());
    }
}
