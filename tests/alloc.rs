//! The allocation gate: once its buffers have grown, nothing on the happy path allocates.
//!
//! A test binary of its own, because it counts every allocation of the thread that measures.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "../benches/common/mod.rs"]
mod common;

use common::{Hop, NOW, in_dialog, invite, register};
use nantucket::engine::token::{Keyring, Token};
use nantucket::ids::InstanceId;
use nantucket::sip::check;
use nantucket::sip::limits::Limits;
use nantucket::sip::view::{Index, View};

/// Allocations of 100 rounds after 20 that warm up.
fn count(mut round: impl FnMut()) -> u64 {
    (0..20).for_each(|_| round());
    allocation_counter::measure(|| (0..100).for_each(|_| round())).count_total
}

#[test]
fn the_counter_counts() {
    assert_eq!(count(|| drop(std::hint::black_box(Box::new(1)))), 100);
    assert_eq!(count(|| ()), 0);
}

#[test]
fn reading_and_judging_a_message_allocates_nothing() {
    let messages = [register(1), invite(1), in_dialog("BYE", 2, "<sip:a;lr>")];
    let mut index = Index::new();
    let counted = count(|| {
        for message in &messages {
            let view = View::read(message, &mut index, &Limits::DEFAULT).unwrap();
            assert_eq!(check::request(&view, check::Channel::Whole, &Limits::DEFAULT), check::Verdict::Ok);
        }
    });
    assert_eq!(counted, 0);
}

#[test]
fn sealing_and_opening_a_token_allocates_nothing() {
    let ring = Keyring::default().rotated(NOW, [7; 32]);
    let (mut text, mut scratch) = (Vec::new(), Vec::new());
    let token = Token::Mask { instance: InstanceId(1), text: b"sip:200@10.0.0.1:5060;transport=udp;lr" };
    let counted = count(|| {
        text.clear();
        ring.seal(&token, NOW, &mut text).unwrap();
        assert_eq!(ring.open(&text, NOW, &mut scratch), Ok(token));
    });
    assert_eq!(counted, 0);
}

#[test]
fn steering_and_editing_a_message_allocates_nothing() {
    let mut hop = Hop::new();
    let route = hop.route();
    for message in [register(1), invite(1), in_dialog("BYE", 2, &route), in_dialog("INVITE", 3, &route)] {
        let counted = count(|| assert!(hop.forward(&message) > 0));
        assert_eq!(counted, 0, "{}", String::from_utf8_lossy(&message));
    }
}
