//! Where a plain request goes: the decisions of every request (`route`, `gate`, the guard), without side effects where
//! the answer is "not here".

use super::super::front::Front;
use super::super::gate::{self, Permit};
use super::super::guarded::Offer;
use super::super::route::{self, Asked, Decision};
use super::super::serve;
use super::super::upstream::Upstream;
use crate::clock::Tick;
use crate::route::snapshot::{Instance, Snapshot};
use crate::tls::challenges;
use http::Method;
use std::sync::Arc;

/// What is decided.
pub(super) struct Plan {
    pub instance: Arc<Instance>,
    pub permit: Permit,
    pub upstream: Arc<Upstream>,
    /// Credentials, where there are any.
    pub offer: Option<Offer>,
    /// Bytes of the target that selected the instance.
    pub prefix: usize,
    /// Whether they are taken away.
    pub strips: bool,
    /// When it was decided.
    pub begun: Tick,
}

/// What a request asks for, as far as it decides.
pub(super) struct Wanted<'a> {
    pub method: &'a Method,
    /// Path, with query.
    pub target: &'a str,
    /// Without port.
    pub host: &'a str,
    pub authorization: Option<&'a [u8]>,
    pub user_agent: Option<&'a [u8]>,
    /// Bytes of the body.
    pub body: u64,
}

/// Decides; `None`: the other way has to.
pub(super) fn plan(front: &Front, snapshot: &Snapshot, wanted: &Wanted<'_>) -> Option<Plan> {
    let (shared, &Wanted { target, host, .. }) = (&front.shared, wanted);
    if front.services.http.is_none() || (!front.services.tls && target.starts_with(challenges::PATH)) {
        return None;
    }
    let proxy = snapshot.proxy_by_id(front.services.proxy)?;
    let (guard, now) = (&shared.config.guard, shared.clock.now());
    if serve::is_trusted(proxy, front.peer) || !guard.admits(front.peer, true, now.tick) {
        return None;
    }
    let secure = front.services.tls;
    let asked = Asked { secure, sni: front.sni.as_deref(), local: front.local, host: Some(host), target };
    let misdirected = |a: &str, b: &str| !shared.certificates.same(Some(proxy.id), a, b);
    let mut agree = true;
    let decision = route::decide(snapshot, proxy, &asked, now.unix, misdirected, |_| agree = false);
    let Decision::Forward(found) = decision else { return None };
    let strips = found.strips();
    let (instance, prefix) = (found.instance, found.prefix);
    let web = instance.web.as_deref()?;
    // Who may not come in is found out where a body can be looked at.
    if instance.roster.as_deref().is_some_and(|roster| roster.has_light()) {
        return None;
    }
    let path = target.split('?').next().unwrap_or_default().get(prefix..)?;
    if wanted.method == Method::POST && web.sign_in.paths.iter().any(|wanted| gate::is_at(path, wanted)) {
        return None;
    }
    let limit = match instance.limits.http_body_bytes {
        0 => shared.config.body_bytes,
        own => own,
    };
    if wanted.body > limit {
        return None;
    }
    let offer = wanted
        .authorization
        .map(|offered| Offer::read(front.peer, Some(offered), wanted.user_agent, wanted.method.clone(), false));
    if !guard.is_idle() {
        let account = offer.as_ref().map_or(&[][..], Offer::account);
        if !guard.lets(front.peer, true, instance.id, account, &instance.never_ban, now.tick) {
            return None;
        }
    }
    let gate = shared.gates.of(instance.id);
    let upstream = shared.gates.upstream(&gate, web, &shared.stats).ok()?;
    let permit = gate.enter(&instance, gate::limit(&instance, shared.config.instance_requests))?;
    if !agree {
        serve::note_mismatch(front, host);
    }
    Some(Plan { instance, permit, upstream, offer, prefix, strips, begun: now.tick })
}
