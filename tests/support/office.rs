//! The API of a node in this process, over a store of its own: for what needs no data plane.

use nantucket::admin::live::{Binding, BoundListener, Decided, Live, Phase, Place, Search, Seat, Told};
use nantucket::admin::{self, Api, token};
use nantucket::clock::Clock;
use nantucket::control::rows::Rows;
use nantucket::control::service::Service;
use nantucket::control::status::Status;
use nantucket::control::store::Store as _;
use nantucket::control::store::sqlite::Sqlite;
use nantucket::control::usage::{InUse, Usage};
use nantucket::guard::Guard;
use nantucket::ids::InstanceId;
use nantucket::model::DeviceClass;
use nantucket::route::cell::Cell;
use nantucket::route::compile;
use nantucket::route::handles::Handles;
use nantucket::route::resolved::Resolved;
use nantucket::route::snapshot::Snapshot;
use nantucket::tls::Certificates;
use nantucket::usage::Journal;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread::JoinHandle;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A served API. Dropping it ends it.
pub struct Office {
    dir: TempDir,
    address: SocketAddr,
    end: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Office {
    /// Serves on a free port of `localhost`.
    pub fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().to_owned();
        let end = CancellationToken::new();
        let (tell, told) = std::sync::mpsc::channel();
        let stop = end.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let (api, tls) = build(&data);
                tell.send(address).unwrap();
                admin::serve(vec![listener], tls, api, admin::Pages::default(), stop).await;
            });
        });
        let address = told.recv().unwrap();
        Self { dir, address, end, thread: Some(thread) }
    }

    /// Serves with a volume licence of so many users.
    pub fn licensed(full: u32, light: u32) -> Self {
        let office = Self::open();
        std::fs::write(office.dir().join("volume.txt"), super::licence::volume(full, light)).unwrap();
        let installed = office.cli(&["licence", "install", "volume.txt"]);
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        office
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the API.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The data directory, with token and certificate.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The token.
    pub fn token(&self) -> String {
        token::read_file(&self.dir.path().join(token::FILE)).unwrap().unwrap()
    }

    /// Stops taking connections and waits for what is at work.
    pub fn close(&mut self) {
        self.end.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    /// The command line, pointed at it.
    pub fn cli(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// The same, not run yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nantucket"));
        command
            .args(args)
            .env_remove("NANTUCKET_TOKEN")
            .env("NANTUCKET_URL", self.url())
            .env("NANTUCKET_DATA_DIR", self.dir.path())
            .current_dir(self.dir.path());
        command
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

fn build(data: &Path) -> (Arc<Api>, Arc<rustls::ServerConfig>) {
    let clock = Clock::start();
    let store = Sqlite::open(&data.join("store.sqlite")).unwrap();
    let mut changes = store.watch();
    let rows = Arc::new(Rows::new(Arc::new(store)));
    let status = Arc::new(Status::new(clock));
    let service = Arc::new(Service::new(Arc::clone(&rows), status, Arc::new(Quiet), clock));
    let cell = Arc::new(Cell::new(Snapshot::default()));
    let served = Arc::clone(&cell);
    tokio::spawn(async move {
        let handles = Handles::default();
        while changes.changed().await.is_ok() {
            rows.refresh().await.unwrap();
            let (snapshot, _) = compile(&rows.table().0, &handles, &Resolved::default(), clock.now().unix);
            served.store(Arc::new(snapshot));
        }
    });
    let certificates = Certificates::open(&data.join("tls"), Vec::new(), clock.now().unix).unwrap();
    let tls = certificates.server_config(None, &[], false).unwrap();
    let token = token::open(data).unwrap();
    (Api::new(service, cell, Arc::new(Quiet), clock, token.digest), tls)
}

/// A node where nothing happens.
struct Quiet;

impl Usage for Quiet {
    fn of(&self, _: InstanceId) -> InUse {
        InUse { calls: 2, bindings: 1, accounts: vec!["6001".into()] }
    }
}

impl Live for Quiet {
    fn tls_failures(&self) -> Arc<nantucket::tls::failures::Failures> {
        Arc::default()
    }

    fn acme(&self) -> Arc<nantucket::acme::Board> {
        Arc::default()
    }

    fn guard(&self) -> Arc<Guard> {
        Arc::default()
    }

    fn phase(&self) -> Phase {
        Phase::Serving
    }

    fn listeners(&self) -> Vec<BoundListener> {
        vec![BoundListener {
            owner: "api".into(),
            service: "https".into(),
            address: "127.0.0.1:8443".parse().unwrap(),
            error: None,
        }]
    }

    fn registrations(&self, _: InstanceId, _: &Search<'_>, _: Option<&Place>, _: usize) -> Vec<(Place, Binding)> {
        Vec::new()
    }

    fn count_registrations(&self, _: InstanceId, _: &Search<'_>) -> usize {
        0
    }

    fn end_registration(&self, _: InstanceId, _: &Place) -> Option<bool> {
        None
    }

    fn decisions(&self, _: InstanceId, _: &dyn Fn(&Told<'_>) -> bool) -> Vec<Decided> {
        Vec::new()
    }

    fn seat(&self, _: InstanceId, _: &[u8], _: &[u8]) -> Seat {
        Seat { can_save: true, ..Seat::default() }
    }

    fn soft_client(&self, _: DeviceClass, _: &str, _: &str) -> Option<&'static str> {
        None
    }

    fn licence_now(&self) -> u64 {
        0
    }

    fn journal(&self) -> Option<Arc<Journal>> {
        None
    }

    fn bindings(&self, _: InstanceId) -> Vec<Binding> {
        Vec::new()
    }
}
