//! The API, asked through its router.

use super::problem::Code;
use super::signin::FAILURES;
use super::testing::{Answer, TOKEN, World};
use super::view::{Explanation, InstanceHealth, Page, Renamed, Rule, Status};
use crate::control::plan::Plan;
use crate::control::service::TableInfo;
use crate::control::store::AuditPage;
use crate::model::{Instance, Proxy, State};
use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};

fn front() -> Value {
    json!({
        "name": "front", "fqdn": "front.pbx.example", "base_domain": "pbx.example",
        "listeners": [{ "service": "sip-udp", "bind": "192.0.2.1:5060" }],
    })
}

async fn patch(world: &World, path: &str, if_match: Option<&str>, patch: Value) -> Answer {
    let headers: Vec<_> = if_match.map(|tag| ("if-match", tag)).into_iter().collect();
    world.call(Method::PATCH, path, &headers, Some(patch)).await
}

// R1
#[tokio::test]
async fn an_instance_is_created_read_changed_and_removed() {
    let world = World::new();
    let made = world.with_instance("Acme").await;
    assert_eq!(made.header(header::LOCATION), "/api/v1/instances/Acme");
    let row: Instance = made.read();
    assert!(row.id.0 > 0 && row.backends[0].id.0 > 0);

    let shown = world.get("/instances/ACME").await;
    assert_eq!((shown.status.as_u16(), shown.etag()), (200, made.etag()));
    assert_eq!(shown.read::<Instance>(), row);

    let mut wanted = row.clone();
    wanted.display_name = "Acme Ltd".into();
    let body = serde_json::to_value(&wanted).unwrap();
    let replaced = world.call(Method::PUT, "/instances/acme", &[("if-match", made.etag())], Some(body.clone())).await;
    assert_eq!((replaced.status.as_u16(), replaced.read::<Instance>()), (200, wanted));
    assert_ne!(replaced.etag(), made.etag());

    let stale = world.call(Method::PUT, "/instances/acme", &[("if-match", made.etag())], Some(body)).await;
    assert_eq!(stale.problem().code, Code::Stale);
    assert_eq!(stale.status, 412);

    let stale = world.call(Method::DELETE, "/instances/acme", &[("if-match", made.etag())], None).await;
    assert_eq!(stale.status, 412);
    let removed = world.call(Method::DELETE, "/instances/acme", &[("if-match", replaced.etag())], None).await;
    assert_eq!((removed.status.as_u16(), removed.body), (204, Value::Null));
    assert_eq!(world.get("/instances/acme").await.problem().code, Code::NotFound);
}

// R2
#[tokio::test]
async fn a_bad_name_is_refused_and_the_character_is_named() {
    let world = World::new();
    for (name, bad) in
        [("a_b", "_"), ("a.b", "."), ("a b", "blank"), ("a/b", "/"), ("a@b", "@"), ("é", "é"), ("a%20", "%")]
    {
        let answer = world.post("/instances", json!({ "name": name })).await;
        let problem = answer.problem();
        assert_eq!((problem.code, problem.errors[0].field.as_str()), (Code::Invalid, "name"), "{name}");
        assert!(problem.errors[0].reason.contains(bad), "{name}: {}", problem.errors[0].reason);
    }
    assert_eq!(world.post("/instances", json!({ "name": "a".repeat(63) })).await.status, 201);
    assert_eq!(world.post("/instances", json!({ "name": "b".repeat(64) })).await.status, 422);
}

// R3
#[tokio::test]
async fn the_same_name_in_other_case_is_taken() {
    let world = World::new();
    world.with_instance("Acme").await;
    let answer = world.post("/instances", json!({ "name": "aCME" })).await;
    let problem = answer.problem();
    assert_eq!((answer.status.as_u16(), problem.code), (409, Code::Conflict));
    assert_eq!(problem.errors[0].code, "name-taken");
    assert_eq!(world.get("/instances/acme").await.read::<Instance>().name, "Acme");
}

