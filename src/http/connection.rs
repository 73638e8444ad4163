//! One connection of a client: handshake, HTTP/1.1 or HTTP/2, deadlines, and an orderly end.

use super::admission::Place;
use super::door::Door;
use super::entrance::{self, Spoken};
use super::framing::{Fault, Framing};
use super::front::{Front, Seen};
use super::handover::Exit;
use super::page;
use super::plain;
use super::pulse::{Late, Pulse};
use super::serve::serve;
use super::server::Shared;
use super::stream::Stream;
use super::wire::Wire;
use crate::clock::Tick;
use crate::ids::{ConnId, ListenerId};
use crate::net::layer;
use crate::net::proxy_protocol::Ends;
use crate::stats::HttpRefusal;
use crate::tls::failures::{self, Attempt};
use crate::tls::hello;
use bytes::BytesMut;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConnection;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Bytes of a body, or of answers, on their way through one HTTP/1 connection.
const H1_BUFFER: usize = 64 * 1024;
const H2_STREAM_WINDOW: u32 = 256 * 1024;
const H2_WINDOW: u32 = 1024 * 1024;
const H2_SEND_BUFFER: usize = 64 * 1024;
const H2_PING: Duration = Duration::from_secs(45);
/// Most late bytes that are read from a connection we have done with.
const LATE: usize = 256 * 1024;

/// Serves a connection to its end. A task is as large as its largest step, and many connections say nothing for long: so
/// the steps before and after that have room of their own.
pub(super) async fn run(shared: Arc<Shared>, door: Arc<Door>, tcp: TcpStream, ends: Ends, place: Place) {
    let Ends { peer, local } = ends;
    let what = door.what();
    let mut exit = Exit::new(&shared, what.services, (peer, local));
    let mut wire = match &what.tls {
        None => Wire::Plain(tcp),
        Some(tls) => {
            let acceptor = TlsAcceptor::from(Arc::clone(tls));
            let conn = exit.as_ref().map(Exit::conn);
            match Box::pin(handshake(&shared, what.services.any(), acceptor, conn, tcp, peer)).await {
                Some(wire) => wire,
                None => return,
            }
        }
    };
    let greeting = wire.session().map(layer::greeting).unwrap_or_default();
    let seen = Seen { services: what.services, sni: greeting.sni.clone(), ends: (peer, local) };
    if let Some(exit) = &mut exit {
        exit.note(greeting);
    }
    let early = match entrance::listen(&what.services, &mut wire, shared.config.handshake).await {
        Some(Spoken::Http(early)) => early,
        Some(Spoken::Sip(read)) => {
            // The workers count it from here on.
            drop(place);
            if let Some(exit) = exit {
                exit.stream(wire, read);
            }
            return;
        }
        None => return shared.stats.refuse(HttpRefusal::RequestTimeout),
    };
    let pulse = Arc::new(Pulse::new(shared.clock, &shared.config));
    let held = (pulse, place, exit.map(Arc::new));
    let front = Arc::new(Front::new(Arc::clone(&shared), seen, held));
    Box::pin(speak(front, wire, early, &door.stop)).await;
}

/// Speaks HTTP.
async fn speak(front: Arc<Front>, wire: Wire, early: BytesMut, stop: &CancellationToken) {
    let (shared, pulse) = (Arc::clone(&front.shared), Arc::clone(&front.pulse));
    if wire.alpn() == Some(b"h2") {
        return Box::pin(h2_connection(front, Stream::new(wire, early, pulse), stop)).await;
    }
    let mut stream = Stream::new(wire, BytesMut::new(), pulse);
    match plain::run(&front, &mut stream, early, stop).await {
        plain::Left::Odd(read) => {
            let framing = Framing::new(shared.config.target_bytes + METHOD_AND_VERSION, shared.config.field_bytes);
            stream.watch(read, framing);
            Box::pin(h1_connection(front, stream, stop)).await;
        }
        plain::Left::Over => leave(&front, &mut stream, None).await,
        plain::Left::Stalled => shared.stats.stalled.inc(),
    }
}

/// Room in a request line beside the target.
const METHOD_AND_VERSION: u32 = 32;

