use super::*;
use crate::ids::InstanceId;
use crate::model::{self, DeviceClass, Kind, SCHEMA, User, Users};
use crate::route::snapshot::Snapshot;
use crate::route::testing::{compiled, instance, proxy, table};
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::sync::Arc;

/// `acme` with the light users `müller` (account 90) and `Fax` and the full user `ann` (account 10).
fn world() -> Snapshot {
    let user = |name: &str, kind, account: &str| User {
        name: name.into(),
        kind,
        accounts: vec![account.into()],
        class: DeviceClass::Phone,
    };
    let users = vec![user("ann", Kind::Full, "10"), user("Fax", Kind::Light, "91"), user("müller", Kind::Light, "90")];
    let mut acme = instance(1, "Acme");
    let sign_in = SignIn { paths: vec!["/login".into(), "/api/auth/*".into()], ..SignIn::default() };
    acme.web = Some(model::Web { sign_in, ..model::Web::at("http://198.51.0.1") });
    let mut rows = table([acme], [proxy(1, "front")]);
    rows.users = vec![Arc::new(Users { schema: SCHEMA, instance: InstanceId(1), users })];
    compiled(&rows)
}

fn with<T>(sign_in: impl FnOnce(&mut SignIn), look: impl FnOnce(&Doorman<'_>) -> T) -> T {
    let snapshot = world();
    let instance = &snapshot.instances[0];
    let mut own = instance.web.as_ref().unwrap().sign_in.clone();
    sign_in(&mut own);
    let doorman = Doorman::of(instance, None).unwrap();
    look(&Doorman { sign_in: &own, host: "voice.acme.example", ..doorman })
}

fn authorized(value: &str) -> bool {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    with(|_| {}, |doorman| doorman.knows_authorization(&headers))
}

fn body(kind: &str, body: &[u8]) -> bool {
    let kind = HeaderValue::from_str(kind).unwrap();
    with(|_| {}, |doorman| doorman.knows_body(Some(&kind), body))
}

fn jwt(payload: &str) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
}

#[test]
fn where_nobody_is_light_nobody_is_asked() {
    // R46
    let mut rows = table([instance(1, "acme")], [proxy(1, "front")]);
    assert!(Doorman::of(&compiled(&rows).instances[0], None).is_none(), "open, and no web");
    Arc::make_mut(&mut rows.instances[0]).web = Some(model::Web::at("http://198.51.0.1"));
    let ann = User { name: "ann".into(), kind: Kind::Full, accounts: vec!["10".into()], class: DeviceClass::Phone };
    rows.users = vec![Arc::new(Users { schema: SCHEMA, instance: InstanceId(1), users: vec![ann] })];
    assert!(Doorman::of(&compiled(&rows).instances[0], None).is_none(), "full users only");
}

#[test]
fn basic_authorisation_in_all_its_forms() {
    // R46
    let basic = |scheme: &str, user: &str| format!("{scheme} {}", STANDARD.encode(format!("{user}:secret:1")));
    for user in [
        "fax",
        "FAX",
        "91",
        "müller",
        "MÜLLER",
        "fax@acme",
        "91@ACME",
        "fax@acme.pbx.example",
        "fax@voice.acme.example",
        " fax ",
    ] {
        assert!(authorized(&basic("Basic", user)), "{user}");
    }
    for user in
        ["ann", "10", "ann@acme", "fax@other", "fax@other.example", "fax@example.acme", "", "secret", "faxe", "@acme"]
    {
        assert!(!authorized(&basic("Basic", user)), "{user}");
    }
    assert!(authorized(&basic("bAsIc", "fax")) && authorized(&basic("Basic  ", "fax")));
    let latin = STANDARD.encode(b"m\xfcller:x");
    assert!(authorized(&format!("Basic {latin}")), "Latin-1");
    assert!(authorized(&format!("Basic {}", STANDARD_NO_PAD.encode("fax:xx"))));
    for bad in ["Basic", "Basic !!!", "Digest username=\"fax\"", "fax", "Basic ZmF4Onh4 x"] {
        assert!(!authorized(bad), "{bad}");
    }
}

