//! The options that describe an instance, shared by `add` and `set`, and how they become a row.

use crate::ids::{BackendId, Transport};
use crate::model::{
    Backend, BackendTls, Instance, Language, Licensing, Mode, Prefix, Profile, Seats, SecondDevice, SignIn, Web,
    WebService,
};
use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// What may be said about an instance.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Fields {
    /// Name that people see
    #[arg(long, value_name = "TEXT")]
    pub display_name: Option<String>,
    /// A SIP address of the PBX, as in udp:10.0.0.5:5060, tcp:pbx:5060,weight=2,priority=1,profile=contact or
    /// tls:pbx:5061,verify,name=pbx.example,authorities=FILE,certificate=NAME,wildcard; give it again for more
    #[arg(long = "backend", value_name = "BACKEND", value_parser = backend)]
    pub backends: Vec<BackendArg>,
    /// How the PBX is told the way back to a phone, where --backend does not say it
    #[arg(long, value_name = "PROFILE", value_parser = word::<Profile>,
        help = "Return path of the PBX: asterisk-pjsip, asterisk-sip, freeswitch, kamailio, generic, contact, none")]
    pub profile: Option<Profile>,
    /// The PBX's web address, as in http://10.0.0.5:80
    #[arg(long, value_name = "URL")]
    pub web: Option<String>,
    /// What becomes of /NAME in paths: strip or keep
    #[arg(long, value_name = "PREFIX", value_parser = word::<Prefix>)]
    pub web_prefix: Option<Prefix>,
    /// Which part of the web side is served: full, rest or off
    #[arg(long, value_name = "SERVICE", value_parser = word::<WebService>)]
    pub web_service: Option<WebService>,
    /// Verify the certificate of an https web address
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub web_verify: Option<bool>,
    /// How the web side is told who asks.
    #[command(flatten)]
    pub sign_in: SignInArgs,
    /// A further SIP domain and web host of the instance; give it again for more
    #[arg(long = "alias", value_name = "HOST")]
    pub aliases: Vec<String>,
    /// Language of pages and reasons: en or de
    #[arg(long, value_name = "LANGUAGE", value_parser = word::<Language>)]
    pub language: Option<Language>,
    /// The release the PBX runs, as in 8.1
    #[arg(long, value_name = "RELEASE")]
    pub release: Option<String>,
    /// Where its users come from.
    #[command(flatten)]
    pub licence: Licence,
    /// A number that passes whatever the licence says; give it again for more
    #[arg(long = "emergency", value_name = "NUMBER")]
    pub emergency_numbers: Vec<String>,
    /// A page whose scripts may open a WebSocket to it, as in https://app.example, of those its proxy lets; give it
    /// again for more
    #[arg(long = "origin", value_name = "ORIGIN")]
    pub origins: Vec<String>,
    /// Certificate for its own hosts, where it has one of its own
    #[arg(long, value_name = "NAME")]
    pub certificate: Option<String>,
    /// A network its devices may come from, as in 192.0.2.0/24; give it again for more
    #[arg(long = "only-from", value_name = "NETWORK", value_parser = network)]
    pub only_from: Vec<IpNet>,
    /// A network that is never banned on its account, such as the customer's office; give it again for more
    #[arg(long = "never-ban", value_name = "NETWORK", value_parser = network)]
    pub never_ban: Vec<IpNet>,
    /// Most SIP transactions at once; 0 is the node's default
    #[arg(long, value_name = "N")]
    pub max_transactions: Option<u32>,
    /// Most HTTP requests and tunnels at once; 0 is the node's default
    #[arg(long, value_name = "N")]
    pub max_http_requests: Option<u32>,
    /// Largest HTTP request body in bytes; 0 is the node's default
    #[arg(long, value_name = "BYTES")]
    pub max_http_body: Option<u64>,
}

/// What may be said about how the web side is told who asks.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SignInArgs {
    /// Path that sign-ins are sent to, as in /login; a * at its end stands for any rest; give it again for more
    #[arg(long = "sign-in-path", value_name = "PATH")]
    paths: Vec<String>,
    /// Field of the sign-in's form or JSON that holds the user's name, as in username or user.name
    #[arg(long = "sign-in-field", value_name = "FIELD")]
    field: Option<String>,
    /// Claim of bearer tokens that holds the user's name; empty looks at none
    #[arg(long = "sign-in-claim", value_name = "CLAIM")]
    claim: Option<String>,
}

