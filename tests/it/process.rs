//! The process: bad configurations, signals, the service manager.

use crate::support::node::Node;
use crate::support::program::Program;
use crate::support::sip::{self, request};
use crate::support::{Net, PATIENCE, until};
use nantucket::demo::digest::Algorithm;
use nantucket::demo::line::Account;
use nantucket::demo::pbx::{self, Pbx};
use nantucket::demo::phone::{self, Phone};
use nantucket::demo::wire::Peer;
use nantucket::ids::Transport;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::Arc;

fn run(config: &str) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("n.toml");
    std::fs::write(&path, config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_nantucket")).args(["run", "--config"]).arg(&path).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused_with_its_place() {
    let (code, text) = run("workers = 1\n\n[limits]\nconections = 5\n");
    assert_eq!(code, Some(64));
    assert!(text.contains("n.toml:4:1: limits.conections: unknown field `conections`"), "{text}");
    let (code, text) = run("[log]\nlevel = \"loud=very\"\n");
    assert_eq!(code, Some(64));
    assert!(text.contains("log.level: `loud=very`"), "{text}");
}

#[test]
fn what_a_node_needs_and_cannot_have_ends_it() {
    let net = Net::new();
    let (ip, dir) = (net.ip(1), tempfile::tempdir().unwrap());
    let _taken = std::net::UdpSocket::bind((ip, 5070)).unwrap();
    let (code, text) =
        run(&format!("data_dir = \"{}\"\n[inside]\nbind = [\"{ip}:5070\"]\n", dir.path().join("d").display()));
    assert_eq!(code, Some(69));
    assert!(text.contains("nantucket: inside.bind: Address already in use"), "{text}");
}

#[test]
fn limits_beyond_the_open_files_are_told_with_their_numbers() {
    // DESIGN 10; PROTOCOLS 5
    let net = Net::new();
    let (ip, dir) = (net.ip(1), tempfile::tempdir().unwrap());
    let _taken = std::net::UdpSocket::bind((ip, 5070)).unwrap();
    let told = |connections: u64| {
        let path = dir.path().join("n.toml");
        let config = format!(
            "data_dir = \"{}\"\nworkers = 1\n[inside]\nbind = [\"{ip}:5070\"]\n[limits]\nconnections = {connections}\n\
             pool_connections = 10\n[http]\nconnections = 10\n",
            dir.path().join("d").display()
        );
        std::fs::write(&path, config).unwrap();
        let output =
            Command::new(env!("CARGO_BIN_EXE_nantucket")).args(["run", "--config"]).arg(&path).output().unwrap();
        let log = [output.stdout, output.stderr].concat();
        let log = String::from_utf8(log).unwrap();
        log.lines().find(|line| line.contains("the limit on open files is too low")).map(str::to_owned)
    };
    assert_eq!(told(100), None);
    let line = told(4_000_000_000).unwrap();
    for part in ["wants=4000001054", "limits.connections=4000000000", "open_files="] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[test]
fn a_second_signal_does_not_wait_for_calls() {
    let net = Net::new();
    let mut node = Node::start_with(net, "[drain]\ndeadline = \"10m\"\n");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let setup = pbx::Setup {
        domain: "acme".into(),
        name: "acme".into(),
        ip: net.ip(10).into(),
        accounts: [("6001".to_owned(), "secret".to_owned())].into(),
        algorithms: vec![Algorithm::Md5],
        seed: 1,
        tap: Arc::new(|_| {}),
    };
    let pbx = runtime.block_on(Pbx::start(setup)).unwrap();
    node.add_instance("acme", &pbx.address().to_string(), "udp");
    let setup = phone::Setup {
        name: "phone".into(),
        account: Account { user: "6001".into(), domain: "acme".into(), password: "secret".into() },
        ip: net.ip(20).into(),
        proxy: Peer { transport: Transport::Udp, address: node.sip().parse().unwrap() },
        preload: false,
        algorithms: vec![Algorithm::Md5],
        patience: PATIENCE,
        seed: 2,
        tap: Arc::new(|_| {}),
    };
    let call = async {
        let phone = Phone::start(setup).await.unwrap();
        phone.register().await.unwrap();
        let call = phone.call(pbx::ECHO).await.unwrap();
        (phone, call)
    };
    let _call = runtime.block_on(call);
    node.program().signal("TERM");
    node.program().wait_line("draining", PATIENCE);
    assert_eq!(node.metric("nantucket_ready"), Some(0.0));
    node.program().signal("TERM");
    assert_eq!(node.program().wait(PATIENCE).code(), Some(130));
}

#[test]
fn a_call_that_rings_is_waited_for() {
    let net = Net::new();
    let mut node = Node::start(net);
    let (phone, pbx) = (sip::Peer::open((net.ip(20), 0)), sip::Peer::open((net.ip(10), 5060)));
    node.add_instance("acme", &pbx.address().to_string(), "udp");
    let contact = format!("Contact: <sip:a@{}>\r\n", phone.address());
    phone.send(&node.sip(), request("INVITE", "sip:6001@acme", &phone.via(), 1, &contact, ""));
    let (invite, inside) = loop {
        let (text, from) = pbx.next();
        if text.starts_with("INVITE ") {
            break (text, from.to_string());
        }
        // Is it alive?
        pbx.send(&from.to_string(), sip::response(&text, "200 OK"));
    };
    pbx.send(&inside, sip::response(&invite, "180 Ringing"));
    node.program().signal("TERM");
    node.program().wait_line("draining", PATIENCE);
    // As a person does, it lets it ring for a while.
    until("it is still there", PATIENCE, || node.metric("nantucket_sip_setups") == Some(1.0));
    pbx.send(&inside, sip::response(&invite, "486 Busy Here"));
    assert_eq!(sip::status(&phone.last()), 486);
    assert!(node.program().wait(PATIENCE).success());
}

#[test]
fn the_first_signal_lets_a_node_end() {
    let mut node = Node::start(Net::new());
    let printed = |node: &Node, text: &str| node.printed().lines().any(|line| line.ends_with(text));
    node.program().signal("TERM");
    let status = node.program().wait(PATIENCE);
    assert!(status.success(), "{status}");
    for text in ["starting", "serving", "draining", "stopping"] {
        assert!(printed(&node, text), "{text} in {}", node.printed());
    }
}

#[test]
fn sighup_takes_what_it_can_and_names_what_waits() {
    // R74
    let net = Net::new();
    let mut node = Node::start_with(net, "[limits]\nconnections = 100\n");
    let config = node.config();
    let before = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, before.replace("connections = 100", "connections = 7\nmailbox = 9")).unwrap();
    node.program().signal("HUP");
    node.program().wait_where("the change", PATIENCE, |line| line.contains("changed key=\"limits.connections\""));
    let waits = "needs a restart key=\"limits.mailbox\"";
    node.program().wait_where("what waits", PATIENCE, |line| line.contains(waits));
    std::fs::write(&config, "workers = \"many\"\n").unwrap();
    node.program().signal("HUP");
    let line = node.program().wait_line("was not read again", PATIENCE);
    assert!(line.contains("nantucket.toml:1:11: workers: invalid type"), "{line}");
    assert_eq!(node.metric("nantucket_ready"), Some(1.0));
}

