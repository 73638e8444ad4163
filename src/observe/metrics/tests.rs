//! The page as a whole: its names are what dashboards rely on.

use super::super::facts::Listening;
use super::*;
use crate::licence::Standing;
use crate::model::Kind;
use crate::reason::Refusal;
use crate::route::testing::{compiled, instance, proxy, table};

fn metrics(instances: usize, bound: usize) -> Metrics {
    let rows = (1..=instances).map(|id| instance(u32::try_from(id).unwrap(), &format!("i{id}")));
    let mut snapshot = compiled(&table(rows, [proxy(1, "front")]));
    if !snapshot.instances.is_empty() {
        snapshot.instances.edit(0, |first| first.allowance.standing = Standing::Until(700));
    }
    let listener = Listening {
        owner: "front".into(),
        service: "sip-udp".into(),
        address: "192.0.2.1:5060".parse().unwrap(),
        up: true,
    };
    let facts = move || Facts { phase: "serving", ready: true, listeners: vec![listener.clone()], ..Facts::default() };
    Metrics::new(Sources {
        cell: Arc::new(Cell::new(snapshot)),
        node: Arc::default(),
        guard: Arc::default(),
        net: Arc::default(),
        http: Arc::default(),
        api: Arc::default(),
        probes: Arc::default(),
        usage: Arc::default(),
        licence_clock: Arc::new(HighWater::new(100)),
        facts: Box::new(facts),
        instances: bound,
    })
}

/// The page with all values taken out.
fn names(text: &str) -> String {
    let lines = text.lines().map(|line| if line.starts_with('#') { line } else { line.rsplit_once(' ').unwrap().0 });
    lines.map(|line| format!("{line}\n")).collect()
}

/// Written anew with `NANTUCKET_GOLDEN=write`.
#[test]
fn names_and_labels_are_the_known_ones() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/metrics.txt");
    let now = names(&metrics(1, 10).text()).replace(env!("CARGO_PKG_VERSION"), "VERSION");
    if std::env::var("NANTUCKET_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(&path, &now).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), now, "NANTUCKET_GOLDEN=write writes it anew");
}

#[test]
fn the_series_of_an_instance_go_with_it() {
    let metrics = metrics(2, 10);
    let cell = &metrics.sources.cell;
    cell.load().instances[1].stats.requests.add(7);
    assert!(metrics.text().contains("nantucket_instance_sip_requests_total{instance=\"i2\"} 7\n"));
    let mut rows = table([instance(1, "i1")], []);
    rows.revision = 2;
    cell.store(Arc::new(compiled(&rows)));
    let text = metrics.text();
    assert!(!text.contains("\"i2\"") && text.contains("\"i1\""));
}

#[test]
fn too_many_instances_are_one_sum() {
    let metrics = metrics(11, 10);
    for instance in &metrics.sources.cell.load().instances {
        instance.stats.bindings.set(2);
    }
    let text = metrics.text();
    assert!(text.contains("nantucket_instance_bindings{instance=\"*\"} 22\n"));
    assert!(text.contains("nantucket_instance_series_summed 1\n"));
    assert!(!text.contains("\"i1\""));
}

#[test]
fn seats_and_refusals_of_instances_are_apart() {
    // R72 R69 R12 R10
    let metrics = metrics(2, 10);
    let snapshot = metrics.sources.cell.load();
    snapshot.instances[0].stats.set_seats(Kind::Light, 3);
    snapshot.instances[1].stats.set_seats(Kind::Full, 5);
    snapshot.instances[1].stats.refuse(Refusal::SeatsExhausted);
    snapshot.instances[0].stats.shadow(Refusal::SeatsExhausted);
    let text = metrics.text();
    for line in [
        "instance_seats_used{instance=\"i1\",kind=\"light\"} 3",
        "instance_seats_used{instance=\"i1\",kind=\"full\"} 0",
        "instance_seats_used{instance=\"i2\",kind=\"full\"} 5",
        "instance_seats_limit{instance=\"i2\",kind=\"full\"} 1000",
        "instance_licence_refused_total{instance=\"i2\",reason=\"seats-exhausted\"} 1",
        "instance_licence_refused_total{instance=\"i1\",reason=\"seats-exhausted\"} 0",
        "instance_licence_shadowed_total{instance=\"i1\",reason=\"seats-exhausted\"} 1",
        "instance_shadow_refused_total{instance=\"i1\"} 1",
        "instance_licence_ends_seconds{instance=\"i1\"} 600",
        "instance_licence_valid{instance=\"i1\"} 1",
        "licence_clock_ahead_seconds 100",
    ] {
        assert!(text.contains(&format!("nantucket_{line}\n")), "{line}\n{text}");
    }
    assert!(!text.contains("instance_licence_ends_seconds{instance=\"i2\"}"));
}
