//! A CANCEL came (RFC 3261 §9.2, §16.10). It is answered here and stands for itself; the INVITE it ends is
//! cancelled hop by hop.

use super::core::{Engine, Moment};
use super::transaction::Kind;
use super::transaction::key::Key;
use crate::ids::Flow;
use crate::reason::Refusal;
use crate::sip::view::View;

impl Engine {
    /// C01, C06. One that matches nothing gets 481 (C02): our branches are drawn at random, so passed on it would
    /// match nothing either, and the PBX would say the same.
    pub(super) fn on_cancel(&mut self, moment: Moment<'_>, flow: Flow, view: &View<'_>, key: Key) {
        let found = self.keyer.cancelled_by(view).and_then(|invite| self.tables.find(invite));
        let invite = found.and_then(|id| Some((id, self.tables.server_mut(id)?)));
        let Some((id, server)) = invite.filter(|(_, server)| server.machine.kind == Kind::Invite) else {
            return self.refuse(flow, view, key, Refusal::NoTransaction);
        };
        let (invite_key, open) = (server.key, server.machine.is_open());
        server.cancelled |= open;
        // §9.2: the same To-tag as an answer of ours to the INVITE would have.
        self.reply_stateless(flow, view, invite_key, 200, "OK", b"");
        if open {
            self.cancel_branch(moment, id);
        }
    }
}
