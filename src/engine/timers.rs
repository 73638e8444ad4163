//! What happens when a timer is due.

use super::core::{Engine, Moment};
use super::failure::Failure;
use super::tables::{ClientId, Due, Owner, ServerId, Which};
use super::transaction::{Change, Plan, client, server};

impl Engine {
    pub(super) fn on_timer(&mut self, moment: Moment<'_>, due: Due) {
        match due.owner {
            Owner::Client(id) => self.on_client_timer(moment, id, due.which),
            Owner::Server(id) => self.on_server_timer(moment, id, due.which),
        }
    }

    fn on_client_timer(&mut self, moment: Moment<'_>, id: ClientId, which: Which) {
        let timing = self.config.timing;
        let more = which == Which::End && self.has_more_targets(moment, id);
        let Some(client) = self.tables.client_mut(id) else { return };
        let fired = match which {
            Which::Resend => client.machine.on_resend(&timing),
            Which::End => client.machine.on_end(&timing, more),
        };
        let owner = Owner::Client(id);
        match fired {
            client::Fired::Resend(after) => {
                let Some(client) = self.tables.client(id) else { return };
                self.shared.stats.retransmissions_out.inc();
                self.out.send(client.dest, id.ticket(), |out| out.extend_from_slice(client.request.bytes()));
                self.tables.apply(owner, resend_after(after), moment.now.tick);
            }
            client::Fired::ResendCancel(after) => {
                self.shared.stats.retransmissions_out.inc();
                self.send_cancel(id);
                self.tables.apply(owner, resend_after(after), moment.now.tick);
            }
            // T12
            client::Fired::Cancel(plan) => {
                self.send_cancel(id);
                self.tables.apply(owner, plan, moment.now.tick);
            }
            client::Fired::Wait(plan) => self.tables.apply(owner, plan, moment.now.tick),
            client::Fired::Abandon(plan) => {
                self.tables.apply(owner, plan, moment.now.tick);
                self.on_silence(moment, id);
            }
            client::Fired::Timeout => self.on_branch_failed(moment, id, Failure::Timeout),
            client::Fired::Over => self.tables.close_client(id),
            client::Fired::Nothing => {}
        }
    }

    fn on_server_timer(&mut self, moment: Moment<'_>, id: ServerId, which: Which) {
        if which == Which::End && (self.on_patience(moment, id) || self.on_wait_over(moment, id)) {
            return;
        }
        let timing = self.config.timing;
        let Some(server) = self.tables.server_mut(id) else { return };
        let fired = match which {
            Which::Resend => server.machine.on_resend(&timing),
            Which::End => server.machine.on_end(),
        };
        match fired {
            server::Fired::Resend(after) => {
                self.resend_answer(id);
                self.tables.apply(Owner::Server(id), resend_after(after), moment.now.tick);
            }
            server::Fired::Trying => self.answer_trying(moment, id),
            server::Fired::Over => self.close_server(id),
            server::Fired::Nothing => {}
        }
    }
}

const fn resend_after(ms: u64) -> Plan {
    Plan { resend: Change::Start(ms), end: Change::Keep }
}
