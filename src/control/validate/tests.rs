use crate::control::change::Change;
use crate::control::draft::Draft;
use crate::control::rows::{Held, Kept};
use crate::ids::{InstanceId, ProxyId, Transport};
use crate::model::{self, FormerName, Service};
use crate::route::problem::Code;
use crate::route::testing;
use std::sync::Arc;

/// A table with instance `acme` (alias `pbx.acme.example`, once `old` until 1000) and proxy `front`.
fn held() -> Held {
    let mut held = Held::default();
    let mut acme = testing::unbooked(1, "acme");
    acme.aliases = vec!["pbx.acme.example".into()];
    acme.former_names = vec![FormerName { name: "old".into(), until: 1_000 }];
    held.set_instance(InstanceId(1), Some(Kept { row: Arc::new(acme), revision: 1, next: 2 }));
    let front = Arc::new(testing::proxy(1, "front"));
    held.set_proxy(ProxyId(1), Some(Kept { row: front, revision: 2, next: 4 }));
    held.sequence = crate::control::rows::Sequence { instance: 1, proxy: 1 };
    held
}

fn problems_at(now: u64, change: Change) -> Vec<(String, Code, String)> {
    let held = held();
    let mut draft = Draft::new(&held, now);
    draft.make(&change.into()).unwrap();
    draft.check();
    draft.problems.into_iter().map(|problem| (problem.field, problem.code, problem.reason)).collect()
}

fn instance_problems(change: impl FnOnce(&mut model::Instance)) -> Vec<(String, Code)> {
    let mut row = testing::unbooked(0, "new");
    change(&mut row);
    problems_at(500, Change::CreateInstance { row }).into_iter().map(|(field, code, _)| (field, code)).collect()
}

fn proxy_problems(change: impl FnOnce(&mut model::Proxy)) -> Vec<(String, Code)> {
    let mut row = testing::proxy(2, "second");
    row.id = ProxyId(0);
    change(&mut row);
    problems_at(500, Change::CreateProxy { row }).into_iter().map(|(field, code, _)| (field, code)).collect()
}

fn one(field: &str, code: Code) -> Vec<(String, Code)> {
    vec![(field.into(), code)]
}

#[test]
fn a_refused_name_is_told_its_bad_character() {
    // R2
    for (name, says) in [
        ("", "is empty"),
        ("a_b", "\"_\""),
        ("a.b", "\".\""),
        ("a b", "blank"),
        ("a/b", "\"/\""),
        ("a@b", "\"@\""),
        ("zoë", "\"ë\""),
        ("a\0b", "NUL"),
        ("a%41", "\"%\""),
        ("-a", "\"-\""),
        ("a-", "\"-\""),
        (&"x".repeat(64), "64 characters"),
    ] {
        let found = problems_at(0, Change::CreateInstance { row: testing::unbooked(0, name) });
        let [(field, Code::NameInvalid, reason)] = found.as_slice() else { panic!("{name:?}: {found:?}") };
        assert!(field == "name" && reason.contains(says), "{name:?}: {reason}");
    }
    assert_eq!(instance_problems(|row| row.name = "x".repeat(63)), []);
    assert_eq!(instance_problems(|row| row.name = "x".repeat(62)), []);
}

#[test]
fn every_problem_comes_at_once() {
    let found = instance_problems(|row| {
        row.name = "a_b".into();
        row.display_name = "x".repeat(129);
        row.aliases = vec!["bad_host.example".into(), "pbx.acme.example".into()];
        row.backends[0].transport = Transport::Ws;
        row.backends.push(model::Backend { address: "192.0.2.300".into(), weight: 1_001, ..row.backends[0].clone() });
        row.backends[1].transport = Transport::Udp;
        row.web = Some(model::Web { prefix: model::Prefix::Keep, ..model::Web::at("ftp://x") });
        row.backends[1].id = crate::ids::BackendId(2);
    });
    let expected = [
        ("name", Code::NameInvalid),
        ("aliases[1]", Code::NameTaken),
        ("backends[1].weight", Code::OutOfRange),
        ("aliases[0]", Code::NameInvalid),
        ("display_name", Code::TextInvalid),
        ("backends[0].transport", Code::TransportUnsupported),
        ("backends[1].address", Code::AddressInvalid),
        ("web.url", Code::UrlInvalid),
    ];
    assert_eq!(found, expected.map(|(field, code)| (field.to_owned(), code)));
}

