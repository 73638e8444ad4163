//! What the tests on real sockets share: a network of their own on loopback, programs that are
//! started, watched and ended, and the node under test.

pub mod herd;
pub mod licence;
pub mod lines;
pub mod node;
pub mod office;
pub mod program;
pub mod sip;
pub mod wire;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// How long a test waits for something that should happen at once, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A piece of loopback that no other test of this process uses, so that everybody may have the
/// standard ports: `127.a.b.0/24`.
#[derive(Clone, Copy, Debug)]
pub struct Net {
    a: u8,
    b: u8,
}

impl Net {
    /// The next free one.
    pub fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let a = 64 + u8::try_from(std::process::id() % 128).unwrap();
        Self { a, b: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// Its `n`th address.
    pub fn ip(self, n: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.a, self.b, n)
    }
}

/// The moment it is.
#[allow(clippy::disallowed_methods, reason = "phones and measurements are in real time")]
pub fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Waits until something is so that has no event to wait for (a foreign program's state).
#[track_caller]
pub fn until(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) {
    let end = now() + patience;
    while !holds() {
        assert!(now() < end, "waited {patience:?} in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
