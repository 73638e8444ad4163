//! The way back that a REGISTER leaves at the PBX (RFC 3327, RFC 5626, DESIGN 8): a Path, or for
//! PBXs without it a Contact of ours that seals the client's.

use super::entry::{self, User, read_text};
use super::hide::start_contact;
use super::{EditError, Keys, Plan, Scratch, TOKEN_PARAM};
use crate::engine::token::Token;
use crate::model::{Profile, TlsRoutes};
use crate::sip::edit::Splices;
use crate::sip::name_addr::NameAddr;
use crate::sip::uri::{Scheme, Uri};
use crate::sip::view::{Name, View};

/// The option tag of RFC 3327.
const PATH: &[u8] = b"path";

/// Writes the way back into a REGISTER, as the backend's profile wants it.
pub(super) fn way_back(view: &View<'_>, plan: &Plan<'_>, keys: Keys<'_>, edit: &mut Splices) -> Result<(), EditError> {
    match plan.profile {
        Profile::None => Ok(()),
        Profile::Contact => contacts(view, plan, keys, edit),
        Profile::AsteriskPjsip | Profile::AsteriskSip | Profile::Freeswitch | Profile::Kamailio | Profile::Generic => {
            path(view, plan, keys, edit)
        }
    }
}

/// P01. One value is enough although the sides differ: whoever follows a Path comes from inside, so
/// the outside one would never be sent to.
fn path(view: &View<'_>, plan: &Plan<'_>, keys: Keys<'_>, edit: &mut Splices) -> Result<(), EditError> {
    // P02: the PBX is ours and knows Path; whether the phone does is asked only in strict mode.
    if plan.strict_path && !view.tokens(Name::Supported).any(|tag| tag.eq_ignore_ascii_case(PATH)) {
        return Ok(());
    }
    let first_hop = view.vias().count() == 1;
    let mut sealed = Ok(());
    edit.push_row(view, Name::Path, |out| {
        out.push(b'<');
        sealed = entry::inside(&plan.ends, plan.to, |token, out| keys.seal(token, out), out);
        if first_hop {
            out.extend_from_slice(b";ob");
        }
        out.push(b'>');
    });
    sealed?;
    if !plan.strict_path {
        edit.merge_supported(view, PATH);
    }
    Ok(())
}

fn contacts(view: &View<'_>, plan: &Plan<'_>, keys: Keys<'_>, edit: &mut Splices) -> Result<(), EditError> {
    for contact in view.contacts().flatten().filter(|contact| !contact.is_star()) {
        let Ok(uri) = contact.uri() else { continue };
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            continue;
        }
        let mut sealed = Ok(());
        edit.replace_uri(&contact, |out| sealed = write_contact(&uri, plan, keys, out));
        sealed?;
    }
    Ok(())
}

fn write_contact(uri: &Uri<'_>, plan: &Plan<'_>, keys: Keys<'_>, out: &mut Vec<u8>) -> Result<(), EditError> {
    let transport = plan.ends.backend.transport;
    start_contact(entry::scheme(transport, TlsRoutes::Sips), uri, out);
    plan.ends.inside.write(out);
    entry::transport_param(transport, TlsRoutes::Sips, out);
    out.extend_from_slice(b";nt=");
    let Plan { ends, .. } = plan;
    Ok(keys.seal(&Token::Contact { instance: ends.instance, flow: ends.client, uri: uri.text }, out)?)
}

/// Puts the clients' own URIs back into the Contacts that a PBX lists in its answer to a REGISTER.
pub(super) fn restore(view: &View<'_>, keys: Keys<'_>, edit: &mut Splices, scratch: &mut Scratch) {
    for contact in view.contacts().flatten() {
        if let Some(own) = registered_uri(&contact, keys, scratch) {
            edit.replace_uri(&contact, |out| out.extend_from_slice(own));
        }
    }
}

/// The URI as its client wrote it of a Contact that we rewrote; `None` for any other Contact.
pub fn registered_uri<'s>(contact: &NameAddr<'_>, keys: Keys<'_>, scratch: &'s mut Scratch) -> Option<&'s [u8]> {
    let value = contact.uri().ok()?.param(TOKEN_PARAM)?;
    match read_text(value, keys, &mut scratch.token) {
        User::Token(_, Token::Contact { uri, .. }) => Some(uri),
        _ => None,
    }
}

/// The URI of a Contact in an answer to a REGISTER as its client wrote it, whether we rewrote it or
/// not: what a binding is known by.
pub fn own_contact<'s>(contact: &NameAddr<'s>, keys: Keys<'_>, scratch: &'s mut Scratch) -> &'s [u8] {
    registered_uri(contact, keys, scratch).unwrap_or(contact.uri_text())
}