async fn handshake(
    shared: &Arc<Shared>,
    listener: ListenerId,
    acceptor: TlsAcceptor,
    conn: Option<ConnId>,
    tcp: TcpStream,
    peer: SocketAddr,
) -> Option<Wire> {
    let place = shared.admission.handshake()?;
    let mut first = Vec::with_capacity(hello::MOST);
    let accept = async {
        peek(&tcp, &mut first).await;
        let remember = |session: &mut ServerConnection| {
            // Whoever resumes it later is known by this (S05).
            if let Some(conn) = conn {
                session.set_resumption_data(&conn.0.to_be_bytes());
            }
        };
        acceptor.accept_with(tcp, remember).into_fallible().await
    };
    let accepted = timeout(shared.config.handshake, accept).await;
    drop(place);
    let stats = &shared.stats;
    let note = |end: failures::End<'_>| {
        let attempt = Attempt { listener, peer, first: &first, end };
        shared.certificates.failures().note(&attempt, shared.clock.now());
    };
    match accepted {
        Err(_) => {
            stats.handshakes_slow.inc();
            note(failures::End::Slow);
            None
        }
        Ok(Err((error, tcp))) => {
            stats.handshakes_failed.inc();
            let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
            note(inner.map_or(failures::End::Closed, failures::End::Error));
            plain_on_tls(&error, tcp, shared.config.linger).await;
            None
        }
        Ok(Ok(tls)) => Some(Wire::Tls(Box::new(tls.into()))),
    }
}

/// Looks at what comes first, and leaves it there: it tells of a client whose handshake fails.
async fn peek(tcp: &TcpStream, first: &mut Vec<u8>) {
    first.resize(hello::MOST, 0);
    let length = tcp.peek(first).await.unwrap_or_default();
    first.truncate(length);
}

/// Somebody speaks plain HTTP to the TLS port: says so in words they can read.
async fn plain_on_tls(error: &io::Error, mut tcp: TcpStream, patience: Duration) {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    if matches!(inner, Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType))) {
        let answer = bare(http::StatusCode::BAD_REQUEST, "This port speaks HTTPS.");
        let goodbye = async {
            tcp.write_all(answer.as_bytes()).await?;
            tcp.shutdown().await?;
            linger(&mut tcp).await
        };
        // They may be gone; nothing depends on it.
        let _ = timeout(patience, goodbye).await;
    }
}

async fn h1_connection(front: Arc<Front>, stream: Stream, stop: &CancellationToken) {
    let shared = Arc::clone(&front.shared);
    let pulse = Arc::clone(&front.pulse);
    let service = service_fn(|request| serve(Arc::clone(&front), request));
    let mut connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(H1_BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let end = watched(&pulse, stop, Pin::new(&mut connection), |connection| connection.graceful_shutdown()).await;
    // An answer that is on its way must not be mixed with another.
    let quiet = !pulse.is_busy();
    let why = match end {
        End::Late(Late::Write) => return shared.stats.stalled.inc(),
        End::Late(Late::Head) => Some(HttpRefusal::RequestTimeout),
        End::Unreadable(fault) => Some(refusal_of(fault)),
        End::Late(Late::Idle) | End::Done(Ok(())) => None,
        End::Done(Err(error)) => {
            tracing::debug!(%error, "http connection");
            // hyper has answered that by itself.
            if error.is_parse_too_large() {
                shared.stats.refuse(HttpRefusal::FieldsTooLarge);
            } else if error.is_parse() {
                shared.stats.refuse(HttpRefusal::BadRequest);
            }
            None
        }
    };
    // `None`: the stream went into a tunnel.
    let Some(parts) = connection.into_parts() else { return };
    let mut stream = parts.io.into_inner();
    stream.stop_watching();
    if let Some(why) = why {
        shared.stats.refuse(why);
    }
    leave(&front, &mut stream, why.filter(|_| quiet)).await;
}

/// Says why a connection ends, where there is something to say, and ends it.
async fn leave(front: &Front, stream: &mut Stream, why: Option<HttpRefusal>) {
    let goodbye = async {
        if let Some(why) = why {
            stream.write_all(canned(why).as_bytes()).await?;
        }
        stream.shutdown().await?;
        if front.pulse.is_peer_done() { Ok(()) } else { linger(stream).await }
    };
    // The client may be gone; then there is nobody to take leave of.
    let _ = timeout(front.shared.config.linger, goodbye).await;
}

async fn h2_connection(front: Arc<Front>, stream: Stream, stop: &CancellationToken) {
    let shared = Arc::clone(&front.shared);
    let pulse = Arc::clone(&front.pulse);
    let config = &shared.config;
    let streams = Arc::new(plain::Streams::new(front));
    let service = service_fn(move |request| streams.serve(request));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_WINDOW)
        .max_concurrent_streams(config.streams)
        .max_header_list_size(config.field_bytes)
        .max_send_buf_size(H2_SEND_BUFFER)
        .keep_alive_interval(H2_PING)
        .enable_connect_protocol();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    match watched(&pulse, stop, connection.as_mut(), |connection| connection.graceful_shutdown()).await {
        End::Late(Late::Write) => shared.stats.stalled.inc(),
        End::Late(Late::Head | Late::Idle) => {
            // GOAWAY, and the close alert (HT14).
            connection.as_mut().graceful_shutdown();
            let _ = timeout(config.linger, connection).await;
        }
        End::Done(Err(error)) => tracing::debug!(%error, "h2 connection"),
        End::Done(Ok(())) | End::Unreadable(_) => {}
    }
}