// R13
#[tokio::test]
async fn instances_and_proxies_share_one_name_space() {
    let world = World::new();
    for reserved in ["controller", "pg", "www", "api", "Admin"] {
        let answer = world.post("/instances", json!({ "name": reserved })).await;
        assert_eq!((answer.status.as_u16(), answer.problem().errors[0].code.as_str()), (409, "name-reserved"));
    }
    assert_eq!(world.post("/proxies", front()).await.status, 201);
    assert_eq!(world.post("/instances", json!({ "name": "FRONT" })).await.status, 409);
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once() {
    let world = World::new();
    let row = json!({
        "name": "ok", "aliases": ["no host!"], "web": { "url": "ftp://x" },
        "backends": [{ "address": "10.0.0.5:99999" }],
    });
    let problem = world.post("/instances", row).await.problem();
    let mut fields: Vec<_> = problem.errors.iter().map(|error| error.field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["aliases[0]", "backends[0].address", "web.url"]);
}

#[tokio::test]
async fn a_merge_patch_changes_what_it_names_and_nothing_else() {
    let world = World::new();
    let made = world.with_instance("acme").await;
    let answer = patch(&world, "/instances/acme", Some(made.etag()), json!({ "limits": { "transactions": 7 } })).await;
    let row: Instance = answer.read();
    assert_eq!((row.limits.transactions, row.backends.len(), row.state), (7, 1, State::On));
    assert_eq!(patch(&world, "/instances/acme", Some(made.etag()), json!({})).await.status, 412);

    let problem = patch(&world, "/instances/acme", None, json!({ "colour": "red" })).await.problem();
    assert_eq!(problem.code, Code::BadBody);
    assert!(problem.detail.contains("colour"), "{}", problem.detail);
    let problem = patch(&world, "/instances/acme", None, json!({ "limits": { "transactions": "x" } })).await.problem();
    assert_eq!(problem.errors[0].field, "limits.transactions");
    assert_eq!(patch(&world, "/instances/acme", None, json!([1])).await.problem().code, Code::BadBody);
    assert_eq!(patch(&world, "/instances/other", None, json!({})).await.problem().code, Code::NotFound);
}

#[tokio::test]
async fn patches_at_once_are_all_kept() {
    let world = World::new();
    world.with_instance("acme").await;
    let changes = [
        json!({ "display_name": "A" }),
        json!({ "limits": { "transactions": 1 } }),
        json!({ "limits": { "http_requests": 2 } }),
    ];
    let answers = changes.map(|change| patch(&world, "/instances/acme", None, change));
    let [a, b, c] = answers;
    let (a, b, c) = tokio::join!(a, b, c);
    assert_eq!([a.status, b.status, c.status].map(|status| status.as_u16()), [200; 3]);
    let row: Instance = world.get("/instances/acme").await.read();
    assert_eq!((row.display_name.as_str(), row.limits.transactions, row.limits.http_requests), ("A", 1, 2));
}

// R34
#[tokio::test]
async fn an_instance_is_switched_on_and_off() {
    let world = World::new();
    world.post("/instances", json!({ "name": "acme" })).await;
    let state = async |verb: &str| {
        let answer = world.call(Method::POST, &format!("/instances/acme/{verb}"), &[], None).await;
        answer.read::<Instance>().state
    };
    assert_eq!((state("start").await, state("stop").await), (State::On, State::Off));
    assert_eq!(world.call(Method::POST, "/instances/nobody/start", &[], None).await.status, 404);
}

// R7
#[tokio::test]
async fn a_rename_shows_whom_it_concerns_and_keeps_the_old_name() {
    let world = World::new();
    world.with_instance("acme").await;
    let ask = json!({ "to": "Newname", "keep_days": 2, "dry_run": true });
    let shown: Renamed = world.post("/instances/acme/rename", ask).await.read();
    assert_eq!((shown.done, shown.preview.accounts), (false, vec!["6001".to_owned()]));
    assert_eq!(world.get("/instances/acme").await.read::<Instance>().name, "acme");

    let before = world.api.clock.now().unix;
    let done: Renamed = world.post("/instances/acme/rename", json!({ "to": "Newname" })).await.read();
    assert!(done.done && done.preview.keep_until >= before + 30 * 86_400);
    let row: Instance = world.get("/instances/newname").await.read();
    assert_eq!((row.name.as_str(), row.former_names[0].name.as_str()), ("Newname", "acme"));
    assert_eq!(row.former_names[0].until, done.preview.keep_until);

    let problem = patch(&world, "/instances/newname", None, json!({ "name": "third" })).await.problem();
    assert_eq!(problem.errors[0].code, "rename-explicit");
}

#[tokio::test]
async fn lists_come_in_parts_and_can_be_filtered() {
    let world = World::new();
    for name in ["c", "a", "B"] {
        world.with_instance(name).await;
    }
    world.post("/instances", json!({ "name": "off" })).await;
    let names = |page: &Page<Instance>| page.items.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
    let first: Page<Instance> = world.get("/instances?limit=3").await.read();
    assert_eq!((names(&first), first.total), (vec!["a".to_owned(), "B".into(), "c".into()], 4));
    let rest: Page<Instance> = world.get(&format!("/instances?limit=3&after={}", first.next.unwrap())).await.read();
    assert_eq!((names(&rest), rest.next), (vec!["off".to_owned()], None));
    let off: Page<Instance> = world.get("/instances?state=off").await.read();
    assert_eq!(names(&off), ["off"]);
    for bad in ["limit=0", "limit=1001", "limit=x", "state=asleep", "colour=red"] {
        assert_eq!(world.get(&format!("/instances?{bad}")).await.problem().code, Code::BadParameter, "{bad}");
    }
}

#[tokio::test]
async fn a_reader_that_has_the_row_already_gets_no_body() {
    let world = World::new();
    let made = world.with_instance("acme").await;
    let again = world.call(Method::GET, "/instances/acme", &[("if-none-match", made.etag())], None).await;
    assert_eq!((again.status.as_u16(), again.etag(), &again.body), (304, made.etag(), &Value::Null));
    let other = world.call(Method::GET, "/instances/acme", &[("if-none-match", "\"0\"")], None).await;
    assert_eq!(other.status, 200);
}

// R11, R78
#[tokio::test]
async fn a_proxy_is_created_read_changed_and_removed() {
    let world = World::new();
    let made = world.post("/proxies", front()).await;
    assert_eq!((made.status.as_u16(), made.header(header::LOCATION)), (201, "/api/v1/proxies/front"));
    let row: Proxy = made.read();
    assert!(row.id.0 > 0 && row.listeners[0].number > 0);

    let answer = patch(&world, "/proxies/front", None, json!({ "instances": ["nobody"] })).await;
    assert_eq!((answer.status.as_u16(), answer.problem().errors[0].code.as_str()), (422, "reference-unknown"));
    world.with_instance("acme").await;
    let answer = patch(&world, "/proxies/front", Some(made.etag()), json!({ "instances": ["acme"] })).await;
    assert_eq!(answer.read::<Proxy>().instances, Some(vec!["acme".to_owned()]));

    let page: Page<Proxy> = world.get("/proxies?name=FR").await.read();
    assert_eq!((page.total, page.items[0].id), (1, row.id));
    assert_eq!(world.call(Method::DELETE, "/proxies/front", &[], None).await.status, 204);
    assert_eq!(world.get("/proxies/front").await.status, 404);
}

// R82
#[tokio::test]
async fn a_private_key_goes_in_and_never_out() {
    let world = World::new();
    let made =
        rcgen::generate_simple_self_signed(vec!["front.pbx.example".to_owned(), "192.0.2.1".to_owned()]).unwrap();
    let row = json!({ "name": "own", "chain": made.cert.pem(), "key": made.signing_key.serialize_pem() });
    let created = world.post("/certificates", row.clone()).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.body["names"], json!(["front.pbx.example", "192.0.2.1"]));
    assert!(created.body["not_after"].as_u64() > created.body["not_before"].as_u64());
    assert_eq!(world.post("/certificates", row.clone()).await.problem().code, Code::Conflict);
    assert_eq!(world.call(Method::PUT, "/certificates/own", &[], Some(row.clone())).await.status, 200);
    assert_eq!(world.call(Method::PUT, "/certificates/other", &[], Some(row)).await.status, 422);

    for path in ["/certificates", "/certificates/own", "/audit"] {
        let text = world.get(path).await.body.to_string();
        assert!(text.contains("own") && !text.contains("PRIVATE"), "{path}");
    }
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let wrong = json!({ "name": "wrong", "chain": made.cert.pem(), "key": other });
    let answer = world.post("/certificates", wrong).await;
    assert_eq!(answer.problem().errors[0].code, "key-mismatch");
    assert!(!answer.body.to_string().contains("PRIVATE"));
    assert_eq!(world.call(Method::DELETE, "/certificates/own", &[], None).await.status, 204);
}

