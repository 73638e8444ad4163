//! The edits of a forwarded response (RFC 3261 §16.7).

use super::hide::{self, Hidden};
use super::request::content_length;
use super::{EditError, Ends, Keys, Scratch, Side, register};
use crate::sip::edit::Splices;
use crate::sip::method::Method;
use crate::sip::view::{Name, View};

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
        None => edit.remove_value(&view.top_via()?.item),
    }
    hide::record_routes(view, back.to, Hidden::AboveOurs, &back.ends, keys, edit, &mut scratch.token)?;
    hide::identity(view, back.to, edit);
    if back.to == Side::Client {
        if view.method() == Method::Register {
            register::restore(view, keys, edit, scratch);
        } else {
            hide::contacts(view, &back.ends, keys, edit)?;
        }
    }
    content_length(view, back.ends.transport(back.to), edit);
    Ok(())
}
