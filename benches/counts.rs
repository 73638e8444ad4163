//! The instruction gate: what Valgrind counts for the work that is done for each message, against
//! `tests/golden/instructions.txt`. Time is never a gate, since machines differ and are busy; instructions hardly do.
//!
//! `cargo bench --profile counts --bench counts` compares, `tests/run` calls it so. More than 5 % above fails;
//! more than 5 % below asks to keep the gain with NANTUCKET_GOLDEN=write. Each case runs in a process of its own, twice,
//! the second time with twice the rounds: the difference is the rounds' alone, without start and preparation. Built
//! with another profile it only prints, because what the compiler inlines is another count.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "no product code")]

mod common;

use common::line::Line;
use common::seats::Office;
use common::{Hop, NOW, in_dialog, invite, register};
use nantucket::engine::token::{FlowRef, Token};
use nantucket::ids::{InstanceId, ProxyId};
use nantucket::route::handles::Handles;
use nantucket::route::resolved::Resolved;
use nantucket::sip::check;
use nantucket::sip::limits::Limits;
use nantucket::sip::view::{Index, View};
use std::fmt::Write as _;
use std::hint::black_box;
use std::process::{Command, ExitCode};

/// Share that a count may be above or below what is written down.
const MARGIN: f64 = 0.05;
/// Instructions by which even the smallest counts differ: maps draw their seeds at random.
const SPREAD: f64 = 100.0;
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/instructions.txt");
/// Milliseconds between two messages: transactions of the first rounds end while later ones begin.
const BETWEEN: u64 = 64;
/// What is counted, its rounds, and how so many are run.
type Case = (&'static str, u32, fn(u32, u32));
const CASES: &[Case] = &[
    ("view: a REGISTER, read and checked", 2_000, |rounds, _| view(rounds, &register(1))),
    ("view: an INVITE, read and checked", 2_000, |rounds, _| view(rounds, &invite(1))),
    ("edit: a REGISTER on its way to the PBX", 2_000, |rounds, _| edit(rounds, &register(1))),
    ("edit: a BYE on its way to the PBX", 2_000, |rounds, _| {
        let route = Hop::new().route();
        edit(rounds, &in_dialog("BYE", 2, &route));
    }),
    ("hop: REGISTER and 200, with a seat and its timers", 1_000, registers),
    ("hop: INVITE, 100, 180 and 200, with its timers", 1_000, calls),
    ("hop: INFO in a dialog and 200, with its timers", 1_000, in_dialogs),
    ("lookup: a complete name among 10,000", 10_000, |rounds, most| {
        lookup(rounds, most, |number| format!("t{}.pbx.example", number % 10_000 + 1));
    }),
    ("lookup: an unknown name among 10,000", 10_000, |rounds, most| {
        lookup(rounds, most, |number| format!("nobody{number}.example.com"));
    }),
    ("ledger: a refresh among 1,000 users", 5_000, |rounds, _| {
        let mut office = Office::of(1_000);
        (0..rounds).for_each(|_| office.refresh());
    }),
    ("ledger: a user comes and goes among 1,000", 5_000, |rounds, _| {
        let mut office = Office::of(1_000);
        (0..rounds).for_each(|_| office.come_and_go());
    }),
    ("token: sealed", 2_000, |rounds, _| seal(rounds)),
    ("token: opened", 2_000, |rounds, _| open(rounds)),
    ("compile: a table of 1,000 instances", 4, |rounds, _| {
        let table = common::table(1_000);
        for _ in 0..rounds {
            black_box(nantucket::route::compile(&table, &Handles::default(), &Resolved::default(), NOW));
        }
    }),
];

fn view(rounds: u32, message: &[u8]) {
    let mut index = Index::new();
    for _ in 0..rounds {
        let view = View::read(black_box(message), &mut index, &Limits::DEFAULT).unwrap();
        let _ = black_box(check::request(&view, check::Channel::Whole, &Limits::DEFAULT));
    }
}

fn edit(rounds: u32, message: &[u8]) {
    let mut hop = Hop::new();
    (0..rounds).for_each(|_| _ = black_box(hop.forward(black_box(message))));
}

/// As many messages as the longer of the two runs needs, so that making them costs both the same.
fn messages(most: u32, make: impl Fn(u32) -> Vec<u8>) -> Vec<Vec<u8>> {
    (1..=most).map(make).collect()
}

const OK: &[u8] = b"SIP/2.0 200 OK";

fn registers(rounds: u32, most: u32) {
    let (phone, mut line) = (Hop::new().flow, Line::new());
    for message in &messages(most, register)[..rounds as usize] {
        line.feed(phone, message);
        line.answer(Line::inside(), OK, b"Contact: <sip:100@192.168.1.5:5062;ob>;expires=600\r\n");
        line.pass(BETWEEN);
    }
}

fn calls(rounds: u32, most: u32) {
    let (phone, mut line) = (Hop::new().flow, Line::new());
    for message in &messages(most, invite)[..rounds as usize] {
        line.feed(phone, message);
        line.answer(Line::inside(), b"SIP/2.0 180 Ringing", b"");
        line.answer(Line::inside(), OK, b"Contact: <sip:200@10.0.0.1:5060>\r\n");
        line.pass(BETWEEN);
    }
}

fn in_dialogs(rounds: u32, most: u32) {
    let (phone, route, mut line) = (Hop::new().flow, Hop::new().route(), Line::new());
    for message in &messages(most, |serial| in_dialog("INFO", serial, &route))[..rounds as usize] {
        line.feed(phone, message);
        line.answer(Line::inside(), OK, b"");
        line.pass(BETWEEN);
    }
}

fn lookup(rounds: u32, most: u32, name: fn(u32) -> String) {
    let names: Vec<String> = (0..most).map(name).collect();
    let snapshot = common::snapshot(10_000);
    let proxy = snapshot.proxy_by_id(ProxyId(1)).unwrap();
    for name in &names[..rounds as usize] {
        _ = black_box(snapshot.resolve_host(proxy, black_box(name.as_bytes()), NOW));
    }
}

fn seal(rounds: u32) {
    let (hop, mut text) = (Hop::new(), Vec::new());
    let token = Token::ToClient { instance: InstanceId(42), flow: FlowRef::from(&hop.flow) };
    for _ in 0..rounds {
        text.clear();
        hop.ring.seal(black_box(&token), NOW, &mut text).unwrap();
    }
}

fn open(rounds: u32) {
    let (hop, mut text, mut scratch) = (Hop::new(), Vec::new(), Vec::new());
    let token = Token::ToClient { instance: InstanceId(42), flow: FlowRef::from(&hop.flow) };
    hop.ring.seal(&token, NOW, &mut text).unwrap();
    (0..rounds).for_each(|_| _ = black_box(hop.ring.open(black_box(&text), NOW, &mut scratch).unwrap().instance()));
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let [_, first, case, rounds] = &words[..]
        && first == "case"
    {
        let (_, most, run) = CASES[case.parse::<usize>().unwrap()];
        run(rounds.parse().unwrap(), most * 2);
        return ExitCode::SUCCESS;
    }
    let counts: Vec<(&str, f64)> = (0..CASES.len()).map(|case| (CASES[case].0, count(case))).collect();
    if std::env::var_os("NANTUCKET_GOLDEN").is_some_and(|it| it == "write") {
        let text = counts.iter().fold(String::new(), |mut text, (name, count)| {
            let _ = writeln!(text, "{count:>10.0}  {name}");
            text
        });
        std::fs::write(GOLDEN, text).unwrap();
    }
    let known = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    let known: Vec<(&str, f64)> = known
        .lines()
        .filter_map(|line| line.trim().split_once("  "))
        .map(|(n, name)| (name, n.parse().unwrap()))
        .collect();
    let judged = std::env::current_exe().is_ok_and(|path| path.iter().any(|part| part == "counts"));
    let (mut grown, mut shrunk) = (false, known.len() != counts.len());
    for (name, count) in counts {
        let before = known.iter().find(|(known, _)| *known == name).map_or(count, |(_, count)| *count);
        let change = count / before - 1.0;
        let told = change.abs() > MARGIN && (count - before).abs() > SPREAD;
        grown |= told && change > 0.0;
        shrunk |= told && change < 0.0;
        println!("{count:>10.0}  {:+6.1} %  {name}{}", change * 100.0, if told { "  <<<" } else { "" });
    }
    if judged && grown {
        eprintln!("more instructions: if that is meant, NANTUCKET_GOLDEN=write writes them anew");
        return ExitCode::FAILURE;
    }
    if judged && shrunk {
        eprintln!("fewer instructions, or other cases: NANTUCKET_GOLDEN=write keeps what was gained");
    }
    ExitCode::SUCCESS
}

/// Instructions of one round.
fn count(case: usize) -> f64 {
    let rounds = CASES[case].1;
    let (once, twice) = (collected(case, rounds), collected(case, rounds * 2));
    (twice - once) as f64 / f64::from(rounds)
}

/// Instructions of a process that runs so many rounds.
fn collected(case: usize, rounds: u32) -> u64 {
    let own = std::env::current_exe().unwrap();
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(own);
    let said = valgrind.args(["case", &case.to_string(), &rounds.to_string()]).output().expect("valgrind");
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{text}");
    let row = text.lines().find_map(|line| line.split_once("Collected :")).expect("a count");
    row.1.trim().parse().unwrap()
}
