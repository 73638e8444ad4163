//! The task that looks after the guard: tells of bans, and keeps them over a restart.
//!
//! The guard itself decides; nothing here does. What cannot be written is only logged: a ban that is forgotten at the
//! next start is made again.

use super::data;
use crate::clock::Clock;
use crate::guard::{self, Ban, Guard};
use crate::observe::limit::Limit;
use crate::route::cell::Cell;
use crate::usage::{Event, Events};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const FILE: &str = "bans.json";
/// How often the guard is asked for news.
const ROUND: Duration = Duration::from_secs(1);
/// Rounds between two writings.
const WRITE: u32 = 10;

/// The task.
pub(super) struct Warden {
    guard: Arc<Guard>,
    cell: Arc<Cell>,
    clock: Clock,
    events: Events,
    path: PathBuf,
    lines: Limit,
}

impl Warden {
    /// Reads back what was kept. A file that cannot be read is left aside.
    pub(super) fn open(guard: &Arc<Guard>, cell: &Arc<Cell>, clock: Clock, events: Events, data: &Path) -> Self {
        let path = data.join(FILE);
        match std::fs::read(&path).map(|bytes| serde_json::from_slice::<Vec<Ban>>(&bytes)) {
            Ok(Ok(bans)) => guard.restore(bans, clock.now()),
            Ok(Err(error)) => tracing::warn!(file = %path.display(), %error, "bans were not read back"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(file = %path.display(), %error, "bans were not read back"),
        }
        Self { guard: Arc::clone(guard), cell: Arc::clone(cell), clock, events, path, lines: Limit::new() }
    }

    /// Works until it is told to stop.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut written = self.guard.to_keep(self.clock.now());
        let mut round = 0u32;
        loop {
            let ended = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(ROUND) => false,
            };
            self.tell();
            self.guard.sweep(self.clock.now());
            round = round.wrapping_add(1);
            if ended || round.is_multiple_of(WRITE) {
                self.write(&mut written);
            }
            if ended {
                return;
            }
        }
    }

    fn write(&self, written: &mut Vec<Ban>) {
        let mut bans = self.guard.to_keep(self.clock.now());
        bans.sort_unstable_by_key(|ban| ban.id);
        if bans == *written {
            return;
        }
        let kept = serde_json::to_vec(&bans).map_err(std::io::Error::other);
        match kept.and_then(|bytes| data::write(&self.path, &bytes)) {
            Ok(()) => *written = bans,
            Err(error) => tracing::warn!(file = %self.path.display(), %error, "bans could not be written down"),
        }
    }

    fn tell(&self) {
        let now = self.clock.now();
        for event in self.guard.take_events() {
            let (ban, what) = match &event {
                guard::Event::Banned(ban) => (ban, "banned"),
                guard::Event::Lifted(ban) => (ban, "lifted"),
            };
            let snapshot = self.cell.load();
            let instance = ban.instance.and_then(|id| snapshot.by_id(id)).map(|instance| instance.name.to_string());
            if let Some(suppressed) = self.lines.pass(now.tick) {
                let Ban { id, source, account, reason, until, .. } = ban;
                let (scope, seconds) = (ban.scope.label(), until.saturating_sub(now.unix));
                let user_agent = &ban.evidence.user_agent;
                tracing::warn!(
                    id, scope, %source, instance, account, reason, user_agent, seconds, suppressed, "{what}"
                );
            }
            // Whoever lies about sources could fill the journal.
            if ban.evidence.proven {
                let source = ban.source.to_string();
                let (account, until) = (ban.account.clone(), ban.until);
                let (id, scope, reason) = (ban.id, ban.scope.label().to_owned(), ban.reason.clone());
                let lifted = matches!(event, guard::Event::Lifted(_));
                self.events.push(Event::Ban { id, scope, source, instance, account, reason, until, lifted });
            }
        }
    }
}
