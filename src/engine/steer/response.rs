//! The edits of a forwarded response (RFC 3261 §16.7).

use super::hide::{self, Hidden};
use super::request::content_length;
use super::{EditError, Ends, Keys, Scratch, Side, register};
use crate::ids::Transport;
use crate::sip::decimal;
use crate::sip::edit::Splices;
use crate::sip::method::Method;
use crate::sip::view::{Name, Span, View};

const FLOW_TIMER: &str = "Flow-Timer";

/// All that the edits of a forwarded response depend on beside the response.
#[derive(Clone, Copy, Debug)]
pub struct Back<'a> {
    /// The side it goes to.
    pub to: Side,
    /// The way the request went.
    pub ends: Ends<'a>,
    /// The Via rows of the request, where the side that answers was not shown them: what
    /// [`super::keep_vias`] kept of a request from a PBX.
    pub vias: Option<&'a [u8]>,
}

/// Collects the edits of a response that goes back. Its topmost Via must be ours.
///
/// # Errors
/// [`EditError`]: it cannot go back, and nothing of `edit` is to be used.
pub fn response_out(
    view: &View<'_>,
    back: &Back<'_>,
    keys: Keys<'_>,
    edit: &mut Splices,
    scratch: &mut Scratch,
) -> Result<(), EditError> {
    edit.clear();
    match back.vias {
        Some(rows) => {
            if let Some(first) = view.first(Name::Via) {
                edit.insert(first.line.start, rows);
            }
            edit.remove_rows(view, Name::Via);
        }
        None => edit.remove_value(view.top_via()?.item),
    }
    hide::record_routes(view, back.to, Hidden::AboveOurs, &back.ends, keys, edit, &mut scratch.token)?;
    hide::identity(view, back.to, edit);
    if back.to == Side::Client {
        keep(view, back.ends.transport(Side::Client), edit);
        if view.method() == Method::Register {
            register::restore(view, keys, edit, scratch);
            flow_timer(view, back.ends.transport(Side::Client), edit);
        } else {
            hide::contacts(view, &back.ends, keys, edit)?;
        }
    }
    content_length(view, back.ends.transport(back.to), edit);
    Ok(())
}

/// Seconds between two keep-alives that we ask a device for: shorter than NATs forget a way. Nothing is closed by us
/// for many times as long.
const fn keep_alive_seconds(transport: Transport) -> u32 {
    if transport.is_reliable() { 120 } else { 30 }
}

/// P09: where the PBX speaks of flows but says nothing of how often they are to be kept open.
fn flow_timer(view: &View<'_>, transport: Transport, edit: &mut Splices) {
    let outbound = || view.tokens(Name::Require).any(|tag| tag.eq_ignore_ascii_case(b"outbound"));
    if (200..300).contains(&view.status()) && outbound() && view.rows_labelled(FLOW_TIMER.as_bytes()).next().is_none() {
        edit.append_row(view, FLOW_TIMER, |out| decimal::write(keep_alive_seconds(transport), out));
    }
}

/// P12: the client next to us that offers keep-alives is told how often (RFC 6223 §5); what others said further on is
/// not ours to pass. Its Via is the one below ours.
fn keep(view: &View<'_>, transport: Transport, edit: &mut Splices) {
    if !(101..300).contains(&view.status()) {
        return;
    }
    for (number, via) in view.vias().flatten().enumerate().skip(1) {
        let Some((span, has_value)) = via.keep() else { continue };
        match (number, has_value) {
            (1, false) => edit.replace_with(Span::at(span.end), |out| {
                out.push(b'=');
                decimal::write(keep_alive_seconds(transport), out);
            }),
            (1, true) | (_, false) => {}
            (_, true) => edit.replace(span, b";keep"),
        }
    }
}
