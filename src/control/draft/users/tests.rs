use super::*;
use crate::control::change::{Asked, Change};
use crate::control::rows::Held;
use crate::model::{DeviceClass, Kind, Mode};
use crate::route::problem::Code;
use crate::route::testing::instance;

fn user(name: &str, accounts: &[&str]) -> User {
    User {
        name: name.into(),
        kind: Kind::Full,
        accounts: accounts.iter().map(|it| (*it).into()).collect(),
        class: DeviceClass::Phone,
    }
}

/// Instance `acme`, cloud, with these users if any.
fn held(users: Option<Vec<User>>) -> Held {
    let mut held = Held::default();
    let mut row = instance(1, "acme");
    row.licence.mode = Mode::Cloud;
    held.set_instance(InstanceId(1), Some(Kept { row: Arc::new(row), revision: 1, next: 2 }));
    let list = users.map(|mut users| {
        users.sort_by_key(|user| fold_user(&user.name));
        Users { schema: SCHEMA, instance: InstanceId(1), users }
    });
    held.users.extend(list.map(|row| (InstanceId(1), Kept { row: Arc::new(row), revision: 2, next: 0 })));
    held
}

fn put(users: Vec<User>) -> Change {
    Change::PutUsers { instance: "ACME".into(), users }
}

fn import(users: Vec<User>) -> Change {
    Change::ImportUsers { instance: "acme".into(), users }
}

/// The problems of a change of `held`.
fn problems(held: &Held, change: Change) -> Vec<(String, Code)> {
    let mut draft = Draft::new(held, 0);
    draft.make(&change.into()).unwrap();
    draft.check();
    draft.problems.into_iter().map(|it| (it.field, it.code)).collect()
}

fn one(field: &str, code: Code) -> Vec<(String, Code)> {
    vec![(field.into(), code)]
}

#[test]
fn names_are_one_in_any_case_and_an_account_is_one_users() {
    // R39 R49
    let none = held(None);
    assert_eq!(problems(&none, put(vec![user("Ann", &["10", "10m"]), user("ben", &["11"])])), []);
    assert_eq!(
        problems(&none, put(vec![user("Ann", &["10"]), user("aNN", &["11"])])),
        one("users[1].name", Code::Duplicate)
    );
    assert_eq!(
        problems(&none, put(vec![user("ann", &["10"]), user("ben", &["11", "10"])])),
        one("users[1].accounts[1]", Code::Duplicate)
    );
    assert_eq!(problems(&none, put(vec![user("ann", &["10", "10"])])), one("users[0].accounts[1]", Code::Duplicate));
    assert_eq!(problems(&none, put(vec![user("ann", &["a"]), user("ben", &["A"])])), [], "accounts have case");
    assert_eq!(problems(&none, put(vec![user("ann", &[])])), one("users[0].accounts", Code::Missing));
    assert_eq!(problems(&none, put(Vec::new())), [], "nobody may register: allowed, and not the same as no list");
}

#[test]
fn a_door_station_is_an_account_of_a_user_or_a_user_of_its_own() {
    // R42
    let door = User { class: DeviceClass::Door, kind: Kind::Light, ..user("door", &["80"]) };
    assert_eq!(problems(&held(None), put(vec![user("porter", &["10", "80-door"]), door])), []);
}

#[test]
fn what_is_imported_is_checked_against_those_that_stay() {
    // R49
    let held = held(Some(vec![user("ann", &["10"]), user("ben", &["11"])]));
    assert_eq!(problems(&held, import(vec![user("carl", &["11"])])), one("users[0].accounts[0]", Code::Duplicate));
    assert_eq!(problems(&held, import(vec![user("BEN", &["12"]), user("carl", &["11"])])), [], "ben gives 11 away");
    let mut draft = Draft::new(&held, 0);
    draft.make(&import(vec![user("carl", &["12"]), user("Ann", &["10", "13"])]).into()).unwrap();
    let names: Vec<_> = draft.users_of(InstanceId(1)).unwrap().iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["Ann", "ben", "carl"], "in the order of their names");
}

