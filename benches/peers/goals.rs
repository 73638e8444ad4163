//! What the product has to reach: each work, its unit, beside whom, and how far.

use crate::systems::System::{self, Haproxy, KamailioStateful, KamailioStateless, Nginx, Relay};

pub const REGISTER: &str = "UDP REGISTER/200 with a seat";
pub const DIGEST: &str = "UDP REGISTER with a digest round";
pub const CALL: &str = "UDP call";
pub const REGISTER_RATE: &str = "highest rate of REGISTER, one core";
pub const CALL_RATE: &str = "highest rate of calls, one core";
pub const LATENCY: &str = "p99 added at half of Kamailio's highest rate";
pub const TCP: &str = "REGISTER over TCP";
pub const TLS: &str = "REGISTER over TLS";
pub const WS: &str = "REGISTER over WS";
pub const WSS: &str = "REGISTER over WSS";
pub const TLS_CALL: &str = "call over TLS";
pub const HANDSHAKE: &str = "full TLS handshake on the SIP port";
pub const HTTP1: &str = "HTTP/1.1 keep-alive";
pub const HTTPS1: &str = "HTTPS/1.1 keep-alive";
pub const HTTPS2: &str = "HTTPS h2 keep-alive";
pub const NEW: &str = "new TLS connection with one GET";
pub const TUNNEL: &str = "1 KiB through a WebSocket tunnel and back";
pub const TUNNEL_TLS: &str = "the same over TLS";
pub const WORKERS: &str = "2 workers on 2 cores, in rates of one on one";
pub const INSTANCES: &str = "REGISTER at a table of all instances, in CPU at one of 10";
pub const PHONES: &str = "REGISTER of a phone of each instance, in CPU of 100 phones";
pub const MEMORY: &str = "memory with the table";
pub const IDLE: &str = "idle TLS connection on the SIP port";

#[derive(Clone, Copy)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// Only shown.
    None,
}

pub struct Goal {
    pub work: &'static str,
    pub unit: &'static str,
    /// Whose figure ours is divided by. None: the bound is on our figure itself.
    pub beside: Option<System>,
    pub bound: Bound,
}

const fn at_most(work: &'static str, unit: &'static str, beside: System, bound: f64) -> Goal {
    Goal { work, unit, beside: Some(beside), bound: Bound::AtMost(bound) }
}

const fn at_least(work: &'static str, unit: &'static str, beside: System, bound: f64) -> Goal {
    Goal { work, unit, beside: Some(beside), bound: Bound::AtLeast(bound) }
}

const fn shown(work: &'static str, unit: &'static str, beside: System) -> Goal {
    Goal { work, unit, beside: Some(beside), bound: Bound::None }
}

const fn alone(work: &'static str, unit: &'static str, bound: Bound) -> Goal {
    Goal { work, unit, beside: None, bound }
}

const CPU: &str = "µs CPU";

pub const GOALS: &[Goal] = &[
    at_most(REGISTER, CPU, Relay, 1.25),
    at_most(REGISTER, CPU, KamailioStateless, 0.5),
    at_most(REGISTER, CPU, KamailioStateful, 0.35),
    at_most(DIGEST, CPU, Relay, 1.25),
    at_most(DIGEST, CPU, KamailioStateless, 0.5),
    at_most(DIGEST, CPU, KamailioStateful, 0.35),
    at_most(CALL, CPU, Relay, 1.3),
    at_most(CALL, CPU, KamailioStateless, 0.55),
    at_most(CALL, CPU, KamailioStateful, 0.36),
    at_least(REGISTER_RATE, "1/s", Relay, 0.75),
    shown(REGISTER_RATE, "1/s", KamailioStateless),
    at_least(REGISTER_RATE, "1/s", KamailioStateful, 4.0),
    shown(CALL_RATE, "1/s", KamailioStateless),
    at_least(CALL_RATE, "1/s", KamailioStateful, 4.0),
    shown(LATENCY, "µs", Relay),
    at_most(LATENCY, "µs", KamailioStateless, 1.0),
    at_most(LATENCY, "µs", KamailioStateful, 1.0),
    at_most(TCP, CPU, KamailioStateless, 0.5),
    shown(TCP, CPU, KamailioStateful),
    at_most(TLS, CPU, KamailioStateless, 0.5),
    shown(TLS, CPU, KamailioStateful),
    shown(WS, CPU, KamailioStateless),
    at_most(WSS, CPU, KamailioStateless, 0.5),
    shown(WSS, CPU, KamailioStateful),
    shown(TLS_CALL, CPU, KamailioStateless),
    shown(TLS_CALL, CPU, KamailioStateful),
    at_most(HANDSHAKE, CPU, KamailioStateless, 0.5),
    shown(HTTP1, CPU, Relay),
    at_most(HTTP1, CPU, Nginx, 1.0),
    at_most(HTTP1, CPU, Haproxy, 1.0),
    at_most(HTTPS1, CPU, Nginx, 1.0),
    at_most(HTTPS1, CPU, Haproxy, 1.0),
    at_most(HTTPS2, CPU, Nginx, 1.0),
    at_most(HTTPS2, CPU, Haproxy, 1.0),
    at_most(NEW, CPU, Nginx, 0.9),
    shown(NEW, CPU, Haproxy),
    shown(TUNNEL, CPU, Nginx),
    at_most(TUNNEL, CPU, Haproxy, 1.0),
    shown(TUNNEL_TLS, CPU, Nginx),
    at_most(TUNNEL_TLS, CPU, Haproxy, 1.0),
    alone(WORKERS, "×", Bound::AtLeast(1.7)),
    alone(INSTANCES, "×", Bound::AtMost(1.15)),
    alone(PHONES, "×", Bound::AtMost(1.15)),
    shown(MEMORY, "MB", KamailioStateless),
    shown(MEMORY, "MB", KamailioStateful),
    shown(MEMORY, "MB", Nginx),
    shown(MEMORY, "MB", Haproxy),
    alone(IDLE, "KB", Bound::AtMost(24.0)),
    shown(IDLE, "KB", KamailioStateless),
];
