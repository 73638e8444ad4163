//! Everything the demo plays on: a node in this process, PBXs, web servers, phones, a browser.
//!
//! The node is the product as it is, on a temporary data directory and free ports of the loopback;
//! its table is changed through its own API. Each PBX has a loopback address of its own where the
//! system allows it, so that one seen where it must not be is recognised. Called by `run`; what is
//! played is `round`'s.

use super::digest::Algorithm;
use super::feed::Feed;
use super::fetch::Site;
use super::line::Account;
use super::pbx::{self, Pbx};
use super::phone::{self, Phone};
use super::ports::Ports;
use super::view::{Doing, InstanceRow, PhoneRow, Scene};
use super::wire::{self, Peer};
use super::{Args, sdp::Direction, web::Web};
use crate::admin::view::Status;
use crate::app;
use crate::cli::reach::{self, Reach};
use crate::config::Config;
use crate::control::licence::view::{Install, InstalledLicence};
use crate::control::service::TableInfo;
use crate::ids::Transport;
use crate::licence::document::Document;
use crate::licence::key::Signer;
use crate::licence::terms::{self, Body, Right, Terms, Volume};
use crate::model;
use anyhow::{Context as _, bail, ensure};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

/// How long a phone waits for anything.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long the node may take to carry a change out.
const SETTLE: Duration = Duration::from_secs(10);
/// How long the node waits for calls at its end.
const DRAIN: Duration = Duration::from_secs(1);
/// Between two looks at the node's table.
const LOOK: Duration = Duration::from_millis(20);
/// Users of the demo's volume licence, signed with the built-in demo key.
const USERS: u32 = 25;
/// Users that each instance is booked.
const BOOKED: u32 = 8;
/// The host name of the proxy, and its base domain: browsers know that it is this machine.
pub const HOST: &str = "demo.localhost";
/// Instances of the demo.
pub const HARBOR: &str = "harbor";
/// The second one.
pub const LIGHTHOUSE: &str = "lighthouse";
/// The one that is added while calls run.
pub const BREAKWATER: &str = "breakwater";

/// The PBX of an instance with its web side.
pub struct House {
    /// Registrar and calls.
    pub pbx: Pbx,
    /// Page and WebSocket.
    pub web: Web,
}

/// The phones.
pub struct Cast {
    /// alice@harbor, UDP, knows MD5 only.
    pub alice: Phone,
    /// bob@harbor, TCP.
    pub bob: Phone,
    /// carol@harbor, UDP, names its outbound proxy in Route.
    pub carol: Phone,
    /// dora@harbor, UDP over IPv6, where there is IPv6.
    pub dora: Option<Phone>,
    /// erin@harbor, TLS.
    pub erin: Phone,
    /// frank@harbor, WebSocket under TLS, on the port of HTTPS.
    pub frank: Phone,
    /// alice@lighthouse, TCP: another person than alice@harbor.
    pub alice_lighthouse: Phone,
    /// bob@lighthouse, UDP.
    pub bob_lighthouse: Phone,
    /// carol@lighthouse, UDP: one more than is booked, at first.
    pub carol_lighthouse: Phone,
    /// alice@breakwater, TCP.
    pub alice_breakwater: Phone,
}

impl Cast {
    /// All phones that exist.
    pub fn all(&self) -> impl Iterator<Item = &Phone> {
        let first = [&self.alice, &self.bob, &self.carol, &self.erin, &self.frank].into_iter();
        let lighthouse = [&self.alice_lighthouse, &self.bob_lighthouse, &self.carol_lighthouse];
        first.chain(self.dora.as_ref()).chain(lighthouse).chain([&self.alice_breakwater])
    }
}

/// The stage.
pub struct Stage {
    /// What is told.
    pub feed: Arc<Feed>,
    /// Harbor's PBX at first.
    pub harbor: House,
    /// The one it is moved to.
    pub harbor_new: House,
    /// Lighthouse's.
    pub lighthouse: House,
    /// Breakwater's.
    pub breakwater: House,
    /// The phones.
    pub cast: Cast,
    /// The proxy's plain HTTP listener.
    pub http: Site,
    /// Its HTTPS listener.
    pub https: Site,
    api: Arc<reach::Node>,
    node: app::Node,
    links: Vec<String>,
    _dir: tempfile::TempDir,
}