#[test]
fn bounds_of_names_accounts_and_users() {
    // R49
    let none = held(None);
    let name = |text: &str| problems(&none, put(vec![user(text, &["10"])])).is_empty();
    for good in ["a", "7", "Müller, Jürgen", "o'hara", "ann@acme", "A & B (door)", &"x".repeat(63), &"x".repeat(64)] {
        assert!(name(good), "{good}");
    }
    for bad in ["", " a", "a ", "=1+1", "-a", "@a", "a/b", "a\tb", "a\"b", "a|b", "a;b", "a\u{202e}b", &"x".repeat(65)]
    {
        assert!(!name(bad), "{bad}");
    }
    let account = |text: &str| problems(&none, put(vec![user("ann", &[text])])).is_empty();
    for good in ["10", "+4930123", "*97", "ann.SFiphone", &"1".repeat(63), &"1".repeat(64)] {
        assert!(account(good), "{good}");
    }
    for bad in ["", "a b", "10@acme", "sip:10", "a|b", "a;b", "a,b", "=1", "ä", "a\nb", "%31", &"1".repeat(65)] {
        assert!(!account(bad), "{bad}");
    }
    let accounts = |count: usize| {
        let all: Vec<String> = (0..count).map(|n| n.to_string()).collect();
        problems(&none, put(vec![User { accounts: all, ..user("ann", &[]) }]))
    };
    assert_eq!((accounts(31), accounts(32)), (Vec::new(), Vec::new()));
    assert_eq!(accounts(33), one("users[0].accounts", Code::TooMany));
    let many = |count: usize| (0..count).map(|n| user(&format!("u{n}"), &[&n.to_string()])).collect::<Vec<_>>();
    assert_eq!(problems(&none, put(many(9_999))), []);
    assert_eq!(problems(&none, put(many(10_000))), []);
    assert_eq!(problems(&none, put(many(10_001))), one("users", Code::TooMany));
    let others = |count: usize| held(Some((0..count).map(|n| user(&format!("o{n}"), &[&format!("o{n}")])).collect()));
    let last = Change::PutUser { instance: "acme".into(), user: user("ann", &["10"]) };
    assert_eq!(problems(&others(49_999), last.clone()), []);
    assert_eq!(problems(&others(50_000), last), one("users", Code::TooMany));
    assert_eq!(problems(&others(40_000), import(many(10_000))), []);
    assert_eq!(problems(&others(40_001), import(many(10_000))), one("users", Code::TooMany));
}

#[test]
fn every_problem_comes_at_once_up_to_a_bound() {
    let bad = |count: usize| (0..count).map(|n| user(&format!("={n}"), &[&n.to_string()])).collect::<Vec<_>>();
    assert_eq!(problems(&held(None), put(bad(9_999))).len(), 9_999);
    assert_eq!(problems(&held(None), put(bad(10_000))).len(), 10_000);
    let two = |n: usize| user(&format!("={n}"), &["ü"]);
    let found = problems(&held(None), put((0..5_001).map(two).collect()));
    assert_eq!((found.len(), found.last()), (10_001, Some(&("users".to_owned(), Code::TooMany))));
}

#[test]
fn a_community_instance_has_three_users() {
    // R16 R26
    let many = |count: usize| (0..count).map(|n| user(&format!("u{n}"), &[&n.to_string()])).collect::<Vec<_>>();
    let community = || {
        let mut held = held(None);
        let mut row = instance(1, "acme");
        row.licence.mode = Mode::Community;
        held.set_instance(InstanceId(1), Some(Kept { row: Arc::new(row), revision: 1, next: 2 }));
        held
    };
    let refused = one("licence.mode", Code::CommunityUsers);
    for (count, expected) in [(2, Vec::new()), (3, Vec::new()), (4, refused.clone())] {
        assert_eq!(problems(&community(), put(many(count))), expected, "{count} in a list");
        let mut row = instance(0, "acme");
        row.id = InstanceId(1);
        row.licence.mode = Mode::Community;
        let switch = Change::UpdateInstance { name: "acme".into(), row };
        assert_eq!(problems(&held(Some(many(count))), switch), expected, "{count} when it becomes community");
    }
    let mut held = community();
    let list = Users { schema: SCHEMA, instance: InstanceId(1), users: many(3) };
    held.users.insert(InstanceId(1), Kept { row: Arc::new(list), revision: 2, next: 0 });
    assert_eq!(problems(&held, Change::PutUser { instance: "acme".into(), user: user("fourth", &["99"]) }), refused);
    assert_eq!(problems(&held, Change::PutUser { instance: "acme".into(), user: user("U0", &["99"]) }), []);
}

