//! What workers tell each other: bounded boxes, never waited for.

use crate::engine::contract::SendError;
use crate::ids::{ConnId, DeviceId, Flow, InstanceId, Shard};
use crate::net::adopted::Adopted;
use crate::net::counters::{Loss, NetStats};
use std::sync::Arc;
use tokio::sync::mpsc;

/// One letter.
#[derive(Debug)]
pub(super) enum Mail {
    /// A response whose branch names the receiver.
    HandOver {
        /// The way it came.
        flow: Flow,
        /// The message.
        bytes: Box<[u8]>,
    },
    /// A message for a connection of the receiver's.
    Send {
        /// Which.
        conn: ConnId,
        /// The message.
        bytes: Box<[u8]>,
        /// To be returned if it fails; 0 asks for no report.
        ticket: u64,
        /// Who asks.
        from: Shard,
    },
    /// A `Send` of the receiver's failed.
    Failed {
        /// Its ticket.
        ticket: u64,
        /// Why.
        why: SendError,
    },
    /// A connection that the receiver has sent over is gone.
    FlowClosed {
        /// The flow that was.
        flow: Flow,
    },
    /// Claims that the receiver waits for are written down, or could not be.
    Claimed(Vec<(u64, bool)>),
    /// A connection that was accepted elsewhere is to be the receiver's.
    Adopt(Box<Adopted>),
    /// A device that the receiver has something going on with has moved.
    Moved {
        /// Whose device.
        instance: InstanceId,
        /// Which.
        device: DeviceId,
    },
    /// The receiver's connection is to be closed.
    Close {
        /// Which.
        conn: ConnId,
    },
}

/// The boxes of all workers.
#[derive(Clone)]
pub(super) struct Post {
    boxes: Arc<[mpsc::Sender<Mail>]>,
    stats: Arc<NetStats>,
}

impl Post {
    /// Boxes for `workers` workers, each holding `bound` letters, and their reading ends.
    pub(super) fn new(workers: u8, bound: usize, stats: Arc<NetStats>) -> (Self, Vec<mpsc::Receiver<Mail>>) {
        let (boxes, readers): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::channel(bound)).unzip();
        (Self { boxes: boxes.into(), stats }, readers)
    }

    /// Puts a letter into a worker's box; false, and counted, if it is full or there is no such worker.
    pub(super) fn put(&self, to: Shard, mail: Mail) -> bool {
        let sent = self.boxes.get(usize::from(to.0)).is_some_and(|sender| sender.try_send(mail).is_ok());
        if sent {
            self.stats.handed_over.inc();
        } else {
            self.stats.lose(Loss::MailboxFull);
        }
        sent
    }

    /// As [`Self::put`], but waits for room; for threads that no worker waits for. False if the worker has ended.
    pub(super) fn put_waiting(&self, to: Shard, mail: Mail) -> bool {
        self.boxes.get(usize::from(to.0)).is_some_and(|sender| sender.blocking_send(mail).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_box_refuses_and_counts() {
        let stats = Arc::new(NetStats::default());
        let (post, readers) = Post::new(2, 1, Arc::clone(&stats));
        let letter = || Mail::Failed { ticket: 1, why: SendError::Connect };
        assert!(post.put(Shard(1), letter()));
        assert!(!post.put(Shard(1), letter()));
        assert!(!post.put(Shard(2), letter()), "no such worker");
        assert_eq!((stats.handed_over.read(), stats.lost(Loss::MailboxFull)), (1, 2));
        drop(readers);
    }
}