// R74
#[tokio::test]
async fn a_plan_says_what_would_change_and_changes_nothing() {
    let world = World::new();
    world.with_instance("acme").await;
    world.with_instance("gone").await;
    let wanted = json!({
        "complete": true,
        "instances": [
            { "name": "ACME", "state": "on", "backends": [{ "address": "10.0.0.6:5060" }] },
            { "name": "new" },
        ],
    });
    let before: TableInfo = world.get("/table").await.read();
    let plan: Plan = world.post("/plan", wanted.clone()).await.read();
    let names =
        |touched: &[crate::control::plan::Touched]| touched.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
    assert_eq!((names(&plan.added), names(&plan.removed)), (vec!["new".to_owned()], vec!["gone".to_owned()]));
    assert_eq!((plan.retargeted.len(), plan.retargeted[0].calls, plan.retargeted[0].bindings), (1, 3, 1));
    assert!(plan.problems.is_empty(), "{:?}", plan.problems);
    assert_eq!(world.get("/table").await.read::<TableInfo>().revision, before.revision);

    let applied = world.post("/apply", wanted).await;
    assert_eq!(applied.status, 200, "{applied:?}");
    let page: Page<Instance> = world.get("/instances").await.read();
    assert_eq!(page.items.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["ACME", "new"]);
    assert_eq!(page.items[0].backends[0].address, "10.0.0.6:5060");
}

