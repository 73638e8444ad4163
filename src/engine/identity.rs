//! A device that showed a certificate with a SIP identity may be nobody else (RFC 5922, mutual TLS).
//!
//! A URI with a user part stands for that account of that domain, one without for every account of it. The
//! certificate itself was verified in the handshake; one without a SIP identity says nothing here. Called with the
//! other checks of what a client greeted with.

use super::core::Moment;
use crate::model::DeviceCertificates;
use crate::route::snapshot::{Host, Instance, Proxy};
use crate::sip::method::Method;
use crate::sip::uri::Uri;
use crate::sip::view::View;

/// Whether a request may come from a device with these identities.
pub(super) fn holds(
    moment: Moment<'_>,
    proxy: &Proxy,
    identities: &[Box<str>],
    instance: &Instance,
    view: &View<'_>,
) -> bool {
    if proxy.device_certificates == DeviceCertificates::Off || identities.is_empty() {
        return true;
    }
    let is_theirs = |claimed: &Uri<'_>| {
        identities.iter().filter_map(|it| Uri::parse(it.as_bytes()).ok()).any(|identity| {
            identity.user.is_none_or(|user| Some(user) == claimed.user)
                && (identity.host_eq(claimed.host) || names(moment, proxy, &identity, instance))
        })
    };
    let from = view.from().and_then(|from| from.uri());
    // Who registers binds the account in To (RFC 3261 §10.2).
    let to = (view.method() == Method::Register).then(|| view.to().and_then(|to| to.uri()));
    std::iter::once(from).chain(to).all(|claimed| claimed.is_ok_and(|claimed| is_theirs(&claimed)))
}

/// Whether a URI's host is a name of the instance.
fn names(moment: Moment<'_>, proxy: &Proxy, identity: &Uri<'_>, instance: &Instance) -> bool {
    match moment.snapshot.resolve_host(proxy, identity.host, moment.now.unix) {
        Host::Instance { id, .. } => id == instance.id,
        Host::Proxy | Host::Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::contract::{Greeting, Input};
    use crate::engine::testing::*;
    use crate::model::DeviceCertificates;
    use crate::route::testing::{instance, proxy, table};

    fn bench(asked: DeviceCertificates) -> Bench {
        let mut edge = proxy(1, "edge");
        edge.device_certificates = asked;
        Bench::with(&table([instance(1, "acme"), instance(2, "globex")], [edge]), config())
    }

    /// The status of a REGISTER and of an INVITE of bob at acme from a device with these identities; 0 passes.
    fn told(asked: DeviceCertificates, identities: &[&str]) -> [u16; 2] {
        let mut b = bench(asked);
        let greeting =
            Greeting { identities: identities.iter().map(|it| (*it).into()).collect(), ..Greeting::default() };
        let flow = tcp(PHONE, 1);
        b.input(Input::FlowOpened { flow, greeting: &greeting });
        ["REGISTER", "INVITE"].map(|method| {
            let out = b.send(flow, &request(method, method, "")).remove(0);
            if out.status() != 0 {
                assert!(out.row("Warning").contains("device-identity"), "{}", out.text);
            }
            out.status()
        })
    }

    #[test]
    fn a_device_is_whom_its_certificate_names() {
        // S01
        use DeviceCertificates::{Off, Optional, Required};
        for asked in [Optional, Required] {
            for good in [
                &["sip:bob@acme"][..],
                &["sips:bob@ACME.pbx.example"],
                &["sip:acme"],
                &["sip:acme.pbx.example"],
                &["sip:eve@acme", "sip:bob@acme"],
                &[],
            ] {
                assert_eq!(told(asked, good), [0, 0], "{good:?}");
            }
            for bad in [&["sip:eve@acme"][..], &["sip:bob@globex"], &["sip:globex"], &["sip:Bob@acme"]] {
                assert_eq!(told(asked, bad), [403, 403], "{bad:?}");
            }
        }
        assert_eq!(told(Off, &["sip:eve@globex"]), [0, 0]);
    }
}
