//! The keys of session tickets, kept in the store so that all its nodes have the same (S05).
//!
//! A row of its own kind: it is in no table, no plan and no answer of the API; the audit says that keys were
//! rotated, never what they are. Whoever finds the newest key old makes the next one; of two nodes that do, the
//! store lets one.

use super::error::ServiceError;
use super::rows::{Held, TICKETS};
use super::service::Service;
use super::store::{Commit, NewAudit, StoreError};
use crate::tls::tickets::TicketKey;
use serde_json::json;

/// Who does it, in the audit.
const ACTOR: &str = "node";

impl Service {
    /// The keys that count now, with a new one among them if one was due.
    pub async fn ticket_keys(&self) -> Result<Vec<TicketKey>, ServiceError> {
        self.rows.refresh().await?;
        let now = self.clock.now().unix;
        let due = rotation(&self.rows.read(), now)?;
        if let Some(commit) = due {
            match self.rows.store().commit(commit).await {
                // Another node was faster: its key is as good.
                Ok(_) | Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            self.rows.refresh().await?;
        }
        Ok(self.rows.read().tickets.iter().filter(|key| key.is_valid(now)).cloned().collect())
    }
}

fn rotation(held: &Held, now: u64) -> Result<Option<Commit>, ServiceError> {
    let newest = held.tickets.iter().max_by_key(|key| key.since);
    if newest.is_some_and(|key| !key.is_old(now)) {
        return Ok(None);
    }
    let broken = |error: &dyn std::fmt::Display| StoreError::Unavailable(error.to_string().into());
    let mut secret = [0; 32];
    let mut id = [0; 4];
    getrandom::fill(&mut secret).and_then(|()| getrandom::fill(&mut id)).map_err(|error| broken(&error))?;
    let fresh = TicketKey { id: u32::from_be_bytes(id), secret, since: now };
    let mut keys: Vec<&TicketKey> = held.tickets.iter().filter(|key| key.is_valid(now) && key.since <= now).collect();
    keys.push(&fresh);
    let value = serde_json::to_string(&keys).map_err(|error| broken(&error))?;
    let audit = NewAudit {
        at: now,
        who: ACTOR.into(),
        action: "rotate-tickets".into(),
        object: TICKETS.into(),
        before: Some(json!({ "keys": held.tickets.len() })),
        after: Some(json!({ "keys": keys.len() })),
    };
    let compare = vec![(TICKETS.to_owned(), held.tickets_revision)];
    Ok(Some(Commit { compare, write: vec![(TICKETS.to_owned(), Some(value))], audit: vec![audit] }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::control::rows::Rows;
    use crate::control::status::Status;
    use crate::control::store::sqlite::Sqlite;
    use crate::control::store::{AuditQuery, Store};
    use crate::control::usage::Idle;
    use std::sync::Arc;

    #[tokio::test]
    async fn two_nodes_of_a_store_have_the_same_keys_and_the_audit_shows_none() {
        // S05 R77
        let dir = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(&dir.path().join("store.sqlite")).unwrap());
        let node = || {
            let clock = Clock::start();
            let rows = Arc::new(Rows::new(Arc::clone(&store)));
            Service::new(rows, Arc::new(Status::new(clock)), Arc::new(Idle), clock)
        };
        let (one, two) = (node(), node());
        let keys = one.ticket_keys().await.unwrap();
        assert_eq!(keys.len(), 1);
        assert_eq!((two.ticket_keys().await.unwrap(), node().ticket_keys().await.unwrap()), (keys.clone(), keys));
        let audit = two.audit(AuditQuery::default()).await.unwrap().entries;
        assert_eq!((audit.len(), audit[0].action.as_str()), (1, "rotate-tickets"));
        assert!(!serde_json::to_string(&audit).unwrap().contains("secret"));
    }

    #[test]
    fn a_key_is_made_when_the_newest_is_old_and_the_last_stay_for_their_tickets() {
        // S05
        use crate::tls::tickets::{LIFETIME, ROTATION};
        let now = 1_800_000_000;
        let key = |id, since| TicketKey { id, secret: [0; 32], since };
        let held = |tickets| {
            let mut held = Held::default();
            held.tickets = tickets;
            held
        };
        assert!(rotation(&held(vec![key(1, now)]), now + ROTATION - 1).unwrap().is_none());
        let kept = |tickets, now| {
            let commit = rotation(&held(tickets), now).unwrap().unwrap();
            serde_json::from_str::<Vec<TicketKey>>(commit.write[0].1.as_ref().unwrap()).unwrap()
        };
        let two = kept(vec![key(1, now)], now + ROTATION);
        assert_eq!((two.len(), two[0].id, two[1].since), (2, 1, now + ROTATION));
        assert_eq!(kept(vec![key(1, now)], now + ROTATION + LIFETIME).len(), 1, "what it sealed is over");
    }
}
