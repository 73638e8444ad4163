//! Requests of an instance that is far over its share are dropped before they are read.
//!
//! Who is far over is learnt the long way ([`Engine::pass_guard`](super::core::Engine)); from then on its next
//! requests are known by their first line, while the budget has no room for them. What may be in a dialog, what ends or
//! acknowledges another request, and emergency calls are always read. A repetition of a request that was taken on
//! is dropped with the rest: whoever sent it sends it again.

use super::core::{Engine, Moment};
use super::token::MIN_LEN;
use crate::ids::{Flow, InstanceId, ProxyId};
use crate::licence::emergency::is_emergency;
use crate::reason::Drop;
use crate::sip::view::View;

/// Names remembered; the requests of further ones are read.
const NAMES: usize = 8;

/// The names by which floods come.
#[derive(Default)]
pub(super) struct Floods {
    names: Vec<Name>,
    next: usize,
}

/// A name that stands for an instance in one table at one proxy.
struct Name {
    proxy: ProxyId,
    revision: u64,
    host: Box<[u8]>,
    instance: InstanceId,
}

impl Floods {
    fn find(&self, proxy: ProxyId, revision: u64, host: &[u8]) -> Option<InstanceId> {
        let name = self.names.iter().find(|name| name.proxy == proxy && *name.host == *host)?;
        (name.revision == revision).then_some(name.instance)
    }

    fn note(&mut self, name: Name) {
        let same = self.names.iter_mut().find(|old| old.proxy == name.proxy && old.host == name.host);
        if let Some(old) = same {
            *old = name;
        } else if self.names.len() < NAMES {
            self.names.push(name);
        } else if let Some(old) = self.names.get_mut(self.next) {
            *old = name;
            self.next = (self.next + 1) % NAMES;
        }
    }

    fn forget(&mut self, instance: InstanceId) {
        self.names.retain(|name| name.instance != instance);
    }
}

/// The first line of a new request whose instance its Request-URI alone tells.
struct Glance<'a> {
    method: &'a [u8],
    uri: &'a [u8],
    host: &'a [u8],
}

impl<'a> Glance<'a> {
    /// None for whatever deserves to be read.
    fn at(message: &'a [u8]) -> Option<Self> {
        let (method, rest) = split(message, b' ')?;
        let (uri, _) = split(rest, b' ')?;
        if matches!(method, b"ACK" | b"CANCEL") {
            return None;
        }
        let behind = uri.strip_prefix(b"sip:").or_else(|| uri.strip_prefix(b"sips:"))?;
        let (user, behind) = split(behind, b'@').unwrap_or((&[], behind));
        let end = behind.iter().position(|b| matches!(b, b':' | b';' | b'?')).unwrap_or(behind.len());
        let (host, parameters) = behind.split_at_checked(end)?;
        // A token of ours may be in the user part, in the parameter `nt`, or in a Route (F01).
        if user.len() >= MIN_LEN || host.is_empty() || host.starts_with(b"[") || has_token(parameters) {
            return None;
        }
        (!has_route(message)).then_some(Self { method, uri, host })
    }
}

/// Whether there is a parameter `nt`.
fn has_token(parameters: &[u8]) -> bool {
    parameters.windows(4).any(|text| text.eq_ignore_ascii_case(b";nt="))
}

/// Whether a row may be a Route.
fn has_route(message: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', message).any(|at| {
        let row = message.get(at + 1..).and_then(|rest| rest.get(..5));
        row.is_some_and(|row| row.eq_ignore_ascii_case(b"route"))
    })
}

fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let (before, after) = text.split_at_checked(memchr::memchr(at, text)?)?;
    Some((before, after.get(1..)?))
}

