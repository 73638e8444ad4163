//! SIP over TLS: handshakes and their bounds, what clients say in them, and how connections end.

use super::*;
use crate::model::{Backend, BackendTls};
use crate::net::adopted::{Adopted, Handed, Workers as _};
use crate::net::stream::StreamLimits;
use crate::route::testing::{compiled, instance, table};
use crate::tls::Certificates;
use crate::tls::tickets::TicketKey;
use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use std::pin::pin;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const TLS: ListenerId = ListenerId { proxy: ProxyId(1), number: 3 };

/// Both sides' configurations.
struct Papers {
    server: Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
    pem: String,
}

impl Papers {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["pbx.example".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let mut server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())
            .unwrap();
        server.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
        Self { server: Arc::new(server), certificate, pem: made.cert.pem() }
    }

    fn client(&self, version: &'static SupportedProtocolVersion) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config).into()
    }
}

async fn stage(workers: u8, limits: Limits) -> (Stage, Papers) {
    let (mut stage, papers) = (Stage::open(workers, limits).await, Papers::new());
    let server = Arc::clone(&papers.server);
    let troubles = stage.front.listen(&[any(TLS, Transport::Tls)], |_| Ok(Arc::clone(&server))).await;
    assert!(troubles.is_empty(), "{troubles:?}");
    (stage, papers)
}

impl Stage {
    async fn plain(&self) -> TcpStream {
        TcpStream::connect(self.address(TLS)).await.unwrap()
    }

    async fn secure(&self, connector: &TlsConnector) -> TlsStream<TcpStream> {
        connector.connect("pbx.example".try_into().unwrap(), self.plain().await).await.unwrap()
    }

    async fn opened(&mut self) -> (Flow, Greeting) {
        self.until(|seen| if let Seen::Opened(flow, greeting) = seen { Some((flow, greeting)) } else { None }).await
    }
}

async fn ask_securely(stream: &mut TlsStream<TcpStream>, line: &str) -> String {
    stream.write_all(framed(line).as_bytes()).await.unwrap();
    let mut buffer = vec![0; 4096];
    let n = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&buffer[..n]).into_owned()
}

#[tokio::test]
async fn sip_is_spoken_under_both_versions_and_the_flow_says_so() {
    // R78 S05
    let (mut stage, papers) = stage(1, Limits::default()).await;
    for version in [&version::TLS12, &version::TLS13] {
        let mut phone = stage.secure(&papers.client(version)).await;
        assert_eq!(ask_securely(&mut phone, "hello").await, framed("hello"));
        let (flow, greeting) = stage.opened().await;
        assert_eq!(flow.transport(), Transport::Tls);
        assert_eq!((flow.listener(), flow.peer()), (TLS, phone.get_ref().0.local_addr().unwrap()));
        assert_eq!((greeting.sni.as_deref(), greeting.resumed), (Some("pbx.example"), None));
        let Seen::Message(_, seen, _) = stage.next().await else { panic!("no message") };
        assert_eq!(seen, flow);
        assert_eq!(ask_securely(&mut phone, "\r\n\r\nCLOSE").await, "\r\n");
        // X14: the end is said.
        let mut rest = Vec::new();
        phone.read_to_end(&mut rest).await.unwrap();
    }
}

#[tokio::test]
async fn messages_of_one_turn_are_one_record() {
    let (stage, papers) = stage(1, Limits::default()).await;
    let mut phone = stage.secure(&papers.client(&version::TLS13)).await;
    ask_securely(&mut phone, "hello").await;
    phone.write_all(framed("FLOOD 3").as_bytes()).await.unwrap();
    let (mut socket, _) = phone.into_inner();
    let mut head = [0; 5];
    tokio::time::timeout(PATIENCE, socket.read_exact(&mut head)).await.unwrap().unwrap();
    assert_eq!(u16::from_be_bytes([head[3], head[4]]), 3_000 + 17);
}

