//! What clients said of themselves before their first SIP message, kept for as long as their connection lives, and
//! the check of the names in it against the instance a request is for (S04).
//!
//! None of these names ever chooses an instance: they can only make a request fail that chose one. Filled by
//! `Input::FlowOpened`, emptied by `Input::FlowClosed`; read by `request` and whoever else wants to know a connection.

use super::contract::{Greeting, Verdict};
use super::core::{Engine, Moment};
use super::identity;
use crate::ids::{ConnId, Flow, InstanceId};
use crate::model::NamePolicy;
use crate::reason::Refusal;
use crate::route::snapshot::{Host, Instance, Map, Proxy};
use crate::sip::view::View;

/// Greetings kept by one shard. A connection beyond that is closed: what it said could not be held against it.
const MOST: usize = 65_536;

/// The greetings of a shard's connections.
#[derive(Default)]
pub(super) struct Greetings(Map<ConnId, Greeting>);

impl Greetings {
    /// Keeps a greeting; false where there is no room.
    fn keep(&mut self, conn: ConnId, greeting: &Greeting) -> bool {
        let room = self.0.len() < MOST || self.0.contains_key(&conn);
        if room {
            self.0.insert(conn, greeting.clone());
        }
        room
    }

    /// What the client of this flow said, if anything.
    pub(super) fn of(&self, flow: &Flow) -> Option<&Greeting> {
        match flow {
            Flow::Stream { conn, .. } => self.0.get(conn),
            Flow::Udp { .. } => None,
        }
    }

    /// Forgets a connection.
    pub(super) fn forget(&mut self, flow: &Flow) {
        if let Flow::Stream { conn, .. } = flow {
            self.0.remove(conn);
        }
    }
}

impl Engine {
    /// A client's connection is open, and this is what was said.
    pub(super) fn on_flow_opened(&mut self, flow: Flow, greeting: &Greeting) {
        let Flow::Stream { conn, .. } = flow else { return };
        if !self.greetings.keep(conn, greeting) {
            self.shared.stats.greetings_overflow.inc();
            self.out.close(flow);
        }
    }

    /// Checks what a client greeted with against the instance that its request chose by its own words.
    pub(super) fn check_greeting(
        &self,
        moment: Moment<'_>,
        flow: Flow,
        instance: &Instance,
        view: &View<'_>,
    ) -> Result<(), Refusal> {
        let Some(greeting) = self.greetings.of(&flow) else { return Ok(()) };
        let Some(proxy) = moment.snapshot.proxy_by_id(flow.listener().proxy) else { return Ok(()) };
        // The upgrade has asked the proxy, and the instance where the Host named one; here it is known (W07).
        if !instance.lets(greeting.origin.as_deref()) {
            return Err(Refusal::Origin);
        }
        if !identity::holds(moment, proxy, &greeting.identities, instance, view) {
            return Err(Refusal::DeviceIdentity);
        }
        self.check_names(moment, proxy, greeting, instance)
    }

    /// The TLS name and the Host must not be another instance's (S04).
    fn check_names(
        &self,
        moment: Moment<'_>,
        proxy: &Proxy,
        greeting: &Greeting,
        instance: &Instance,
    ) -> Result<(), Refusal> {
        if proxy.names == NamePolicy::Off {
            return Ok(());
        }
        let names = [greeting.sni.as_deref(), greeting.host.as_deref()];
        if !names.into_iter().flatten().any(|name| names_another(moment, proxy, name, instance.id)) {
            return Ok(());
        }
        self.shared.stats.name_mismatches.inc();
        if proxy.names == NamePolicy::Enforce {
            return Err(Refusal::NameMismatch);
        }
        let (why, instance) = (Refusal::NameMismatch, Some(instance.id));
        self.verdict.set(Some(Verdict::Tolerated { why, instance }));
        Ok(())
    }
}