#[test]
fn the_service_manager_is_told() {
    let net = Net::new();
    let (ip, dir) = (net.ip(1), tempfile::tempdir().unwrap());
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let config = dir.path().join("n.toml");
    let text = format!(
        "data_dir = \"{}\"\n[inside]\nbind = [\"{ip}:5070\"]\n[admin]\nlisten = []\n[metrics]\nlisten = []\n\
         [first_proxy]\nname = \"\"\n",
        dir.path().join("d").display()
    );
    std::fs::write(&config, text).unwrap();
    let mut program = Program::start(
        Command::new(env!("CARGO_BIN_EXE_nantucket"))
            .args(["run", "--config"])
            .arg(&config)
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "200000"),
    );
    let told = |wanted: &str| {
        let mut buffer = [0; 200];
        loop {
            let n = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("not told {wanted}: {error}"));
            if String::from_utf8_lossy(&buffer[..n]).contains(wanted) {
                return;
            }
        }
    };
    told("READY=1");
    told("WATCHDOG=1");
    told("WATCHDOG=1");
    program.signal("HUP");
    told("RELOADING=1");
    told("READY=1");
    program.signal("TERM");
    told("STOPPING=1");
    assert!(program.wait(PATIENCE).success());
}

#[test]
fn health_is_for_everybody_and_metrics_are_not() {
    // R9
    let node = Node::start(Net::new());
    assert_eq!(node.page("/healthz", false), (200, "alive\n".into()));
    assert_eq!(node.page("/readyz", false), (200, "serving\n".into()));
    assert_eq!(node.page("/metrics", false).0, 401);
    let (status, text) = node.page("/metrics", true);
    assert!(status == 200 && text.contains("nantucket_ready 1\n"), "{status} {text}");
}
