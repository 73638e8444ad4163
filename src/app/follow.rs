//! The table follows the store: what is written is compiled and swapped in.

use crate::clock::Clock;
use crate::control::rows::Rows;
use crate::control::store::StoreError;
use crate::route::cell::{Cell, Stored};
use crate::route::handles::Handles;
use crate::route::resolved::Resolved;
use std::sync::Arc;
use tokio::sync::watch;

/// What is compiled with.
pub(super) struct Follow {
    pub(super) rows: Arc<Rows>,
    pub(super) cell: Arc<Cell>,
    pub(super) handles: Handles,
    pub(super) clock: Clock,
}

impl Follow {
    /// Compiles what the store has now; true if it was news.
    pub(super) async fn step(&self) -> Result<bool, StoreError> {
        self.rows.refresh().await?;
        let (table, _) = self.rows.table();
        let (snapshot, problems) =
            crate::route::compile(&table, &self.handles, &Resolved::default(), self.clock.now().unix);
        for problem in problems {
            tracing::warn!(?problem, "left out");
        }
        Ok(matches!(self.cell.store(Arc::new(snapshot)), Stored::Swapped { .. }))
    }

    /// Goes on for ever; `swapped` is raised at every news.
    pub(super) async fn run(self, swapped: watch::Sender<u64>) {
        let mut newest = self.rows.store().watch();
        loop {
            // What was written before the watch began is news as well.
            if matches!(self.step().await, Ok(true)) {
                swapped.send_modify(|count| *count += 1);
            }
            if newest.changed().await.is_err() {
                return;
            }
        }
    }
}