/// How the serving of a connection ended.
enum End {
    Done(hyper::Result<()>),
    Late(Late),
    /// What follows cannot be read.
    Unreadable(Fault),
}

/// Drives a connection until it ends or a deadline passes; asks it to end when `stop` says so.
async fn watched<C: Future<Output = hyper::Result<()>>>(
    pulse: &Pulse,
    stop: &CancellationToken,
    mut connection: Pin<&mut C>,
    graceful: impl Fn(Pin<&mut C>),
) -> End {
    let mut stopped = pin!(stop.cancelled());
    let mut told = false;
    let mut deadline = Deadline::new(pulse);
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(End::Done(result));
            }
            if let Some(fault) = pulse.fault() {
                return Poll::Ready(End::Unreadable(fault));
            }
            if told || stopped.as_mut().poll(cx).is_pending() {
                break;
            }
            told = true;
            graceful(connection.as_mut());
        }
        deadline.poll(cx).map(End::Late)
    })
    .await
}

/// Follows [`Pulse::due`]. The timer is set only when a deadline comes nearer; one that has gone by
/// meanwhile is looked at again when it fires.
struct Deadline<'a> {
    pulse: &'a Pulse,
    armed: Tick,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<'a> Deadline<'a> {
    fn new(pulse: &'a Pulse) -> Self {
        Self { pulse, armed: Tick(u64::MAX), timer: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Late> {
        let clock = self.pulse.clock();
        loop {
            let Some((due, late)) = self.pulse.due() else { return Poll::Pending };
            let instant = Instant::from_std(clock.instant(due));
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(instant)));
            if due < self.armed {
                self.armed = due;
                timer.as_mut().reset(instant);
            }
            ready!(timer.as_mut().poll(cx));
            if due <= clock.tick() {
                return Poll::Ready(late);
            }
            self.armed = Tick(u64::MAX);
        }
    }
}

/// The answer to what cannot be read.
fn refusal_of(fault: Fault) -> HttpRefusal {
    match fault {
        Fault::TargetTooLong => HttpRefusal::TargetTooLong,
        Fault::FieldsTooLarge => HttpRefusal::FieldsTooLarge,
        Fault::Framing | Fault::Syntax => HttpRefusal::BadRequest,
    }
}

/// An answer to something that cannot be read any further.
fn canned(why: HttpRefusal) -> String {
    let status = page::status(why);
    let reason = status.canonical_reason().unwrap_or_default();
    bare(status, reason)
}

fn bare(status: http::StatusCode, text: &str) -> String {
    let code = status.as_u16();
    let reason = status.canonical_reason().unwrap_or_default();
    let length = text.len() + 1;
    format!(
        "HTTP/1.1 {code} {reason}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Cache-Control: no-store\r\nContent-Length: {length}\r\n\r\n{text}\n"
    )
}

/// Reads what is still under way, so that closing does not reset the answer we gave.
async fn linger(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<()> {
    let mut late = [0; 4096];
    let mut left = LATE;
    loop {
        let read = stream.read(&mut late).await?;
        left = left.saturating_sub(read);
        if read == 0 || left == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<A, B, C, D, E, F>(_: impl Fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_that_says_nothing_takes_little() {
        assert!(size(run) <= 1_500, "{}", size(run));
    }
}
