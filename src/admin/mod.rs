//! The management API: `/api/v1` over HTTPS on a port of its own, with a bearer token.
//!
//! It translates between HTTP and [`Service`], and shows live facts of the node through [`Live`].
//! It decides nothing about rows (that is `control`) and proxies nothing (that is `http`). `app`
//! binds the listeners and calls [`serve`]; the command line (`cli`) is its client.

mod auth;
mod csv;
mod etag;
pub mod explain;
mod extract;
pub mod live;
mod merge;
pub mod openapi;
pub mod problem;
#[cfg(test)]
mod registration_tests;
mod request_id;
mod routes;
mod serve;
mod signin;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod token;
#[cfg(test)]
mod usage_tests;
#[cfg(test)]
mod user_tests;
pub mod view;
mod why;

pub use auth::ADMIN;
pub use routes::{Pages, router};
pub use serve::serve;

use crate::clock::{Clock, Tick};
use crate::control::service::Service;
use crate::route::cell::Cell;
use crate::stats::ApiStats;
use live::Live;
use signin::SignIns;
use std::sync::Arc;

/// What the handlers work with.
pub struct Api {
    service: Arc<Service>,
    cell: Arc<Cell>,
    live: Arc<dyn Live>,
    clock: Clock,
    started: Tick,
    token: token::Digest,
    sign_ins: SignIns,
    stats: Arc<ApiStats>,
}

impl Api {
    /// An API in front of these; its uptime counts from now.
    pub fn new(
        service: Arc<Service>,
        cell: Arc<Cell>,
        live: Arc<dyn Live>,
        clock: Clock,
        token: token::Digest,
    ) -> Arc<Self> {
        let started = clock.now().tick;
        let stats = Arc::<ApiStats>::default();
        let sign_ins = SignIns::new(Arc::clone(&stats));
        Arc::new(Self { service, cell, live, clock, started, token, sign_ins, stats })
    }

    /// What it counts.
    pub fn stats(&self) -> &Arc<ApiStats> {
        &self.stats
    }
}
