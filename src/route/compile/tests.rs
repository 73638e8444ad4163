use super::*;
use crate::ids::{BackendId, InstanceId, ProxyId};
use crate::model::{FormerName, Service, State};
use crate::route::testing::{certificate, compiled, instance, proxy, table};

fn codes(problems: &[Problem]) -> Vec<(&str, &str, Code)> {
    problems.iter().map(|problem| (problem.row.as_str(), problem.field.as_str(), problem.code)).collect()
}

fn fresh(table: &Table) -> (Snapshot, Vec<Problem>) {
    compile(table, &Handles::default(), &Resolved::default(), 100)
}

#[test]
fn a_broken_entry_is_left_out_and_the_rest_loads() {
    // R74
    let mut nameless = instance(2, "a_b");
    nameless.state = State::Off;
    let mut later = instance(3, "later");
    later.schema = model::SCHEMA + 1;
    let mut parts = instance(4, "parts");
    parts.backends.push(model::Backend { id: BackendId(2), address: "nonsense:x".into(), ..parts.backends[0].clone() });
    parts.aliases = vec!["*.bad".into(), "good.example".into()];
    let (twin, no_id) = (instance(5, "ACME"), instance(0, "zero"));
    let mut front = proxy(1, "front");
    front.default_instance = Some("nobody".into());
    front.listeners[2] = model::Listener { number: 3, ..front.listeners[1].clone() };
    let mut bad = proxy(2, "bad");
    bad.fqdn = "not a host".into();
    let mut rows = table([instance(1, "acme"), nameless, later, parts, twin, no_id], [front, bad]);
    let broken = model::Certificate { chain: "x".into(), ..certificate("broken", &["a.example"]) };
    rows.certificates = vec![Arc::new(broken), Arc::new(certificate("own", &["a.example"]))];
    let (snapshot, problems) = fresh(&rows);
    assert_eq!(
        codes(&problems),
        [
            ("certificate/broken", "chain", Code::CertificateInvalid),
            ("instance/zero", "id", Code::IdInvalid),
            ("instance/a_b", "name", Code::NameInvalid),
            ("instance/later", "schema", Code::SchemaUnknown),
            ("instance/parts", "backends[1].address", Code::AddressInvalid),
            ("instance/ACME", "name", Code::NameTaken),
            ("instance/parts", "aliases[0]", Code::NameInvalid),
            ("proxy/front", "default_instance", Code::ReferenceUnknown),
            ("proxy/front", "listeners[2].bind", Code::ListenerConflict),
            ("proxy/bad", "fqdn", Code::NameInvalid),
        ]
    );
    let ids: Vec<_> = snapshot.instances.iter().map(|instance| instance.id.0).collect();
    assert_eq!(ids, [1, 4]);
    assert_eq!(snapshot.by_id(InstanceId(4)).unwrap().backends.len(), 1);
    assert_eq!(snapshot.names.aliases.iter().count(), 1);
    assert_eq!((snapshot.proxies.len(), snapshot.proxies[0].listeners.len()), (1, 2));
    assert_eq!(snapshot.certificates.len(), 1);
    assert!(!is_broken_whole(&rows, &snapshot));
}

#[test]
fn a_whole_without_a_sound_row_is_broken() {
    // R74
    let rows = table([instance(1, "a_b"), instance(2, "c d")], []);
    assert!(is_broken_whole(&rows, &fresh(&rows).0));
    let mut bad = proxy(1, "front");
    bad.fqdn = String::new();
    let rows = table([instance(1, "acme")], [bad]);
    assert!(is_broken_whole(&rows, &fresh(&rows).0));
    let empty = table([], []);
    assert!(!is_broken_whole(&empty, &fresh(&empty).0));
}

#[test]
fn no_name_hides_another() {
    // R3 R13
    let mut one = instance(1, "one");
    one.former_names = vec![
        FormerName { name: "two".into(), until: 200 },
        FormerName { name: "front".into(), until: 200 },
        FormerName { name: "gone".into(), until: 99 },
        FormerName { name: "mine".into(), until: 100 },
    ];
    one.aliases = ["two.pbx.example", "one.pbx.example", "front.pbx.example", "x.example"].map(Into::into).to_vec();
    let mut two = instance(2, "two");
    two.aliases = vec!["X.example".into()];
    let (snapshot, problems) = fresh(&table([one, two, instance(3, "FRONT")], [proxy(1, "front")]));
    assert_eq!(
        codes(&problems),
        [
            ("instance/FRONT", "name", Code::NameTaken),
            ("instance/one", "former_names[0].name", Code::NameTaken),
            ("instance/one", "former_names[1].name", Code::NameTaken),
            ("instance/one", "aliases[0]", Code::NameTaken),
            ("instance/one", "aliases[2]", Code::NameTaken),
            ("instance/two", "aliases[0]", Code::NameTaken),
        ]
    );
    assert_eq!(snapshot.names.labels.get("two").unwrap().id, InstanceId(2));
    assert_eq!(snapshot.names.labels.get("mine").unwrap().until, Some(100));
    assert_eq!(snapshot.names.labels.get("gone"), None);
}

