//! The routes of users, asked through the router.

use super::problem::Code;
use super::testing::{Answer, TOKEN, World};
use super::view::UserList;
use crate::control::plan::UsersTouched;
use crate::control::store::AuditPage;
use crate::model::{Kind, User};
use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};

const USERS: &str = "/instances/acme/users";

/// An instance that may have any number of users.
async fn world() -> World {
    let world = World::new();
    world.with_instance("acme").await;
    let cloud = json!({ "licence": { "mode": "cloud" } });
    assert_eq!(world.call(Method::PATCH, "/instances/acme", &[], Some(cloud)).await.status, 200);
    world
}

async fn put(world: &World, headers: &[(&str, &str)], users: Value) -> Answer {
    world.call(Method::PUT, USERS, headers, Some(json!({ "users": users }))).await
}

async fn csv(world: &World, method: Method, path: &str, text: impl Into<Body>) -> Answer {
    let request = Request::builder().method(method).uri(format!("/api/v1{path}"));
    let request = request.header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
    world.send(request.header(header::CONTENT_TYPE, "text/csv; charset=utf-8").body(text.into()).unwrap()).await
}

async fn export(world: &World, path: &str) -> Answer {
    world.call(Method::GET, path, &[("accept", "text/csv")], None).await
}

fn touched(answer: &Answer) -> (Option<usize>, usize, usize, usize) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let UsersTouched { instance, count, added, removed, changed } = answer.read();
    assert_eq!(instance, "acme");
    (count, added, removed, changed)
}

#[tokio::test]
async fn a_list_is_put_read_changed_and_taken_away() {
    // R49
    let world = world().await;
    let none = world.get(USERS).await;
    assert_eq!((none.status.as_u16(), none.problem().code), (404, Code::NotFound), "open: no list");
    let made = put(
        &world,
        &[],
        json!([{ "name": "ben", "accounts": ["11"], "kind": "light", "class": "fax" },
        { "name": "Ann", "accounts": ["10", "10m"] }]),
    )
    .await;
    assert_eq!(touched(&made), (Some(2), 2, 0, 0));
    let listed = world.get("/instances/ACME/users").await;
    assert_eq!(listed.etag(), made.etag());
    let names: Vec<_> = listed.read::<UserList>().users.into_iter().map(|user| user.name).collect();
    assert_eq!(names, ["Ann", "ben"]);
    let same = world.call(Method::GET, USERS, &[("if-none-match", made.etag())], None).await;
    assert_eq!(same.status, 304);

    let user = json!({ "name": "ANN", "accounts": ["10"] });
    let one = world.call(Method::PUT, "/instances/acme/users/ann", &[("if-match", made.etag())], Some(user)).await;
    assert_eq!(one.read::<User>().name, "ANN", "the spelling given last is kept");
    assert_eq!(put(&world, &[("if-match", made.etag())], json!([])).await.status, 412);
    let shown = world.get("/instances/acme/users/Ben").await;
    assert_eq!((shown.read::<User>().kind, shown.etag()), (Kind::Light, one.etag()));
    assert_eq!(world.get("/instances/acme/users/carl").await.status, 404);

    let other = json!({ "name": "carl", "accounts": ["10"] });
    let refused = world.call(Method::PUT, "/instances/acme/users/carl", &[], Some(other.clone())).await.problem();
    assert_eq!((refused.code, refused.errors[0].field.as_str()), (Code::Invalid, "accounts[0]"));
    let renamed = world.call(Method::PUT, "/instances/acme/users/ben", &[], Some(other)).await.problem();
    assert_eq!(renamed.errors[0].code, "rename-explicit");

    assert_eq!(world.call(Method::DELETE, "/instances/acme/users/ann", &[], None).await.status, 204);
    assert_eq!(world.call(Method::DELETE, "/instances/acme/users/ann", &[], None).await.status, 404);
    let stale = world.call(Method::DELETE, USERS, &[("if-match", made.etag())], None).await;
    assert_eq!(stale.status, 412);
    assert_eq!(world.call(Method::DELETE, USERS, &[], None).await.status, 204);
    assert_eq!(world.get(USERS).await.status, 404);
    let one = json!({ "name": "ann", "accounts": ["10"] });
    let locked_out = world.call(Method::PUT, "/instances/acme/users/ann", &[], Some(one)).await;
    assert_eq!(locked_out.problem().code, Code::NotFound, "one user does not begin a list");
}

