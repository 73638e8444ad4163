//! JsSIP and SIP.js in headless Chromium, over WSS through the node to Kamailio: on the port they share with HTTPS, by
//! HTTP/1.1 and as a stream of HTTP/2, and through the loss of the WebSocket in the middle of a call.

use super::pbx::Pbx;
use crate::support::Net;
use crate::support::node::Node;
use crate::support::program::Program;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{ChildStdin, Command};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A browser and two SIP stacks have their own pace.
const PATIENCE: Duration = Duration::from_secs(40);

/// A browser with a page for each phone.
struct Browser {
    program: Program,
    orders: RefCell<ChildStdin>,
    last: Cell<u32>,
}

impl Browser {
    /// Starts it; hosts are resolved by these rules.
    fn start(rules: &str) -> Self {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
        assert!(place.join("node_modules").exists(), "tests/run installs what {} names", place.display());
        let mut command = Command::new("node");
        let (program, orders) = Program::start_steered(command.arg(place.join("drive.mjs")).arg(rules));
        program.wait_line("ready", PATIENCE);
        Self { program, orders: RefCell::new(orders), last: Cell::new(0) }
    }

    /// Gives an order; its number.
    fn order(&self, page: &str, what: &str, with: &Value) -> u32 {
        self.last.set(self.last.get() + 1);
        let id = self.last.get();
        let line = json!({"id": id, "page": page, "do": what, "with": with});
        writeln!(self.orders.borrow_mut(), "{line}").unwrap();
        id
    }

    /// Waits until an order is carried out.
    #[track_caller]
    fn done(&self, id: u32) {
        let (done, failed) = (format!("done {id} "), format!("failed {id} "));
        let wanted = |line: &str| line.starts_with(&done) || line.starts_with(&failed);
        let line = self.program.wait_where(&done, PATIENCE, wanted);
        assert!(line.starts_with(&done), "{line}; it printed:\n{}", self.program.printed());
    }

    #[track_caller]
    fn ask(&self, page: &str, what: &str, with: &Value) {
        self.done(self.order(page, what, with));
    }

    #[track_caller]
    fn until(&self, page: &str, what: &str) {
        self.ask(page, "until", &json!(what));
    }

    /// Opens a page of the node and a phone in it that registers.
    #[track_caller]
    fn phone(&self, kind: &str, server: &str, user: &str) {
        self.ask(user, "open", &json!({"url": "https://main.pbx.test/", "kind": kind}));
        let password = format!("secret-{user}");
        self.ask(user, "start", &json!({"server": server, "domain": "harbor", "user": user, "password": password}));
    }

    /// One calls the other; each holds and resumes, and `ends` hangs up.
    #[track_caller]
    fn call(&self, from: &str, to: &str, ends: &str) {
        self.ask(from, "call", &json!(to));
        self.until(to, "answered");
        self.hold(from, to);
        self.hold(to, from);
        self.hang_up(ends, if ends == from { to } else { from });
    }

    #[track_caller]
    fn hold(&self, one: &str, other: &str) {
        self.ask(one, "hold", &json!(null));
        self.until(other, "held");
        self.ask(one, "resume", &json!(null));
        self.until(other, "resumed");
    }

    #[track_caller]
    fn hang_up(&self, one: &str, other: &str) {
        self.ask(one, "hangUp", &json!(null));
        self.until(other, "ended");
    }
}

/// What lies between a browser and the node, and can be cut.
struct Line {
    ip: Ipv4Addr,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Line {
    fn new(ip: Ipv4Addr, to: SocketAddr) -> Self {
        let listener = TcpListener::bind((ip, 443)).unwrap();
        let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let kept = Arc::clone(&open);
        std::thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                let Ok(far) = TcpStream::connect(to) else { continue };
                kept.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                for (from, to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                    std::thread::spawn(move || {
                        let (mut reader, mut writer) = (&from, &to);
                        let _ = std::io::copy(&mut reader, &mut writer);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { ip, open }
    }

    /// Cuts all connections; new ones may come.
    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn node(net: Net) -> (Node, Pbx) {
    let pbx = Pbx::start(net, 11, "harbor");
    let node = Node::start(net);
    node.add_instance("harbor", &pbx.address(), "udp");
    let bind = format!("{}:443", node.ip());
    let listener = |number: u8, service: &str| json!({"number": number, "service": service, "bind": bind});
    let listeners = [listener(1, "https"), listener(2, "sip-wss"), listener(3, "sip-tls")];
    node.must("PATCH", "/proxies/main", Some(json!({"listeners": listeners})));
    node.wait_live();
    (node, pbx)
}

// R78 W01 W02 W05 W08 W09
#[test]
fn browsers_register_call_each_other_hold_and_hang_up() {
    let net = Net::new();
    let (node, _pbx) = node(net);
    let browser = Browser::start(&format!("MAP *.pbx.test {}", node.ip()));
    // The page came over HTTP/2 from the same origin, so the WebSocket is a stream of that connection.
    browser.phone("jssip", "wss://main.pbx.test/sip", "alice");
    assert_eq!(node.metric("nantucket_http_sip_bridges"), Some(1.0), "over HTTP/2");
    // Nothing else is open towards this name, so it is HTTP/1.1.
    browser.phone("sipjs", "wss://harbor.pbx.test/sip", "bob");
    assert_eq!(node.metric("nantucket_http_sip_bridges"), Some(1.0), "over HTTP/1.1");
    assert_eq!(node.metric("nantucket_net_connections"), Some(2.0));
    browser.call("alice", "bob", "alice");
    browser.call("bob", "alice", "alice");
    browser.call("alice", "bob", "bob");
    browser.call("bob", "alice", "bob");
}

// R43 R78 P07 W05
#[test]
fn a_call_goes_on_when_the_browsers_websockets_were_cut() {
    let net = Net::new();
    let (node, _pbx) = node(net);
    let line = Line::new(net.ip(60), (node.ip(), 443).into());
    let browser = Browser::start(&format!("MAP main.pbx.test {}, MAP *.pbx.test {}", node.ip(), line.ip));
    browser.phone("jssip", "wss://harbor.pbx.test/sip", "alice");
    browser.phone("sipjs", "wss://harbor.pbx.test/sip", "bob");
    for (from, to, ends) in [("alice", "bob", "alice"), ("bob", "alice", "alice"), ("alice", "bob", "bob")] {
        browser.ask(from, "call", &json!(to));
        browser.until(to, "answered");
        // Once a re-INVITE was answered the ACK has arrived; SIP.js and JsSIP do not get over the loss of that.
        browser.hold(from, to);
        line.cut();
        for phone in ["alice", "bob"] {
            browser.until(phone, "disconnected");
            browser.until(phone, "registered");
        }
        // re-INVITE in both directions, then BYE.
        browser.hold(from, to);
        browser.hold(to, from);
        browser.hang_up(ends, if ends == from { to } else { from });
    }
}
