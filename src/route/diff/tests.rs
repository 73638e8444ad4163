use super::*;
use crate::ids::ProxyId;
use crate::model::{self, FormerName, Service, Table};
use crate::route::compile::compile;
use crate::route::handles::Handles;
use crate::route::names::Named;
use crate::route::resolved::Resolved;
use crate::route::testing::{certificate, instance, proxy, table};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// Applies a diff: what a reader would do that has only the old snapshot and the diff.
fn apply(old: &Snapshot, diff: &Diff) -> Snapshot {
    let mut instances: BTreeMap<_, _> = old.instances.iter().map(|row| (row.id, Arc::clone(row))).collect();
    diff.removed.iter().for_each(|row| _ = instances.remove(&row.id));
    let set = diff.added.iter().chain(diff.changed.iter().map(|changed| &changed.new));
    set.for_each(|row| _ = instances.insert(row.id, Arc::clone(row)));
    let mut proxies: BTreeMap<_, _> = old.proxies.iter().map(|row| (row.id, Arc::clone(row))).collect();
    diff.proxies_removed.iter().for_each(|row| _ = proxies.remove(&row.id));
    let set = diff.proxies_added.iter().chain(&diff.proxies_changed);
    set.for_each(|row| _ = proxies.insert(row.id, Arc::clone(row)));
    let mut certificates: BTreeMap<_, _> =
        old.certificates.iter().map(|row| (row.name.clone(), Arc::clone(row))).collect();
    diff.certificates_removed.iter().for_each(|name| _ = certificates.remove(name));
    diff.certificates_set.iter().for_each(|row| _ = certificates.insert(row.name.clone(), Arc::clone(row)));
    let mut applied = Snapshot {
        revision: diff.to,
        instances: instances.into_values().collect(),
        proxies: proxies.into_values().collect(),
        certificates: certificates.into_values().collect(),
        ..Snapshot::default()
    };
    applied.index_proxies();
    for alias in [false, true] {
        let mut meanings: BTreeMap<_, _> = meanings(old, alias);
        for change in diff.names.iter().filter(|change| change.alias == alias) {
            match change.now {
                Some(now) => meanings.insert(change.name.clone(), now),
                None => meanings.remove(&change.name),
            };
        }
        let into = if alias { &mut applied.names.aliases } else { &mut applied.names.labels };
        meanings.into_iter().for_each(|(name, (id, until))| _ = into.set(&name, Named { id, until }));
    }
    applied
}

fn meanings(snapshot: &Snapshot, alias: bool) -> BTreeMap<Box<str>, (InstanceId, Option<u64>)> {
    let names = if alias { &snapshot.names.aliases } else { &snapshot.names.labels };
    let meaning = |named: Named| (named.id, named.until);
    names.iter().map(|entry| (entry.name().into(), meaning(entry.named()))).collect()
}

fn assert_equal(a: &Snapshot, b: &Snapshot) {
    assert_eq!(a.revision, b.revision);
    assert_eq!(a.instances.len(), b.instances.len());
    assert!(a.instances.iter().zip(&b.instances).all(|(a, b)| a.same(b)));
    assert_eq!(a.proxies.len(), b.proxies.len());
    assert!(a.proxies.iter().zip(&b.proxies).all(|(a, b)| a.same(b)));
    assert_eq!(a.certificates.len(), b.certificates.len());
    assert!(a.certificates.iter().zip(b.certificates.iter()).all(|(a, b)| Arc::ptr_eq(a, b)));
    for alias in [false, true] {
        assert_eq!(meanings(a, alias), meanings(b, alias));
    }
}

/// Certificates take long to make: a few are made once.
static CERTIFICATES: LazyLock<Vec<Arc<model::Certificate>>> =
    LazyLock::new(|| ["a", "a", "b", "c"].iter().map(|name| Arc::new(certificate(name, &["pbx.example"]))).collect());

fn any_instance(id: u32) -> impl Strategy<Value = model::Instance> {
    let state = prop_oneof![Just(State::On), Just(State::Off)];
    let backends = proptest::collection::btree_set(1u16..4, 0..3);
    (0u8..4, state, backends, proptest::option::of(0u8..3), 0u64..3, any::<bool>()).prop_map(
        move |(name, state, backends, alias, until, web)| {
            let mut row = instance(id, &format!("{}{name}", if name == 3 { "Shared" } else { "own" }));
            if name != 3 {
                row.name = format!("{}-{id}", row.name);
            }
            row.state = state;
            let template = row.backends[0].clone();
            row.backends = backends
                .into_iter()
                .map(|n| model::Backend {
                    id: crate::ids::BackendId(n),
                    address: format!("198.51.100.{n}"),
                    ..template.clone()
                })
                .collect();
            row.aliases = alias.map(|n| format!("alias{n}.example")).into_iter().collect();
            row.former_names = vec![FormerName { name: format!("former{until}"), until: 10 + until }];
            row.web = web.then(|| model::Web::at("http://198.51.100.9"));
            row
        },
    )
}

