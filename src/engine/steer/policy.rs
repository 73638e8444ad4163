//! What a client may not ask of its instance.

use super::analyse::{Arrival, resolve};
use super::entry::{User, read_text};
use super::{Keys, Scratch, Side, TOKEN_PARAM};
use crate::ids::InstanceId;
use crate::route::snapshot::Snapshot;
use crate::sip::view::{Name, View};

/// Whether a request for `instance` refers to another one: in Refer-To, by a name or by a masked
/// URI of it. Replaces and Referred-By name calls and people, not places, and pass (PROTOCOLS 2.10).
pub fn names_other_instance(
    view: &View<'_>,
    from: &Arrival<'_>,
    instance: InstanceId,
    keys: Keys<'_>,
    snapshot: &Snapshot,
    scratch: &mut Scratch,
) -> bool {
    if from.side != Side::Client || view.count(Name::ReferTo) == 0 {
        return false;
    }
    let Ok(uri) = view.refer_to().and_then(|to| to.uri()) else { return false };
    if let Some(text) = uri.param(TOKEN_PARAM)
        && let User::Token(_, token) = read_text(text, keys, &mut scratch.token)
    {
        return token.instance() != instance;
    }
    resolve(&uri, from, keys.now_unix, snapshot).is_some_and(|named| named != instance)
}