impl Stage {
    /// Builds it.
    pub async fn build(feed: Arc<Feed>, args: &Args, seed: u64) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir().context("a temporary directory")?;
        let ports = Ports::keep(args).context("free ports")?;
        let node = app::Node::start(config(dir.path(), &ports)).await.context("the node")?;
        let reach = Reach {
            url: format!("https://127.0.0.1:{}", ports.api).parse()?,
            token_file: Some(dir.path().join(crate::admin::token::FILE)),
            data_dir: dir.path().to_owned(),
            ca: None,
            insecure: false,
            timeout: SETTLE.as_secs(),
            json: false,
        };
        let api = Arc::new(reach.node().map_err(|failure| anyhow::anyhow!(failure.report()))?);
        let certificate = std::fs::read(dir.path().join(reach::CERTIFICATE)).context("the node's certificate")?;
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.http));
        let proxy = |transport, v6: bool| {
            let ip: IpAddr = if v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
            let port = match transport {
                Transport::Tls => ports.sip_tls,
                Transport::Wss => ports.https,
                _ => ports.sip,
            };
            Peer { transport, address: SocketAddr::new(ip, port) }
        };
        let trust = wire::Trust { connector: trust(&certificate)?, name: HOST.try_into()? };
        let houses = Builder { feed: &feed, seed };
        let phones = Phones { feed: &feed, seed, proxy: &proxy, trust: &trust };
        let stage = Self {
            harbor: houses.house(HARBOR, "1", 11).await?,
            harbor_new: houses.house(HARBOR, "2", 12).await?,
            lighthouse: houses.house(LIGHTHOUSE, "1", 21).await?,
            breakwater: houses.house(BREAKWATER, "1", 31).await?,
            cast: phones.cast(ports.v6).await?,
            http: Site { address: loopback, tls: None },
            https: Site {
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, ports.https)),
                tls: Some(trust.connector.clone()),
            },
            api,
            node,
            links: links(&ports),
            feed,
            _dir: dir,
        };
        stage.install_licence().await?;
        stage.open_front(&ports).await?;
        Ok(stage)
    }

    /// Where to point a browser, line by line.
    pub fn links(&self) -> &[String] {
        &self.links
    }

    /// Ends the node and waits for it.
    pub async fn strike(self) {
        self.node.stop(DRAIN).await;
    }

    /// The row of an instance whose PBX is this house.
    pub fn row(&self, name: &str, house: &House) -> model::Instance {
        let tcp = name == LIGHTHOUSE;
        model::Instance {
            state: model::State::On,
            backends: vec![model::Backend {
                transport: if tcp { Transport::Tcp } else { Transport::Udp },
                profile: if tcp { model::Profile::Generic } else { model::Profile::AsteriskPjsip },
                ..model::Backend::at(&house.pbx.address().to_string())
            }],
            web: Some(model::Web {
                prefix: if tcp { model::Prefix::Keep } else { model::Prefix::Strip },
                ..model::Web::at(&format!("http://{}", house.web.address()))
            }),
            licence: model::Licensing {
                mode: model::Mode::Cloud,
                booked: model::Seats { full: BOOKED, light: 0 },
                ..model::Licensing::default()
            },
            ..model::Instance::named(name)
        }
    }

    /// Calls the API; refusals are errors with the API's own words.
    pub async fn api<T: Send + 'static>(
        &self,
        call: impl FnOnce(&reach::Node) -> Result<T, crate::cli::exit::Failure> + Send + 'static,
    ) -> Result<T, crate::cli::exit::Failure> {
        let node = Arc::clone(&self.api);
        match tokio::task::spawn_blocking(move || call(&node)).await {
            Ok(answer) => answer,
            Err(error) => Err(crate::cli::exit::Failure::Refused(error.to_string())),
        }
    }

    /// Waits until the node serves the newest table.
    pub async fn settle(&self) -> anyhow::Result<TableInfo> {
        let settled = async {
            loop {
                let table: TableInfo = self.api(|node| node.get(&["table"], &[])).await.map_err(said)?.value;
                if table.serving == table.revision {
                    return anyhow::Ok(table);
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let table = tokio::time::timeout(SETTLE, settled).await.context("the table was not served in time")??;
        ensure!(table.problems.is_empty(), "{:?}", table.problems);
        Ok(table)
    }

    /// Ends every call and removes every instance that an earlier round left.
    pub async fn clear(&self) -> anyhow::Result<()> {
        for phone in self.cast.all() {
            phone.reset().await;
        }
        for name in [HARBOR, LIGHTHOUSE, BREAKWATER] {
            match self.api(move |node| node.delete(&["instances", name])).await {
                Ok(()) => {}
                Err(failure) if failure.exit_code() == 4 => {}
                Err(failure) => return Err(said(failure)),
            }
        }
        self.settle().await.map(drop)
    }

    /// Installs a volume licence, as an operator does.
    async fn install_licence(&self) -> anyhow::Result<()> {
        let body = Body {
            schema: terms::SCHEMA,
            id: "DEMO-VOLUME".into(),
            issued: self.feed.clock().now().unix,
            holder: "Nantucket demo".into(),
            expires: None,
            terms: Terms::Volume(Volume {
                users: model::Seats { full: USERS, light: 0 },
                rights: vec![Right::Softphone],
                hardware: None,
            }),
        };
        let document = Document::issue(&body, &Signer::demo())?.text();
        let install = Install { document, confirm: false };
        let made: Vec<InstalledLicence> =
            self.api(move |node| node.post(&["licences"], &install)).await.map_err(said)?;
        ensure!(made.len() == 1, "{} licences", made.len());
        self.feed.say(&format!("licence  demo volume licence, {USERS} users"));
        Ok(())
    }

    /// Makes the proxy's row, and waits until it listens.
    async fn open_front(&self, ports: &Ports) -> anyhow::Result<()> {
        let services = [
            (model::Service::SipUdp, ports.sip),
            (model::Service::SipTcp, ports.sip),
            (model::Service::Http, ports.http),
            (model::Service::SipTls, ports.sip_tls),
            (model::Service::Https, ports.https),
            (model::Service::SipWss, ports.https),
        ];
        let mut listeners = Vec::new();
        for (service, port) in services {
            let binds = ports.everywhere(port);
            listeners.extend(binds.map(|bind| model::Listener { number: 0, service, bind, advertise: None }));
        }
        let wanted = listeners.len();
        let row = model::Proxy { listeners, https_redirect: false, ..model::Proxy::named("demo", HOST, HOST) };
        self.api(move |node| node.post::<_, model::Proxy>(&["proxies"], &row)).await.map_err(said)?;
        let listening = async {
            loop {
                let status: Status = self.api(|node| node.get(&["status"], &[])).await.map_err(said)?.value;
                let mine: Vec<_> = status.listeners.iter().filter(|listener| listener.owner == "demo").collect();
                if let Some(failed) = mine.iter().find_map(|listener| listener.error.as_ref()) {
                    bail!("{failed}");
                }
                if mine.len() == wanted {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(SETTLE, listening).await.context("the proxy did not listen in time")?
    }

    /// What the view shows of it now.
    pub fn scene(&self) -> Scene {
        let snapshot = self.node.cell().load();
        let instances = snapshot.instances.iter().map(|instance| InstanceRow {
            name: instance.name.to_string(),
            on: instance.state == model::State::On,
            calls: instance.stats.calls.read(),
            bindings: instance.stats.bindings.read(),
            requests: instance.stats.requests.read(),
            http: instance.stats.http_requests.read(),
            tunnels: instance.stats.tunnels.read(),
        });
        let phones = self.cast.all().map(|phone| {
            let Account { user, domain, .. } = phone.account();
            let proxy = phone.proxy();
            let version = if proxy.address.is_ipv6() { "6" } else { "" };
            PhoneRow {
                name: format!("{user}@{domain}"),
                transport: format!("{}{version}", proxy.transport),
                doing: doing(phone),
            }
        });
        Scene { instances: instances.collect(), phones: phones.collect(), links: self.links.clone() }
    }
}

fn doing(phone: &Phone) -> Doing {
    match phone.calls().pop() {
        Some(call) => {
            let state = call.state();
            let open = state.local == Direction::Both && state.remote == Direction::Both;
            if open { Doing::Talking(call.with()) } else { Doing::Held(call.with()) }
        }
        None if phone.registered() => Doing::Idle,
        None => Doing::Off,
    }
}

/// A refusal of the API as an error.
pub fn said(failure: crate::cli::exit::Failure) -> anyhow::Error {
    anyhow::anyhow!("{failure}")
}

fn config(dir: &std::path::Path, ports: &Ports) -> Config {
    let mut config = Config { data_dir: dir.to_owned(), ..Config::default() };
    config.inside.bind = ports.everywhere(ports.inside).collect();
    config.admin.listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, ports.api))];
    config.metrics.listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, ports.metrics))];
    config.first_proxy.name = String::new();
    config
}

