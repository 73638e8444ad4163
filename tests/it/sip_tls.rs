//! SIP over TLS through the running program: towards phones and towards instances.

use crate::support::node::Node;
use crate::support::sip::{Peer, request, response, status, value};
use crate::support::wire::{Came, Over, Wire};
use crate::support::{Net, PATIENCE, until};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

const QUIET: &str = "[health]\ninterval = \"2h\"\ninterval_down = \"2h\"\n";
const FQDN: &str = "main.pbx.test";

fn node(net: Net) -> Node {
    let node = Node::start_with(net, QUIET);
    listen(&node, &["sip-tls"]);
    node
}

/// Makes these services on 5061 listeners of the proxy, besides those it has on other ports.
fn listen(node: &Node, services: &[&str]) {
    let mut proxy = node.must("GET", "/proxies/main", None);
    let bind = format!("{}:5061", node.ip());
    let listeners = proxy["listeners"].as_array_mut().unwrap();
    listeners.retain(|it| it["bind"] != bind.as_str());
    for (service, number) in services.iter().zip(50..) {
        listeners.push(json!({"number": number, "service": service, "bind": bind}));
    }
    node.must("PUT", "/proxies/main", Some(proxy));
    node.wait_live();
}

fn is_open(node: &Node) -> bool {
    TcpStream::connect((node.ip(), 5061)).is_ok()
}

fn phone(node: &Node) -> Wire {
    until("it listens", PATIENCE, || is_open(node));
    Wire::open(Over::Tls, &format!("{}:5061", node.ip()), &node.tls_client(), FQDN)
}

#[track_caller]
fn heard(wire: &mut Wire) -> String {
    match wire.next() {
        Came::Message(bytes) => String::from_utf8(bytes).unwrap(),
        Came::Closed => panic!("it is closed"),
    }
}

#[test]
fn a_phone_registers_over_tls_and_is_called_over_the_same_connection() {
    // R78 S02 F11 P05 X05
    let net = Net::new();
    let node = node(net);
    let pbx = Peer::open((net.ip(10), 5060));
    node.add_instance("acme", &pbx.address().to_string(), "udp");
    let mut phone = phone(&node);
    let contact = "Contact: <sip:100@192.168.1.5:40000;transport=tls>\r\nExpires: 600\r\n";
    phone.send(request("REGISTER", "sip:acme", &phone.via(), 1, contact, "").as_bytes()).unwrap();
    let (asked, from) = pbx.next();
    let path = value(&asked, "Path").to_owned();
    assert!(path.starts_with("<sip:") && path.contains(&format!("@{}:5070;lr", net.ip(1))), "{path}");
    let granted = response(&asked, "200 OK").replace("Content-Length", &format!("{contact}Content-Length"));
    pbx.send(&from.to_string(), granted);
    assert_eq!(status(&heard(&mut phone)), 200);

    // Called by its Path, over no other connection, and told a way back over TLS by the certificate's name.
    let via = pbx.via();
    let route = format!("Route: {path}\r\nContact: <sip:200@{}>\r\n", pbx.address());
    pbx.send(&format!("{}:5070", net.ip(1)), request("INVITE", "sip:100@192.168.1.5:40000", &via, 2, &route, ""));
    let invite = heard(&mut phone);
    assert!(invite.starts_with("INVITE sip:100@192.168.1.5:40000"), "{invite}");
    assert!(value(&invite, "Record-Route").starts_with("<sips:"), "{invite}");
    assert!(value(&invite, "Record-Route").contains(&format!("@{FQDN}:5061;lr>")), "{invite}");
    assert!(value(&invite, "Via").starts_with(&format!("SIP/2.0/TLS {FQDN}:5061;")), "{invite}");
    assert!(!invite.contains(&pbx.address().to_string()), "R8: {invite}");
    phone.send(response(&invite, "486 Busy").as_bytes()).unwrap();
    until("the PBX hears of it", PATIENCE, || status(&pbx.next().0) == 486);
}

#[test]
fn a_tls_listener_comes_and_goes_without_touching_the_others() {
    // R78 R73
    let net = Net::new();
    let node = node(net);
    let mut secure = phone(&node);
    let mut plain = Wire::open(Over::Tcp, &node.sip(), &node.tls_client(), FQDN);
    let ask = |wire: &mut Wire, number| {
        wire.send(request("OPTIONS", "sip:nobody", &wire.via(), number, "", "").as_bytes()).unwrap();
        status(&heard(wire))
    };
    assert_eq!((ask(&mut secure, 1), ask(&mut plain, 2)), (404, 404));
    listen(&node, &[]);
    until("it is closed", PATIENCE, || !is_open(&node));
    assert!(matches!(secure.next(), Came::Closed), "what was accepted there goes with it");
    assert_eq!(ask(&mut plain, 3), 404);
    listen(&node, &["sip-tls"]);
    assert_eq!(ask(&mut phone(&node), 4), 404);
    assert_eq!(ask(&mut plain, 5), 404);
}

/// An instance's end of a connection over TLS.
struct Pbx {
    listener: TcpListener,
    config: Arc<ServerConfig>,
    pem: String,
}

impl Pbx {
    fn open(net: Net, name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let listener = TcpListener::bind((net.ip(11), 5061)).unwrap();
        Self { listener, config: Arc::new(config), pem: made.cert.pem() }
    }

    fn accept(&self) -> StreamOwned<ServerConnection, TcpStream> {
        let (socket, _) = self.listener.accept().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        StreamOwned::new(ServerConnection::new(Arc::clone(&self.config)).unwrap(), socket)
    }

    fn row(&self, name: &str, tls: Value) -> Value {
        json!({
            "name": name,
            "state": "on",
            "licence": crate::support::licence::cloud(),
            "backends": [{
                "address": self.listener.local_addr().unwrap().to_string(),
                "transport": "tls",
                "profile": "generic",
                "tls": tls,
            }],
        })
    }
}

#[test]
fn an_instance_over_tls_is_verified_and_no_other_takes_its_place() {
    // S01 X10 F13
    let net = Net::new();
    let node = node(net);
    let pbx = Pbx::open(net, "pbx.example");
    let known = json!({"verify": true, "authorities": pbx.pem, "name": "pbx.example"});
    let other = json!({"verify": true, "authorities": pbx.pem, "name": "other.example"});
    node.must("POST", "/instances", Some(pbx.row("acme", known)));
    node.must("POST", "/instances", Some(pbx.row("beta", other)));
    node.wait_live();
    let mut phone = phone(&node);
    // sips all the way: the next hop is over TLS.
    phone.send(request("OPTIONS", "sips:6001@acme", &phone.via(), 1, "", "").as_bytes()).unwrap();
    let mut end = pbx.accept();
    let mut room = [0; 4096];
    let n = end.read(&mut room).unwrap();
    let asked = String::from_utf8_lossy(&room[..n]).into_owned();
    assert!(asked.starts_with("OPTIONS sips:6001@acme SIP/2.0\r\nVia: SIP/2.0/TLS "), "{asked}");
    end.write_all(response(&asked, "200 Fine").as_bytes()).unwrap();
    assert_eq!(status(&heard(&mut phone)), 200);

    phone.send(request("OPTIONS", "sip:6001@beta", &phone.via(), 2, "", "").as_bytes()).unwrap();
    let mut end = pbx.accept();
    assert!(end.read(&mut room).is_err(), "it is not who it should be");
    assert_eq!(status(&heard(&mut phone)), 503);
}
