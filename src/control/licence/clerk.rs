//! What happens to licences by itself: time passes, the machine is another one, other keys are accepted (R58 to R63).
//!
//! Each is a change like any other: stored, and in the audit with before and after. Called by `app` at the start, and
//! when something is due.

use crate::control::change::Actor;
use crate::control::draft::Draft;
use crate::control::error::ServiceError;
use crate::control::service::Service;
use crate::control::store::StoreError;
use crate::licence::book::Notice;
use crate::licence::key::Keys;

/// Who does it, in the audit.
const ACTOR: &str = "licence clock";
/// Tries against other writers of the same store.
const TRIES: usize = 16;

/// What happened, and when to look again.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// What happened since the book was last looked at.
    pub notices: Vec<Notice>,
    /// Seconds until the next thing is due; none if nothing is.
    pub due: Option<u64>,
}

impl Service {
    /// Brings the book up to this moment and this machine.
    pub async fn settle_licences(&self) -> Result<Settled, ServiceError> {
        let _one = self.writing.lock().await;
        for _ in 0..TRIES {
            self.rows.refresh().await?;
            let (commit, settled) = {
                let held = self.rows.read();
                let now = held.premises.now();
                let (book, notices) = held.shelf.stored.on(held.premises.machine.id(), now);
                let due = book.next_change().map(|at| at.saturating_sub(now));
                let settled = Settled { notices, due };
                let moved = held.shelf.stored.installation().hardware != book.installation().hardware;
                if settled.notices.is_empty() && !moved && book.licences().eq(held.shelf.stored.licences()) {
                    return Ok(settled);
                }
                let mut draft = Draft::new(&held, now);
                draft.settle_book(book, &settled.notices);
                let commit = draft.commit(ACTOR).map_err(|error| StoreError::Unavailable(error.to_string().into()))?;
                (commit, settled)
            };
            let Some(commit) = commit else { return Ok(settled) };
            match self.rows.store().commit(commit).await {
                Ok(_) => {
                    self.rows.refresh().await?;
                    return Ok(settled);
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Busy.into())
    }

    /// Accepts licences of other keys from now on (R64). True if that changes what counts.
    pub async fn accept_keys(&self, keys: Keys) -> Result<bool, ServiceError> {
        let ids: Vec<String> = keys.ids().map(str::to_owned).collect();
        if !self.rows.set_keys(keys) {
            return Ok(false);
        }
        let who = Actor("configuration".into());
        let _one = self.writing.lock().await;
        for _ in 0..TRIES {
            self.rows.refresh().await?;
            let commit = {
                let held = self.rows.read();
                let mut draft = Draft::new(&held, held.premises.now());
                draft.note_keys(&ids);
                draft.commit(&who.0).map_err(|error| StoreError::Unavailable(error.to_string().into()))?
            };
            let Some(commit) = commit else { return Ok(true) };
            match self.rows.store().commit(commit).await {
                Ok(_) => {
                    self.rows.refresh().await?;
                    return Ok(true);
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Busy.into())
    }
}
