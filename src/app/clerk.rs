//! The task that follows licences through time: temporary bindings that end, warnings, expiries (R60, R63).
//!
//! What happens is the control plane's (`control::licence`): here it is done when it is due, logged and told as events.

use crate::control::service::Service;
use crate::licence::book::Notice;
use crate::usage::{Event, Events};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The longest time between two looks, in seconds: licences may come in, and clocks may be set.
const LONGEST: u64 = 60;

/// The task.
pub(super) struct Clerk {
    pub(super) service: Arc<Service>,
    pub(super) events: Events,
    pub(super) stop: CancellationToken,
}

impl Clerk {
    /// Works until it is told to stop.
    pub(super) async fn run(self) {
        let mut is_away = false;
        loop {
            let due = match self.service.settle_licences().await {
                Ok(settled) => {
                    tell(&self.events, &settled.notices);
                    is_away = false;
                    settled.due
                }
                Err(error) => {
                    if !is_away {
                        tracing::warn!(%error, "licences could not be looked at");
                    }
                    is_away = true;
                    None
                }
            };
            let wait = Duration::from_secs(due.unwrap_or(LONGEST).clamp(1, LONGEST));
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

/// Logs what happened, and reports it as events.
pub(super) fn tell(events: &Events, notices: &[Notice]) {
    for notice in notices {
        let state = match notice {
            Notice::Ending { .. } => "temporary",
            Notice::Deactivated { .. } => "deactivated",
            Notice::Expired { .. } => "expired",
            Notice::Entitled { .. } => "entitled",
            Notice::Unlicensed { .. } => "unlicensed",
            Notice::Licensed { .. } => "licensed",
        };
        tracing::warn!(licence = notice.licence(), state, "{}", notice.text());
        let (licence, state, detail) = (notice.licence().to_owned(), state.to_owned(), notice.text());
        events.push(Event::Licence { licence, state, detail });
    }
}
