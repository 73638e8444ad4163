//! The task that tells of certificates whose end is near: looked at by time, not only when the table changes.

use crate::clock::Clock;
use crate::route::cell::Cell;
use crate::usage::expiry::Expiry;
use crate::usage::{EventQuery, Events, Journal, Topic};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(60);
/// Events of before that are read back.
const BACK: u32 = 1_000;

/// The task.
pub(super) struct Watchman {
    pub(super) cell: Arc<Cell>,
    pub(super) clock: Clock,
    pub(super) journal: Arc<Journal>,
    pub(super) events: Events,
    pub(super) stop: CancellationToken,
}

impl Watchman {
    /// Works until it is told to stop.
    pub(super) async fn run(self) {
        let mut expiry = Expiry::default();
        let query = EventQuery { before: None, topic: Some(Topic::CertificateExpiry), instance: None, limit: BACK };
        match self.journal.call(move |journal| journal.events(&query)).await {
            Ok(page) => page.items.iter().rev().for_each(|told| expiry.told(&told.event)),
            Err(error) => tracing::warn!(%error, "what was told of certificates before is not known"),
        }
        loop {
            let snapshot = self.cell.load();
            let all = snapshot.certificates.iter().map(|it| (&*it.name, it.not_after));
            for event in expiry.look(all, self.clock.now().unix) {
                tracing::warn!("{}", event.text());
                self.events.push(event);
            }
            drop(snapshot);
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}
