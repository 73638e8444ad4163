//! The threads that serve the web. Each has a runtime of its own: a connection, what it waits for and the connections
//! to instances that it uses stay on one thread, so that nothing on the way of a request wakes another.
//!
//! Nothing else runs there; what the node does beside (the control plane, probes) has its own.

use std::cell::Cell;
use std::io;
use std::num::NonZeroUsize;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// All of them. Dropping it ends the threads, and what still runs on them.
pub(super) struct Lanes(Vec<Lane>);

struct Lane {
    handle: Handle,
    /// Its drop tells the thread; a runtime of somebody else's has none.
    _end: Option<oneshot::Sender<()>>,
}

impl Lanes {
    /// Starts as many threads.
    pub(super) fn start(count: NonZeroUsize) -> io::Result<Self> {
        (0..count.get()).map(Lane::start).collect::<io::Result<_>>().map(Self)
    }

    /// The runtime this is called in, in place of threads.
    pub(super) fn here() -> Self {
        Self(vec![Lane { handle: Handle::current(), _end: None }])
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Their runtimes.
    pub(super) fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.0.iter().map(|lane| &lane.handle)
    }
}

impl Lane {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new().name(format!("http-{number}")).spawn(move || {
            CURRENT.set(number);
            // Nobody sends: it ends with the sender.
            drop(runtime.block_on(ended));
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, _end: Some(end) })
    }
}

/// The number of the thread this runs on, from 0; 0 also on any other.
pub(super) fn current() -> usize {
    CURRENT.get()
}
