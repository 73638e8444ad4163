//! A whole node in this process: its table changed through the control plane, phones on its ports.

use super::*;
use crate::admin::live::Phase;
use crate::config::sections::FirstListener;
use crate::control::change::{Actor, Asked, Change};
use crate::control::licence::testing::volume;
use crate::demo::digest::Algorithm;
use crate::demo::line::Account;
use crate::demo::pbx::{self, Pbx};
use crate::demo::phone::{self, Phone};
use crate::demo::wire::Peer;
use crate::ids::{BackendId, Transport};
use crate::model::{Backend, Listener, Service as Speaks, State as Switch};
use crate::route::testing::instance;
use std::net::IpAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const PATIENCE: Duration = Duration::from_secs(20);
const HOME: &str = "127.0.0.1:0";

fn home() -> SocketAddr {
    HOME.parse().unwrap()
}

fn config(dir: &tempfile::TempDir) -> Config {
    let mut config = Config { workers: 2, data_dir: dir.path().join("data"), ..Config::default() };
    config.inside.bind = vec![home()];
    config.admin.listen = vec![home()];
    config.metrics.listen = vec![home()];
    let services = [Speaks::SipUdp, Speaks::SipTcp, Speaks::Http, Speaks::Https];
    config.first_proxy.listeners =
        services.map(|service| FirstListener { service, bind: home(), advertise: None }).into();
    config
}

async fn pbx(name: &str) -> Pbx {
    let accounts = ["alice", "bob"].map(|user| (user.to_owned(), format!("secret of {user}")));
    let setup = pbx::Setup {
        domain: name.into(),
        name: name.into(),
        ip: home().ip(),
        accounts: accounts.into(),
        algorithms: vec![Algorithm::Md5],
        seed: 1,
        tap: Arc::new(|_| {}),
    };
    Pbx::start(setup).await.unwrap()
}

impl Node {
    async fn change(&self, change: Change) {
        self.service.apply(&Actor("test".into()), vec![Asked::from(change)]).await.unwrap();
    }

    async fn add(&self, name: &str, pbx: &Pbx) {
        self.change(Change::InstallLicence { document: volume(100_000, 100_000), confirm: false }).await;
        let mut row = instance(0, name);
        let address = pbx.address().to_string();
        row.backends[0] = Backend { id: BackendId(1), address, ..row.backends[0].clone() };
        self.change(Change::CreateInstance { row }).await;
        self.until(|node| node.cell.load().instances.iter().any(|it| &*it.name == name)).await;
    }

    async fn until(&self, mut holds: impl FnMut(&Self) -> bool) {
        let waits = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waits).await.unwrap();
    }

    fn address(&self, service: &str) -> SocketAddr {
        let owner = |it: &BoundListener| it.owner == "front" || it.owner == "metrics" || it.owner == "api";
        let listeners = self.listeners();
        listeners.iter().find(|it| it.service == service && owner(it)).unwrap().address
    }

    async fn phone(&self, user: &str, domain: &str, transport: Transport) -> Phone {
        let address = self.address(if transport == Transport::Udp { "sip-udp" } else { "sip-tcp" });
        let setup = phone::Setup {
            name: user.into(),
            account: Account { user: user.into(), domain: domain.into(), password: format!("secret of {user}") },
            ip: address.ip(),
            proxy: Peer { transport, address },
            preload: false,
            algorithms: vec![Algorithm::Md5],
            patience: PATIENCE,
            seed: user.len() as u64,
            tap: Arc::new(|_| {}),
        };
        Phone::start(setup).await.unwrap()
    }
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

