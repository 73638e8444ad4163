//! `/events` and `/usage/months`.

use super::testing::World;
use super::view::MonthList;
use crate::ids::InstanceId;
use crate::model::Kind;
use crate::usage::{Counted, Event, EventPage, Mark, Month, Notes};
use axum::http::{Method, header};

fn warning(instance: &str, percent: u8) -> (u64, Event) {
    let (instance_id, kind) = (InstanceId(1), Counted::Full);
    (7, Event::SeatsWarning { instance: instance.into(), instance_id, kind, percent, used: 9, licensed: 10 })
}

fn mark(month: &str, instance: u32, name: &str, used: u64) -> Mark {
    let month: Month = month.parse().unwrap();
    Mark { month, name: name.into(), instance: InstanceId(instance), kind: Kind::Full, used, licensed: 10, at: 7 }
}

fn world() -> World {
    let world = World::new();
    let marks = vec![mark("2026-10", 1, "old", 2), mark("2026-11", 1, "acme", 4), mark("2026-11", 9, "gone", 1)];
    let over = (7, Event::OverAllocated { kind: Kind::Light, by: 2 });
    let events = vec![warning("acme", 80), over, warning("beta", 90)];
    world.journal.note(&Notes { marks, events, ..Notes::default() }).unwrap();
    world
}

#[tokio::test]
async fn events_are_filtered_and_read_part_by_part() {
    // R72
    let world = world();
    let ids = async |query: &str| {
        let page: EventPage = world.get(&format!("/events{query}")).await.read();
        (page.items.iter().map(|it| it.id).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(ids("").await, (vec![3, 2, 1], None));
    assert_eq!(ids("?limit=2").await, (vec![3, 2], Some(2)));
    assert_eq!(ids("?limit=2&before=2").await, (vec![1], None));
    assert_eq!(ids("?topic=over-allocated").await, (vec![2], None));
    assert_eq!(ids("?instance=ACME").await, (vec![1], None));
    let first = &world.get("/events?instance=acme").await.body["items"][0];
    assert_eq!((&first["topic"], &first["percent"], &first["at"]), (&"seats-warning".into(), &80.into(), &7.into()));
    for wrong in ["?limit=0", "?limit=1001", "?topic=weather", "?colour=blue"] {
        assert_eq!(world.get(&format!("/events{wrong}")).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn months_are_shown_as_json_and_csv() {
    // R72
    let world = world();
    world.with_instance("acme").await;
    world.load().await;
    let names = async |query: &str| {
        let list: MonthList = world.get(&format!("/usage/months{query}")).await.read();
        list.items.iter().map(|it| format!("{} {} {}", it.month, it.name, it.used)).collect::<Vec<_>>()
    };
    assert_eq!(names("").await, ["2026-10 old 2", "2026-11 acme 4", "2026-11 gone 1"]);
    assert_eq!(names("?from=2026-11").await, ["2026-11 acme 4", "2026-11 gone 1"]);
    assert_eq!(names("?to=2026-10").await, ["2026-10 old 2"]);
    assert_eq!(names("?instance=Acme").await, ["2026-10 old 2", "2026-11 acme 4"], "by its id, whatever its name was");
    assert_eq!(names("?instance=gone").await, ["2026-11 gone 1"], "deleted since");
    assert_eq!(world.get("/usage/months?from=november").await.status, 400);

    let answer = world.call(Method::GET, "/usage/months?instance=gone", &[("accept", "text/csv")], None).await;
    assert_eq!(answer.header(header::CONTENT_TYPE), "text/csv; charset=utf-8");
    let expected =
        "month,instance,instance_id,kind,used,licensed,at\r\n2026-11,gone,9,full,1,10,1970-01-01T00:00:07Z\r\n";
    assert_eq!(answer.body, expected);
}
