//! When two entries of snapshots say the same: handles are equal by the key they are kept under, so
//! they are not looked at. Called by `compile` (to keep the old entry) and `diff`.

use super::snapshot::{Backend, Instance, Proxy};
use crate::licence::Roster;
use std::sync::Arc;

impl Instance {
    /// Whether both route, serve and show the same.
    pub fn same(&self, other: &Self) -> bool {
        let Self { id, name, display_name, state, backends: _, web, limits, language, stats: _, .. } = self;
        let Self { allowance, roster, second_device, shadow, emergency_numbers, .. } = self;
        *id == other.id
            && *name == other.name
            && *display_name == other.display_name
            && *state == other.state
            && *web == other.web
            && *limits == other.limits
            && *language == other.language
            && *allowance == other.allowance
            && same_roster(roster.as_ref(), other.roster.as_ref())
            && *second_device == other.second_device
            && *shadow == other.shadow
            && *emergency_numbers == other.emergency_numbers
            && self.same_targets(other)
    }

    /// Whether both have the same SIP targets.
    pub fn same_targets(&self, other: &Self) -> bool {
        self.backends.len() == other.backends.len() && self.backends.iter().zip(&other.backends).all(|(a, b)| a.same(b))
    }
}

/// Rosters are one when built once: an equal list of users is not built again.
pub(super) fn same_roster(one: Option<&Arc<Roster>>, other: Option<&Arc<Roster>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

impl Backend {
    fn same(&self, other: &Self) -> bool {
        let Self { id, address, transport, priority, weight, profile, health: _ } = self;
        (*id, *address, *transport, *priority, *weight, *profile)
            == (other.id, other.address, other.transport, other.priority, other.weight, other.profile)
    }
}

impl Proxy {
    /// Whether both listen, serve and answer the same; certificates are one when parsed once.
    pub fn same(&self, other: &Self) -> bool {
        let Self { id, name, fqdn, base_domain, listeners, instances, default_instance, .. } = self;
        let Self { redirection_url, certificate, unknown, https_redirect, trusted_peers, .. } = self;
        let certificates = match (certificate, &other.certificate) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        *id == other.id
            && *name == other.name
            && *fqdn == other.fqdn
            && *base_domain == other.base_domain
            && *listeners == other.listeners
            && *instances == other.instances
            && *default_instance == other.default_instance
            && *redirection_url == other.redirection_url
            && certificates
            && *unknown == other.unknown
            && *https_redirect == other.https_redirect
            && *trusted_peers == other.trusted_peers
    }
}
