//! SIPp with all users of many instances, each at its exact number of seats, against one Kamailio that is the
//! registrar of them all.
//!
//! `tests/run` runs the short form; `tests/run soak` the long one: 200 instances of 100 users, ten minutes.

use super::pbx::Pbx;
use super::sipp::{Over, Run};
use crate::support::Net;
use crate::support::node::Node;
use serde_json::json;
use std::time::Duration;

struct Scale {
    instances: u32,
    users: u32,
    /// Registrations a second at first, and refreshes a second then.
    rates: [u32; 2],
    /// How often each user refreshes.
    refreshes: u32,
}

const fn scale(long: bool) -> Scale {
    if long {
        Scale { instances: 200, users: 100, rates: [500, 334], refreshes: 10 }
    } else {
        Scale { instances: 20, users: 20, rates: [100, 100], refreshes: 1 }
    }
}

/// The users `from..to` of every instance, one after the other.
fn users<'a>(mut run: Run<'a>, instances: u32, range: std::ops::Range<u32>) -> Run<'a> {
    for instance in 0..instances {
        for user in range.clone() {
            run = run.account(&format!("u{user}"), &format!("i{instance}"), "");
        }
    }
    run
}

// R20 R66 R67 R69
#[test]
fn every_instance_at_its_exact_number_of_seats() {
    let Scale { instances, users: each, rates: [first, then], refreshes } = scale(super::long());
    let all = instances * each;
    let net = Net::new();
    let pbx = Pbx::start_registrar(net, 11, 4, Duration::ZERO);
    let node = Node::start(net);
    (0..instances).for_each(|n| node.add_seats(&format!("i{n}"), &pbx.address(), each, 0));
    node.wait_live();
    let sip = node.sip();
    let seats = || node.sum("nantucket_instance_seats_used", &[]) as u32;
    let refused = || node.sum("nantucket_sip_refused_total", &[]) as u32;
    let exhausted = || node.sum("nantucket_sip_refused_total", &["reason=\"seats-exhausted\""]) as u32;

    // Every seat of every instance is taken.
    let run = Run::new("register", net.ip(30), 5080, Over::Udp).to(&sip).calls(all, first, 0);
    users(run, instances, 0..each).patience(all / first + 60).start().finish();
    assert_eq!((seats(), refused()), (all, 0), "{}", node.printed());

    // All refresh; meanwhile one more user of every instance tries, and the bookings are halved.
    let run = Run::new("register", net.ip(30), 5080, Over::Udp).to(&sip).calls(all * refreshes, then, 0);
    let refreshing = users(run, instances, 0..each).patience(all * refreshes / then + 60).start();
    let one_more = |port| {
        let run = Run::new("register-refused", net.ip(31), port, Over::Udp).to(&sip).calls(instances, 50, 0);
        users(run, instances, each..each + 1).patience(120).start().finish();
    };
    one_more(5080);
    assert_eq!((seats(), exhausted()), (all, instances));
    for n in 0..instances {
        let booked = json!({"mode": "cloud", "booked": {"full": each / 2, "light": 0}});
        node.must("PUT", &format!("/instances/i{n}/licence"), Some(booked));
    }
    node.wait_live();
    one_more(5082);
    refreshing.finish();

    // Nobody lost a seat, nobody but the ones too many was refused, for whatever reason.
    assert_eq!((seats(), exhausted(), refused()), (all, 2 * instances, 2 * instances), "{}", node.printed());
    println!("{all} users of {instances} instances, {refreshes} refreshes each at {then} a second: none refused");
}