#[tokio::test]
async fn who_resumes_a_session_is_known_by_the_connection_before() {
    // S05: TLS 1.2 as well
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::open(dir.path(), Vec::new(), Clock::start().now().unix).unwrap();
    certificates.set_ticket_keys(vec![TicketKey { id: 1, secret: [7; 32], since: 1 }]);
    let server = certificates.server_config(Some(ProxyId(1)), &[], true).unwrap();
    let pem = std::fs::read(certificates.self_signed_path()).unwrap();
    let papers = Papers { server, certificate: CertificateDer::from_pem_slice(&pem).unwrap(), pem: String::new() };
    let mut stage = Stage::open(2, Limits::default()).await;
    let troubles = stage.front.listen(&[any(TLS, Transport::Tls)], |_| Ok(Arc::clone(&papers.server))).await;
    assert!(troubles.is_empty(), "{troubles:?}");
    for version in [&version::TLS12, &version::TLS13] {
        let connector = papers.client(version);
        let mut before = None;
        for _ in 0..3 {
            let name = "localhost".try_into().unwrap();
            let mut phone = connector.connect(name, stage.plain().await).await.unwrap();
            ask_securely(&mut phone, "hello").await;
            let (Flow::Stream { conn, .. }, greeting) = stage.opened().await else { panic!("no stream") };
            assert_eq!(greeting.resumed, before, "{version:?}");
            before = Some(conn);
        }
    }
}

#[tokio::test]
async fn a_hello_may_come_byte_by_byte() {
    // S06; PROTOCOLS 3.3.14
    let (mut stage, papers) = stage(1, Limits::default()).await;
    let (near, far) = tokio::io::duplex(1);
    let mut socket = stage.plain().await;
    socket.set_nodelay(true).unwrap();
    let pump = tokio::spawn(async move {
        let mut near = near;
        tokio::io::copy_bidirectional_with_sizes(&mut near, &mut socket, 1, 4096).await
    });
    let connector = papers.client(&version::TLS13);
    let mut phone = connector.connect("pbx.example".try_into().unwrap(), far).await.unwrap();
    phone.write_all(framed("hello").as_bytes()).await.unwrap();
    phone.flush().await.unwrap();
    let mut answer = vec![0; framed("hello").len()];
    phone.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, framed("hello").as_bytes());
    stage.opened().await;
    drop(phone);
    let _ = pump.await;
}

#[tokio::test]
async fn plain_sip_and_http_are_told_that_the_port_speaks_tls() {
    // PROTOCOLS 3.3.14
    let (stage, _papers) = stage(1, Limits::default()).await;
    let request = "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:b>\r\n\
                   Call-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
    for (said, expected) in [
        (request, "SIP/2.0 400 This port speaks TLS\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\n"),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"),
        ("\r\n\r\nPOST /x HTTP/1.0\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"),
    ] {
        let mut socket = stage.plain().await;
        let (head, tail) = said.split_at(5);
        for part in [head, tail] {
            socket.write_all(part.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, socket.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with(expected), "{answer}");
        assert!(answer.contains("This port speaks TLS"), "{answer}");
    }
    stage.lost(Loss::NotTls, 3).await;
}

#[tokio::test]
async fn what_is_no_hello_ends_and_is_counted() {
    // S05; PROTOCOLS 3.3.14: an SSLv2 hello, garbage, and a half-closed connection
    let (stage, _papers) = stage(1, Limits::default()).await;
    let ssl2 = [0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10, 1, 0, 0x80, 2, 0, 0x80, 3, 0, 0x80, 4, 0, 0x80];
    for (n, said) in [&ssl2[..], &[0x16, 3, 1, 0, 4, 9, 9, 9, 9], &[0xff; 64]].into_iter().enumerate() {
        let mut socket = stage.plain().await;
        socket.write_all(said).await.unwrap();
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest)).await.unwrap();
        stage.lost(Loss::Handshake, n as u64 + 1).await;
    }
    let mut socket = stage.plain().await;
    socket.write_all(&[0x16, 3, 1]).await.unwrap();
    socket.shutdown().await.unwrap();
    assert_eq!(read(&mut socket).await.len(), 7, "the end is said");
}

#[tokio::test]
async fn a_handshake_has_its_time_and_a_source_its_share_of_them() {
    // S06
    let mut limits = Limits { source_handshakes: 2, ..Limits::default() };
    limits.stream.handshake = 300;
    let (stage, papers) = stage(1, limits).await;
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut socket = stage.plain().await;
        socket.write_all(&[0x16]).await.unwrap();
        slow.push(socket);
    }
    // The third meets a worker that has accepted the two.
    let mut third = stage.plain().await;
    assert_eq!(read(&mut third).await, "");
    assert_eq!(stage.stats.lost(Loss::SourceHandshakes), 1);
    for socket in &mut slow {
        let _ = read(socket).await;
    }
    stage.lost(Loss::HandshakeSlow, 2).await;
    let mut phone = stage.secure(&papers.client(&version::TLS13)).await;
    assert_eq!(ask_securely(&mut phone, "hello").await, framed("hello"), "their places are free again");
    // An open connection is no handshake any more.
    let _second = stage.secure(&papers.client(&version::TLS13)).await;
    let mut third = stage.secure(&papers.client(&version::TLS13)).await;
    assert_eq!(ask_securely(&mut third, "hello").await, framed("hello"));
}