#[test]
fn emergency_numbers_are_what_is_dialled() {
    // R71
    let with = |numbers: &[&str]| {
        instance_problems(|row| row.emergency_numbers = numbers.iter().map(|number| (*number).into()).collect())
    };
    assert_eq!(with(&[]), [], "none is allowed: an instance may be no telephone system");
    assert_eq!(with(&["110", "112", "*112", "+49112", &"1".repeat(15), &"1".repeat(16)]), []);
    for bad in ["", "11 2", "sos", "112@acme", &"1".repeat(17)] {
        assert_eq!(with(&["110", bad]), one("emergency_numbers[1]", Code::TextInvalid), "{bad}");
    }
    assert_eq!(with(&["112", "112"]), one("emergency_numbers[1]", Code::Duplicate));
    let many = |count: usize| {
        let numbers: Vec<String> = (0..count).map(|n| n.to_string()).collect();
        with(&numbers.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert_eq!((many(15), many(16), many(17)), (Vec::new(), Vec::new(), one("emergency_numbers", Code::TooMany)));
}

#[test]
fn networks_are_written_once_and_whole() {
    let with = |networks: &[&str]| {
        instance_problems(|row| row.only_from = networks.iter().map(|network| network.parse().unwrap()).collect())
    };
    assert_eq!(with(&["192.0.2.0/24", "2001:db8::/32", "0.0.0.0/0", "192.0.2.1/32"]), []);
    assert_eq!(with(&["192.0.2.1/24"]), one("only_from[0]", Code::AddressInvalid));
    assert_eq!(with(&["192.0.2.0/24", "192.0.2.0/24"]), one("only_from[1]", Code::Duplicate));
    let never =
        instance_problems(|row| row.never_ban = (0..65).map(|n| format!("10.0.{n}.0/24").parse().unwrap()).collect());
    assert_eq!(never, one("never_ban", Code::TooMany));
}

#[test]
fn sign_ins_are_paths_and_a_field() {
    // R46
    let with = |change: &dyn Fn(&mut model::SignIn)| {
        instance_problems(|row| {
            let mut web = model::Web::at("http://192.0.2.9");
            change(&mut web.sign_in);
            row.web = Some(web);
        })
    };
    let path = |text: &str| with(&|it| it.paths = vec![text.into()]);
    for good in ["/", "/login", "/api/auth/*", "/*", &format!("/{}", "x".repeat(254)), &format!("/{}", "x".repeat(255))]
    {
        assert_eq!(path(good), [], "{good}");
    }
    for bad in ["", "login", "*", "/a*b", "/a?b", "/a#b", "/a b", "https://x/", &format!("/{}", "x".repeat(256))] {
        assert_eq!(path(bad), one("web.sign_in.paths[0]", Code::UrlInvalid), "{bad}");
    }
    let many = |count: usize| with(&|it| it.paths = (0..count).map(|n| format!("/{n}")).collect());
    assert_eq!((many(15), many(16)), (Vec::new(), Vec::new()));
    assert_eq!(many(17), one("web.sign_in.paths", Code::TooMany));
    let field = |length: usize| with(&|it| (it.field, it.paths) = ("x".repeat(length), vec!["/login".into()]));
    assert_eq!((field(1), field(64)), (Vec::new(), Vec::new()));
    assert_eq!(
        (field(0), field(65)),
        (one("web.sign_in.field", Code::Missing), one("web.sign_in.field", Code::TextInvalid))
    );
    assert_eq!(with(&|it| it.claim = "x\n".into()), one("web.sign_in.claim", Code::TextInvalid));
}

#[test]
fn aliases_are_hosts_that_are_nobody_elses() {
    // R4
    for (alias, code) in [
        ("acme", Code::NameInvalid),
        ("single", Code::NameInvalid),
        ("192.0.2.1", Code::NameInvalid),
        ("*.example", Code::NameInvalid),
        ("PBX.Acme.example.", Code::NameTaken),
        ("front.pbx.example", Code::NameTaken),
        ("pbx.example", Code::NameTaken),
        ("acme.pbx.example", Code::NameTaken),
        ("OLD.pbx.example", Code::NameTaken),
        ("www.pbx.example", Code::NameTaken),
    ] {
        assert_eq!(instance_problems(|row| row.aliases = vec![alias.into()]), one("aliases[0]", code), "{alias}");
    }
    for alias in ["sip.example", "free.pbx.example", "new.pbx.example", "a.b.pbx.example"] {
        assert_eq!(instance_problems(|row| row.aliases = vec![alias.into()]), [], "{alias}");
    }
    let twice = instance_problems(|row| row.aliases = vec!["a.example".into(), "A.Example.".into()]);
    assert_eq!(twice, one("aliases[1]", Code::Duplicate));
    assert_eq!(instance_problems(|row| row.aliases = (0..64).map(|n| format!("a{n}.example")).collect()), []);
    let many = instance_problems(|row| row.aliases = (0..65).map(|n| format!("a{n}.example")).collect());
    assert_eq!(many, one("aliases", Code::TooMany));
}

#[test]
fn a_new_name_does_not_take_a_host_that_is_in_use() {
    let mut held = held();
    let mut acme = testing::unbooked(1, "acme");
    acme.aliases = vec!["new.pbx.example".into()];
    held.set_instance(InstanceId(1), Some(Kept { row: Arc::new(acme), revision: 1, next: 2 }));
    let mut draft = Draft::new(&held, 0);
    draft.make(&Change::CreateInstance { row: testing::unbooked(0, "new") }.into()).unwrap();
    draft.check();
    assert_eq!(draft.problems.len(), 1, "{:?}", draft.problems);
    assert_eq!((draft.problems[0].field.as_str(), draft.problems[0].code), ("name", Code::NameTaken));
}

#[test]
fn a_former_name_is_taken_until_its_date() {
    // R7
    for (now, free) in [(999, false), (1_000, false), (1_001, true)] {
        let found = problems_at(now, Change::CreateInstance { row: testing::unbooked(0, "OLD") });
        assert_eq!(found.is_empty(), free, "{now}: {found:?}");
    }
}

#[test]
fn backends_are_addresses_over_udp_or_tcp_without_doubles() {
    let with = |addresses: &[&str]| {
        instance_problems(|row| {
            let template = row.backends[0].clone();
            row.backends = addresses
                .iter()
                .map(|address| model::Backend {
                    id: crate::ids::BackendId(0),
                    address: (*address).into(),
                    ..template.clone()
                })
                .collect();
        })
    };
    assert_eq!(with(&[]), [], "an instance may have no target yet");
    assert_eq!(with(&["192.0.2.1", "192.0.2.1:5061", "[2001:db8::1]:5060", "pbx.internal"]), []);
    for bad in ["", "0.0.0.0", "2001:db8::1", "192.0.2.1:0", "224.0.0.1", "a b"] {
        assert_eq!(with(&[bad]), one("backends[0].address", Code::AddressInvalid), "{bad}");
    }
    assert_eq!(with(&["192.0.2.1", "192.0.2.1:5060"]), one("backends[1].address", Code::Duplicate));
    let sixteen: Vec<_> = (1..=17).map(|n| format!("192.0.2.{n}")).collect();
    let refs: Vec<_> = sixteen.iter().map(String::as_str).collect();
    assert_eq!(with(&refs[..16]), []);
    assert_eq!(with(&refs), one("backends[16]", Code::TooMany));
    for (weight, sound) in [(0, true), (999, true), (1_000, true), (1_001, false)] {
        assert_eq!(instance_problems(|row| row.backends[0].weight = weight).is_empty(), sound, "{weight}");
    }
}

#[test]
fn listeners_do_not_meet() {
    // R78
    let bind = |service, text: &str| {
        proxy_problems(|row| {
            row.listeners.truncate(1);
            row.listeners[0].service = service;
            row.listeners[0].bind = text.parse().unwrap();
        })
    };
    let conflict = || one("listeners[0].bind", Code::ListenerConflict);
    // The proxy that is there listens on 192.0.2.1: SIP on 5060 over UDP and TCP, HTTP on 80.
    assert_eq!(bind(Service::SipUdp, "192.0.2.1:5060"), conflict());
    assert_eq!(bind(Service::SipUdp, "0.0.0.0:5060"), conflict());
    assert_eq!(bind(Service::Https, "192.0.2.1:5060"), conflict(), "TCP is TCP");
    assert_eq!(bind(Service::SipUdp, "192.0.2.1:80"), [], "UDP is not TCP");
    assert_eq!(bind(Service::SipUdp, "192.0.2.2:5060"), []);
    assert_eq!(bind(Service::SipUdp, "[::]:5060"), [], "families are apart");
    assert_eq!(bind(Service::SipUdp, "192.0.2.1:5061"), []);
    let own = proxy_problems(|row| {
        row.listeners[1].bind = row.listeners[2].bind;
        row.listeners[1].service = Service::Http;
    });
    assert_eq!(own, one("listeners[2].bind", Code::ListenerConflict));
    assert_eq!(
        proxy_problems(|row| row.listeners.iter_mut().for_each(|l| l.bind = "127.0.0.1:0".parse().unwrap())),
        []
    );
    let advertise = |text: &str| proxy_problems(|row| row.listeners[0].advertise = Some(text.into()));
    assert_eq!(advertise("sip.example:5999"), []);
    assert_eq!(advertise("0.0.0.0"), one("listeners[0].advertise", Code::AddressInvalid));
    let double = proxy_problems(|row| row.listeners[1].number = 1);
    assert_eq!(double, one("listeners[1].number", Code::IdInvalid));
}

#[test]
fn one_port_serves_what_can_be_told_apart() {
    // R78
    let together = |services: &[(Service, &str)]| {
        proxy_problems(|row| {
            let listener = |(service, bind): &(Service, &str)| model::Listener {
                number: 0,
                service: *service,
                bind: bind.parse().unwrap(),
                advertise: None,
            };
            row.listeners = services.iter().map(listener).collect();
        })
    };
    let conflict = || one("listeners[1].bind", Code::ListenerConflict);
    let (tls, wss, https) = (Service::SipTls, Service::SipWss, Service::Https);
    assert_eq!(together(&[(https, "[::]:443"), (wss, "[::]:443"), (tls, "[::]:443")]), []);
    let (tcp, ws, http, udp) = (Service::SipTcp, Service::SipWs, Service::Http, Service::SipUdp);
    assert_eq!(together(&[(http, "[::]:80"), (ws, "[::]:80"), (tcp, "[::]:80"), (udp, "[::]:80")]), []);
    assert_eq!(together(&[(https, "[::]:443"), (ws, "[::]:443")]), conflict(), "in the clear beside TLS");
    assert_eq!(together(&[(https, "[::]:443"), (https, "[::]:443")]), conflict(), "the same twice");
    assert_eq!(together(&[(https, "[::]:443"), (wss, "[::1]:443")]), conflict(), "not the same address");
    // Another proxy's socket is not shared: it has its own certificates and names.
    assert_eq!(together(&[(http, "192.0.2.2:80"), (ws, "192.0.2.1:80")]), conflict());
}

#[test]
fn origins_are_what_browsers_send() {
    // W07
    let bad = || vec!["https://app.example".to_owned(), "app.example".to_owned()];
    assert_eq!(proxy_problems(|row| row.origins = bad()), one("origins[1]", Code::UrlInvalid));
    assert_eq!(instance_problems(|row| row.origins = bad()), one("origins[1]", Code::UrlInvalid));
    let many = |n: usize| (0..n).map(|n| format!("https://{n}.example")).collect::<Vec<_>>();
    assert_eq!(proxy_problems(|row| row.origins = many(64)), []);
    assert_eq!(proxy_problems(|row| row.origins = many(65)), one("origins", Code::TooMany));
}

#[test]
fn a_proxy_names_what_exists() {
    // R11
    let instances =
        |names: &[&str]| proxy_problems(|row| row.instances = Some(names.iter().map(|name| (*name).into()).collect()));
    assert_eq!(instances(&["ACME"]), []);
    assert_eq!(instances(&["acme", "nobody"]), one("instances[1]", Code::ReferenceUnknown));
    assert_eq!(instances(&["old"]), one("instances[0]", Code::ReferenceUnknown), "a former name is not a name");
    assert_eq!(instances(&["front"]), one("instances[0]", Code::ReferenceUnknown));
    assert_eq!(instances(&["acme", "Acme"]), one("instances[1]", Code::Duplicate));
    assert_eq!(proxy_problems(|row| row.default_instance = Some("acme".into())), []);
    let unserved = proxy_problems(|row| {
        row.instances = Some(Vec::new());
        row.default_instance = Some("acme".into());
    });
    assert_eq!(unserved, one("default_instance", Code::ReferenceUnknown));
    assert_eq!(proxy_problems(|row| row.certificate = Some("none".into())), one("certificate", Code::ReferenceUnknown));
}

#[test]
fn a_proxys_hosts_are_its_own() {
    // R13
    assert_eq!(proxy_problems(|row| row.fqdn = "FRONT.pbx.example".into()), one("fqdn", Code::NameTaken));
    assert_eq!(proxy_problems(|row| row.fqdn = "pbx.acme.example".into()), one("fqdn", Code::NameTaken));
    assert_eq!(proxy_problems(|row| row.fqdn = "acme.pbx.example".into()), one("fqdn", Code::NameTaken));
    assert_eq!(proxy_problems(|row| row.fqdn = "192.0.2.1".into()), one("fqdn", Code::NameInvalid));
    assert_eq!(proxy_problems(|row| row.base_domain = "a_b.example".into()), one("base_domain", Code::NameInvalid));
    let base = |base: &str| proxy_problems(|row| row.base_domain = base.into());
    assert_eq!(base("acme.example"), [], "its alias is of a label that nobody has");
    assert_eq!(base("other.example"), []);
    let met = {
        let mut held = held();
        let mut other = testing::unbooked(2, "pbx");
        other.aliases = Vec::new();
        held.set_instance(InstanceId(2), Some(Kept { row: Arc::new(other), revision: 3, next: 2 }));
        let mut draft = Draft::new(&held, 0);
        let mut row = testing::proxy(2, "second");
        row.id = ProxyId(0);
        row.base_domain = "acme.example".into();
        draft.make(&Change::CreateProxy { row }.into()).unwrap();
        draft.check();
        draft.problems
    };
    assert_eq!(met.len(), 1, "acme's alias pbx.acme.example would become instance pbx: {met:?}");
    assert_eq!((met[0].field.as_str(), met[0].code), ("base_domain", Code::NameTaken));
}

#[test]
fn a_redirection_is_a_web_address() {
    // R5
    let to = |url: &str| proxy_problems(|row| row.redirection_url = Some(url.into()));
    assert_eq!(to("https://www.example.com/welcome?x=1"), []);
    for bad in ["", "www.example.com", "javascript:alert(1)", "https://x/\r\nSet-Cookie: a=b", "https://x/ y"] {
        assert_eq!(to(bad), one("redirection_url", Code::UrlInvalid), "{bad:?}");
    }
}

#[test]
fn certificates_are_checked_with_their_keys() {
    // R82
    let put = |row| {
        let found = problems_at(1_000_000_000, Change::PutCertificate { row });
        found.into_iter().map(|(field, code, _)| (field, code)).collect::<Vec<_>>()
    };
    let good = testing::certificate("own", &["pbx.example"]);
    assert_eq!(put(good.clone()), []);
    assert_eq!(put(model::Certificate { name: "a/b".into(), ..good.clone() }), one("name", Code::NameInvalid));
    let other = testing::certificate("own", &["pbx.example"]).key;
    assert_eq!(put(model::Certificate { key: other, ..good.clone() }), one("key", Code::KeyMismatch));
    assert_eq!(put(testing::certificate("own", &[])), one("chain", Code::CertificateNoSan));
    let late = problems_at(u64::MAX / 2, Change::PutCertificate { row: good });
    assert_eq!(late[0].1, Code::CertificateExpired);
}

#[test]
fn what_holds_over_tls_towards_an_instance_is_sound() {
    // S01
    let with = |change: &dyn Fn(&mut model::BackendTls)| {
        instance_problems(|row| {
            row.backends[0].transport = Transport::Tls;
            change(&mut row.backends[0].tls);
        })
    };
    let field = |name: &str, code| one(&format!("backends[0].tls.{name}"), code);
    let pem = testing::certificate("ca", &["ca.example"]).chain;
    assert_eq!(with(&|_| ()), []);
    assert_eq!(with(&|tls| tls.authorities.clone_from(&pem)), []);
    for bad in ["nothing", "-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n"] {
        assert_eq!(with(&|tls| tls.authorities = bad.into()), field("authorities", Code::CertificateInvalid), "{bad}");
    }
    assert_eq!(with(&|tls| tls.name = "pbx.example".into()), []);
    assert_eq!(with(&|tls| tls.name = "pbx_1".into()), field("name", Code::NameInvalid));
    assert_eq!(with(&|tls| tls.certificate = "none".into()), field("certificate", Code::ReferenceUnknown));
    assert_eq!(instance_problems(|row| row.backends[0].address = "192.0.2.7".into()), [], "5060, or 5061 over TLS");
}

#[test]
fn load_balancers_are_somebody() {
    let with = |networks: &[&str]| {
        proxy_problems(|row| row.proxy_protocol = networks.iter().map(|it| it.parse().unwrap()).collect())
    };
    assert_eq!(with(&["10.0.0.1/32", "2001:db8::/64", "0.0.0.0/1"]), []);
    assert_eq!(with(&["10.0.0.1/32", "0.0.0.0/0"]), one("proxy_protocol[1]", Code::OutOfRange));
    assert_eq!(with(&["::/0"]), one("proxy_protocol[0]", Code::OutOfRange));
    assert_eq!(with(&["10.0.0.1/32"; 64]), []);
    assert_eq!(with(&["10.0.0.1/32"; 65]), one("proxy_protocol", Code::TooMany));
}