#[test]
fn host_names_become_the_addresses_they_stand_for() {
    let mut row = instance(1, "acme");
    row.backends[0].address = "PBX.internal:5070".into();
    row.web = Some(model::Web { prefix: model::Prefix::Keep, verify: true, ..model::Web::at("https://web.internal") });
    let rows = table([row], []);
    let handles = Handles::default();
    let mut resolved = Resolved::default();
    let (snapshot, problems) = compile(&rows, &handles, &resolved, 0);
    assert_eq!(
        codes(&problems),
        [
            ("instance/acme", "backends[0].address", Code::AddressUnresolved),
            ("instance/acme", "web.url", Code::AddressUnresolved)
        ]
    );
    assert!(snapshot.instances[0].backends.is_empty() && snapshot.instances[0].web.is_none());
    let hosts: Vec<_> = handles.hosts().into_iter().map(String::from).collect();
    assert_eq!(hosts, ["pbx.internal", "web.internal"]);
    resolved.set("pbx.internal", vec!["192.0.2.2".parse().unwrap(), "192.0.2.1".parse().unwrap()]);
    resolved.set("web.internal", vec!["2001:db8::1".parse().unwrap()]);
    let (after, problems) = compile(&rows, &handles, &resolved, 0);
    assert_eq!(problems, []);
    assert_eq!(after.hash, snapshot.hash, "the rows are the same");
    assert_ne!(after.resolution, snapshot.resolution, "what their names stand for is not");
    let addresses: Vec<_> = after.instances[0].backends.iter().map(|b| (b.id.0, b.address.to_string())).collect();
    assert_eq!(addresses, [(1, "192.0.2.1:5070".into()), (1, "192.0.2.2:5070".into())]);
    let web = after.instances[0].web.as_ref().unwrap();
    assert_eq!((web.tls, &*web.host, web.port, web.addresses.len()), (true, "web.internal", 443, 1));
    let (again, _) = compile(&rows, &handles, &resolved, 0);
    assert!(Arc::ptr_eq(&again.instances[0], &after.instances[0]));
}

#[test]
fn what_is_counted_and_known_of_health_outlives_a_reload() {
    // R73
    let handles = Handles::default();
    let compile = |rows: &Table| compile(rows, &handles, &Resolved::default(), 0).0;
    let mut row = instance(1, "acme");
    row.backends.push(model::Backend { id: BackendId(2), address: "192.0.2.1".into(), ..row.backends[0].clone() });
    let before = compile(&table([row.clone(), instance(2, "other")], []));
    let old = &before.instances[0];
    old.stats.calls.inc();
    old.backends.iter().for_each(|backend| _ = backend.health.failure(1));
    row.name = "renamed".into();
    row.state = State::Off;
    row.backends[0].weight = 9;
    row.backends[1].address = "192.0.2.2".into();
    let after = compile(&table([row.clone(), instance(2, "other")], []));
    let new = &after.instances[0];
    assert!(!Arc::ptr_eq(old, new) && Arc::ptr_eq(&old.stats, &new.stats));
    assert!(!new.backends[0].health.is_up(), "same id, address and transport: same health");
    assert!(new.backends[1].health.is_up(), "another address starts up");
    assert!(Arc::ptr_eq(&before.instances[1], &after.instances[1]), "an untouched row is not built again");
    // A deleted instance's handles are gone: whatever comes next under its name has its own.
    compile(&table([instance(2, "other")], []));
    let again = compile(&table([row, instance(2, "other")], []));
    assert_eq!(again.instances[0].stats.calls.read(), 0);
}

#[test]
fn a_certificate_is_parsed_once() {
    let handles = Handles::default();
    let mut rows = table([], [proxy(1, "front")]);
    let row = certificate("own", &["pbx.example"]);
    rows.certificates = vec![Arc::new(row.clone())];
    let first = compile(&rows, &handles, &Resolved::default(), 0).0;
    rows.certificates = vec![Arc::new(row)];
    let second = compile(&rows, &handles, &Resolved::default(), 0).0;
    assert!(Arc::ptr_eq(&first.certificates[0], &second.certificates[0]));
    let (late, problems) = compile(&rows, &handles, &Resolved::default(), u64::MAX / 2);
    assert_eq!(codes(&problems), [("certificate/own", "chain", Code::CertificateExpired)]);
    assert_eq!(late.certificates.len(), 1, "an expired one is still better than none");
}

#[test]
fn equal_tables_have_equal_hashes_and_any_change_another() {
    // R74
    let base = || table([instance(1, "one"), instance(2, "two")], [proxy(1, "front")]);
    let hash = |rows: &Table| fresh(rows).0.hash;
    let mut turned = base();
    turned.instances.reverse();
    turned.revision = 9;
    assert_eq!(hash(&base()), hash(&turned), "neither order nor revision counts");
    let mut seen = vec![hash(&base())];
    let mut change = |change: &dyn Fn(&mut Table)| {
        let mut rows = base();
        change(&mut rows);
        let hash = hash(&rows);
        assert!(!seen.contains(&hash));
        seen.push(hash);
    };
    change(&|rows| rows.instances.truncate(1));
    change(&|rows| Arc::make_mut(&mut rows.instances[0]).display_name = "x".into());
    change(&|rows| Arc::make_mut(&mut rows.instances[1]).state = State::Off);
    change(&|rows| Arc::make_mut(&mut rows.proxies[0]).https_redirect = true);
    change(&|rows| rows.proxies.clear());
    change(&|rows| rows.certificates.push(Arc::new(certificate("own", &["a.example"]))));
}