fn metrics(node: &Node) -> SocketAddr {
    node.listeners().iter().find(|it| it.owner == "metrics").unwrap().address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_is_added_to_a_running_node_and_survives_its_restart() {
    // R73 R75 P04
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(config(&dir)).await.unwrap();
    assert_eq!(node.state.phase(), Phase::Serving);
    let harbor = pbx("harbor").await;
    let early = node.phone("alice", "harbor", Transport::Udp).await;
    assert_eq!(early.register().await.unwrap_err().status(), 404);
    node.add("harbor", &harbor).await;
    let alice = node.phone("alice", "harbor", Transport::Udp).await;
    let bob = node.phone("bob", "harbor", Transport::Tcp).await;
    alice.register().await.unwrap();
    bob.register().await.unwrap();
    let (calling, called) = tokio::join!(bob.call("alice"), alice.next_call());
    let (calling, called) = (calling.unwrap(), called.unwrap());

    let text = get(metrics(&node), "/metrics").await;
    assert!(!text.contains("nantucket_instance_calls{instance=\"harbor\"} 0\n"), "{text}");
    assert!(text.contains("nantucket_instance_bindings{instance=\"harbor\"} 2\n"));
    calling.hang_up().await.unwrap();
    called.ended().await.unwrap();

    // Alice is on a datagram flow: she stays registered and reachable over a restart.
    let same = config(&dir);
    let inside = node.listeners().iter().find(|it| it.owner == "inside").unwrap().address;
    node.stop(Duration::from_secs(1)).await;
    let node = Node::start(Config {
        inside: crate::config::sections::Inside { bind: vec![inside], ..same.inside.clone() },
        ..same
    })
    .await
    .unwrap();
    let bob = node.phone("bob", "harbor", Transport::Tcp).await;
    bob.register().await.unwrap();
    let (calling, called) = tokio::join!(bob.call("alice"), alice.next_call());
    called.unwrap().hang_up().await.unwrap();
    calling.unwrap().ended().await.unwrap();
    node.stop(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_cannot_be_bound_is_shown_and_the_rest_serves() {
    // R73 R78; PROTOCOLS 4, traps 9 and 16
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&dir);
    config.first_proxy.listeners.retain(|it| it.service == Speaks::SipTcp);
    let node = Node::start(config).await.unwrap();
    let front: Vec<_> = node.listeners().into_iter().filter(|it| it.owner == "front").collect();
    assert_eq!(front.len(), 1, "a service that is not listed does not listen: {front:?}");
    assert!(std::net::UdpSocket::bind(front[0].address).is_ok());

    let (_, proxies) = node.service.proxies().await.unwrap();
    let mut row = (*proxies[0].row).clone();
    let taken = std::net::TcpListener::bind(home()).unwrap();
    let free = super::super::ports::settle(home()).unwrap();
    let listener = |number, service, bind| Listener { number, service, bind, advertise: None };
    row.listeners.push(listener(2, Speaks::SipTcp, taken.local_addr().unwrap()));
    row.listeners.push(listener(3, Speaks::Http, free));
    node.change(Change::UpdateProxy { name: "front".into(), row: row.clone() }).await;
    node.until(|node| node.listeners().iter().filter(|it| it.owner == "front").count() == 3).await;
    let listeners = node.listeners();
    let broken: Vec<_> = listeners.iter().filter(|it| it.error.is_some()).collect();
    assert_eq!(broken.len(), 1);
    assert_eq!(broken[0].address, taken.local_addr().unwrap());
    let ready = get(metrics(&node), "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200 ") && ready.contains("not bound: front sip-tcp"), "{ready}");
    assert!(get(free, "/").await.starts_with("HTTP/1.1 "));
    node.phone("alice", "nobody", Transport::Tcp).await.register().await.unwrap_err();

    // One that leaves closes its socket and no other.
    row.listeners.truncate(1);
    node.change(Change::UpdateProxy { name: "front".into(), row }).await;
    node.until(|node| node.listeners().iter().filter(|it| it.owner == "front").count() == 1).await;
    node.until(|_| std::net::TcpListener::bind(free).is_ok()).await;
    node.phone("alice", "nobody", Transport::Tcp).await.register().await.unwrap_err();
    node.stop(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_drains_until_its_calls_have_ended() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(config(&dir)).await.unwrap();
    let harbor = pbx("harbor").await;
    node.add("harbor", &harbor).await;
    let alice = node.phone("alice", "harbor", Transport::Udp).await;
    alice.register().await.unwrap();
    let call = alice.call("echo").await.unwrap();
    let (state, health) = (Arc::clone(&node.state), metrics(&node));
    let stopping = tokio::spawn(node.stop(PATIENCE));
    let draining = async {
        while state.phase() != Phase::Draining {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, draining).await.unwrap();
    assert!(get(health, "/readyz").await.starts_with("HTTP/1.1 503 "));
    assert!(get(health, "/healthz").await.starts_with("HTTP/1.1 200 "));
    call.hold().await.unwrap();
    call.hang_up().await.unwrap();
    tokio::time::timeout(PATIENCE, stopping).await.unwrap().unwrap();
    assert_eq!(state.phase(), Phase::Stopping);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_do_not_share_a_directory_or_an_address() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(config(&dir)).await.unwrap();
    assert!(matches!(Node::start(config(&dir)).await.err(), Some(StartError::Data(_))));
    let other = tempfile::tempdir().unwrap();
    let mut same = config(&other);
    same.metrics.listen = vec![metrics(&node)];
    let error = Node::start(same).await.err().unwrap().to_string();
    assert!(error.starts_with("metrics.listen: 127.0.0.1:"), "{error}");
    let mut same = config(&other);
    same.inside.bind = vec![node.listeners().iter().find(|it| it.owner == "inside").unwrap().address];
    assert!(matches!(Node::start(same).await.err(), Some(StartError::Inside(_))));
    node.stop(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_is_switched_off_is_refused_at_once() {
    // R34 R35
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(config(&dir)).await.unwrap();
    let (harbor, lighthouse) = (pbx("harbor").await, pbx("lighthouse").await);
    node.add("harbor", &harbor).await;
    node.add("lighthouse", &lighthouse).await;
    let alice = node.phone("alice", "harbor", Transport::Udp).await;
    let other = node.phone("alice", "lighthouse", Transport::Udp).await;
    alice.register().await.unwrap();
    other.register().await.unwrap();
    node.change(Change::SetState { name: "harbor".into(), state: Switch::Off }).await;
    node.until(|node| node.cell.load().instances.iter().any(|it| it.state == Switch::Off)).await;
    assert_eq!(alice.register().await.unwrap_err().status(), 503);
    other.register().await.unwrap();
    let ip: IpAddr = home().ip();
    assert_eq!(node.address("sip-udp").ip(), ip);
    node.stop(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_store_a_node_serves_the_last_table_it_had() {
    // R76
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(config(&dir)).await.unwrap();
    let harbor = pbx("harbor").await;
    node.add("harbor", &harbor).await;
    node.stop(Duration::ZERO).await;
    for file in ["store.sqlite-wal", "store.sqlite-shm"] {
        let _ = std::fs::remove_file(dir.path().join("data").join(file));
    }
    std::fs::write(dir.path().join("data/store.sqlite"), "this is no database at all, not even a small one").unwrap();
    let node = Node::start(config(&dir)).await.unwrap();
    node.phone("alice", "harbor", Transport::Udp).await.register().await.unwrap();
    assert!(node.service.instances().await.is_err());
    let metrics = get(metrics(&node), "/metrics").await;
    assert!(!metrics.contains("nantucket_table_problems 0\n"), "{metrics}");
    node.stop(Duration::ZERO).await;
}
