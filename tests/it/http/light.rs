//! Light users at the web (R46): kept out by what their requests say, with a page that says why.

use super::peer::{Message, Peer, Upstream};
use super::world::{World, instance};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use nantucket::ids::InstanceId;
use nantucket::model::{self, DeviceClass, Kind, Language, SCHEMA, SignIn, User, Users};
use nantucket::stats::HttpRefusal;
use std::sync::Arc;

/// `fax:secret`, `ann:secret`
const FAX: &str = "Basic ZmF4OnNlY3JldA==";
const ANN: &str = "Basic YW5uOnNlY3JldA==";

/// `acme` with the light user `fax` and the full user `ann`, and `open` without a list, both at `upstream`.
fn world(upstream: &Upstream, change: impl FnOnce(&mut model::Instance)) -> World {
    let mut acme = instance(1, "acme", upstream.address);
    let sign_in = SignIn { paths: vec!["/login".into()], ..SignIn::default() };
    acme.web.as_mut().unwrap().sign_in = sign_in;
    change(&mut acme);
    let mut world = World::new([acme, instance(2, "open", upstream.address)]);
    let user = |name: &str, kind, account: &str| User {
        name: name.into(),
        kind,
        accounts: vec![account.into()],
        class: DeviceClass::Phone,
    };
    world.change(|table| {
        let users = vec![user("ann", Kind::Full, "10"), user("fax", Kind::Light, "90")];
        table.users = vec![Arc::new(Users { schema: SCHEMA, instance: InstanceId(1), users })];
    });
    world
}

async fn ask(world: &World, request: impl AsRef<[u8]>) -> Message {
    let mut client = Peer::connect(world.plain).await;
    client.send(request).await;
    client.answer_to("GET").await
}

fn get(host: &str, rows: &str) -> String {
    format!("GET /page HTTP/1.1\r\nHost: {host}\r\n{rows}\r\n")
}

fn post(path: &str, rows: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: acme.pbx.example\r\nContent-Length: {}\r\n{rows}\r\n{body}", body.len())
}

#[tokio::test]
async fn authorisation_of_a_light_user_is_refused_with_a_page_that_says_why() {
    // R46
    let upstream = Upstream::echo().await;
    let world = world(&upstream, |row| row.language = Language::De);
    let refused = ask(&world, get("acme.pbx.example", &format!("Authorization: {FAX}\r\n"))).await;
    assert_eq!((refused.status(), refused.get("content-language")), (403, Some("de")));
    assert!(refused.text().contains("Light-Lizenz") && refused.text().contains("light-user"), "{}", refused.text());
    let rows = format!("Authorization: {FAX}\r\nAccept-Language: en-GB, de;q=0.5\r\n");
    let refused = ask(&world, get("acme.pbx.example", &rows)).await;
    assert!(refused.text().contains("light licence") && !refused.text().contains("Light-Lizenz"));
    let rows = format!("Authorization: {FAX}\r\nAccept: application/json\r\n");
    let refused = ask(&world, get("acme.pbx.example", &rows)).await;
    assert_eq!(refused.get("content-type"), Some("application/problem+json"));
    let problem: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!((&problem["code"], &problem["status"]), (&"light-user".into(), &403.into()));
    assert_eq!((world.refused(HttpRefusal::LightUser), upstream.connections()), (3, 0), "the instance saw nothing");

    let by_path = format!("GET /acme/page HTTP/1.1\r\nHost: front.pbx.example\r\nAuthorization: {FAX}\r\n\r\n");
    assert_eq!(ask(&world, by_path).await.status(), 403);
    for rows in [String::new(), format!("Authorization: {ANN}\r\n"), "Authorization: Bearer opaque\r\n".into()] {
        assert_eq!(ask(&world, get("acme.pbx.example", &rows)).await.status(), 200, "{rows}");
    }
    let elsewhere = ask(&world, get("open.pbx.example", &format!("Authorization: {FAX}\r\n"))).await;
    assert_eq!(elsewhere.status(), 200, "R10: a name in one instance is nobody in another");
}

#[tokio::test]
async fn a_sign_in_is_looked_at_and_goes_on_unchanged() {
    // R46
    let upstream = Upstream::echo().await;
    let world = world(&upstream, |_| {});
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let json = "Content-Type: application/json\r\n";
    for (rows, body) in [
        (form, "username=fax&password=x"),
        (form, "password=x&username=F%41X%40acme"),
        (json, "{\"username\":\"90\",\"password\":\"x\"}"),
    ] {
        assert_eq!(ask(&world, post("/login", rows, body)).await.status(), 403, "{body}");
        assert_eq!(ask(&world, post("/other", rows, body)).await.status(), 200, "no sign-in: {body}");
    }
    assert_eq!(world.refused(HttpRefusal::LightUser), 3);
    let body = "username=ann&password=secret%00%ff";
    let passed = ask(&world, post("/login", form, body)).await;
    assert!(
        passed.text().ends_with(&format!("content-length: {}\r\n\r\n{body}", body.len()))
            || passed.text().ends_with(body)
    );
    let seen = passed.seen();
    assert_eq!((seen.start.as_str(), seen.get("content-length")), ("POST /login HTTP/1.1", Some("34")));

    let chunked = "POST /login HTTP/1.1\r\nHost: acme.pbx.example\r\nTransfer-Encoding: chunked\r\n\r\n\
                   9\r\nusername=\r\n3\r\nfax\r\n0\r\n\r\n";
    assert_eq!(ask(&world, chunked).await.status(), 403);
    let passed = ask(&world, chunked.replace("fax", "ann")).await;
    assert_eq!(passed.status(), 200);
    assert!(passed.text().contains("username=ann"), "{}", passed.text());

    let expecting = post("/login", "Expect: 100-continue\r\n", "username=ann");
    let (head, body) = expecting.split_once("\r\n\r\n").unwrap();
    let mut client = Peer::connect(world.plain).await;
    client.send(format!("{head}\r\n\r\n")).await;
    assert_eq!(client.head().await.unwrap().status(), 100);
    client.send(body).await;
    let answer = client.answer_to("POST").await;
    assert!(answer.text().ends_with("username=ann"), "{}", answer.text());
}

