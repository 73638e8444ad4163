//! What goes into the engine and what comes out: the whole of its interface with the driver.

pub use crate::greeting::Greeting;

use crate::ids::{DeviceId, Flow, InstanceId, Transport};
use crate::reason::{Drop, Refusal};
use std::net::SocketAddr;

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A datagram, or one framed message of a stream. Keep-alives (CRLF, STUN) are answered by the
    /// driver and never reach the engine.
    Message {
        /// The way it came.
        flow: Flow,
        /// The message.
        bytes: &'a [u8],
    },
    /// A client's connection is open, and this is what was said before its first SIP message. Not told of plain
    /// TCP, where nothing was.
    FlowOpened {
        /// The flow.
        flow: Flow,
        /// What was said.
        greeting: &'a Greeting,
    },
    /// A stream ended; everything that depends on it is void (RFC 5626 §7).
    FlowClosed {
        /// The flow that was.
        flow: Flow,
    },
    /// An ICMP error came back for a datagram of ours: the branch in `quoted` failed (X06).
    Unreachable {
        /// Where the datagram was going.
        peer: SocketAddr,
        /// As much of it as the kernel returned.
        quoted: &'a [u8],
    },
    /// A `Send` could not be carried out: no connection, queue full, refused.
    SendFailed {
        /// The `ticket` of that `Send`.
        ticket: u64,
        /// Why.
        why: SendError,
    },
    /// A keep-alive came over a client's datagram flow; the driver has answered it (R43).
    KeepAlive {
        /// The way it came.
        flow: Flow,
    },
    /// A claim of a seat that a REGISTER waits for is written down, or could not be.
    Claimed {
        /// The ticket of its entry in the journal.
        ticket: u64,
        /// Whether it is on the disk.
        saved: bool,
    },
    /// A device is reached another way now, or again, and this shard has something going on with it.
    Moved {
        /// Whose device.
        instance: InstanceId,
        /// Which.
        device: DeviceId,
    },
    /// A response that came to another shard's socket and was handed over, because its branch
    /// carries this shard's number.
    HandedOver {
        /// The way it came.
        flow: Flow,
        /// The message.
        bytes: &'a [u8],
    },
}

/// Why a message could not be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendError {
    /// The flow is gone: a closed connection, or one of an earlier process.
    FlowGone,
    /// A connection could not be opened.
    Connect,
    /// The connection's queue is full: the peer does not read.
    Stalled,
    /// The kernel refused (no route, too large, buffer full).
    Refused,
}

/// Something the driver has to do. Bytes borrow the engine's reused buffer: send or copy them
/// before the next poll.
#[derive(Clone, Copy, Debug)]
pub enum Output<'a> {
    /// Send one message.
    Send {
        /// Where.
        to: Dest,
        /// What.
        bytes: &'a [u8],
        /// Returned in [`Input::SendFailed`]; 0 asks for no report.
        ticket: u64,
    },
    /// Hand a response to the shard that its branch names.
    HandOver {
        /// That shard.
        shard: crate::ids::Shard,
        /// The way the response came.
        flow: Flow,
        /// The message.
        bytes: &'a [u8],
    },
    /// Tell a shard of [`Input::Moved`].
    Tell {
        /// That shard.
        shard: crate::ids::Shard,
        /// Whose device.
        instance: InstanceId,
        /// Which.
        device: DeviceId,
    },
    /// Somebody waits for the journal to be written down ([`super::registry::Journal`]).
    Save,
    /// Close a stream whose peer cannot be understood any more.
    Close {
        /// Which.
        flow: Flow,
    },
}

/// Where a message goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dest {
    /// Over a flow that exists, and no other: the same socket, the same connection.
    Flow(Flow),
    /// A response by RFC 3261 §18.2.2: over `flow`, or, where that stream is gone and `fallback` is
    /// set, over a new connection to it (X05).
    Reply {
        /// The flow the request came on.
        flow: Flow,
        /// `received` with the port of the top Via's sent-by.
        fallback: Option<SocketAddr>,
    },
    /// An instance's target: the shard's own inside socket, or a connection of this instance's (X10:
    /// never one opened for another instance).
    Backend {
        /// On whose behalf.
        instance: InstanceId,
        /// Target.
        address: SocketAddr,
        /// UDP or TCP.
        transport: Transport,
    },
}

/// What is to be told of a message; for logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// A request that we refused.
    Refused {
        /// Why.
        why: Refusal,
        /// On whose behalf, as far as that was known.
        instance: Option<InstanceId>,
    },
    /// A request that went on although something speaks against it: what is only counted and told of.
    Tolerated {
        /// What a stricter policy refuses it for.
        why: Refusal,
        /// On whose behalf.
        instance: Option<InstanceId>,
    },
    /// A message that nobody was answered.
    Dropped(Drop),
}
