//! Loops (RFC 5393, L01, L02): a request that comes back with nothing changed that routing depends on.

use super::Way;
use crate::engine::branch::Branch;
use crate::sip::view::View;
use foldhash::quality::FixedState;
use std::hash::{BuildHasher, Hash, Hasher};

/// The same on every node.
const SEED: u64 = 5_393;

/// A hash over what decides where a request goes, for our branch. Independent of the method, so that
/// ACK and CANCEL have their INVITE's; it depends on the Request-URI and the Routes as they are after
/// our own entries are gone, because with those in it would differ in every round. The same on every
/// node: its key is fixed, and forging it gains nobody more than a 482 for his own request.
pub(super) fn hash(view: &View<'_>, way: &Way, uri: &[u8], pops: usize) -> u32 {
    let mut state = FixedState::with_seed(SEED).build_hasher();
    uri.hash(&mut state);
    for route in view.routes().flatten().skip(pops) {
        route.uri_text().hash(&mut state);
    }
    match way {
        // The address may differ from round to round where an instance has several.
        Way::Table | Way::Backend(_) => 0u8.hash(&mut state),
        Way::Client(flow) => (1u8, flow).hash(&mut state),
    }
    view.call_id().hash(&mut state);
    view.from().ok().and_then(|from| from.tag()).hash(&mut state);
    view.to().ok().and_then(|to| to.tag()).hash(&mut state);
    view.cseq().ok().map(|(number, _)| number).hash(&mut state);
    let wide = state.finish();
    (wide ^ (wide >> 32)) as u32
}

/// Whether one of the Vias is ours with this hash.
pub(super) fn came_round(view: &View<'_>, hash: u32) -> bool {
    view.vias().flatten().filter_map(|via| Branch::read(via.branch()?)).any(|branch| branch.loop_hash == hash)
}
