//! The hash of a set of rows: a sum of their hashes, so that neither the order nor the number of rows costs more than
//! an addition or subtraction for each that changed.

use sha2::{Digest, Sha256};

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

/// The hash of a row: over its JSON, whose fields have one order.
pub(super) fn hash<T: serde::Serialize>(row: &T) -> [u8; 32] {
    thread_local! {
        /// A table has a million rows: one buffer does for all of them.
        static JSON: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    JSON.with_borrow_mut(|json| {
        json.clear();
        // Rows have nothing that JSON has not.
        let _ = serde_json::to_writer(&mut *json, row);
        Sha256::digest(&*json).into()
    })
}
