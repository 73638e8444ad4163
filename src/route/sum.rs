//! The hash of a set of rows: a sum of their hashes, so that neither the order nor the number of rows costs more than
//! an addition or subtraction for each that changed.

use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::hash::{Hash, Hasher};

/// A sum of SHA-256 hashes.
#[derive(Clone, Copy, Default)]
pub(super) struct Sum {
    lanes: [u64; 4],
    rows: u64,
}

impl Sum {
    /// One more.
    pub(super) fn add(&mut self, hash: &[u8; 32]) {
        self.each(hash, u64::wrapping_add);
        self.rows = self.rows.wrapping_add(1);
    }

    /// One that was added before.
    pub(super) fn subtract(&mut self, hash: &[u8; 32]) {
        self.each(hash, u64::wrapping_sub);
        self.rows = self.rows.wrapping_sub(1);
    }

    /// All of another sum.
    pub(super) fn join(&mut self, other: &Self) {
        self.lanes.iter_mut().zip(other.lanes).for_each(|(sum, lane)| *sum = sum.wrapping_add(lane));
        self.rows = self.rows.wrapping_add(other.rows);
    }

    fn each(&mut self, hash: &[u8; 32], change: fn(u64, u64) -> u64) {
        let (lanes, _) = hash.as_chunks::<8>();
        for (sum, lane) in self.lanes.iter_mut().zip(lanes) {
            *sum = change(*sum, u64::from_le_bytes(*lane));
        }
    }

    /// The hash of the set.
    pub(super) fn finish(&self) -> [u8; 32] {
        let mut whole = Sha256::new();
        self.lanes.iter().chain([&self.rows]).for_each(|number| whole.update(number.to_le_bytes()));
        whole.finalize().into()
    }
}

/// The hash of a row: over all it holds, in the order of its fields. Nodes of one build agree on it.
pub(super) fn hash<T: Hash>(row: &T) -> [u8; 32] {
    thread_local! {
        /// A table has a million rows: one buffer does for all of them.
        static BYTES: RefCell<Bytes> = const { RefCell::new(Bytes(Vec::new())) };
    }
    BYTES.with_borrow_mut(|bytes| {
        bytes.0.clear();
        row.hash(bytes);
        Sha256::digest(&bytes.0).into()
    })
}

/// Keeps what a row gives to be hashed.
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Nobody asks: the hash that counts is made of the bytes.
    fn finish(&self) -> u64 {
        0
    }
}
