//! What clients may not see of an instance (R8), and how it is put back.
//!
//! Towards clients a foreign Record-Route value becomes a [`Token::Mask`] entry, and so does the URI
//! of every Contact that comes from a PBX, but for answers to REGISTER: those hold the clients' own.
//! Towards the PBX masks are opened again. Our own inside entries name the outside host while a
//! client carries them. Via values of PBXs never reach a client; see `request` and `response`.

use super::entry::{self, User, read};
use super::{EditError, Ends, Keys, Side};
use crate::engine::token::{Recent, Token};
use crate::sip::edit::Splices;
use crate::sip::name_addr::NameAddr;
use crate::sip::uri::{Scheme, Uri};
use crate::sip::view::{Name, View};

/// Which values of Record-Route are hidden from a client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hidden {
    /// All: the request comes from the PBX.
    All,
    /// Those above ours: the response comes from the PBX, and what is below the client sent itself.
    AboveOurs,
}

/// Turns Record-Route values into what `to` may see or needs.
pub(super) fn record_routes(
    view: &View<'_>,
    to: Side,
    hidden: Hidden,
    ends: &Ends<'_>,
    keys: Keys<'_>,
    edit: &mut Splices,
    scratch: &mut Recent,
) -> Result<(), EditError> {
    let all = view.record_routes();
    let masked = match (to, hidden) {
        (Side::Instance, _) => 0,
        (Side::Client, Hidden::All) => usize::MAX,
        (Side::Client, Hidden::AboveOurs) => above_ours(all.clone().flatten(), keys, scratch),
    };
    for (number, entry) in all.flatten().enumerate() {
        translate(&entry, to, number < masked, ends, keys, edit, scratch)?;
    }
    Ok(())
}

/// Turns the Routes that stay in a request, from number `from` to before `until`, into what `to` needs.
pub(super) fn routes(
    view: &View<'_>,
    to: Side,
    (from, until): (usize, usize),
    ends: &Ends<'_>,
    keys: Keys<'_>,
    edit: &mut Splices,
    scratch: &mut Recent,
) -> Result<(), EditError> {
    for entry in view.routes().flatten().take(until).skip(from) {
        translate(&entry, to, false, ends, keys, edit, scratch)?;
    }
    Ok(())
}

/// How many values stand above the last of ours; all of them where none is ours.
fn above_ours<'a>(entries: impl Iterator<Item = NameAddr<'a>>, keys: Keys<'_>, scratch: &mut Recent) -> usize {
    let mut last = usize::MAX;
    for (number, entry) in entries.enumerate() {
        let Ok(uri) = entry.uri() else { continue };
        if let User::Token(_, Token::ToClient { .. } | Token::ToBackend { .. }) = read(&uri, keys, scratch) {
            last = number;
        }
    }
    last
}

/// The URI of a Route as `to` needs it, where that is a strict router's (F14).
pub(super) fn strict<'s>(
    entry: &NameAddr<'s>,
    to: Side,
    keys: Keys<'_>,
    scratch: &'s mut Recent,
) -> Result<Option<&'s [u8]>, EditError> {
    let uri = entry.uri()?;
    if let (Side::Instance, User::Token(_, Token::Mask { text, .. })) = (to, read(&uri, keys, scratch)) {
        return Ok((!Uri::parse(text)?.is_loose()).then_some(text));
    }
    Ok((!uri.is_loose()).then_some(uri.text))
}

fn translate(
    entry: &NameAddr<'_>,
    to: Side,
    mask: bool,
    ends: &Ends<'_>,
    keys: Keys<'_>,
    edit: &mut Splices,
    scratch: &mut Recent,
) -> Result<(), EditError> {
    let uri = entry.uri()?;
    match (read(&uri, keys, scratch), to) {
        (User::Token(text, Token::ToClient { .. }), _) => {
            edit.replace_uri(entry, |out| entry::inside_again(ends, to, text, out));
        }
        // What another instance hid stays hidden.
        (User::Token(_, Token::Mask { instance, text }), Side::Instance) if instance == ends.instance => {
            edit.replace_uri(entry, |out| out.extend_from_slice(text));
        }
        (User::Token(..), _) => {}
        _ if mask => {
            let mut sealed = Ok(());
            edit.replace_uri(entry, |out| sealed = entry::mask(ends, uri.text, keys, out));
            sealed?;
        }
        _ => {}
    }
    Ok(())
}

/// Hides the Contacts of a message from the PBX. Not for answers to REGISTER: those list the clients' own.
pub(super) fn contacts(view: &View<'_>, ends: &Ends<'_>, keys: Keys<'_>, edit: &mut Splices) -> Result<(), EditError> {
    for contact in view.contacts().flatten() {
        let Some(uri) = hideable(&contact) else { continue };
        let mut sealed = Ok(());
        edit.replace_uri(&contact, |out| {
            start_contact(entry::scheme(ends.client.transport(), ends.routes), &uri, out);
            ends.outside.write(out);
            entry::transport_param(ends.client.transport(), ends.routes, out);
            out.extend_from_slice(b";nt=");
            sealed = keys.seal(&Token::Mask { instance: ends.instance, text: uri.text }, out);
        });
        sealed?;
    }
    Ok(())
}

/// The URI of a Contact that shows where it is. A GRUU names its domain and must be left alone
/// (P11, RFC 5627).
fn hideable<'a>(contact: &NameAddr<'a>) -> Option<Uri<'a>> {
    let uri = contact.uri().ok()?;
    let sip = matches!(uri.scheme, Scheme::Sip | Scheme::Sips);
    let gruu = uri.param(b"gr").is_some() && uri.ip().is_none();
    (sip && !gruu).then_some(uri)
}

/// Scheme and user part of a Contact of ours for somebody else's. A sips URI stays one, wherever it leads (F13).
pub(super) fn start_contact(scheme: &[u8], uri: &Uri<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(if uri.scheme == Scheme::Sips { b"sips:" } else { scheme });
    if let Some(user) = uri.user {
        out.extend_from_slice(user);
        out.push(b'@');
    }
}

/// Takes out what the trust boundary takes out (RFC 3325 §5, RFC 3327 §5): from clients what they
/// claim to be, towards clients what was asked to be kept from them.
pub(super) fn identity(view: &View<'_>, to: Side, edit: &mut Splices) {
    match to {
        Side::Instance => {
            for name in [Name::PAssertedIdentity, Name::PPreferredIdentity, Name::Path] {
                edit.remove_rows(view, name);
            }
        }
        Side::Client => {
            let asks = view.rows_named(Name::Privacy).any(|row| {
                view.text(row.value)
                    .split(|b| matches!(b, b';' | b','))
                    .any(|word| word.trim_ascii().eq_ignore_ascii_case(b"id"))
            });
            if asks {
                edit.remove_rows(view, Name::PAssertedIdentity);
            }
        }
    }
}
