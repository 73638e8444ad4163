//! When two entries of snapshots say the same: handles are equal by the key they are kept under, so
//! they are not looked at. Called by `compile` (to keep the old entry) and `diff`.

use super::snapshot::{Backend, Certificate, Instance, Proxy};
use crate::licence::Roster;
use std::sync::Arc;

impl Instance {
    /// Whether both route, serve and show the same.
    pub fn same(&self, other: &Self) -> bool {
        let Self { id, name, state, backends: _, web, limits, language, stats: _, .. } = self;
        let Self { allowance, roster, second_device, shadow, emergency_numbers, .. } = self;
        let Self { certificate, origins, only_from, never_ban, .. } = self;
        *id == other.id
            && *name == other.name
            && self.display_name() == other.display_name()
            && *state == other.state
            && *web == other.web
            && *limits == other.limits
            && *language == other.language
            && *allowance == other.allowance
            && same_roster(roster.as_ref(), other.roster.as_ref())
            && *second_device == other.second_device
            && *shadow == other.shadow
            && *emergency_numbers == other.emergency_numbers
            && *certificate == other.certificate
            // Its own certificate is shown for its aliases.
            && (certificate.is_none() || self.row.aliases == other.row.aliases)
            && *origins == other.origins
            && *only_from == other.only_from
            && *never_ban == other.never_ban
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

/// Certificates are one when parsed once.
fn same_certificate(one: Option<&Arc<Certificate>>, other: Option<&Arc<Certificate>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

impl Backend {
    fn same(&self, other: &Self) -> bool {
        let Self { id, name, address, transport, priority, weight, profile, tls, health: _ } = self;
        (*id, *address, *transport, *priority, *weight, *profile)
            == (other.id, other.address, other.transport, other.priority, other.weight, other.profile)
            && *tls == other.tls
            && *name == other.name
    }
}

impl Proxy {
    /// Whether both listen, serve and answer the same; certificates are one when parsed once.
    pub fn same(&self, other: &Self) -> bool {
        let Self { id, name, fqdn, base_domain, listeners, instances, default_instance, .. } = self;
        let Self { redirection_url, certificate, unknown, https_redirect, trusted_peers, .. } = self;
        let Self { proxy_protocol, names, origins, device_certificates, device_authorities, .. } = self;
        let Self { tls_routes, keep_alive, .. } = self;
        *id == other.id
            && *name == other.name
            && *fqdn == other.fqdn
            && *base_domain == other.base_domain
            && *listeners == other.listeners
            && *instances == other.instances
            && *default_instance == other.default_instance
            && *redirection_url == other.redirection_url
            && same_certificate(certificate.as_ref(), other.certificate.as_ref())
            && *unknown == other.unknown
            && *https_redirect == other.https_redirect
            && *trusted_peers == other.trusted_peers
            && *proxy_protocol == other.proxy_protocol
            && *names == other.names
            && *origins == other.origins
            && *device_certificates == other.device_certificates
            && *device_authorities == other.device_authorities
            && *tls_routes == other.tls_routes
            && *keep_alive == other.keep_alive
    }
}