#[tokio::test]
async fn a_reader_that_stalls_under_tls_is_closed_and_harms_nobody() {
    // PROTOCOLS 3.3.16
    let mut limits = Limits::default();
    limits.stream.stall = 300;
    let (stage, papers) = stage(1, limits).await;
    let connector = papers.client(&version::TLS13);
    let mut lazy = stage.secure(&connector).await;
    let mut other = stage.secure(&connector).await;
    ask_securely(&mut other, "hello").await;
    lazy.write_all(framed("FLOOD 10000").as_bytes()).await.unwrap();
    stage.lost(Loss::Stalled, 1).await;
    assert_eq!(ask_securely(&mut other, "still here").await, framed("still here"));
}

#[tokio::test]
async fn an_open_connection_keeps_its_certificate_and_the_next_one_gets_the_new() {
    // S03 R82
    let (mut stage, papers) = stage(1, Limits::default()).await;
    let mut before = stage.secure(&papers.client(&version::TLS13)).await;
    let other = Papers::new();
    let address = stage.address(TLS);
    let troubles = stage.front.listen(&[any(TLS, Transport::Tls)], |_| Ok(Arc::clone(&other.server))).await;
    assert!(troubles.is_empty() && stage.address(TLS) == address);
    assert_eq!(ask_securely(&mut before, "hello").await, framed("hello"));
    let name: ServerName<'_> = "pbx.example".try_into().unwrap();
    assert!(papers.client(&version::TLS13).connect(name, stage.plain().await).await.is_err());
    let mut after = stage.secure(&other.client(&version::TLS13)).await;
    assert_eq!(ask_securely(&mut after, "hello").await, framed("hello"));
}

#[tokio::test]
async fn a_connection_accepted_elsewhere_goes_on_here() {
    let (mut stage, papers) = stage(2, Limits::default()).await;
    let adopter = stage.front.adopter();
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = door.local_addr().unwrap();
    for shard in [Shard(0), Shard(1)] {
        let conn = adopter.reserve();
        assert_eq!(conn.shard(), shard);
        let connector = papers.client(&version::TLS13);
        let phone = async {
            let socket = TcpStream::connect(address).await.unwrap();
            let mut phone = connector.connect("pbx.example".try_into().unwrap(), socket).await.unwrap();
            let answer = ask_securely(&mut phone, "hello").await;
            (phone, answer)
        };
        let elsewhere = async {
            let (socket, peer) = door.accept().await.unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&papers.server));
            let mut stream =
                acceptor.accept_with(socket, |tls| tls.set_resumption_data(&conn.0.to_be_bytes())).await.unwrap();
            let mut read = vec![0; 3];
            stream.read_exact(&mut read).await.unwrap();
            let (socket, session) = stream.into_inner();
            let greeting = Greeting { sni: session.server_name().map(Into::into), ..Greeting::default() };
            assert!(adopter.adopt(Adopted {
                listener: TLS,
                conn,
                transport: Transport::Tls,
                local: address,
                peer,
                socket: Handed::Tcp(socket.into_std().unwrap()),
                session: Some(session),
                read,
                greeting,
            }));
        };
        let ((mut phone, answer), ()) = tokio::join!(phone, elsewhere);
        assert_eq!(answer, framed("hello"));
        let (flow, greeting) = stage.opened().await;
        assert!(matches!(flow, Flow::Stream { conn: seen, .. } if seen == conn));
        assert_eq!(greeting.sni.as_deref(), Some("pbx.example"));
        assert_eq!(ask_securely(&mut phone, "again").await, framed("again"));
    }
    // A stream inside another connection comes as one end of a pair.
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut theirs = tokio::net::UnixStream::from_std(theirs).unwrap();
    let adopted = Adopted {
        listener: TLS,
        conn: adopter.reserve(),
        transport: Transport::Tls,
        local: address,
        peer: address,
        socket: Handed::Unix(ours),
        session: None,
        read: Vec::new(),
        greeting: Greeting::default(),
    };
    assert!(adopter.adopt(adopted));
    theirs.write_all(framed("hello").as_bytes()).await.unwrap();
    let mut answer = vec![0; framed("hello").len()];
    pin!(tokio::time::timeout(PATIENCE, theirs.read_exact(&mut answer))).await.unwrap().unwrap();
    assert_eq!(answer, framed("hello").as_bytes());
}