#[tokio::test]
async fn the_node_serves_the_list() {
    // R39 R49
    let world = world().await;
    assert!(world.load().await.instances[0].roster.is_none(), "open");
    put(&world, &[], json!([{ "name": "ann", "accounts": ["10", "10m"] }])).await;
    let snapshot = world.load().await;
    let roster = snapshot.instances[0].roster.as_ref().unwrap();
    assert_eq!(roster.of_account(b"10m").map(|who| who.name), Some("ann"));
    let renamed = world.post("/instances/acme/rename", json!({ "to": "apex" })).await;
    assert_eq!(renamed.status, 200);
    assert!(world.load().await.instances[0].roster.is_some(), "a rename keeps it");
    world.call(Method::DELETE, "/instances/apex/users", &[], None).await;
    assert!(world.load().await.instances[0].roster.is_none(), "open again");
}

#[tokio::test]
async fn an_instance_that_is_deleted_takes_its_list_with_it() {
    // R49
    let world = world().await;
    put(&world, &[], json!([{ "name": "ann", "accounts": ["10"] }])).await;
    assert_eq!(world.call(Method::DELETE, "/instances/acme", &[], None).await.status, 204);
    world.with_instance("acme").await;
    assert_eq!(world.get(USERS).await.status, 404);
    let audit: AuditPage = world.get("/audit?object=users/acme").await.read();
    let actions: Vec<_> = audit.entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["delete-users", "create-users"]);
    assert_eq!(audit.entries[0].before, Some(json!({ "count": 1, "users": { "ann": "full phone 10" } })));
}

#[tokio::test]
async fn a_community_instance_takes_three_users() {
    // R16 R26
    let world = World::new();
    world.with_instance("acme").await;
    world.call(Method::PATCH, "/instances/acme", &[], Some(json!({ "licence": { "mode": "community" } }))).await;
    let users = |count: usize| (0..count).map(|n| json!({ "name": format!("u{n}"), "accounts": [n.to_string()] }));
    for (count, status) in [(2, 200), (3, 200), (4, 409)] {
        assert_eq!(put(&world, &[], users(count).collect()).await.status, status, "{count}");
    }
    let cloud = json!({ "licence": { "mode": "cloud" } });
    world.call(Method::PATCH, "/instances/acme", &[], Some(cloud)).await;
    assert_eq!(put(&world, &[], users(4).collect()).await.status, 200);
    let back = json!({ "licence": { "mode": "community" } });
    let refused = world.call(Method::PATCH, "/instances/acme", &[], Some(back.clone())).await;
    assert_eq!((refused.status.as_u16(), refused.problem().errors[0].code.as_str()), (409, "community-users"));
    world.call(Method::DELETE, "/instances/acme/users/u0", &[], None).await;
    assert_eq!(world.call(Method::PATCH, "/instances/acme", &[], Some(back)).await.status, 200);
}