#[tokio::test]
async fn the_bound_of_what_is_looked_at() {
    // R46
    let upstream = Upstream::echo().await;
    let world = world(&upstream, |_| {});
    let body = |length: usize| {
        let rest = "&username=fax";
        format!("{}{rest}", "x".repeat(length - rest.len()))
    };
    for (length, status) in [(16 * 1024 - 1, 403), (16 * 1024, 403), (16 * 1024 + 1, 200)] {
        let answer = ask(&world, post("/login", "", &body(length))).await;
        assert_eq!(answer.status(), status, "{length}");
        if status == 200 {
            assert!(answer.text().ends_with(&body(length)), "whole and unchanged");
        }
    }
    let chunked = |length: usize| {
        let body = body(length);
        format!(
            "POST /login HTTP/1.1\r\nHost: acme.pbx.example\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        )
    };
    assert_eq!(ask(&world, chunked(16 * 1024)).await.status(), 403);
    let passed = ask(&world, chunked(40_000)).await;
    assert!(passed.status() == 200 && passed.text().contains(&body(40_000)), "whole and unchanged");
}

#[tokio::test]
async fn http2_and_websockets_are_no_way_round() {
    // R46
    let upstream = Upstream::echo().await;
    let world = world(&upstream, |_| {});
    let tls = world.tls("acme.pbx.example", &[b"h2"]).await;
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
    tokio::spawn(connection);
    for (path, authorization, body, status) in [
        ("/page", FAX, "", 403),
        ("/page", ANN, "", 200),
        ("/login", "", "username=fax", 403),
        ("/login", "", "username=ann", 200),
    ] {
        let mut request = Request::post(format!("https://acme.pbx.example{path}"));
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        let request = request.body(Full::<Bytes>::from(body)).unwrap();
        let answer = client.send_request(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path} {authorization} {body}");
        let seen = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(status == 403 || seen.ends_with(body.as_bytes()));
    }
    let websocket = |authorization: &str| {
        format!(
            "GET /ws HTTP/1.1\r\nHost: acme.pbx.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Authorization: {authorization}\r\n\r\n"
        )
    };
    assert_eq!(ask(&world, websocket(FAX)).await.status(), 403);
    assert_eq!(ask(&world, websocket(ANN)).await.status(), 200, "the echo knows no WebSocket, but was asked");
}

#[tokio::test]
async fn in_shadow_it_is_counted_and_passes() {
    // R46
    let upstream = Upstream::echo().await;
    let world = world(&upstream, |row| row.licence.shadow = true);
    let rows = format!("Authorization: {FAX}\r\n");
    assert_eq!(ask(&world, get("acme.pbx.example", &rows)).await.status(), 200);
    assert_eq!(ask(&world, post("/login", &rows, "username=fax")).await.status(), 200);
    assert_eq!(ask(&world, post("/login", "", "username=fax")).await.status(), 200);
    assert_eq!((world.instance_stats(1).shadow_refused.read(), world.refused(HttpRefusal::LightUser)), (3, 0));
}

#[tokio::test]
async fn a_change_of_the_list_counts_for_the_next_request() {
    // R46 R73
    let upstream = Upstream::echo().await;
    let mut world = world(&upstream, |_| {});
    let rows = format!("Authorization: {FAX}\r\n");
    let mut client = Peer::connect(world.plain).await;
    client.send(get("acme.pbx.example", &rows)).await;
    assert_eq!(client.answer_to("GET").await.status(), 403);
    world.change(|table| Arc::make_mut(&mut table.users[0]).users[1].kind = Kind::Full);
    client.send(get("acme.pbx.example", &rows)).await;
    assert_eq!(client.answer_to("GET").await.status(), 200, "over the same connection");
}

#[tokio::test]
async fn a_sign_in_that_comes_too_slowly_goes_on_as_it_comes() {
    // R46
    let upstream = Upstream::echo().await;
    let world = world(&upstream, |_| {});
    let mut client = Peer::connect(world.plain).await;
    client
        .send("POST /login HTTP/1.1\r\nHost: acme.pbx.example\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nusername=\r\n")
        .await;
    // It is not waited for for ever.
    upstream.connected().await;
    client.send("3\r\nfax\r\n0\r\n\r\n").await;
    let answer = client.answer_to("POST").await;
    assert!(answer.status() == 200 && answer.text().contains("username=") && answer.text().contains("fax"));
}
