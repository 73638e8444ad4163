//! Rows and snapshots for the tests of every room.

use super::compile::compile;
use super::handles::Handles;
use super::resolved::Resolved;
use super::snapshot::Snapshot;
use crate::ids::{BackendId, InstanceId, ProxyId};
use crate::model::{self, SCHEMA, Service, State, Table};
use std::sync::Arc;

/// An instance that is on, with one UDP backend at 198.51.x.y:5060 (from its id).
pub fn instance(id: u32, name: &str) -> model::Instance {
    let [_, _, high, low] = id.to_be_bytes();
    model::Instance {
        id: InstanceId(id),
        state: State::On,
        backends: vec![model::Backend { id: BackendId(1), ..model::Backend::at(&format!("198.51.{high}.{low}:5060")) }],
        licence: model::Licensing {
            mode: model::Mode::Cloud,
            booked: model::Seats { full: 1_000, light: 1_000 },
            ..Default::default()
        },
        ..model::Instance::named(name)
    }
}

/// The same, with no user booked: for tables without a licence.
pub fn unbooked(id: u32, name: &str) -> model::Instance {
    let mut row = instance(id, name);
    row.licence.booked = model::Seats::default();
    row
}

/// A proxy `<name>.pbx.example` over `pbx.example` with SIP on UDP (listener 1) and TCP (2), HTTP (3).
pub fn proxy(id: u16, name: &str) -> model::Proxy {
    let listener = |number, service, port| model::Listener {
        number,
        service,
        bind: ([192, 0, 2, u8::try_from(id).unwrap()], port).into(),
        advertise: None,
    };
    model::Proxy {
        id: ProxyId(id),
        listeners: vec![
            listener(1, Service::SipUdp, 5060),
            listener(2, Service::SipTcp, 5060),
            listener(3, Service::Http, 80),
        ],
        https_redirect: false,
        keep_alive: model::KeepAlive::Off,
        ..model::Proxy::named(name, &format!("{name}.pbx.example"), "pbx.example")
    }
}

/// A self-signed certificate for names.
pub fn certificate(name: &str, sans: &[&str]) -> model::Certificate {
    let made =
        rcgen::generate_simple_self_signed(sans.iter().map(|san| (*san).to_owned()).collect::<Vec<_>>()).unwrap();
    model::Certificate {
        schema: SCHEMA,
        name: name.into(),
        chain: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        acme: None,
    }
}

/// A table at revision 1.
pub fn table(
    instances: impl IntoIterator<Item = model::Instance>,
    proxies: impl IntoIterator<Item = model::Proxy>,
) -> Table {
    Table {
        revision: 1,
        instances: instances.into_iter().map(Arc::new).collect(),
        proxies: proxies.into_iter().map(Arc::new).collect(),
        certificates: Vec::new(),
        users: Vec::new(),
        book: Arc::new(book()),
    }
}

/// A volume licence that is enough for everybody.
pub fn book() -> crate::licence::Book {
    crate::licence::Book::demo(model::Seats { full: 1_000_000, light: 1_000_000 })
}

/// The snapshot of a table without problems but those of unresolved hosts, with handles of its own.
pub fn compiled(table: &Table) -> Snapshot {
    let (snapshot, problems) = compile(table, &Handles::default(), &Resolved::default(), 0);
    assert!(problems.is_empty(), "{problems:?}");
    snapshot
}