/// Whether a name stands for an instance, and not for this one. A name that stands for the proxy or for nothing we
/// know says nothing: old phones send such.
fn names_another(moment: Moment<'_>, proxy: &Proxy, name: &str, id: InstanceId) -> bool {
    match moment.snapshot.resolve_host(proxy, name.as_bytes(), moment.now.unix) {
        Host::Instance { id: named, .. } => named != id,
        Host::Proxy | Host::Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::contract::Input;
    use crate::engine::testing::*;
    use crate::route::testing::{instance, proxy, table};

    fn bench(names: NamePolicy) -> Bench {
        let mut edge = proxy(1, "edge");
        edge.names = names;
        Bench::with(&table([instance(1, "acme"), instance(2, "globex")], [edge]), config())
    }

    fn greeted(sni: Option<&str>, host: Option<&str>) -> Greeting {
        Greeting { sni: sni.map(Into::into), host: host.map(Into::into), ..Greeting::default() }
    }

    fn open(b: &mut Bench, flow: Flow, greeting: &Greeting) {
        assert!(b.input(Input::FlowOpened { flow, greeting }).is_empty());
    }

    #[test]
    fn a_name_of_another_instance_is_refused_counted_or_left_alone_as_the_proxy_wants() {
        // S04
        for (policy, status, counted) in
            [(NamePolicy::Off, 0, 0), (NamePolicy::Log, 0, 1), (NamePolicy::Enforce, 403, 1)]
        {
            for greeting in [greeted(Some("globex.pbx.example"), None), greeted(None, Some("globex.pbx.example"))] {
                let mut b = bench(policy);
                let flow = tcp(PHONE, 1);
                open(&mut b, flow, &greeting);
                let out = b.one(flow, &request("REGISTER", "r", ""));
                assert_eq!((out.status(), b.shared.stats.name_mismatches.read()), (status, counted), "{policy:?}");
                if policy == NamePolicy::Enforce {
                    assert!(out.row("Warning").contains("name-mismatch"), "{}", out.text);
                } else {
                    assert_eq!(out.peer(), PBX.parse().unwrap(), "never routed by the greeting");
                }
                let tolerated = Verdict::Tolerated { why: Refusal::NameMismatch, instance: Some(InstanceId(1)) };
                assert_eq!(b.engine.take_verdict() == Some(tolerated), policy == NamePolicy::Log);
            }
        }
    }

    #[test]
    fn names_that_agree_or_say_nothing_pass() {
        // S04
        let silent =
            [None, Some("acme.pbx.example"), Some("edge.pbx.example"), Some("nobody.example"), Some("192.0.2.1")];
        for (serial, sni) in (1..).zip(silent) {
            let mut b = bench(NamePolicy::Enforce);
            let flow = tcp(PHONE, serial);
            open(&mut b, flow, &greeted(sni, None));
            assert_eq!(b.one(flow, &request("REGISTER", "r", "")).method(), "REGISTER", "{sni:?}");
            assert_eq!(b.shared.stats.name_mismatches.read(), 0);
        }
    }

    #[test]
    fn an_instance_is_asked_whose_page_it_was_where_the_host_named_none() {
        // W07
        let mut acme = instance(1, "acme");
        acme.origins = vec!["https://acme.example".into()];
        let mut b = Bench::with(&table([acme], [proxy(1, "edge")]), config());
        let (own, other) = (Some("https://acme.example"), Some("https://evil.example"));
        for (serial, origin, status) in [(1, own, 0), (2, None, 0), (3, other, 403)] {
            let greeting = Greeting { origin: origin.map(Into::into), ..greeted(None, Some("edge.pbx.example")) };
            open(&mut b, tcp(PHONE, serial), &greeting);
            let out = b.one(tcp(PHONE, serial), &request("REGISTER", &format!("o{serial}"), ""));
            assert_eq!(out.status(), status, "{origin:?}");
            if status != 0 {
                assert!(out.row("Warning").contains("origin-refused"), "{}", out.text);
            }
        }
    }

    #[test]
    fn a_greeting_ends_with_its_connection_and_is_of_no_other() {
        // S04
        let mut b = bench(NamePolicy::Enforce);
        let flow = tcp(PHONE, 1);
        open(&mut b, flow, &greeted(Some("globex.pbx.example"), None));
        assert_eq!(b.one(tcp(PHONE, 2), &request("REGISTER", "a", "")).method(), "REGISTER");
        b.input(Input::FlowClosed { flow });
        assert!(b.engine.greetings.of(&flow).is_none());
    }

    #[test]
    fn a_connection_that_cannot_be_remembered_is_closed() {
        let mut b = bench(NamePolicy::Enforce);
        let flow = |serial| tcp(PHONE, serial);
        for serial in 0..u32::try_from(MOST).unwrap() {
            open(&mut b, flow(serial), &Greeting::default());
        }
        let more = flow(u32::try_from(MOST).unwrap());
        open(&mut b, more, &Greeting::default());
        assert_eq!((b.closed.as_slice(), b.shared.stats.greetings_overflow.read()), (&[more][..], 1));
    }
}