#[tokio::test]
async fn csv_is_imported_whole_or_not_at_all() {
    // R49
    let world = world().await;
    put(&world, &[], json!([{ "name": "ann", "accounts": ["10"] }])).await;
    let text = "\u{feff}name;kind;accounts\r\nben;light;11|11b\r\n\"Müller; J\";;12\r\n";
    let refused = csv(&world, Method::POST, USERS, text).await.problem();
    assert_eq!(refused.errors.len(), 1, "{refused:?}");
    let error = &refused.errors[0];
    assert_eq!((error.line, error.field.as_str(), error.value.as_deref()), (Some(3), "name", Some("Müller; J")));
    assert!(error.reason.contains("';'"), "{}", error.reason);

    let text = "name;accounts\r\nben;11\r\ncarl;10 11\r\nBEN;\r\n";
    let refused = csv(&world, Method::POST, USERS, text).await.problem();
    let told: Vec<_> = refused.errors.iter().map(|it| (it.line, it.field.as_str(), it.value.as_deref())).collect();
    let expected = [
        (Some(3), "accounts", Some("10")),
        (Some(3), "accounts", Some("11")),
        (Some(4), "name", Some("BEN")),
        (Some(4), "accounts", Some("")),
    ];
    assert_eq!(told, expected, "also what clashes with those that are there");
    assert_eq!(world.get(USERS).await.read::<UserList>().users.len(), 1, "nothing was changed");

    let text = "name;kind;accounts\r\nben;half;11\r\ncarl\r\nBEN;;10\r\n";
    let refused = csv(&world, Method::POST, USERS, text).await.problem();
    let told: Vec<_> = refused.errors.iter().map(|it| (it.line, it.field.as_str(), it.code.as_str())).collect();
    let expected = [
        (Some(2), "kind", "unknown-word"),
        (Some(3), "", "shape"),
        (Some(4), "name", "duplicate"),
        (Some(4), "accounts", "duplicate"),
    ];
    assert_eq!(told, expected, "what is no table and what is no user, at once");

    let text = "name;kind;accounts\r\nben;light;11|11b\r\nAnn;;10 10m\r\n";
    let dry = csv(&world, Method::POST, &format!("{USERS}?dry_run=true"), text).await;
    assert_eq!(touched(&dry), (Some(2), 1, 0, 1));
    assert_eq!(world.get(USERS).await.read::<UserList>().users.len(), 1, "nothing was changed");
    assert_eq!(touched(&csv(&world, Method::POST, USERS, text).await), (Some(2), 1, 0, 1));
    assert_eq!(touched(&csv(&world, Method::POST, USERS, text).await), (Some(2), 0, 0, 0), "the same once more");
    assert_eq!(touched(&csv(&world, Method::PUT, USERS, "name,accounts\nben,11\n").await), (Some(1), 0, 1, 1));

    let empty = csv(&world, Method::PUT, USERS, "").await.problem();
    assert_eq!(empty.code, Code::BadBody);
    let request = Request::builder().method(Method::PUT).uri(format!("/api/v1{USERS}"));
    let request = request.header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
    let other = world.send(request.header(header::CONTENT_TYPE, "text/plain").body("x".into()).unwrap()).await;
    assert_eq!(other.status, 415);
}

#[tokio::test]
async fn ten_thousand_users_go_in_one_request_and_come_back() {
    // R49
    let world = world().await;
    let text = |count: usize| {
        let lines = (0..count).map(|n| format!("user {n},{},phone,{n} {n}m {n}.SFiphone\n", ["full", "light"][n % 2]));
        format!("name,kind,class,accounts\n{}", lines.collect::<String>())
    };
    assert_eq!(touched(&csv(&world, Method::PUT, USERS, text(10_000)).await), (Some(10_000), 10_000, 0, 0));
    let refused = csv(&world, Method::PUT, USERS, text(10_001)).await.problem();
    assert_eq!((refused.code, refused.errors[0].code.as_str()), (Code::Invalid, "too-many"));

    let exported = export(&world, USERS).await;
    assert_eq!(exported.header(header::CONTENT_TYPE), "text/csv; charset=utf-8");
    let text = exported.body.as_str().unwrap().to_owned();
    assert_eq!(text.lines().count(), 10_001);
    assert_eq!(touched(&csv(&world, Method::PUT, USERS, text).await), (Some(10_000), 0, 0, 0));
    let excel = export(&world, &format!("{USERS}?excel=true")).await.body.as_str().unwrap().to_owned();
    assert_eq!(touched(&csv(&world, Method::PUT, USERS, excel).await), (Some(10_000), 0, 0, 0));

    let json = world.get(USERS).await.body;
    let again = world.call(Method::PUT, USERS, &[], Some(json)).await;
    assert_eq!(touched(&again), (Some(10_000), 0, 0, 0));
    let audit = world.get("/audit?object=users/acme").await.read::<AuditPage>();
    assert_eq!(audit.entries.len(), 1, "what changes nothing is no change");
    let size = serde_json::to_string(&audit.entries[0]).unwrap().len();
    assert!(size < 700_000, "the audit's entry has {size} bytes");
}
