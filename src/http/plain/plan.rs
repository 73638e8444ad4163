//! Where a plain request goes: the decisions of every request (`route`, `gate`, the guard), without side effects where
//! the answer is "not here".

use super::super::front::Front;
use super::super::gate::{self, Permit};
use super::super::guarded::Offer;
use super::super::route::{self, Asked, Decision};
use super::super::serve;
use super::super::upstream::Upstream;
use super::Lane;
use super::request::Request;
use crate::route::snapshot::Instance;
use crate::tls::challenges;
use http::Method;
use std::ops::Range;
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
}

impl Lane<'_> {
    /// Decides; `None`: the other way has to.
    pub(super) fn plan(&mut self, request: &Request) -> Option<Plan> {
        let front: &Front = self.front;
        let shared = &front.shared;
        if self.unread.len() < request.head + request.body {
            return None;
        }
        let text = |range: &Range<usize>| std::str::from_utf8(self.unread.get(range.clone())?).ok();
        let (target, host) = (text(&request.target)?, text(&request.authority)?.get(..request.host)?);
        if front.services.http.is_none() || (!front.services.tls && target.starts_with(challenges::PATH)) {
            return None;
        }
        let snapshot = self.snapshot.load();
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
        if !agree || instance.roster.as_deref().is_some_and(|roster| roster.has_light()) {
            return None;
        }
        let path = target.split('?').next().unwrap_or_default().get(prefix..)?;
        if request.method == Method::POST && web.sign_in.paths.iter().any(|wanted| gate::is_at(path, wanted)) {
            return None;
        }
        let limit = match instance.limits.http_body_bytes {
            0 => shared.config.body_bytes,
            own => own,
        };
        if request.body as u64 > limit {
            return None;
        }
        let bytes = |range: &Option<Range<usize>>| range.clone().and_then(|range| self.unread.get(range));
        let offer = bytes(&request.authorization).map(|offered| {
            Offer::read(front.peer, Some(offered), bytes(&request.user_agent), request.method.clone(), false)
        });
        if !guard.is_idle() {
            let account = offer.as_ref().map_or(&[][..], Offer::account);
            if !guard.lets(front.peer, true, instance.id, account, &instance.never_ban, now.tick) {
                return None;
            }
        }
        let gate = shared.gates.of(instance.id);
        let upstream = shared.gates.upstream(&gate, web, &shared.stats).ok()?;
        let permit = gate.enter(&instance, gate::limit(&instance, shared.config.instance_requests))?;
        Some(Plan { instance, permit, upstream, offer, prefix, strips })
    }
}
