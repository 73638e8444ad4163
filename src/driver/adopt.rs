//! Connections that somebody else accepted and a worker goes on with: those of a port that HTTP and
//! SIP share, once it is known which of the two is spoken.
//!
//! Whoever accepts asks for a number first, so that the tickets of its TLS session can name the
//! connection, and hands everything over in one letter. A worker that has too many letters does not
//! take it; then it is closed.

use super::mail::{Mail, Post};
use crate::ids::{ConnId, Shard};
use crate::net::adopted::{Adopted, Workers};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The first of the numbers of connections that were accepted elsewhere; those below are the workers' own.
pub(super) const FIRST: u32 = 1 << 31;

/// Hands connections over to the workers, in turn; copied to whoever accepts.
#[derive(Clone)]
pub struct Adopter {
    post: Post,
    boot: u32,
    workers: u8,
    last: Arc<AtomicU32>,
}

impl Adopter {
    pub(super) fn new(post: Post, boot: u32, workers: u8) -> Self {
        Self { post, boot, workers, last: Arc::default() }
    }
}

impl Workers for Adopter {
    fn reserve(&self) -> ConnId {
        let number = self.last.fetch_add(1, Relaxed);
        let worker = u8::try_from(number % u32::from(self.workers.max(1))).unwrap_or(0);
        ConnId::new(self.boot, Shard(worker), FIRST | number)
    }

    fn adopt(&self, adopted: Adopted) -> bool {
        self.post.put(adopted.conn.shard(), Mail::Adopt(Box::new(adopted)))
    }
}