impl SignInArgs {
    fn is_said(&self) -> bool {
        !self.paths.is_empty() || self.field.is_some() || self.claim.is_some()
    }

    fn apply(&self, row: &mut SignIn) {
        if !self.paths.is_empty() {
            row.paths.clone_from(&self.paths);
        }
        set(&mut row.field, self.field.clone());
        set(&mut row.claim, self.claim.clone());
    }
}

/// What may be said about an instance's licence.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Licence {
    /// Where its users come from: community, cloud (booked from the volume licence) or dedicated (a server
    /// licence of its own)
    #[arg(long, value_name = "MODE", value_parser = word::<Mode>)]
    pub mode: Option<Mode>,
    /// Full users booked from the volume licence
    #[arg(long, value_name = "N")]
    pub users: Option<u32>,
    /// Light users booked from the volume licence
    #[arg(long, value_name = "N")]
    pub light: Option<u32>,
    /// Id of its own server licence
    #[arg(long, value_name = "ID")]
    pub server: Option<String>,
    /// What becomes of a light user's second device: first-wins or last-wins
    #[arg(long, value_name = "RULE", value_parser = word::<SecondDevice>)]
    pub second_device: Option<SecondDevice>,
    /// Count what would be refused, and refuse nothing
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub shadow: Option<bool>,
}

impl Licence {
    /// Writes what was said into the row. What belongs to another mode goes with a change of mode.
    pub fn apply(self, licence: &mut Licensing) {
        if self.mode.is_some_and(|mode| mode != licence.mode) {
            licence.booked = Seats::default();
            licence.server = None;
        }
        set(&mut licence.mode, self.mode);
        set(&mut licence.booked.full, self.users);
        set(&mut licence.booked.light, self.light);
        if self.server.is_some() {
            licence.server = self.server;
        }
        set(&mut licence.second_device, self.second_device);
        set(&mut licence.shadow, self.shadow);
    }
}

/// A backend as given on the command line.
#[derive(Clone, Debug)]
pub struct BackendArg {
    row: Backend,
    profile: Option<Profile>,
    tls: TlsArg,
}

/// What was said of a backend's TLS.
#[derive(Clone, Debug, Default, PartialEq)]
struct TlsArg {
    verify: Option<bool>,
    wildcard: Option<bool>,
    authorities: Option<String>,
    name: Option<String>,
    certificate: Option<String>,
}

