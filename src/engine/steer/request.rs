//! The edits of a forwarded request (RFC 3261 §16.6).

use super::entry;
use super::hide::{self, Hidden};
use super::{EditError, Ends, Inbound, Keys, Place, Scratch, Side, register};
use crate::engine::token::{Recent, Token};
use crate::ids::Transport;
use crate::model::Profile;
use crate::sip::decimal;
use crate::sip::edit::Splices;
use crate::sip::method::Method;
use crate::sip::via::Stamp;
use crate::sip::view::{Name, Span, View};
use std::net::SocketAddr;

/// The most breadth a request may have (RFC 5393 §5.3.3).
const MAX_BREADTH: &[u8] = b"60";

/// All that the edits of a forwarded request depend on beside the request.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The side it goes to.
    pub to: Side,
    /// The way it goes.
    pub ends: Ends<'a>,
    /// How the backend is told the way back to a phone.
    pub profile: Profile,
    /// The complete branch of our Via.
    pub branch: &'a [u8],
    /// Where answers to it are received: sent-by of our Via.
    pub sent_by: Place<'a>,
    /// Where it came from.
    pub source: SocketAddr,
    /// Whether a phone that does not support Path gets none (P02).
    pub strict_path: bool,
}

/// Collects the edits of a request that goes on.
///
/// # Errors
/// [`EditError`]: it cannot go on (500), and nothing of `edit` is to be used.
pub fn request_out(
    view: &View<'_>,
    inbound: &Inbound,
    plan: &Plan<'_>,
    keys: Keys<'_>,
    edit: &mut Splices,
    scratch: &mut Scratch,
) -> Result<(), EditError> {
    edit.clear();
    uri_and_routes(view, inbound, plan, keys, edit, scratch)?;
    via(view, plan, edit);
    hops(view, edit);
    hide::record_routes(view, plan.to, Hidden::All, &plan.ends, keys, edit, &mut scratch.token)?;
    if is_recorded(view.method()) {
        record_route(view, plan, keys, edit, &mut scratch.token)?;
    }
    hide::identity(view, plan.to, edit);
    match plan.to {
        Side::Client => hide::contacts(view, &plan.ends, keys, edit)?,
        Side::Instance if view.method() == Method::Register => register::way_back(view, plan, keys, edit)?,
        Side::Instance => {}
    }
    content_length(view, plan.ends.transport(plan.to), edit);
    Ok(())
}

/// The Request-URI and the Routes, in both of which our own words end here.
fn uri_and_routes(
    view: &View<'_>,
    inbound: &Inbound,
    plan: &Plan<'_>,
    keys: Keys<'_>,
    edit: &mut Splices,
    scratch: &mut Scratch,
) -> Result<(), EditError> {
    let Scratch { token, text } = scratch;
    let uri = inbound.new_uri(text).unwrap_or(view.uri());
    let end = view.routes().count() - usize::from(inbound.last_used);
    let mut kept = inbound.pops;

    // F14: what comes after us may be a strict router.
    let next = if kept < end { view.routes().nth(kept).transpose()? } else { None };
    let strict = next.map(|next| hide::strict(&next, plan.to, keys, token)).transpose()?.flatten();
    if let Some(next) = strict {
        kept += 1;
        edit.replace(view.uri_span(), next);
        let last = view.rows_named(Name::Route).last().map_or(view.headers_end(), |row| row.line.end);
        edit.replace_with(Span::at(last), |out| {
            out.extend_from_slice(b"Route: <");
            out.extend_from_slice(uri);
            out.extend_from_slice(b">\r\n");
        });
    } else if uri != view.uri() {
        edit.replace(view.uri_span(), uri);
    }
    if kept > 0 || inbound.last_used {
        edit.retain(view, Name::Route, |number, _| (kept..end).contains(&number));
    }
    hide::routes(view, plan.to, (kept, end), &plan.ends, keys, edit, token)
}

