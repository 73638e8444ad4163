//! HTTP/2 in a closed loop: some connections, each with a few streams on their way.

use super::connection::{HOST, trust};
use super::{Window, tenths};
use crate::plan::{Load, Seen};
use std::cell::RefCell;
use std::rc::Rc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Streams at once on each connection.
const STREAMS: usize = 8;

struct State<'a> {
    window: Window<'a>,
    latencies: Vec<u32>,
    seen: Seen,
}

pub fn streams(load: &Load) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    // Tasks must own what they use or have it for ever; the process ends with this load.
    let load: &'static Load = Box::leak(Box::new(load.clone()));
    let state = State { window: Window::new(load), latencies: Vec::new(), seen: Seen::default() };
    let state = Rc::new(RefCell::new(state));
    let shared = Rc::clone(&state);
    local.block_on(&runtime, async move {
        let connector = TlsConnector::from(trust(load, &[b"h2"]));
        let mut tasks = Vec::new();
        for number in 0..load.sockets {
            let socket = TcpStream::connect(load.target).await.unwrap();
            socket.set_nodelay(true).unwrap();
            let name = rustls::pki_types::ServerName::try_from(HOST).unwrap();
            let socket = connector.connect(name, socket).await.unwrap();
            let (client, connection) = h2::client::handshake(socket).await.unwrap();
            tokio::task::spawn_local(connection);
            for stream in 0..STREAMS {
                let tenant = (number * STREAMS + stream) * 7_919 % load.tenants;
                tasks.push(tokio::task::spawn_local(requests(client.clone(), tenant, Rc::clone(&shared))));
            }
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
    let state = Rc::into_inner(state).expect("all tasks have ended").into_inner();
    state.window.account(state.seen, state.latencies)
}

/// One request after the other, all of this stream's at one tenant.
async fn requests(
    mut client: h2::client::SendRequest<bytes::Bytes>,
    tenant: usize,
    state: Rc<RefCell<State<'static>>>,
) {
    let uri = format!("https://t{tenant:05}.pbx.example/");
    while !state.borrow().window.is_over() {
        let request = http::Request::get(&uri)
            .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")
            .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
            .header("cookie", "session=0123456789abcdef0123456789abcdef");
        let began = state.borrow_mut().window.now();
        client = client.ready().await.unwrap();
        let (response, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
        let response = response.await.unwrap();
        let status = response.status();
        let mut body = response.into_body();
        while let Some(data) = body.data().await {
            let _ = body.flow_control().release_capacity(data.unwrap().len());
        }
        let state = &mut *state.borrow_mut();
        let now = state.window.now();
        if !state.window.holds(began) {
            continue;
        }
        state.seen.begun += 1;
        if status == http::StatusCode::OK {
            state.seen.ok += 1;
            state.latencies.push(tenths(began, now));
        } else {
            state.seen.wrong += 1;
            state.seen.example.get_or_insert_with(|| status.to_string());
        }
    }
}
