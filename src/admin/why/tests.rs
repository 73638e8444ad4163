//! Each reason is told with its rule, its counts and its revision.

use super::*;
use crate::admin::testing::World;
use crate::ids::{InstanceId, Transport};
use axum::http::Method;
use serde_json::json;

fn decided(account: &str, at: u64, became: Became) -> Decided {
    Decided {
        at,
        account: account.into(),
        user: Some("ann".into()),
        kind: Some(Kind::Full),
        device: String::new(),
        user_agent: if account == "11" { "Snom/8".into() } else { "Yealink/7".into() },
        call_id: format!("call-{account}"),
        source: "192.0.2.7:5060".parse().unwrap(),
        transport: Transport::Udp,
        became,
        used: Seats { full: 3, light: 0 },
        pending: Seats::default(),
        seats: Seats { full: 3, light: 3 },
        total: 3,
        revision: 7,
    }
}

/// Community instances acme and beta; acme has users.
async fn world() -> World {
    let world = World::new();
    for name in ["acme", "beta"] {
        let row = json!({"name": name, "state": "on", "backends": [{"address": "10.0.0.5:5060"}]});
        assert_eq!(world.post("/instances", row).await.status, 201);
    }
    let proxy = json!({"name": "front", "fqdn": "front.pbx.test", "base_domain": "pbx.test"});
    assert_eq!(world.post("/proxies", proxy).await.status, 201);
    let users = json!({"users": [
        {"name": "ann", "accounts": ["10", "11"]},
        {"name": "soft", "kind": "light", "accounts": ["80"], "class": "softphone"},
    ]});
    let answer = world.call(Method::PUT, "/instances/acme/users", &[], Some(users)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    world.load().await;
    world
}

async fn ask(world: &World, query: &str) -> Explanation {
    world.get(&format!("/explain{query}")).await.read()
}

/// Whether an account may register, with the status a phone gets.
async fn verdict(world: &World, account: &str) -> Option<(String, String, bool)> {
    let found = ask(world, &format!("?register={account}")).await.licences.remove(0);
    let refused = found.steps.last().unwrap().contains("refused with 403");
    Some((found.refusal?, found.rule?, refused))
}

#[tokio::test]
async fn it_says_what_would_become_of_an_account_now() {
    // R69 R67 R49 R46
    let world = world().await;
    let full = |n| Seat { used: Seats { full: n, light: 0 }, can_save: true, ..Seat::default() };
    let told = |code: &str, rule: &str, refused| Some((code.to_owned(), rule.to_owned(), refused));
    assert_eq!(verdict(&world, "11@acme").await, None);
    assert_eq!(verdict(&world, "12@acme").await, told("not-licensed-user", "R49", true));
    assert_eq!(verdict(&world, "80@acme").await, told("light-softphone", "R46", true));
    assert_eq!(verdict(&world, "12@beta").await, None, "it has no list");
    *world.node.seat.lock().unwrap() = full(2);
    assert_eq!(verdict(&world, "11@acme").await, None);
    *world.node.seat.lock().unwrap() = full(3);
    assert_eq!(verdict(&world, "11@acme").await, told("seats-exhausted", "R48", true));
    assert_eq!(verdict(&world, "10@acme").await, None, "it has a seat");
    *world.node.seat.lock().unwrap() = Seat { pending: Seats { full: 1, light: 0 }, ..full(2) };
    assert_eq!(verdict(&world, "11@acme").await, told("seats-pending", "R66", false));
    *world.node.seat.lock().unwrap() = Seat { can_save: false, ..full(1) };
    assert_eq!(verdict(&world, "11@acme").await, told("seats-unsaved", "R66", false));
}

#[tokio::test]
async fn the_last_free_seat_is_named_with_its_numbers() {
    // R69
    let world = world().await;
    *world.node.seat.lock().unwrap() = Seat { used: Seats { full: 3, light: 0 }, can_save: true, ..Seat::default() };
    let found = ask(&world, "?register=11@acme").await.licences.remove(0);
    assert_eq!((found.used.full, found.licensed.full, found.total, found.mode), (3, 3, Some(3), Mode::Community));
    assert_eq!((found.user.as_deref(), found.kind, found.seated), (Some("ann"), Some(Kind::Full), false));
    let last = found.steps.last().unwrap();
    assert!(last.contains("3 of 3 full users have a seat, and 3 of 3 in all (seats-exhausted, R48)"), "{last}");
}

#[test]
fn standing_and_soft_clients_decide_as_the_engine_does() {
    // R63 R58 R67
    let allowance = Allowance { softphones: false, ..Allowance::COMMUNITY };
    let (none, seated) = (Seat { can_save: true, ..Seat::default() }, Seat { has_claim: true, ..Seat::default() });
    let full = Who { name: "ann", kind: Kind::Full, class: DeviceClass::Phone };
    let light = Who { kind: Kind::Light, ..full };
    for (who, seat, soft, standing, expected) in [
        (full, none, false, Now::Active, None),
        (full, none, false, Now::Unlicensed, Some(Refusal::LicenceDeactivated)),
        (full, none, false, Now::Deactivated, Some(Refusal::LicenceDeactivated)),
        (full, seated, false, Now::Deactivated, None),
        (full, seated, true, Now::Deactivated, Some(Refusal::LicenceDeactivated)),
        (full, seated, true, Now::Unlicensed, Some(Refusal::SoftphoneRight)),
        (full, none, true, Now::Active, Some(Refusal::SoftphoneRight)),
        (light, seated, true, Now::Active, Some(Refusal::LightSoftphone)),
        (light, none, false, Now::Active, None),
    ] {
        assert_eq!(judge(who, &seat, &allowance, soft, standing), expected, "{who:?} {seat:?} {soft} {standing:?}");
    }
    assert_eq!(judge(full, &none, &Allowance::COMMUNITY, true, Now::Active), None);
    // R39: a second account of someone who is there needs no seat.
    let other = Seat { has_seat: true, used: Seats { full: 3, light: 0 }, ..none };
    assert_eq!(judge(full, &other, &allowance, false, Now::Active), None);
}

#[tokio::test]
async fn decisions_are_found_by_account_device_and_call() {
    // R69 R10
    let world = world().await;
    *world.node.decided.lock().unwrap() = vec![
        (InstanceId(1), decided("11", 5, Became::Refused(Refusal::SeatsExhausted))),
        (InstanceId(1), decided("10", 4, Became::Granted)),
        (InstanceId(2), decided("11", 6, Became::Shadowed(Refusal::SeatsExhausted))),
    ];
    let found = async |query: &str| {
        let all = ask(&world, query).await;
        let of = |it: &Decision| (it.instance.clone(), it.account.clone(), it.became);
        (all.decisions.iter().map(of).collect::<Vec<_>>(), all.licences.len())
    };
    let one = |instance: &str, account: &str, became| (instance.to_owned(), account.to_owned(), became);
    let (refused, granted) = (one("acme", "11", Word::Refused), one("acme", "10", Word::Granted));
    let shadowed = one("beta", "11", Word::Shadowed);
    assert_eq!(found("?register=11@acme").await, (vec![refused.clone()], 1), "another instance's are another's");
    assert_eq!(found("?register=11@beta").await, (vec![shadowed.clone()], 1));
    assert_eq!(found("?device=snom").await, (vec![shadowed.clone(), refused.clone()], 2));
    assert_eq!(found("?device=snom&instance=acme").await, (vec![refused.clone()], 1));
    assert_eq!(found("?call_id=call-10").await, (vec![granted], 1));
    assert_eq!(found("?call_id=call-12").await, (vec![], 0));
    assert_eq!(found("?register=99@acme").await, (vec![], 1));
    let shown = ask(&world, "?call_id=call-11&instance=acme").await.decisions.remove(0);
    assert_eq!(
        (shown.reason.as_deref(), shown.rule.as_deref(), shown.revision),
        (Some("seats-exhausted"), Some("R48"), 7)
    );
    assert!(shown.text.contains("3 of 3 full users"), "{}", shown.text);
    assert_eq!(world.get("/explain?instance=acme").await.status, 400);
    assert_eq!(world.get("/explain").await.status, 400);
}

#[tokio::test]
async fn shadow_mode_is_told() {
    let world = world().await;
    let shadow = json!({"licence": {"shadow": true}});
    assert_eq!(world.call(Method::PATCH, "/instances/acme", &[], Some(shadow)).await.status, 200);
    world.load().await;
    let found = ask(&world, "?register=12@acme").await.licences.remove(0);
    assert_eq!(found.refusal.as_deref(), Some("not-licensed-user"));
    assert!(found.steps.last().unwrap().ends_with("but shadow mode lets it pass"), "{:?}", found.steps);
}

#[test]
fn every_licence_refusal_has_a_rule_and_a_sentence() {
    // R69
    for why in Refusal::LICENCE {
        assert_ne!(rule(why), "R69", "{why:?}");
        let text = sentence(why, None, &Seat::default(), Seats::default(), u32::MAX);
        assert!(text.contains(why.kind()) && text.len() > why.kind().len() + 20, "{text}");
    }
}