fn links(ports: &Ports) -> Vec<String> {
    let sites = [HARBOR, LIGHTHOUSE, BREAKWATER]
        .map(|name| format!("https://127.0.0.1:{}/{name}/  http://127.0.0.1:{}/{name}/", ports.https, ports.http));
    let node =
        format!("https://127.0.0.1:{}/api/v1/openapi.json  http://127.0.0.1:{}/metrics", ports.api, ports.metrics);
    sites.into_iter().chain([node]).collect()
}

/// A TLS client that trusts this certificate and no other.
fn trust(pem: &[u8]) -> anyhow::Result<tokio_rustls::TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(tokio_rustls::TlsConnector::from(Arc::new(config)))
}

/// The password of an account: another one in every instance.
fn password(user: &str, domain: &str) -> String {
    format!("{domain} {user} secret")
}

struct Builder<'a> {
    feed: &'a Arc<Feed>,
    seed: u64,
}

impl Builder<'_> {
    async fn house(&self, domain: &str, build: &str, octet: u8) -> anyhow::Result<House> {
        let own = IpAddr::from([127, 0, 0, octet]);
        let ip = if UdpSocket::bind((own, 0)).is_ok() { own } else { IpAddr::from(Ipv4Addr::LOCALHOST) };
        let accounts: HashMap<_, _> = ["alice", "bob", "carol", "dora", "erin", "frank"]
            .map(|user| (user.to_owned(), password(user, domain)))
            .into();
        let name = if build == "1" { domain.to_owned() } else { format!("{domain}{build}") };
        let pbx = Pbx::start(pbx::Setup {
            domain: domain.to_owned(),
            name,
            ip,
            accounts,
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            seed: self.seed.wrapping_add(u64::from(octet)),
            tap: self.feed.tap(true),
        })
        .await
        .context("a PBX")?;
        let web = Web::start(domain, build, ip).await.context("a web server")?;
        if ip == own {
            self.feed.hide([ip.to_string()]);
        } else {
            self.feed.hide([pbx.address().to_string(), web.address().to_string()]);
        }
        Ok(House { pbx, web })
    }
}

