//! A front of our own on loopback, compiled from rows, without the rest of the node.

use nantucket::clock::Clock;
use nantucket::http::{Config, DoorKey, Server, Services};
use nantucket::ids::{InstanceId, ListenerId, ProxyId};
use nantucket::model::{self, Service, State, Table};
use nantucket::route::cell::Cell;
use nantucket::route::handles::Handles;
use nantucket::route::resolved::Resolved;
use nantucket::route::snapshot::Snapshot;
use nantucket::stats::{HttpRefusal, HttpStats, InstanceStats};
use nantucket::tls::Certificates;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::net::SocketAddr;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub const PLAIN: ListenerId = ListenerId { proxy: ProxyId(1), number: 1 };
pub const SECURE: ListenerId = ListenerId { proxy: ProxyId(1), number: 2 };

/// A front with one proxy, `front.pbx.example` over `pbx.example`.
pub struct World {
    pub server: Server,
    pub stats: Arc<HttpStats>,
    pub certificates: Arc<Certificates>,
    pub plain: SocketAddr,
    pub secure: SocketAddr,
    /// The doors of both.
    pub doors: [DoorKey; 2],
    table: Table,
    handles: Handles,
    clock: Clock,
    cell: Arc<Cell>,
    _dir: TempDir,
}

/// An instance that is on, with its web side at `web`.
pub fn instance(id: u32, name: &str, web: SocketAddr) -> model::Instance {
    model::Instance {
        id: InstanceId(id),
        display_name: format!("{name} telephony"),
        state: State::On,
        web: Some(model::Web::at(&format!("http://{web}"))),
        ..model::Instance::named(name)
    }
}

impl World {
    /// A front that serves `instances`.
    pub fn new(instances: impl IntoIterator<Item = model::Instance>) -> Self {
        Self::with(Config::default(), instances, |_| {})
    }

    /// The same with other bounds, and another proxy.
    pub fn with(
        config: Config,
        instances: impl IntoIterator<Item = model::Instance>,
        change: impl FnOnce(&mut model::Proxy),
    ) -> Self {
        let bind = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (plain, secure) = (bind(), bind());
        let listener = |number, service, socket: &std::net::TcpListener| model::Listener {
            number,
            service,
            bind: socket.local_addr().unwrap(),
            advertise: None,
        };
        let mut proxy = model::Proxy {
            id: ProxyId(1),
            listeners: vec![listener(1, Service::Http, &plain), listener(2, Service::Https, &secure)],
            https_redirect: false,
            ..model::Proxy::named("front", "front.pbx.example", "pbx.example")
        };
        change(&mut proxy);
        let table = Table {
            revision: 1,
            instances: instances.into_iter().map(Arc::new).collect(),
            proxies: vec![Arc::new(proxy)],
            ..Table::default()
        };
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::start();
        let now = clock.now().unix;
        let certificates = Certificates::open(dir.path(), Vec::new(), now).unwrap();
        let handles = Handles::default();
        let snapshot = compile(&table, &handles, now);
        certificates.apply(&snapshot, now).unwrap();
        let cell = Arc::new(Cell::new(snapshot));
        let stats = Arc::new(HttpStats::default());
        let server =
            Server::new(config, Arc::clone(&cell), Arc::clone(&certificates), Arc::clone(&stats), clock, None).unwrap();
        let (plain_door, plain) = server.listen(Services::web(PLAIN, false), plain).unwrap();
        let (secure_door, secure) = server.listen(Services::web(SECURE, true), secure).unwrap();
        Self {
            server,
            stats,
            certificates,
            plain,
            secure,
            doors: [plain_door, secure_door],
            table,
            handles,
            clock,
            cell,
            _dir: dir,
        }
    }

    /// Changes the table, as the control plane would.
    pub fn change(&mut self, change: impl FnOnce(&mut Table)) {
        change(&mut self.table);
        self.table.revision += 1;
        let now = self.clock.now().unix;
        let snapshot = Arc::new(compile(&self.table, &self.handles, now));
        self.certificates.apply(&snapshot, now).unwrap();
        let diff = nantucket::route::diff(&self.cell.load(), &snapshot);
        self.cell.store(Arc::clone(&snapshot));
        self.server.apply(&diff);
    }

    /// Changes one instance.
    pub fn change_instance(&mut self, id: u32, change: impl FnOnce(&mut model::Instance)) {
        self.change(|table| {
            let row = table.instances.iter_mut().find(|row| row.id == InstanceId(id)).unwrap();
            change(Arc::make_mut(row));
        });
    }

    pub fn instance_stats(&self, id: u32) -> Arc<InstanceStats> {
        Arc::clone(&self.cell.load().by_id(InstanceId(id)).unwrap().stats)
    }

    pub fn refused(&self, why: HttpRefusal) -> u64 {
        self.stats.refused(why)
    }

    /// A TLS connection that asks for `name` and trusts what the node made itself.
    pub async fn tls(&self, name: &str, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
        let pem = std::fs::read(self.certificates.self_signed_path()).unwrap();
        self.tls_trusting(name, alpn, CertificateDer::from_pem_slice(&pem).unwrap()).await
    }

    /// The same, trusting one certificate.
    pub async fn tls_trusting(
        &self,
        name: &str,
        alpn: &[&[u8]],
        trusted: CertificateDer<'static>,
    ) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(trusted).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        let tcp = TcpStream::connect(self.secure).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()
    }
}

fn compile(table: &Table, handles: &Handles, now: u64) -> Snapshot {
    let (snapshot, problems) = nantucket::route::compile(table, handles, &Resolved::default(), now);
    assert!(problems.is_empty(), "{problems:?}");
    snapshot
}
