//! `/registrations`: filters, pages, counts and ends.

use super::live::{Binding, Place};
use super::testing::World;
use super::view::{Count, EndedList, RegistrationPage};
use crate::control::store::AuditPage;
use crate::ids::{InstanceId, Transport};
use axum::http::Method;
use serde_json::json;

fn phone(instance: u32, account: &str, n: u8, transport: Transport) -> (InstanceId, Place, Binding) {
    let contact = format!("sip:{account}@10.0.0.{n}");
    let binding = Binding {
        account: account.into(),
        contact: contact.clone(),
        user_agent: if n == 1 { "Snom/8".into() } else { "Yealink/7".into() },
        device: format!("<urn:uuid:00a{n}>"),
        transport: Some(transport),
        source: Some(([192, 0, 2, n], 5060).into()),
        since: 1,
        expires: 2,
    };
    (InstanceId(instance), Place { account: account.into(), contact }, binding)
}

/// Two instances: acme with a list of users (ann: 10, 11; fax: 90), beta without.
async fn world() -> World {
    let world = World::new();
    world.with_instance("acme").await;
    world.with_instance("beta").await;
    let users = json!({"users": [{"name": "ann", "accounts": ["10", "11"]}, {"name": "fax", "kind": "light", "accounts": ["90"]}]});
    let answer = world.call(Method::PUT, "/instances/acme/users", &[], Some(users)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    world.load().await;
    *world.node.registered.lock().unwrap() = vec![
        phone(1, "10", 1, Transport::Udp),
        phone(1, "11", 1, Transport::Tcp),
        phone(1, "11", 2, Transport::Tcp),
        phone(1, "90", 3, Transport::Udp),
        phone(2, "10", 9, Transport::Tcp),
    ];
    world
}

async fn list(world: &World, query: &str) -> (Vec<String>, Option<String>) {
    let page: RegistrationPage = world.get(&format!("/registrations{query}")).await.read();
    let shown = page.items.iter().map(|it| {
        let n = it.binding.contact.rsplit('.').next().unwrap();
        format!("{} {} {n} {}", it.instance, it.binding.account, it.user.as_deref().unwrap_or("-"))
    });
    (shown.collect(), page.next)
}

#[tokio::test]
async fn registrations_are_filtered_and_counted() {
    // R12 R10: the same account in two instances is two
    let world = world().await;
    let all = ["acme 10 1 ann", "acme 11 1 ann", "acme 11 2 ann", "acme 90 3 fax", "beta 10 9 10"];
    for (query, wanted) in [
        ("?", vec![0, 1, 2, 3, 4]),
        ("?instance=ACME", vec![0, 1, 2, 3]),
        ("?account=10", vec![0, 4]),
        ("?account=10&instance=beta", vec![4]),
        ("?user=ann", vec![0, 1, 2]),
        ("?user=Ann&transport=tcp", vec![1, 2]),
        ("?user=10", vec![4]),
        ("?device=snom", vec![0, 1]),
        ("?device=00A2", vec![2]),
        ("?source=192.0.2.1", vec![0, 1]),
        ("?source=192.0.2.2/31", vec![2, 3]),
        ("?source=192.0.2.0/24&transport=udp", vec![0, 3]),
        ("?source=2001:db8::/32", vec![]),
        ("?account=12", vec![]),
    ] {
        let expected: Vec<_> = wanted.iter().map(|n: &usize| all[*n]).collect();
        assert_eq!(list(&world, query).await.0, expected, "{query}");
        let count: Count = world.get(&format!("/registrations/count{query}")).await.read();
        assert_eq!(count.count, expected.len(), "{query}");
    }
    let kinds: RegistrationPage = world.get("/registrations?account=90").await.read();
    assert_eq!(kinds.items[0].kind, Some(crate::model::Kind::Light));
}

#[tokio::test]
async fn wrong_questions_are_refused() {
    let world = world().await;
    for (query, status) in [
        ("?limit=0", 400),
        ("?limit=1001", 400),
        ("?after=what", 400),
        ("?after=1.a", 400),
        ("?source=home", 400),
        ("?transport=pigeon", 400),
        ("?colour=blue", 400),
        ("?instance=nobody", 404),
        ("/count?limit=5", 400),
    ] {
        assert_eq!(world.get(&format!("/registrations{query}")).await.status, status, "{query}");
    }
}

#[tokio::test]
async fn pages_together_are_the_list_whatever_goes_meanwhile() {
    let world = world().await;
    let (all, next) = list(&world, "").await;
    assert_eq!(next, None);
    for limit in 1..=5 {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let (part, next) = list(&world, &format!("?limit={limit}{after}")).await;
            assert!(part.len() <= limit);
            seen.extend(part);
            let Some(next) = next else { break };
            after = format!("&after={next}");
        }
        assert_eq!(seen, all, "{limit}");
    }
    let (_, next) = list(&world, "?limit=2").await;
    world.node.registered.lock().unwrap().drain(..2);
    assert_eq!(list(&world, &format!("?after={}", next.unwrap())).await.0, all[2..]);
}

#[tokio::test]
async fn one_is_ended_and_the_audit_knows_it() {
    // R77
    let world = world().await;
    let page: RegistrationPage = world.get("/registrations?account=11").await.read();
    let path = format!("/registrations/{}", page.items[0].id);
    let ended: EndedList = world.call(Method::DELETE, &path, &[], None).await.read();
    assert_eq!((ended.count, ended.told, ended.items[0].told), (1, 1, true));
    assert_eq!(ended.items[0].registration, page.items[0]);
    assert_eq!(list(&world, "?account=11").await.0, ["acme 11 2 ann"]);
    assert_eq!(world.call(Method::DELETE, &path, &[], None).await.status, 404);
    assert_eq!(world.call(Method::DELETE, "/registrations/what", &[], None).await.status, 404);
    let audit: AuditPage = world.get("/audit?object=registration/acme/11").await.read();
    assert_eq!(audit.entries.len(), 1);
    let entry = &audit.entries[0];
    assert_eq!((entry.action.as_str(), entry.who.as_str()), ("end-registration", "admin-token"));
    assert_eq!(entry.before.as_ref().unwrap()["contact"], "sip:11@10.0.0.1");
}

#[tokio::test]
async fn a_users_and_an_instances_are_ended_and_no_others() {
    // R77 R10
    let world = world().await;
    assert_eq!(world.call(Method::DELETE, "/registrations", &[], None).await.status, 400, "never all of all");
    let ended: EndedList = world.call(Method::DELETE, "/registrations?instance=acme&user=ann", &[], None).await.read();
    assert_eq!((ended.count, ended.told), (3, 2), "a phone over UDP cannot be told");
    assert_eq!(ended.items.iter().map(|it| it.told).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(list(&world, "").await.0, ["acme 90 3 fax", "beta 10 9 10"]);
    let ended: EndedList = world.call(Method::DELETE, "/registrations?instance=beta", &[], None).await.read();
    assert_eq!(ended.count, 1);
    assert_eq!(list(&world, "").await.0, ["acme 90 3 fax"]);
    let audit: AuditPage = world.get("/audit").await.read();
    assert_eq!(audit.entries.iter().filter(|it| it.action == "end-registration").count(), 4);
}