#[test]
fn a_proxy_is_ready_to_be_used() {
    // R11 R78
    let mut front = proxy(1, "front");
    front.fqdn = "Front.PBX.example.".into();
    front.instances = Some(vec!["TWO".into(), "one".into()]);
    front.default_instance = Some("Two".into());
    front.certificate = Some("OWN".into());
    front.listeners[1].service = Service::Https;
    let mut rows = table([instance(1, "one"), instance(2, "two"), instance(3, "three")], [front]);
    rows.certificates = vec![Arc::new(certificate("own", &["front.pbx.example"]))];
    let (snapshot, problems) = fresh(&rows);
    assert_eq!(problems, []);
    let front = snapshot.proxy_by_id(ProxyId(1)).unwrap();
    assert_eq!(&*front.fqdn, "front.pbx.example");
    assert_eq!(front.instances.as_deref(), Some(&[InstanceId(1), InstanceId(2)][..]));
    assert_eq!(front.default_instance, Some(InstanceId(2)));
    assert!(front.certificate.is_some());
    let id = crate::ids::ListenerId { proxy: ProxyId(1), number: 2 };
    assert_eq!(snapshot.listener(id).unwrap().service, Service::Https);
    assert_eq!(snapshot.listener(crate::ids::ListenerId::INSIDE_V4), None);
}

#[test]
fn limits_of_zero_are_the_nodes() {
    let mut own = instance(2, "own");
    own.limits = model::Limits { transactions: 7, http_requests: 8, http_body_bytes: 9 };
    let handles = Handles::new(model::Limits { transactions: 1, http_requests: 2, http_body_bytes: 3 });
    let (snapshot, _) = compile(&table([instance(1, "none"), own], []), &handles, &Resolved::default(), 0);
    let limits = |n: usize| {
        let limits = snapshot.instances[n].limits;
        (limits.transactions, limits.http_requests, limits.http_body_bytes)
    };
    assert_eq!((limits(0), limits(1)), ((1, 2, 3), (7, 8, 9)));
}

#[test]
fn targets_are_in_order_of_priority() {
    let mut row = instance(1, "acme");
    let at = |id, priority| model::Backend {
        id: BackendId(id),
        address: format!("192.0.2.{id}"),
        priority,
        ..row.backends[0].clone()
    };
    row.backends = vec![at(1, 5), at(2, 0), at(3, 5)];
    let snapshot = compiled(&table([row], []));
    let ids: Vec<_> = snapshot.instances[0].backends.iter().map(|backend| backend.id.0).collect();
    assert_eq!(ids, [2, 1, 3]);
}

#[test]
fn names_are_given_anew_only_when_one_changes() {
    let handles = Handles::default();
    let at = |rows: &Table, now| compile(rows, &handles, &Resolved::default(), now).0;
    let mut one = instance(1, "one");
    one.former_names = vec![FormerName { name: "once".into(), until: 100 }];
    let mut rows = table([one, instance(2, "two")], [proxy(1, "front")]);
    let first = at(&rows, 50);
    Arc::make_mut(&mut rows.instances[1]).state = State::Off;
    let switched = at(&rows, 100);
    let shares =
        |a: &Snapshot, b: &Snapshot| a.names.labels.is(&b.names.labels) && a.names.aliases.is(&b.names.aliases);
    assert!(shares(&first, &switched));
    let expired = at(&rows, 101);
    assert!(!shares(&switched, &expired) && expired.names.labels.get("once").is_none());
    let mut before = expired;
    let mut changed = |change: &dyn Fn(&mut Table)| {
        change(&mut rows);
        let after = at(&rows, 101);
        assert!(!shares(&before, &after));
        before = after;
    };
    changed(&|rows| Arc::make_mut(&mut rows.instances[1]).name = "zwei".into());
    changed(&|rows| Arc::make_mut(&mut rows.instances[1]).aliases = vec!["x.example".into()]);
    changed(&|rows| Arc::make_mut(&mut rows.instances[1]).schema = 9);
    changed(&|rows| Arc::make_mut(&mut rows.proxies[0]).base_domain = "y.example".into());
    changed(&|rows| Arc::make_mut(&mut rows.instances[1]).schema = 1);
    changed(&|rows| rows.instances.truncate(1));
    changed(&|rows| rows.instances.push(Arc::new(instance(3, "three"))));
    changed(&|rows| rows.instances[1] = Arc::new(instance(4, "three")));
    assert!(before.by_id(InstanceId(4)).is_some());
    assert!(before.by_id(InstanceId(3)).is_none());
}