impl Engine {
    /// Drops a request that would be dropped after it was read; false for all others.
    pub(super) fn sheds(&mut self, moment: Moment<'_>, flow: Flow, message: &[u8]) -> bool {
        if self.floods.names.is_empty() || flow.listener().is_inside() {
            return false;
        }
        let Some(glance) = Glance::at(message) else { return false };
        let proxy = flow.listener().proxy;
        let Some(id) = self.floods.find(proxy, moment.snapshot.revision, glance.host) else { return false };
        if !self.budgets.is_far_over(id, moment.now.tick) {
            if self.budgets.is_calm(id, moment.now.tick) {
                self.floods.forget(id);
            }
            return false;
        }
        let Some(instance) = moment.snapshot.by_id(id) else { return false };
        if glance.method == b"INVITE" && is_emergency(glance.uri, &instance.emergency_numbers) {
            return false;
        }
        self.own.requests.inc();
        instance.stats.refused.inc();
        self.discard(Drop::InstanceRate);
        true
    }

    /// Notes by which name the requests of an instance come that is far over its share.
    pub(super) fn note_flood(&mut self, moment: Moment<'_>, flow: Flow, view: &View<'_>, instance: InstanceId) {
        let Some(Glance { host, .. }) = Glance::at(view.message()) else { return };
        let (proxy, revision) = (flow.listener().proxy, moment.snapshot.revision);
        if self.floods.find(proxy, revision, host).is_none() {
            self.floods.note(Name { proxy, revision, host: host.into(), instance });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(message: &str) -> Option<&str> {
        Glance::at(message.as_bytes()).map(|glance| std::str::from_utf8(glance.host).unwrap())
    }

    #[test]
    fn a_new_request_is_known_by_its_first_line() {
        assert_eq!(host("OPTIONS sip:1@acme.pbx SIP/2.0\r\nVia: x\r\n\r\n"), Some("acme.pbx"));
        assert_eq!(host("REGISTER sips:acme:5061;transport=tcp SIP/2.0\r\nRecord-Route: x\r\n\r\n"), Some("acme"));
        assert_eq!(host("INVITE sip:a:b@acme?x SIP/2.0\r\n\r\n"), Some("acme"));
    }

    #[test]
    fn what_may_be_in_a_dialog_is_read() {
        let token = "a".repeat(MIN_LEN);
        for message in [
            "SIP/2.0 200 OK\r\n\r\n",
            "ACK sip:1@acme SIP/2.0\r\n\r\n",
            "CANCEL sip:1@acme SIP/2.0\r\n\r\n",
            "BYE sip:1@acme SIP/2.0\r\nVia: x\r\nRoute: <sip:edge>\r\n\r\n",
            "BYE sip:1@acme SIP/2.0\nrOUTE : <sip:edge>\n\n",
            "INFO sip:1@acme:5060;x;NT=abc SIP/2.0\r\n\r\n",
            &format!("BYE sip:{token}@acme SIP/2.0\r\n\r\n"),
            "INVITE urn:service:sos SIP/2.0\r\n\r\n",
            "INVITE tel:112 SIP/2.0\r\n\r\n",
            "OPTIONS sip:1@[::1] SIP/2.0\r\n\r\n",
            "OPTIONS sip:1@ SIP/2.0\r\n\r\n",
            "OPTIONS",
            "",
        ] {
            assert_eq!(host(message), None, "{message}");
        }
    }

    #[test]
    fn so_many_names_are_remembered_and_an_old_table_is_not_believed() {
        let mut floods = Floods::default();
        let name = |n: u8, revision| Name {
            proxy: ProxyId(1),
            revision,
            host: [n].into(),
            instance: InstanceId(u64::from(n).try_into().unwrap()),
        };
        (0..100).for_each(|n| floods.note(name(n, 1)));
        assert_eq!(floods.names.len(), NAMES);
        assert_eq!(floods.find(ProxyId(1), 1, &[99]), Some(InstanceId(99)));
        assert_eq!(floods.find(ProxyId(1), 2, &[99]), None);
        assert_eq!(floods.find(ProxyId(2), 1, &[99]), None);
        floods.note(name(99, 2));
        assert_eq!((floods.find(ProxyId(1), 2, &[99]), floods.names.len()), (Some(InstanceId(99)), NAMES));
        floods.forget(InstanceId(99));
        assert_eq!(floods.find(ProxyId(1), 2, &[99]), None);
    }
}