fn any_proxy(id: u16) -> impl Strategy<Value = model::Proxy> {
    let listeners = proptest::collection::btree_set((1u8..4, 0u16..2), 0..3);
    (listeners, proptest::option::of(0u8..4), any::<bool>(), 0usize..5).prop_map(
        move |(listeners, only, default, certificate)| {
            let mut row = proxy(id, &format!("front{id}"));
            let numbers: BTreeMap<u8, u16> = listeners.into_iter().collect();
            row.listeners = numbers
                .into_iter()
                .map(|(number, moved)| model::Listener {
                    number,
                    service: Service::SipUdp,
                    bind: ([192, 0, 2, u8::try_from(id).unwrap()], 5060 + u16::from(number) * 10 + moved).into(),
                    advertise: None,
                })
                .collect();
            row.instances = only.map(|_| vec!["Shared3".into()]);
            row.default_instance = default.then(|| "shared3".into());
            row.certificate = CERTIFICATES.get(certificate).map(|row| row.name.clone());
            row
        },
    )
}

fn any_table() -> impl Strategy<Value = Table> {
    let instances: Vec<_> = (1..6).map(|id| proptest::option::of(any_instance(id))).collect();
    let proxies: Vec<_> = (1..4).map(|id| proptest::option::of(any_proxy(id))).collect();
    (instances, proxies, proptest::sample::subsequence(vec![0, 1, 2, 3], 0..=4)).prop_map(
        |(instances, proxies, certificates)| {
            let mut table = table(instances.into_iter().flatten(), proxies.into_iter().flatten());
            let mut names = BTreeSet::new();
            let chosen = certificates.into_iter().map(|n| Arc::clone(&CERTIFICATES[n]));
            table.certificates = chosen.filter(|row| names.insert(row.name.clone())).collect();
            table
        },
    )
}

proptest! {
    #[test]
    fn applying_a_diff_gives_the_target(first in any_table(), mut second in any_table()) {
        // R73 R74
        second.revision = 2;
        let handles = Handles::default();
        let (old, _) = compile(&first, &handles, &Resolved::default(), 5);
        let (new, _) = compile(&second, &handles, &Resolved::default(), 5);
        assert_equal(&apply(&old, &diff(&old, &new)), &new);
        assert_equal(&apply(&new, &diff(&new, &old)), &old);
        let (again, _) = compile(&second, &handles, &Resolved::default(), 5);
        prop_assert!(diff(&new, &again).is_empty());
        // The diff is minimal: nothing is named that did not change.
        let found = diff(&old, &new);
        prop_assert!(found.changed.iter().all(|changed| !changed.old.same(&changed.new)));
        // Listeners, followed by the diff alone, are those of the target.
        let open = |snapshot: &Snapshot| -> BTreeMap<_, _> {
            let all = snapshot.proxies.iter().flat_map(|proxy| &proxy.listeners);
            all.map(|listener| ((listener.id.proxy, listener.id.number), (listener.service, listener.bind))).collect()
        };
        let mut sockets = open(&old);
        found.listeners_removed.iter().for_each(|id| assert!(sockets.remove(&(id.proxy, id.number)).is_some()));
        for listener in &found.listeners_added {
            let key = (listener.id.proxy, listener.id.number);
            prop_assert!(sockets.insert(key, (listener.service, listener.bind)).is_none());
        }
        prop_assert_eq!(sockets, open(&new));
    }
}

#[test]
fn each_kind_of_change_is_told() {
    let handles = Handles::default();
    let compile = |table: &Table| compile(table, &handles, &Resolved::default(), 0).0;
    let rows = || vec![instance(1, "one"), instance(2, "two"), instance(3, "three"), instance(4, "four")];
    let old = compile(&table(rows(), [proxy(1, "front")]));
    let mut changed = rows();
    changed[0].state = State::Off;
    changed[1].backends[0].address = "198.51.100.99".into();
    changed[2].name = "Drei".into();
    changed.remove(3);
    let mut front = proxy(1, "front");
    front.listeners[0].bind.set_port(5999);
    front.listeners[1].advertise = Some("nat.example".into());
    let new = compile(&table(changed, [front]));
    let diff = diff(&old, &new);
    let by_id = |id| diff.changed.iter().find(|changed| changed.new.id == InstanceId(id)).unwrap();
    assert_eq!(by_id(1).state(), Some((State::On, State::Off)));
    assert!(!by_id(1).retargeted() && by_id(2).retargeted() && by_id(3).renamed() && !by_id(3).retargeted());
    assert_eq!(diff.removed[0].id, InstanceId(4));
    let mut names: Vec<_> = diff.names.iter().map(|change| (&*change.name, change.now)).collect();
    names.sort();
    assert_eq!(names, [("drei", Some((InstanceId(3), None))), ("four", None), ("three", None)]);
    let id = |number| ListenerId { proxy: ProxyId(1), number };
    assert_eq!(diff.listeners_removed, [id(1)], "a new advertised address closes nothing");
    assert_eq!(diff.listeners_added.iter().map(|listener| listener.id).collect::<Vec<_>>(), [id(1)]);
}