#[test]
fn a_list_is_begun_as_a_whole_and_ends_as_a_whole() {
    // R49
    let none = held(None);
    let refused = |held: &Held, change: Change| Draft::new(held, 0).make(&change.into()).unwrap_err().to_string();
    let ann = || Change::PutUser { instance: "acme".into(), user: user("ann", &["10"]) };
    assert!(refused(&none, ann()).contains("list of users"), "the others would be locked out by it");
    assert!(refused(&none, Change::DeleteUsers { instance: "acme".into() }).contains("list of users"));
    assert!(
        refused(&none, Change::PutUsers { instance: "other".into(), users: Vec::new() }).contains("instance/other")
    );
    let held = held(Some(vec![user("ann", &["10"])]));
    let mut draft = Draft::new(&held, 0);
    draft.make(&Change::DeleteUser { instance: "acme".into(), user: "ANN".into() }.into()).unwrap();
    assert_eq!(draft.users_of(InstanceId(1)).map(<[User]>::len), Some(0), "an empty list is a list");
    assert!(refused(&held, Change::DeleteUser { instance: "acme".into(), user: "ben".into() }).contains("user ben"));
    let stale = Asked { change: put(Vec::new()), if_match: Some(1) };
    assert!(matches!(Draft::new(&held, 0).make(&stale), Err(ServiceError::Stale { revision: 2, .. })));
    let fresh = Asked { change: put(Vec::new()), if_match: Some(2) };
    Draft::new(&held, 0).make(&fresh).unwrap();
}

#[test]
fn the_audit_tells_what_differs() {
    // R77
    let many = |count: usize| (0..count).map(|n| user(&format!("u{n}"), &[&n.to_string()])).collect::<Vec<_>>();
    let held = held(Some(many(1_000)));
    let mut asked = many(1_000);
    asked[0].kind = Kind::Light;
    asked.pop();
    asked.push(user("new", &["n1", "n2"]));
    let mut draft = Draft::new(&held, 0);
    draft.make(&put(asked).into()).unwrap();
    let commit = draft.commit("ann").unwrap().unwrap();
    let [entry] = commit.audit.as_slice() else { panic!("{:?}", commit.audit) };
    assert_eq!((entry.action.as_str(), entry.object.as_str()), ("update-users", "users/acme"));
    let side = |count: usize, users: serde_json::Value| Some(serde_json::json!({ "count": count, "users": users }));
    assert_eq!(entry.before, side(1_000, serde_json::json!({ "u0": "full phone 0", "u999": "full phone 999" })));
    assert_eq!(entry.after, side(1_000, serde_json::json!({ "new": "full phone n1 n2", "u0": "light phone 0" })));
    let mut same = Draft::new(&held, 0);
    same.make(&put(many(1_000)).into()).unwrap();
    assert!(same.commit("ann").unwrap().is_none(), "nothing changed, nothing written");
}

#[test]
fn a_list_goes_with_its_instance_and_stays_through_a_rename() {
    // R49 R7
    let held = held(Some(vec![user("ann", &["10"])]));
    let mut draft = Draft::new(&held, 0);
    let rename = Change::RenameInstance { name: "acme".into(), to: "apex".into(), keep_until: None };
    draft.make(&rename.into()).unwrap();
    assert_eq!(draft.users_of(InstanceId(1)).map(<[User]>::len), Some(1));
    draft.make(&Change::DeleteInstance { name: "apex".into() }.into()).unwrap();
    let commit = draft.commit("ann").unwrap().unwrap();
    assert!(commit.write.contains(&("users/0000000001".into(), None)), "{:?}", commit.write);
}