// R74
#[tokio::test]
async fn what_is_applied_is_all_or_nothing() {
    let world = World::new();
    let wanted = json!({ "instances": [{ "name": "good" }, { "name": "b_d" }] });
    let plan: Plan = world.post("/plan", wanted.clone()).await.read();
    assert_eq!(plan.problems.len(), 1);
    let problem = world.post("/apply", wanted).await.problem();
    assert_eq!((problem.code, problem.errors[0].row.as_str()), (Code::Invalid, "instance/b_d"));
    assert_eq!(world.get("/instances").await.read::<Page<Instance>>().total, 0);
}

// R77
#[tokio::test]
async fn the_audit_tells_who_changed_what() {
    let world = World::new();
    world.with_instance("acme").await;
    world.call(Method::POST, "/instances/acme/stop", &[], None).await;
    world.with_instance("beta").await;
    let page: AuditPage = world.get("/audit?object=instance/acme").await.read();
    assert_eq!(page.entries.len(), 2);
    let last = &page.entries[0];
    assert_eq!((last.who.as_str(), last.action.as_str()), (super::ADMIN, "set-state"));
    let state = |row: &Option<Value>| row.as_ref().unwrap()["state"].clone();
    assert_eq!((state(&last.before), state(&last.after)), (json!("on"), json!("off")));

    let first: AuditPage = world.get("/audit?limit=2").await.read();
    let rest: AuditPage = world.get(&format!("/audit?before={}", first.next.unwrap())).await.read();
    assert_eq!((first.entries.len(), rest.entries.len()), (2, 1));
}

#[tokio::test]
async fn the_node_shows_what_it_is_doing() {
    let world = World::new();
    world.with_instance("acme").await;
    world.post("/proxies", front()).await;
    let snapshot = world.load().await;
    let status: Status = world.get("/status").await.read();
    assert_eq!((status.instances, status.proxies, status.revision), (1, 1, snapshot.revision));
    assert_eq!(status.listeners[1].error.as_deref(), Some("in use"));

    snapshot.instances[0].stats.calls.set(4);
    snapshot.instances[0].backends[0].health.failure(1);
    let page: Page<InstanceHealth> = world.get("/health?instance=ACME").await.read();
    assert_eq!((page.items[0].calls, page.items[0].targets[0].up, page.items[0].targets[0].falls), (4, false, 1));
    assert_eq!(world.get("/health?instance=nobody").await.read::<Page<InstanceHealth>>().total, 0);

    let bindings = world.get("/bindings?instance=acme&limit=1").await;
    assert_eq!(
        (bindings.body["items"][0]["account"].as_str(), bindings.body["total"].as_u64()),
        (Some("6001"), Some(2))
    );
    let next = bindings.body["next"].as_str().unwrap().replace(' ', "%20");
    let rest = world.get(&format!("/bindings?instance=acme&after={next}")).await;
    assert_eq!((rest.body["items"][0]["account"].as_str(), &rest.body["next"]), (Some("6002"), &Value::Null));
    assert_eq!(world.get("/bindings?instance=nobody").await.status, 404);
    assert_eq!(world.get("/bindings").await.problem().code, Code::BadParameter);

    let explained: Explanation = world.get("/explain?from=192.0.2.9&register=6001@acme").await.read();
    assert_eq!(explained.answers[0].rule, Rule::NoTarget);
    assert_eq!(world.get("/explain").await.problem().code, Code::BadParameter);
    assert_eq!(world.get("/explain?register=nobody").await.problem().code, Code::BadParameter);
}