struct Phones<'a> {
    feed: &'a Arc<Feed>,
    seed: u64,
    proxy: &'a (dyn Fn(Transport, bool) -> Peer + Sync),
    trust: &'a wire::Trust,
}

impl Phones<'_> {
    async fn cast(&self, v6: bool) -> anyhow::Result<Cast> {
        const ALL: &[Algorithm] = &[Algorithm::Md5, Algorithm::Sha256];
        let (udp, tcp) = (Transport::Udp, Transport::Tcp);
        Ok(Cast {
            alice: self.phone("alice", HARBOR, (self.proxy)(udp, false), &[Algorithm::Md5], 1).await?,
            bob: self.phone("bob", HARBOR, (self.proxy)(tcp, false), ALL, 2).await?,
            carol: self.phone("carol", HARBOR, (self.proxy)(udp, false), ALL, 3).await?,
            dora: if v6 { Some(self.phone("dora", HARBOR, (self.proxy)(udp, true), ALL, 4).await?) } else { None },
            erin: self.phone("erin", HARBOR, (self.proxy)(Transport::Tls, false), ALL, 9).await?,
            frank: self.phone("frank", HARBOR, (self.proxy)(Transport::Wss, false), ALL, 10).await?,
            alice_lighthouse: self.phone("alice", LIGHTHOUSE, (self.proxy)(tcp, false), ALL, 5).await?,
            bob_lighthouse: self.phone("bob", LIGHTHOUSE, (self.proxy)(udp, false), ALL, 6).await?,
            carol_lighthouse: self.phone("carol", LIGHTHOUSE, (self.proxy)(udp, false), ALL, 8).await?,
            alice_breakwater: self.phone("alice", BREAKWATER, (self.proxy)(tcp, false), ALL, 7).await?,
        })
    }

    async fn phone(
        &self,
        user: &str,
        domain: &str,
        proxy: Peer,
        algorithms: &[Algorithm],
        number: u64,
    ) -> anyhow::Result<Phone> {
        let ip = if proxy.address.is_ipv6() { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        let short = domain.get(..1).unwrap_or_default();
        let setup = phone::Setup {
            name: if domain == HARBOR { user.to_owned() } else { format!("{user}@{short}") },
            account: Account { user: user.to_owned(), domain: domain.to_owned(), password: password(user, domain) },
            ip,
            proxy,
            preload: user == "carol",
            algorithms: algorithms.to_vec(),
            patience: PATIENCE,
            seed: self.seed.wrapping_mul(31).wrapping_add(number),
            tap: self.feed.tap(false),
        };
        Phone::start_trusting(setup, Some(self.trust.clone())).await.context("a phone")
    }
}