impl TlsArg {
    /// Takes one option; false if it is another's.
    fn take(&mut self, option: &str) -> Result<bool, String> {
        let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        match (name, value) {
            ("verify", value) => self.verify = Some(value.map_or(Ok(true), number)?),
            ("wildcard", value) => self.wildcard = Some(value.map_or(Ok(true), number)?),
            ("name", Some(value)) => self.name = Some(value.to_owned()),
            ("certificate", Some(value)) => self.certificate = Some(value.to_owned()),
            ("authorities", Some("")) => self.authorities = Some(String::new()),
            ("authorities", Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
                self.authorities = Some(text);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn apply(self, row: &mut BackendTls) {
        set(&mut row.verify, self.verify);
        set(&mut row.wildcard, self.wildcard);
        set(&mut row.authorities, self.authorities);
        set(&mut row.name, self.name);
        set(&mut row.certificate, self.certificate);
    }
}

impl BackendArg {
    /// A backend that stays at its address keeps its id, and with it its health.
    fn resolve(self, known: &[Backend], profile: Option<Profile>) -> Backend {
        let same = known.iter().find(|it| it.address == self.row.address && it.transport == self.row.transport);
        let profile = self.profile.or(profile).or(same.map(|it| it.profile)).unwrap_or_default();
        let mut tls = same.map(|it| it.tls.clone()).unwrap_or_default();
        self.tls.apply(&mut tls);
        Backend { id: same.map_or(BackendId(0), |it| it.id), profile, tls, ..self.row }
    }
}

/// What may be taken away from an instance.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Removals {
    /// Take all SIP addresses away
    #[arg(long, conflicts_with = "backends")]
    pub no_backend: bool,
    /// Take the web address away
    #[arg(long, conflicts_with_all = ["web", "web_prefix", "web_service", "web_verify"])]
    pub no_web: bool,
    /// Look at no sign-ins any more
    #[arg(long, conflicts_with = "paths")]
    pub no_sign_in: bool,
    /// Have no certificate of its own
    #[arg(long, conflicts_with = "certificate")]
    pub no_certificate: bool,
    /// Let no number pass whatever the licence says
    #[arg(long, conflicts_with = "emergency_numbers")]
    pub no_emergency: bool,
    /// Let every page's scripts open a WebSocket that its proxy lets
    #[arg(long, conflicts_with = "origins")]
    pub all_origins: bool,
    /// Let devices come from everywhere
    #[arg(long, conflicts_with = "only_from")]
    pub from_everywhere: bool,
    /// Let anybody be banned who deserves it
    #[arg(long, conflicts_with = "never_ban")]
    pub no_never_ban: bool,
    /// Take all aliases away
    #[arg(long, conflicts_with = "aliases")]
    pub no_alias: bool,
}

impl Fields {
    /// Writes what was said into the row. `Err` says what does not fit together.
    pub fn apply(self, row: &mut Instance) -> Result<(), String> {
        self.apply_web(row)?;
        if self.backends.is_empty() {
            for backend in &mut row.backends {
                set(&mut backend.profile, self.profile);
            }
        } else {
            row.backends = self.backends.into_iter().map(|it| it.resolve(&row.backends, self.profile)).collect();
        }
        if !self.aliases.is_empty() {
            row.aliases = self.aliases;
        }
        if !self.emergency_numbers.is_empty() {
            row.emergency_numbers = self.emergency_numbers;
        }
        if !self.origins.is_empty() {
            row.origins = self.origins;
        }
        row.certificate = self.certificate.or(row.certificate.take());
        if !self.only_from.is_empty() {
            row.only_from = self.only_from;
        }
        if !self.never_ban.is_empty() {
            row.never_ban = self.never_ban;
        }
        set(&mut row.display_name, self.display_name);
        set(&mut row.language, self.language);
        set(&mut row.version, self.release);
        self.licence.apply(&mut row.licence);
        set(&mut row.limits.transactions, self.max_transactions);
        set(&mut row.limits.http_requests, self.max_http_requests);
        set(&mut row.limits.http_body_bytes, self.max_http_body);
        Ok(())
    }

    fn apply_web(&self, row: &mut Instance) -> Result<(), String> {
        if let Some(url) = &self.web {
            row.web.get_or_insert_with(|| Web::at(url)).url.clone_from(url);
        }
        let says_how = self.web_prefix.is_some()
            || self.web_service.is_some()
            || self.web_verify.is_some()
            || self.sign_in.is_said();
        match &mut row.web {
            None if says_how => Err("the instance has no web address yet: give it with --web URL".into()),
            None => Ok(()),
            Some(web) => {
                set(&mut web.prefix, self.web_prefix);
                set(&mut web.service, self.web_service);
                set(&mut web.verify, self.web_verify);
                self.sign_in.apply(&mut web.sign_in);
                Ok(())
            }
        }
    }
}

impl Removals {
    /// Takes away what was named.
    pub fn apply(&self, row: &mut Instance) {
        if self.no_backend {
            row.backends.clear();
        }
        if self.no_web {
            row.web = None;
        }
        if self.no_certificate {
            row.certificate = None;
        }
        if let Some(web) = row.web.as_mut().filter(|_| self.no_sign_in) {
            web.sign_in.paths.clear();
        }
        if self.no_emergency {
            row.emergency_numbers.clear();
        }
        if self.all_origins {
            row.origins.clear();
        }
        if self.from_everywhere {
            row.only_from.clear();
        }
        if self.no_never_ban {
            row.never_ban.clear();
        }
        if self.no_alias {
            row.aliases.clear();
        }
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// A word of a serialised enum; the refusal lists the words there are.
pub fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(Value::String(text.to_ascii_lowercase())).map_err(|error| error.to_string())
}

/// `[transport:]host[:port][,weight=N][,priority=N][,profile=P]`, and for TLS
/// `[,verify][,wildcard][,name=N][,authorities=FILE][,certificate=N]`
fn backend(text: &str) -> Result<BackendArg, String> {
    let mut parts = text.split(',');
    let place = parts.next().unwrap_or_default();
    let (transport, address) = match place.split_once(':') {
        Some((first, rest)) if !rest.is_empty() => match word::<Transport>(first) {
            Ok(transport) => (transport, rest),
            // `pbx:5060` names a port, `[::1]:5060` and `2001:db8::1` are addresses; `foo:pbx:5060` is a mistake.
            Err(why) if rest.contains(':') && !place.starts_with('[') && place.parse::<Ipv6Addr>().is_err() => {
                return Err(why);
            }
            Err(_) => (Transport::Udp, place),
        },
        _ => (Transport::Udp, place),
    };
    if address.is_empty() {
        return Err("an address is missing, as in udp:10.0.0.5:5060".into());
    }
    let mut row = Backend { transport, ..Backend::at(address) };
    let mut profile = None;
    let mut tls = TlsArg::default();
    for part in parts {
        match part.split_once('=') {
            _ if transport == Transport::Tls && tls.take(part)? => {}
            Some(("weight", value)) => row.weight = number(value)?,
            Some(("priority", value)) => row.priority = number(value)?,
            Some(("profile", value)) => profile = Some(word(value)?),
            _ => {
                return Err(format!(
                    "'{part}' is none of weight=N, priority=N, profile=NAME, or with tls verify, wildcard, name=NAME, \
                     authorities=FILE, certificate=NAME"
                ));
            }
        }
    }
    Ok(BackendArg { row, profile, tls })
}

/// A network, or an address as a network of its own.
fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network.ok_or_else(|| format!("'{text}' is neither a network as in 192.0.2.0/24 nor an address"))
}

fn number<T: FromStr>(text: &str) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| format!("'{text}': {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_read_with_and_without_its_options() {
        let plain = backend("10.0.0.5:5060").unwrap().row;
        assert_eq!((plain.transport, plain.address.as_str(), plain.weight), (Transport::Udp, "10.0.0.5:5060", 1));
        let BackendArg { row, profile, .. } =
            backend("TCP:[2001:db8::1]:5080,weight=0,priority=7,profile=asterisk-pjsip").unwrap();
        assert_eq!((row.transport, row.address.as_str()), (Transport::Tcp, "[2001:db8::1]:5080"));
        assert_eq!((row.weight, row.priority, profile), (0, 7, Some(Profile::AsteriskPjsip)));
        assert_eq!(backend("pbx").unwrap().row.address, "pbx");
        assert_eq!(backend("udp:pbx").unwrap().row.address, "pbx");
        assert_eq!(backend("pbx:5080").unwrap().row.address, "pbx:5080");
        assert_eq!(backend("[::1]:5080").unwrap().row.address, "[::1]:5080");
        for bad in ["", ",weight=1", "a,weight=x", "a,weight=70000", "a,color=red", "a,profile=nobody", "foo:pbx:5060"]
        {
            assert!(backend(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_holds_over_tls_is_said_with_the_backend_and_stays() {
        // S01
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "PEM").unwrap();
        let text = format!("tls:pbx,verify,name=pbx.example,certificate=own,authorities={}", file.path().display());
        let made = backend(&text).unwrap().resolve(&[], None);
        let expected = BackendTls {
            verify: true,
            authorities: "PEM".into(),
            name: "pbx.example".into(),
            wildcard: false,
            certificate: "own".into(),
        };
        assert_eq!((made.transport, &made.tls), (Transport::Tls, &expected));
        let changed = backend("tls:pbx,verify=false,wildcard,authorities=").unwrap().resolve(&[made], None).tls;
        let expected = BackendTls { verify: false, wildcard: true, authorities: String::new(), ..expected };
        assert_eq!(changed, expected);
        for bad in ["tcp:pbx,verify", "tls:pbx,verify=perhaps", "tls:pbx,authorities=/nowhere/at/all", "tls:pbx,name"] {
            assert!(backend(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_backend_that_stays_keeps_its_id_and_profile() {
        let mut known = backend("udp:10.0.0.5,profile=kamailio").unwrap().resolve(&[], None);
        known.id = BackendId(7);
        let known = [known];
        let resolve = |text, profile| {
            let row = backend(text).unwrap().resolve(&known, profile);
            (row.id.0, row.profile)
        };
        assert_eq!(resolve("10.0.0.5,weight=3", None), (7, Profile::Kamailio));
        assert_eq!(resolve("10.0.0.5", Some(Profile::Contact)), (7, Profile::Contact));
        assert_eq!(resolve("10.0.0.5,profile=none", Some(Profile::Contact)), (7, Profile::None));
        assert_eq!(resolve("tcp:10.0.0.5", None), (0, Profile::Generic));
        assert_eq!(resolve("10.0.0.6", None), (0, Profile::Generic));
    }
}