// R83
#[tokio::test]
async fn nothing_is_answered_without_the_right_token() {
    let world = World::new();
    let ask = |authorization: Option<String>| {
        let mut request = Request::get("/api/v1/instances");
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        request.body(Body::empty()).unwrap()
    };
    let wrong =
        [None, Some(String::new()), Some("Bearer".into()), Some("Bearer  x".into()), Some(format!("Basic {TOKEN}"))];
    for value in wrong {
        let answer = world.send(ask(value)).await;
        assert_eq!(answer.problem().code, Code::Unauthorized);
        assert!(answer.headers.contains_key(header::WWW_AUTHENTICATE));
    }
    assert_eq!(world.send(ask(Some(format!("bearer {TOKEN}")))).await.status, 200);
    let unknown = world.send(Request::get("/api/v1/nothing").body(Body::empty()).unwrap()).await;
    assert_eq!(unknown.status, 401, "a stranger does not learn which routes there are");

    for _ in 6..FAILURES {
        world.send(ask(None)).await;
    }
    let limited = world.send(ask(Some("Bearer wrong".into()))).await;
    assert_eq!((limited.status.as_u16(), limited.problem().code), (429, Code::TooManyFailures));
    assert!(limited.header(header::RETRY_AFTER).parse::<u64>().unwrap() > 0);
    assert_eq!(world.send(ask(Some(format!("Bearer {TOKEN}")))).await.status, 200);
}

#[tokio::test]
async fn what_cannot_be_read_is_a_problem_document_too() {
    let world = World::new();
    assert_eq!(world.get("/nothing").await.problem().code, Code::UnknownRoute);
    let answer = world.call(Method::DELETE, "/instances", &[], None).await;
    assert_eq!(answer.problem().code, Code::MethodNotAllowed);
    assert!(answer.header(header::ALLOW).contains("POST"), "{answer:?}");

    let problem = world.post("/instances", json!({ "name": "a", "backends": [{ "address": 5 }] })).await.problem();
    assert_eq!((problem.code, problem.errors[0].field.as_str()), (Code::BadBody, "backends[0].address"));
    assert_eq!(world.post("/instances", json!({})).await.problem().code, Code::BadBody);

    let raw = |media_type: &str, body: Vec<u8>| {
        Request::post("/api/v1/instances")
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(header::CONTENT_TYPE, media_type)
            .body(Body::from(body))
            .unwrap()
    };
    let code = async |media_type: &str, body: &[u8]| world.send(raw(media_type, body.to_vec())).await.problem().code;
    assert_eq!(code("application/json", b"{").await, Code::BadBody);
    assert_eq!(code("application/json", b"").await, Code::BadBody);
    assert_eq!(code("application/json", b"{\"name\":\"a\"} x").await, Code::BadBody);
    assert_eq!(code("text/plain", b"{}").await, Code::UnsupportedMediaType);
    let fits = vec![b' '; super::extract::MAX_BODY];
    assert_eq!(code("application/json; charset=utf-8", &fits).await, Code::BadBody);
    assert_eq!(code("application/json", &[fits, vec![b' ']].concat()).await, Code::BodyTooLarge);
}

#[tokio::test]
async fn a_request_has_an_id() {
    let world = World::new();
    let answer = world.call(Method::GET, "/status", &[("x-request-id", "my-id.1")], None).await;
    assert_eq!(answer.headers["x-request-id"], "my-id.1");
    let answer = world.call(Method::GET, "/nothing", &[("x-request-id", "no id")], None).await;
    assert_eq!(answer.headers["x-request-id"].len(), 16);
}

#[tokio::test]
async fn the_document_is_open_and_lists_the_routes() {
    let world = World::new();
    let answer = world.send(Request::get("/api/v1/openapi.json").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 200);
    let paths = answer.body["paths"].as_object().unwrap();
    assert!(paths.contains_key("/api/v1/instances/{name}") && paths.contains_key("/api/v1/plan"));
    assert_eq!(answer.body, serde_json::to_value(super::openapi::document()).unwrap());
    let mut ids: Vec<_> = paths
        .values()
        .flat_map(|path| path.as_object().unwrap().values())
        .filter_map(|operation| operation["operationId"].as_str())
        .collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "two operations have one id");
}
