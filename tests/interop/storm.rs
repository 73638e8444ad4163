//! All phones of an instance come back at once, to a Kamailio that can do only so much.
//!
//! `tests/run` runs the short form; `tests/run soak` the long one: 20,000 phones within 5 seconds.

use super::pbx::Pbx;
use crate::support::herd::{Herd, Phone};
use crate::support::node::Node;
use crate::support::{Net, PATIENCE, until};
use std::time::Duration;

struct Scale {
    phones: u32,
    within: Duration,
    /// Processes of the PBX, and what a request costs each of them.
    children: u32,
    delay: Duration,
}

const fn scale(long: bool) -> Scale {
    if long {
        let (within, delay) = (Duration::from_secs(5), Duration::from_millis(4));
        Scale { phones: 20_000, within, children: 4, delay }
    } else {
        let (within, delay) = (Duration::from_millis(500), Duration::from_millis(5));
        Scale { phones: 600, within, children: 2, delay }
    }
}

// R34 R66 R69
#[test]
fn all_phones_come_back_after_a_restart() {
    let Scale { phones, within, children, delay } = scale(super::long());
    let net = Net::new();
    let pbx = Pbx::start_registrar(net, 11, children, delay);
    let node = Node::start(net);
    node.add_seats("harbor", &pbx.address(), phones, 0);
    node.wait_live();
    let all = (0..phones).map(|n| Phone::new(&format!("u{n}"), "harbor"));
    let mut herd = Herd::new(net.ip(30), &node.sip(), all);
    // What the PBX can do: two requests for each phone.
    let ideal = delay * 2 * phones / children;
    let bound = ideal.mul_f64(1.5) + Duration::from_secs(15);

    // The first time nobody is known, and it is a storm as well.
    let first = herd.register(within, bound * 2);
    assert_eq!((herd.registered() as u32, node.seats("harbor") as u32), (phones, phones), "{:?}", herd.refusals());

    node.must("POST", "/instances/harbor/stop", None);
    until("the seats are free", PATIENCE, || node.seats("harbor") == 0);
    node.must("POST", "/instances/harbor/start", None);
    node.wait_live();
    let repeated = node.sum("nantucket_sip_retransmissions_total", &["direction=\"out\""]);
    let busy = node.sum("nantucket_sip_refused_total", &["reason=\"registrar-busy\""]);
    let mut report = herd.register(within, bound * 2);
    let repeated = node.sum("nantucket_sip_retransmissions_total", &["direction=\"out\""]) - repeated;
    let busy = node.sum("nantucket_sip_refused_total", &["reason=\"registrar-busy\""]) - busy;

    assert_eq!((herd.registered() as u32, node.seats("harbor") as u32), (phones, phones), "{:?}", herd.refusals());
    assert!(report.took <= bound, "{:?} is more than the computed {bound:?}", report.took);
    // Some were told to wait, or this proves nothing.
    assert!(busy > 0.0 && report.busy > 0);
    // What was let in was answered before it would have been repeated.
    report.answers.sort();
    let at = |share: usize| report.answers[(report.answers.len() - 1) * share / 100];
    assert!(repeated <= f64::from(phones) / 100.0, "{repeated} requests were sent to the PBX again");
    println!(
        "{phones} phones within {within:?} to a PBX that registers {:.0} a second: strangers all in after {:?}, known \
         ones after {:?} (computed: at most {bound:?}; ideal: {ideal:?}); answers of the PBX after {:?} at the median, \
         {:?} at the 99th percentile; {} times told to wait, {:?} at most; {repeated} repeated towards the PBX",
        f64::from(phones) / ideal.as_secs_f64(),
        first.took,
        report.took,
        at(50),
        at(99),
        report.busy,
        report.longest_told,
    );
}