#[test]
fn a_claim_of_a_bearer_token() {
    // R46
    let claim = |name: &str, payload: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", jwt(payload))).unwrap());
        with(|sign_in| sign_in.claim = name.into(), |doorman| doorman.knows_authorization(&headers))
    };
    let payload = "{\"sub\":\"91\",\"preferred_username\":\"Fax@acme\",\"user\":{\"name\":\"fax\"},\"number\":90}";
    for name in ["sub", "preferred_username", "user.name", "number"] {
        assert!(claim(name, payload), "{name}");
    }
    for name in ["", "name", "user", "user.name.first"] {
        assert!(!claim(name, payload), "{name}");
    }
    assert!(!claim("sub", "{\"sub\":\"10\"}") && !claim("sub", "not json") && !claim("sub", "[]"));
    for opaque in ["Bearer 91", "Bearer a.b", "Bearer fax.fax.fax", "Bearer ..", "Bearer "] {
        assert!(!authorized(opaque), "{opaque}");
    }
    let long = format!("{{\"preferred_username\":\"fax\",\"x\":\"{}\"}}", "x".repeat(16 * 1024));
    assert!(!authorized(&format!("Bearer {}", jwt(&long))), "not looked at");
}

#[test]
fn a_form_a_json_document_and_parts() {
    // R46
    let form = "application/x-www-form-urlencoded";
    for text in [
        "username=fax&password=x",
        "a=b&username=FAX",
        "%75sername=f%61x",
        "username=m%C3%BCller",
        "username=m%FCller",
        "username=fax%40acme",
        "username=ann&username=fax",
        "username=+fax+",
    ] {
        assert!(body(form, text.as_bytes()), "{text}");
    }
    for text in ["", "username=ann", "user=fax", "username", "username=", "password=fax", "Username=fax"] {
        assert!(!body(form, text.as_bytes()), "{text}");
    }
    for text in ["{\"username\":\"fax\"}", " \n{\"x\":[1,{}],\"username\":\"m\\u00fcller\"}", "{\"username\":91}"] {
        assert!(body("application/json", text.as_bytes()), "{text}");
        assert!(body("text/plain", text.as_bytes()), "whatever it is called");
    }
    for text in ["{\"username\":\"ann\"}", "{\"username\":[\"fax\"]}", "{\"username\":\"fax\"", "[\"fax\"]", "null"] {
        assert!(!body("application/json", text.as_bytes()), "{text}");
    }
    let parts = "--b1\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\nfax\r\n--b1\r\ncontent-disposition: form-data; \
                 name=\"username\"\r\nContent-Type: text/plain\r\n\r\nFax\r\n--b1--\r\n";
    assert!(body("multipart/form-data; boundary=b1", parts.as_bytes()));
    assert!(body("Multipart/Form-Data; Boundary=\"b1\"", parts.as_bytes()));
    assert!(!body("multipart/form-data; boundary=b1", parts.replace("Fax", "ann").as_bytes()));
    assert!(!body("multipart/form-data; boundary=b2", parts.as_bytes()));
    let deep = with(
        |sign_in| sign_in.field = "user.name".into(),
        |doorman| doorman.knows_body(None, b"{\"user\":{\"name\":\"fax\"}}"),
    );
    assert!(deep);
}

#[test]
fn paths_of_sign_ins_as_servers_read_them() {
    // R46
    let watches = |path: &str| with(|_| {}, |doorman| doorman.watches(path));
    for path in [
        "/login",
        "/login/",
        "//login",
        "/LOGIN",
        "/l%6fgin",
        "/x/../login",
        "/./login",
        "/login;a=b",
        "/api/auth/token",
        "/api/auth/",
        "/api/auth",
    ] {
        assert!(watches(path), "{path}");
    }
    for path in ["", "/", "/login2", "/login/x", "/x/login", "/api/authx", "/api"] {
        assert!(!watches(path), "{path}");
    }
    assert!(with(|sign_in| sign_in.paths = vec!["/".into()], |doorman| doorman.watches("/") && !doorman.watches("/x")));
    assert!(!with(|sign_in| sign_in.paths.clear(), |doorman| doorman.watches("/login")));
    assert!(with(|_| {}, |doorman| doorman.knows_query(Some("username=fax")) && !doorman.knows_query(None)));
}
