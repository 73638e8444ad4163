//! The way between the workers and whoever writes claims of seats down: a signal that somebody waits, and the answers
//! back into the workers' boxes. What is to be written lies in the engine's journal.

use super::mail::{Mail, Post};
use crate::ids::Shard;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Says that a worker waits for the journal; raised any number of times, it is seen once.
#[derive(Clone, Default)]
pub struct Signal(Arc<(Mutex<bool>, Condvar)>);

impl Signal {
    /// Raises it.
    pub fn raise(&self) {
        let (raised, changed) = &*self.0;
        *raised.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_one();
    }

    /// Waits until it is raised, at most so long, and lowers it.
    pub fn wait(&self, most: Duration) {
        let (raised, changed) = &*self.0;
        let guard = raised.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(guard, most, |raised| !*raised);
        let (mut raised, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *raised = false;
    }
}

/// Tells workers what became of the claims they wait for.
#[derive(Clone)]
pub struct Claims {
    pub(super) post: Post,
}

impl Claims {
    /// Tells one worker, with the tickets of its claims and whether each is on the disk. Blocks while the worker's box
    /// is full: it is called from a thread of its own.
    pub fn tell(&self, shard: Shard, claimed: Vec<(u64, bool)>) {
        self.post.put_waiting(shard, Mail::Claimed(claimed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_was_raised_before_is_seen_once() {
        let signal = Signal::default();
        signal.raise();
        signal.raise();
        signal.wait(Duration::from_secs(600));
        let other = signal.clone();
        let waiting = std::thread::spawn(move || other.wait(Duration::from_secs(600)));
        signal.raise();
        waiting.join().unwrap();
        signal.wait(Duration::ZERO);
    }
}
