//! A thread with a connection of its own and a bounded queue of work for it.

use super::{Reply, StoreError};
use rusqlite::Connection;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// How much work may wait.
const QUEUE: usize = 256;

type Work = Box<dyn FnOnce(&mut Connection) + Send>;

/// One connection at work. Dropping it finishes what is queued and closes the connection.
pub(super) struct Lane {
    queue: Option<mpsc::Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Lane {
    pub(super) fn start(name: &str, mut connection: Connection) -> std::io::Result<Self> {
        let (queue, mut work) = mpsc::channel::<Work>(QUEUE);
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
            while let Some(work) = work.blocking_recv() {
                work(&mut connection);
            }
        })?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Queues work and waits for its answer. Work whose caller went away is still done.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<'_, T> {
        let (answer, answered) = oneshot::channel();
        let queued = self
            .queue
            .as_ref()
            .map(|queue| queue.try_send(Box::new(move |connection| _ = answer.send(work(connection)))));
        Box::pin(async move {
            match queued {
                Some(Ok(())) => {
                    answered.await.unwrap_or_else(|_| Err(StoreError::Unavailable("its thread ended".into())))
                }
                Some(Err(mpsc::error::TrySendError::Full(_))) => Err(StoreError::Busy),
                Some(Err(mpsc::error::TrySendError::Closed(_))) | None => {
                    Err(StoreError::Unavailable("its thread ended".into()))
                }
            }
        })
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}