/// Ours on top. Clients do not see those of PBXs: [`keep_vias`] keeps them for the answer.
fn via(view: &View<'_>, plan: &Plan<'_>, edit: &mut Splices) {
    let transport = plan.ends.transport(plan.to);
    edit.push_row(view, Name::Via, |out| {
        out.extend_from_slice(b"SIP/2.0/");
        out.extend_from_slice(transport.via_name().as_bytes());
        out.push(b' ');
        plan.sent_by.write(out);
        out.extend_from_slice(b";branch=");
        out.extend_from_slice(plan.branch);
        if transport == Transport::Udp {
            out.extend_from_slice(b";rport");
        }
    });
    match plan.to {
        Side::Client => edit.remove_rows(view, Name::Via),
        Side::Instance => {
            if let Ok(top) = view.top_via() {
                edit.stamp(&top.stamp(plan.source));
            }
        }
    }
}

/// Appends the Via rows of a request as its answer must carry them: stamped with where it came from
/// (X03), nothing else changed.
pub fn keep_vias(view: &View<'_>, source: SocketAddr, out: &mut Vec<u8>) {
    let stamp = view.top_via().ok().map(|top| top.stamp(source));
    let mut changes = stamp.iter().flat_map(Stamp::changes).peekable();
    for row in view.rows_named(Name::Via) {
        let mut at = row.line.start;
        while let Some((span, mark)) = changes.next_if(|(span, _)| span.start < row.line.end) {
            out.extend_from_slice(view.text(Span { start: at, end: span.start }));
            mark.write(out);
            at = span.end;
        }
        out.extend_from_slice(view.text(Span { start: at, end: row.line.end }));
    }
}

/// V05 and L03.
fn hops(view: &View<'_>, edit: &mut Splices) {
    match (view.first(Name::MaxForwards), view.max_forwards()) {
        (Some(row), Some(Ok(hops))) => edit.replace_with(row.value, |out| decimal::write(hops.saturating_sub(1), out)),
        _ => edit.set(view, Name::MaxForwards, b"70"),
    }

    let breadth = view.value(Name::MaxBreadth);
    let fits = breadth.and_then(|value| std::str::from_utf8(value).ok()?.parse::<u8>().ok()).is_some_and(|n| n <= 60);
    if !fits {
        edit.set(view, Name::MaxBreadth, MAX_BREADTH);
    }
}

/// F09: what makes a dialog or changes its target.
fn is_recorded(method: Method<'_>) -> bool {
    matches!(
        method,
        Method::Invite | Method::Subscribe | Method::Notify | Method::Refer | Method::Update | Method::Other(_)
    )
}

/// F08, F10: two values, because the sides differ; the one of the side it goes to on top. Each has a row of its own:
/// linphone gives a row's second value back twice, and its route set is then wrong.
fn record_route(
    view: &View<'_>,
    plan: &Plan<'_>,
    keys: Keys<'_>,
    edit: &mut Splices,
    scratch: &mut Recent,
) -> Result<(), EditError> {
    let mut sealed = Ok(());
    for side in [plan.to, plan.to.other()] {
        edit.push_row(view, Name::RecordRoute, |out| {
            out.push(b'<');
            let seal = |token: &Token<'_>, out: &mut Vec<u8>| keys.seal_known(token, scratch, out);
            let written = match side {
                Side::Instance => entry::inside(&plan.ends, plan.to, seal, out),
                Side::Client => entry::outside(&plan.ends, seal, out),
            };
            if let Err(error) = written {
                sealed = Err(error.into());
            }
            out.push(b'>');
        });
    }
    sealed
}

/// F17: a stream needs it.
pub(super) fn content_length(view: &View<'_>, transport: Transport, edit: &mut Splices) {
    if transport.is_reliable() && view.count(Name::ContentLength) == 0 {
        let length = view.body_span().len();
        edit.append_row(view, Name::ContentLength.text(), |out| decimal::write(length as u32, out));
    }
}
