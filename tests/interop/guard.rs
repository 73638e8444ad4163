//! The guard before a real PBX: what SIPVicious learns, and what an office behind one address feels of one wrong
//! password.

use super::pbx::Pbx;
use crate::support::herd::{Herd, Phone};
use crate::support::node::Node;
use crate::support::program::Program;
use crate::support::{Net, PATIENCE, until};
use serde_json::Value;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// SIPVicious as Debian has it, or with the User-Agent of a desk phone.
struct Vicious {
    dir: tempfile::TempDir,
    at: PathBuf,
}

impl Vicious {
    fn plain() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), at: "/usr/share/sipvicious".into() }
    }

    fn disguised() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let copied = Command::new("cp").args(["-r", "/usr/share/sipvicious"]).arg(dir.path()).status().unwrap();
        assert!(copied.success(), "sipvicious is not installed");
        let at = dir.path().join("sipvicious");
        let helper = at.join("sipvicious/libs/svhelper.py");
        let text = std::fs::read_to_string(&helper).unwrap();
        assert!(text.contains("'friendly-scanner'"), "another SIPVicious than the one this test knows");
        std::fs::write(&helper, text.replace("friendly-scanner", "Yealink SIP-T46U 108.86.0.20")).unwrap();
        Self { dir, at }
    }

    /// Runs a tool from an address; what it printed.
    fn run(&self, tool: &str, from: Ipv4Addr, args: &[&str]) -> String {
        let module = format!("from sipvicious.{tool} import main; main()");
        let mut command = Command::new("python3");
        command.args(["-c", &module, "-b", &from.to_string(), "-v"]).args(args);
        command.env("PYTHONPATH", &self.at).env("HOME", self.dir.path()).current_dir(self.dir.path());
        let mut program = Program::start(&mut command);
        program.wait(Duration::from_secs(90));
        program.printed()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path: &Path = &self.dir.path().join(name);
        std::fs::write(path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn bans(node: &Node, source: Ipv4Addr) -> Vec<Value> {
    let found = node.must("GET", &format!("/bans?source={source}"), None);
    found["items"].as_array().unwrap().clone()
}

// R9 R70
#[test]
fn sipvicious_learns_nothing_and_is_stopped() {
    let net = Net::new();
    // This PBX says 404 for accounts it does not have: without the guard, they could be listed.
    let pbx = Pbx::start_telling(net, 11, "harbor");
    let node = Node::start(net);
    node.add_instance("harbor", &pbx.address(), "udp");
    let mut owner = Herd::new(net.ip(30), &node.sip(), [Phone::new("600", "harbor")]);
    owner.register(Duration::ZERO, PATIENCE);
    assert_eq!(owner.registered(), 1, "{:?}", owner.refusals());
    let ip = node.ip().to_string();

    // As it comes, it gets no answer at all, and a ban.
    let plain = Vicious::plain();
    for _ in 0..3 {
        let map = plain.run("svmap", net.ip(40), &["-p", "5060", &ip]);
        assert!(map.contains("found nothing"), "svmap found something: {map}");
    }
    let war = plain.run("svwar", net.ip(40), &["-e595-605", "--domain=harbor", "--force", "--maximumtime=3", &ip]);
    assert!(!war.contains("reqauth") && !war.contains("noauth"), "svwar found something: {war}");
    let mapped = bans(&node, net.ip(40));
    assert!(!mapped.is_empty(), "no ban; {war}");
    assert_eq!(mapped[0]["evidence"]["user_agent"], "friendly-scanner");
    assert_eq!(mapped[0]["evidence"]["counts"][0]["kind"], "scanner");

    // In disguise it is answered, the same for accounts that exist and that do not.
    let disguised = Vicious::disguised();
    let args = ["-e595-605", "--domain=harbor", "--force", "--maximumtime=5", &ip];
    let war = disguised.run("svwar", net.ip(41), &args);
    let says = |account: &str| {
        let line = war.lines().find(|line| line.starts_with(&format!("| {account} "))).unwrap_or_default();
        line.replace(account, "").trim().to_owned()
    };
    assert!((595..=605).all(|n: u32| says(&n.to_string()) == says("600")), "accounts are told apart: {war}");
    assert!(node.sum("nantucket_guard_masked_total", &[]) > 0.0, "{war}");

    // It knows an account, and the password is in its list; it is stopped long before it comes to it.
    let guesses: String = (0..60).map(|n| format!("guess{n}\n")).collect();
    let list = disguised.file("passwords", &format!("{guesses}secret-600\n{guesses}"));
    let args = ["-u600", "-d", &list, "--domain=harbor", "--maximumtime=5", &ip];
    let crack = disguised.run("svcrack", net.ip(42), &args);
    assert!(!crack.contains("secret-600"), "svcrack found the password: {crack}");
    // svcrack takes whatever address the machine gives it.
    let cracked = bans(&node, Ipv4Addr::LOCALHOST);
    let ban = cracked.iter().find(|ban| ban["scope"] == "account" && ban["account"] == "600");
    let ban = ban.unwrap_or_else(|| panic!("{cracked:?} {crack}"));
    let evidence = &ban["evidence"];
    assert_eq!((&evidence["proven"], &evidence["method"]), (&Value::Bool(true), &Value::from("REGISTER")));
    let refused = node.sum("nantucket_guard_failures_total", &["kind=\"credentials\""]);
    // Ten are enough for a ban; svcrack does not wait for answers, so a slow PBX has been asked some more by then.
    assert!(refused <= 40.0, "the PBX was asked {refused} times");

    // The owner felt nothing of it, and a person at three in the morning reads why, and lifts it.
    owner.register(Duration::ZERO, PATIENCE);
    assert_eq!(owner.registered(), 1);
    let id = ban["id"].to_string();
    let shown = node.cli(&["ban", "show", &id]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("600") && text.contains("credentials") && text.contains("harbor"), "{text}");
    assert!(node.cli(&["ban", "lift", &id]).status.success());
    assert!(!bans(&node, Ipv4Addr::LOCALHOST).iter().any(|left| left["id"] == ban["id"]));
    let audit = node.must("GET", "/audit", None);
    assert_eq!(audit["entries"][0]["action"], "lift-ban", "{audit}");
}

// PROTOCOLS 5: a whole office behind one NAT was banned for one wrong password
#[test]
fn an_office_of_200_phones_with_one_wrong_password_stays_in_service() {
    let net = Net::new();
    let pbx = Pbx::start_registrar(net, 11, 4, Duration::ZERO);
    let node = Node::start(net);
    node.add_seats("harbor", &pbx.address(), 300, 0);
    node.wait_live();
    let office = net.ip(30);
    let mut phones = Herd::new(office, &node.sip(), (0..200).map(|n| Phone::new(&format!("u{n}"), "harbor")));
    let mut wrong = Herd::new(office, &node.sip(), [Phone::new("u900", "harbor").password("wrong")]);
    // It is there first, before anybody has credit, and does not give up.
    wrong.register(Duration::ZERO, PATIENCE);
    phones.register(Duration::from_secs(1), PATIENCE * 2);
    assert_eq!(phones.registered(), 200, "{:?}", phones.refusals());
    let mut told = std::collections::BTreeMap::new();
    for _ in 0..30 {
        wrong.register(Duration::ZERO, PATIENCE);
        wrong.refusals().into_iter().for_each(|(why, n)| *told.entry(why).or_insert(0) += n);
    }
    assert!(told.contains_key("401") && told.contains_key("403 banned"), "{told:?}");
    phones.register(Duration::from_secs(1), PATIENCE * 2);
    assert_eq!(phones.registered(), 200, "{:?}", phones.refusals());
    let bans = bans(&node, office);
    assert_eq!(bans.len(), 1, "{bans:?}");
    assert_eq!((&bans[0]["scope"], &bans[0]["account"]), (&Value::from("account"), &Value::from("u900")));

    // Its password is mended and the ban lifted: it is in at once.
    node.must("DELETE", &format!("/bans/{}", bans[0]["id"]), None);
    let mut mended = Herd::new(office, &node.sip(), [Phone::new("u900", "harbor")]);
    mended.register(Duration::ZERO, PATIENCE);
    assert_eq!(mended.registered(), 1, "{:?}", mended.refusals());
    until("all have seats", PATIENCE, || node.seats("harbor") == 201);
}
