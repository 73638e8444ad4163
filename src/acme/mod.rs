//! Certificates that an authority issues by itself (ACME, RFC 8555): ordered, renewed in time, tried again with
//! patience.
//!
//! One order is under way at a time. What is wanted is in the table (`model::Acme`), what came of it goes back there
//! as a change like any other, with its audit; the account's key is a row of its own that nothing shows. Challenges
//! are answered by our own listeners (`tls::challenges`). Started by `app`; `admin` shows [`Status`].

mod order;
pub mod schedule;
mod status;

pub use status::{Board, State, Status};

use crate::clock::Clock;
use crate::control::change::{Actor, Change};
use crate::control::service::Service;
use crate::model::{Acme, Certificate};
use crate::tls::challenges::Challenges;
use order::Failure;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Who it is, in the audit.
const ACTOR: &str = "acme";
/// How often the table is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How long an order may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// The task.
pub struct Agent {
    /// Where rows and accounts are.
    pub service: Arc<Service>,
    /// What answers the authority.
    pub challenges: Arc<Challenges>,
    /// What is shown of it.
    pub board: Arc<Board>,
    /// The clocks.
    pub clock: Clock,
    /// Ends it.
    pub stop: CancellationToken,
}

impl Agent {
    /// Works until it is told to stop.
    pub async fn run(self) {
        let stop = self.stop.clone();
        let work = async {
            loop {
                self.look().await;
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = self.board.roused() => {}
                }
            }
        };
        stop.run_until_cancelled(work).await;
    }

    /// Orders what is due.
    async fn look(&self) {
        let Ok((_, rows)) = self.service.certificates().await else { return };
        let rows: Vec<_> = rows.into_iter().map(|it| it.row).filter(|row| row.acme.is_some()).collect();
        self.board.keep(|name| rows.iter().any(|row| row.name == name));
        for row in rows {
            let Some(acme) = &row.acme else { continue };
            let now = self.clock.now().unix;
            let due = schedule::due(&row, now);
            if self.board.is_due(&row, due, now) {
                self.order(&row, acme).await;
            }
        }
    }

    async fn order(&self, row: &Certificate, acme: &Acme) {
        tracing::info!(certificate = row.name, names = ?acme.names, directory = acme.directory, "ordering");
        self.board.begin(&row.name);
        let outcome = match tokio::time::timeout(PATIENCE, self.obtain(row, acme)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::slow()),
        };
        let now = self.clock.now().unix;
        match outcome {
            Ok(fresh) => {
                tracing::info!(certificate = row.name, "issued");
                self.board.issued(&row.name, schedule::due(&fresh, now));
            }
            Err(failure) => {
                let Failure { detail, advice } = &failure;
                let next = self.board.failed(&row.name, now, detail, advice);
                tracing::warn!(certificate = row.name, detail, advice, next, "not issued");
            }
        }
    }

    /// Gets it, and puts it into the table.
    async fn obtain(&self, row: &Certificate, acme: &Acme) -> Result<Certificate, Failure> {
        let account = self.account(acme).await?;
        let made = order::run(&account, acme, &self.challenges, |state| self.board.enter(&row.name, state)).await?;
        let fresh = Certificate { chain: made.chain, key: made.key, ..row.clone() };
        // The row may have been changed meanwhile: then it is for other names, and ordered anew.
        let current = self.service.certificate(&row.name).await.map_err(|error| Failure::ours(&error))?;
        if current.row.acme != row.acme {
            return Err(Failure::changed());
        }
        let asked = Change::PutCertificate { row: fresh.clone() };
        let applied = self.service.apply(&Actor(ACTOR.into()), vec![asked.into()]).await;
        applied.map_err(|error| Failure::ours(&error))?;
        Ok(fresh)
    }

    /// The account at the authority: the one of the store, or a new one, kept before it is used.
    async fn account(&self, acme: &Acme) -> Result<instant_acme::Account, Failure> {
        let known = self.service.acme_account(acme).await.map_err(|error| Failure::ours(&error))?;
        if let Some(credentials) = known {
            return order::known_account(acme, &credentials).await;
        }
        let (account, credentials) = order::new_account(acme).await?;
        let kept = self.service.keep_acme_account(acme, &credentials).await;
        kept.map_err(|error| Failure::ours(&error))?;
        Ok(account)
    }
}