/// A target over TLS of two instances, with terms of its own for each.
async fn instances(terms: [BackendTls; 2]) -> (Stage, TcpListener, Papers) {
    let papers = Papers::new();
    let pbx = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = pbx.local_addr().unwrap().to_string();
    let rows = [1, 2].into_iter().zip(terms).map(|(id, tls)| {
        let mut row = instance(id, &format!("t{id}"));
        let known = row.backends[0].clone();
        row.backends[0] = Backend { transport: Transport::Tls, address: address.clone(), tls, ..known };
        row
    });
    let stage = Stage::open_at(1, Limits::default(), compiled(&table(rows, []))).await;
    (stage, pbx, papers)
}

/// The other end of a connection towards an instance.
async fn answer(pbx: &TcpListener, papers: &Papers) -> std::io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    let (socket, _) = pbx.accept().await?;
    tokio_rustls::TlsAcceptor::from(Arc::clone(&papers.server)).accept(socket).await
}

#[tokio::test]
async fn an_instance_is_reached_over_tls_and_each_over_its_own_connection() {
    // S01 X09 X10
    let (mut stage, pbx, papers) = instances(<[BackendTls; 2]>::default()).await;
    let mut phone = stage.tcp().await;
    let address = pbx.local_addr().unwrap();
    let mut ends = Vec::new();
    for instance in [1, 2] {
        let order = framed(&format!("BACKEND {instance} {address} tls"));
        phone.write_all(order.as_bytes()).await.unwrap();
        let mut end = answer(&pbx, &papers).await.unwrap();
        for _ in 0..2 {
            let mut got = vec![0; order.len()];
            end.read_exact(&mut got).await.unwrap();
            assert_eq!(got, order.as_bytes());
            // The second goes over the same connection.
            phone.write_all(order.as_bytes()).await.unwrap();
        }
        ends.push(end);
    }
    assert_eq!(stage.stats.opened.read(), 2);
    // What the instance says comes in over the same flow, and is answered there.
    ends[0].write_all(framed("hello").as_bytes()).await.unwrap();
    let mut got = vec![0; 4096];
    let flow = stage
        .until(|seen| match seen {
            Seen::Message(_, flow, text) if text == framed("hello") => Some(flow),
            _ => None,
        })
        .await;
    assert_eq!((flow.transport(), flow.peer(), flow.listener()), (Transport::Tls, address, ListenerId::INSIDE_V4));
    // X14
    stage.front.stop().await;
    while ends[0].read(&mut got).await.unwrap() > 0 {}
}

#[tokio::test]
async fn an_instance_that_is_another_is_not_spoken_to() {
    // S01: not signed by anybody we know, and for another name
    let known = Papers::new();
    let verify = BackendTls {
        verify: true,
        authorities: known.pem.clone(),
        name: "pbx.example".into(),
        ..BackendTls::default()
    };
    let other = BackendTls { name: "other.example".into(), ..verify.clone() };
    let (mut stage, pbx, stranger) = instances([verify, other]).await;
    let mut phone = stage.tcp().await;
    let address = pbx.local_addr().unwrap();
    for (instance, papers) in [(1, &stranger), (2, &known)] {
        phone.write_all(framed(&format!("BACKEND {instance} {address} tls")).as_bytes()).await.unwrap();
        assert!(answer(&pbx, papers).await.is_err(), "{instance}");
        let failed = stage.until(|seen| if let Seen::Failed(n, why) = seen { Some((n, why)) } else { None }).await;
        assert_eq!(failed, (7, SendError::Connect));
    }
    phone.write_all(framed(&format!("BACKEND 1 {address} tls")).as_bytes()).await.unwrap();
    assert!(answer(&pbx, &known).await.is_ok());
}

