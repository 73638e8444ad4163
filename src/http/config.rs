//! Bounds of the HTTP front: sizes, counts and times. `app` fills it from the configuration file.

use crate::guard::Guard;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Config {
    /// Threads that serve connections; `None` serves them on the runtime that the server is made in.
    pub threads: Option<NonZeroUsize>,
    /// Who is up to no good.
    pub guard: Arc<Guard>,
    /// Connections of clients, all listeners together.
    pub connections: usize,
    /// Connections of one source address.
    pub per_source: u32,
    /// TLS handshakes at once.
    pub handshakes: u32,
    /// Streams at once in one HTTP/2 connection.
    pub streams: u32,
    /// Bytes of a request line: longer ones are answered 414.
    pub target_bytes: u32,
    /// Bytes of a head's fields: more are answered 431.
    pub field_bytes: u32,
    /// Requests and tunnels at once of an instance whose row sets no limit.
    pub instance_requests: u32,
    /// Bytes of a request body where the instance's row sets no limit.
    pub body_bytes: u64,
    /// Kept connections to one web target, of each thread.
    pub kept_per_instance: usize,
    /// A TLS handshake takes at most this long.
    pub handshake: Duration,
    /// A request's head takes at most this long, counted from its first byte, or from the
    /// connection's start for the first one.
    pub head: Duration,
    /// A connection without a request lives at most this long.
    pub idle: Duration,
    /// Longest pause inside a request body.
    pub body: Duration,
    /// Longest time a client may take no byte of an answer.
    pub write: Duration,
    /// A connection to an instance is made within this time.
    pub connect: Duration,
    /// An instance begins its answer within this time after the request.
    pub answer: Duration,
    /// Longest pause inside an answer's body.
    pub answer_body: Duration,
    /// A connection to an instance is kept unused at most this long.
    pub kept: Duration,
    /// How long a request with `Expect: 100-continue` waits for the instance to say so.
    pub expect: Duration,
    /// How long a closed connection's late bytes are read, so that our last answer is not lost.
    pub linger: Duration,
    /// Our name in Via; a request that carries it already is a loop.
    pub pseudonym: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: None,
            guard: Arc::default(),
            connections: 10_000,
            per_source: 256,
            handshakes: 256,
            streams: 100,
            target_bytes: 8 * 1024,
            field_bytes: 48 * 1024,
            instance_requests: 512,
            body_bytes: 1 << 30,
            kept_per_instance: 256,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(15),
            idle: Duration::from_secs(75),
            body: Duration::from_secs(60),
            write: Duration::from_secs(120),
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(60),
            answer_body: Duration::from_secs(300),
            kept: Duration::from_secs(55),
            expect: Duration::from_secs(1),
            linger: Duration::from_secs(2),
            pseudonym: format!("nantucket-{:08x}", fastrand::u32(..)),
        }
    }
}
