//! What the engine wants done, in order, until the driver has fetched it. The messages lie one behind the
//! other in one reused buffer that starts again when it has been drained.

use super::contract::{Dest, Output};
use crate::ids::{DeviceId, Flow, InstanceId, Shard};
use std::collections::VecDeque;
use std::ops::Range;

/// A buffer that a burst blew up beyond this is not kept.
const KEEP_CAPACITY: usize = 1024 * 1024;

#[derive(Clone, Copy)]
enum What {
    Send { to: Dest, ticket: u64 },
    HandOver { shard: Shard, flow: Flow },
    Close { flow: Flow },
    Tell { shard: Shard, instance: InstanceId, device: DeviceId },
    Save,
}

/// The queue of outputs.
#[derive(Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    queue: VecDeque<(What, Range<usize>)>,
}

impl Outbox {
    /// Sends what `write` appends; nothing if it appends nothing.
    pub fn send(&mut self, to: Dest, ticket: u64, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        if self.bytes.len() > start {
            self.queue.push_back((What::Send { to, ticket }, start..self.bytes.len()));
        }
    }

    /// Hands a response to another shard.
    pub fn hand_over(&mut self, shard: Shard, flow: Flow, message: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(message);
        self.queue.push_back((What::HandOver { shard, flow }, start..self.bytes.len()));
    }

    /// Closes a stream.
    pub fn close(&mut self, flow: Flow) {
        let end = self.bytes.len();
        self.queue.push_back((What::Close { flow }, end..end));
    }

    /// Tells a shard that a device has moved.
    pub fn tell(&mut self, shard: Shard, instance: InstanceId, device: DeviceId) {
        let end = self.bytes.len();
        self.queue.push_back((What::Tell { shard, instance, device }, end..end));
    }

    /// Has the journal written down.
    pub fn save(&mut self) {
        let end = self.bytes.len();
        self.queue.push_back((What::Save, end..end));
    }

    /// The oldest output.
    pub fn pop(&mut self) -> Option<Output<'_>> {
        let Some((what, range)) = self.queue.pop_front() else {
            self.bytes.clear();
            if self.bytes.capacity() > KEEP_CAPACITY {
                self.bytes = Vec::new();
            }
            return None;
        };
        let bytes = self.bytes.get(range).unwrap_or_default();
        Some(match what {
            What::Send { to, ticket } => Output::Send { to, bytes, ticket },
            What::HandOver { shard, flow } => Output::HandOver { shard, flow, bytes },
            What::Close { flow } => Output::Close { flow },
            What::Tell { shard, instance, device } => Output::Tell { shard, instance, device },
            What::Save => Output::Save,
        })
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