#[tokio::test]
async fn an_instance_that_does_not_finish_the_handshake_is_given_up() {
    // S06
    let (mut stage, pbx, _papers) = instances(<[BackendTls; 2]>::default()).await;
    stage.front.set_limits(Limits {
        stream: StreamLimits { handshake: 200, ..Limits::default().stream },
        ..Limits::default()
    });
    let mut phone = stage.tcp().await;
    let order = framed(&format!("BACKEND 1 {} tls", pbx.local_addr().unwrap()));
    phone.write_all(order.as_bytes()).await.unwrap();
    let _silent = pbx.accept().await.unwrap();
    let failed = stage.until(|seen| if let Seen::Failed(n, why) = seen { Some((n, why)) } else { None }).await;
    assert_eq!(failed, (7, SendError::Connect));
    stage.lost(Loss::HandshakeSlow, 1).await;
}

#[tokio::test]
async fn instances_speak_tcp_and_tls_to_one_port_of_ours() {
    // F11 R78
    let papers = Papers::new();
    let secure = Arc::new(ArcSwap::new(Arc::clone(&papers.server)));
    let mut stage = Stage::open_inside(1, Limits::default(), Snapshot::default(), Some(secure)).await;
    let inside = stage.front.told()[0].0;
    let mut plain = TcpStream::connect(inside).await.unwrap();
    assert_eq!(ask(&mut plain, "hello").await, framed("hello"));
    let socket = TcpStream::connect(inside).await.unwrap();
    let mut secure = papers.client(&version::TLS12).connect("pbx.example".try_into().unwrap(), socket).await.unwrap();
    assert_eq!(ask_securely(&mut secure, "hello").await, framed("hello"));
    let seen = |seen| if let Seen::Message(_, flow, _) = seen { Some(flow.transport()) } else { None };
    assert_eq!((stage.until(seen).await, stage.until(seen).await), (Transport::Tcp, Transport::Tls));
}

#[tokio::test]
async fn a_load_balancer_says_whose_connection_it_passes_on() {
    // S06: the header comes before everything, and only from whom it is believed
    let mut front = crate::route::testing::proxy(1, "front");
    front.proxy_protocol = vec!["127.0.0.0/8".parse().unwrap()];
    let limits = Limits { source_connections: 1, ..Limits::default() };
    let mut stage = Stage::open_at(1, limits, compiled(&table([], [front]))).await;
    let papers = Papers::new();
    let server = Arc::clone(&papers.server);
    let wanted = [any(TCP, Transport::Tcp), any(TLS, Transport::Tls)];
    assert!(stage.front.listen(&wanted, |_| Ok(Arc::clone(&server))).await.is_empty());
    let header = |n: u8| format!("PROXY TCP4 203.0.113.{n} 192.0.2.1 40000 5061\r\n");

    // Each client is a source of its own, and one client's second connection is too many.
    let mut first = stage.plain().await;
    first.write_all(header(1).as_bytes()).await.unwrap();
    let mut first = papers.client(&version::TLS13).connect("pbx.example".try_into().unwrap(), first).await.unwrap();
    assert_eq!(ask_securely(&mut first, "hello").await, framed("hello"));
    let (flow, _) = stage.opened().await;
    assert_eq!((flow.peer(), flow.local()), ("203.0.113.1:40000".parse().unwrap(), "192.0.2.1:5061".parse().unwrap()));
    let mut second = stage.tcp().await;
    second.write_all(header(1).as_bytes()).await.unwrap();
    assert_eq!(read(&mut second).await, "");
    let mut other = stage.tcp().await;
    other.write_all((header(2) + &framed("hello")).as_bytes()).await.unwrap();
    assert_eq!(read(&mut other).await, framed("hello"));
    assert_eq!(stage.stats.lost(Loss::SourceConnections), 1);

    // Without the header there is no connection.
    let mut silent = stage.tcp().await;
    silent.write_all(framed("hello").as_bytes()).await.unwrap();
    assert_eq!(read(&mut silent).await, "");
    assert_eq!(stage.stats.lost(Loss::ProxyHeader), 1);
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let mut stage = Stage::open(1, Limits::default()).await;
    let mut phone = stage.tcp().await;
    let header = "PROXY TCP4 203.0.113.1 192.0.2.1 40000 5061\r\n";
    phone.write_all((header.to_owned() + &framed("hello")).as_bytes()).await.unwrap();
    let (flow, text) =
        stage.until(|seen| if let Seen::Message(_, flow, text) = seen { Some((flow, text)) } else { None }).await;
    assert_eq!(flow.peer(), phone.local_addr().unwrap());
    assert!(text.starts_with("PROXY"), "it is no header but the begin of a message: {text}");
}
