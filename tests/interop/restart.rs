//! All phones have a connection over TLS, and the process is restarted: they come back, and nobody's call is lost.
//!
//! `tests/run` runs the short form; `tests/run soak` the long one: 10,000 phones.

use super::pbx::Pbx;
use crate::support::lines::{Lines, Plan};
use crate::support::node::Node;
use crate::support::now;
use crate::support::{Net, PATIENCE, until};
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Duration;

struct Scale {
    phones: usize,
    callers: usize,
    /// The time over which phones begin to come back.
    within: Duration,
    /// What one costs the machine to come back: both ends of a handshake, its REGISTER at both ends, at the node and
    /// at the PBX: several times what a run alone on two cores takes, so that the bound holds beside other work too.
    cost: Duration,
}

fn scale() -> Scale {
    if super::long() {
        Scale { phones: 10_000, callers: 20, within: Duration::from_secs(5), cost: Duration::from_millis(4) }
    } else {
        Scale { phones: 300, callers: 4, within: Duration::from_secs(1), cost: Duration::from_millis(20) }
    }
}

// R73 R75 S05, 4.15: stream bindings dropped on restart.
#[test]
fn phones_that_register_again_are_back_after_a_restart_and_no_call_is_lost() {
    restart(true);
}

/// A phone's session is proof enough of who it is.
// R73 R75 S05 P04
#[test]
fn phones_that_only_connect_again_are_reachable_after_a_restart() {
    restart(false);
}

fn restart(registers_again: bool) {
    let Scale { phones, callers, within, cost } = scale();
    let net = Net::new();
    let pbx = Pbx::start(net, 11, "harbor");
    let mut node = Node::start(net);
    node.add_seats("harbor", &pbx.address(), (phones + callers) as u32, 0);
    let tls = format!("{}:5061", node.ip());
    let listeners = json!({"listeners": [
        {"number": 1, "service": "sip-udp", "bind": node.sip()},
        {"number": 2, "service": "sip-tls", "bind": tls},
    ]});
    node.must("PATCH", "/proxies/main", Some(listeners));
    node.wait_live();
    let cores = std::thread::available_parallelism().unwrap().get() as u32;
    let bound = within + cost * phones as u32 / cores + Duration::from_secs(10);
    let plan = Plan {
        to: tls.parse().unwrap(),
        name: node.fqdn(),
        tls: node.tls_client(),
        domain: "harbor".to_owned(),
        phones,
        // What one address may have is bounded.
        from: (50..250).map(|n| net.ip(n)).collect(),
        within,
        registers_again,
    };
    let began = now();
    let lines = Lines::start(plan, callers, net.ip(30), node.sip().parse().unwrap());
    until("all are registered", bound * 4, || lines.back() == phones);
    let first = began.elapsed();
    until("some calls are done", PATIENCE, || lines.calls().1 >= 20);

    // What is being set up when a process ends ends with it; who calls after that, calls nobody for a moment.
    lines.hush(true);
    lines.wait_calls();
    let began = now();
    node.program().signal("TERM");
    node.program().wait(PATIENCE);
    lines.hush(false);
    until("calls are placed while nobody is there", PATIENCE, || lines.calls().0 >= lines.calls().1 + callers);
    node.restart_stopped();
    let down = began.elapsed();
    until("all are back", bound * 4, || lines.back() == phones);
    let took = began.elapsed();
    let (_, done) = lines.calls();
    until("calls go on", PATIENCE, || lines.calls().1 >= done + 20);
    lines.hush(true);
    lines.wait_calls();

    let count = |counter: &std::sync::atomic::AtomicUsize| counter.load(Ordering::Relaxed);
    let (placed, done) = lines.calls();
    println!(
        "{phones} phones over TLS: registered in {first:?}; restarted in {down:?}, all back in {took:?} (computed: at \
         most {bound:?}); {} handshakes, {} resumed; {placed} calls, {done} of them answered and ended, the slowest \
         after {} ms; {} times told to register later",
        count(&lines.tally.handshakes),
        count(&lines.tally.resumed),
        count(&lines.tally.longest),
        count(&lines.tally.busy),
    );
    assert_eq!((placed, &*lines.tally.failed.lock().unwrap()), (done, &Default::default()), "{}", node.printed());
    // S05: tickets are good for the next process too.
    assert!(count(&lines.tally.resumed) >= phones, "{} sessions were resumed", count(&lines.tally.resumed));
    assert!(took <= bound, "{took:?} is more than the computed {bound:?}");
}
