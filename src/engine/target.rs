//! The next hop of a request: the best target of its instance that has not been tried, or the one place a token
//! names (F15, R75, P05).

use super::config::Config;
use super::contract::Dest;
use super::core::{Engine, Moment};
use super::steer::BackendRef;
use super::tables::{ClientId, MAX_ATTEMPTS, Server, Tried, Way};
use crate::ids::InstanceId;
use crate::model::Profile;
use crate::route::select::{Targets, targets};
use crate::route::snapshot::{Backend, Instance};
use crate::stats::TargetHealth;
use std::sync::Arc;

/// A next hop.
pub(super) struct Target {
    /// Where the request is sent.
    pub dest: Dest,
    /// The instance's end of the way, where the request goes there.
    pub backend: Option<BackendRef>,
    /// How that backend is told the way back.
    pub profile: Profile,
    /// Its health, if it is in the table.
    pub health: Option<Arc<TargetHealth>>,
    /// Whether others are left after it.
    pub more: bool,
}

/// The next hop for a request of the instance of this id, which may have left the table; `None` if there is none (left).
pub(super) fn next(
    config: &Config,
    id: InstanceId,
    instance: Option<&Instance>,
    way: Way,
    tried: &Tried,
) -> Option<Target> {
    match way {
        Way::Select(hash) => {
            if tried.len() >= config.attempts.min(MAX_ATTEMPTS) {
                return None;
            }
            let instance = instance?;
            let mut order = Targets::default();
            targets(instance, hash, &mut order);
            let mut left = order.iter(instance).filter(|b| !tried.contains(b.address, b.transport));
            let first = left.next()?;
            let more = left.next().is_some() && tried.len() + 1 < config.attempts.min(MAX_ATTEMPTS);
            Some(to_backend(instance, first, more))
        }
        _ if tried.len() > 0 => None,
        Way::Backend(backend) => {
            let known = instance.map(|i| &i.backends).into_iter().flatten();
            let same = known.clone().find(|b| b.address == backend.address && b.transport == backend.transport);
            let named = same.or_else(|| known.clone().find(|b| b.id == backend.id));
            Some(Target {
                dest: Dest::Backend { instance: id, address: backend.address, transport: backend.transport },
                backend: Some(backend),
                profile: named.map_or_else(Profile::default, |b| b.profile),
                health: same.map(|b| Arc::clone(&b.health)),
                more: false,
            })
        }
        Way::Client(flow) => Some(Target {
            dest: Dest::Flow(flow.flow()),
            backend: None,
            profile: Profile::default(),
            health: None,
            more: false,
        }),
    }
}

fn to_backend(instance: &Instance, backend: &Backend, more: bool) -> Target {
    let (address, transport) = (backend.address, backend.transport);
    Target {
        dest: Dest::Backend { instance: instance.id, address, transport },
        backend: Some(BackendRef { id: backend.id, address, transport }),
        profile: backend.profile,
        health: Some(Arc::clone(&backend.health)),
        more,
    }
}

impl Engine {
    /// Whether the request behind a branch could go to another target now.
    pub(super) fn has_more_targets(&self, moment: Moment<'_>, id: ClientId) -> bool {
        let server = self.tables.client(id).and_then(|client| self.tables.server(client.server));
        server.is_some_and(|server| {
            !server.cancelled && server.machine.is_open() && self.next_target(moment, server).is_some()
        })
    }

    pub(super) fn next_target(&self, moment: Moment<'_>, server: &Server) -> Option<Target> {
        let instance = moment.snapshot.by_id(server.instance);
        next(&self.config, server.instance, instance.map(|i| &**i), server.way, &server.tried)
    }
}
