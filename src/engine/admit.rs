//! Whether a request may be taken on: the instance's state (R34), what its sender's licence covers (R45), the bounds
//! (T19), and for a REGISTER how much its PBX can do.

use super::admission::{Answer, Asked, Busy, Permit};
use super::core::{Engine, Moment};
use super::light;
use super::registry::Room;
use super::tables::ServerId;
use crate::ids::Flow;
use crate::licence::emergency::is_emergency;
use crate::model::State;
use crate::reason::Refusal;
use crate::route::snapshot::Instance;
use crate::sip::method::Method;
use crate::sip::view::{Name, View};

/// Why a request is not taken on.
pub(super) enum Unfit {
    /// For this reason.
    For(Refusal),
    /// The PBX has enough REGISTERs at work: come back after these seconds.
    Later(u32),
}

impl From<Refusal> for Unfit {
    fn from(why: Refusal) -> Self {
        Self::For(why)
    }
}

impl Engine {
    /// Admits a request for an instance, and counts it as one of its live transactions. What belongs to a dialog
    /// may use a last eighth that new requests may not: calls end and go on while a flood is refused. So may emergency
    /// calls; no licence is ever asked for them (R71). A client's REGISTER comes with the room of its instance, which
    /// says how much the PBX can do.
    pub(super) fn admit(
        &mut self,
        moment: Moment<'_>,
        instance: &Instance,
        flow: Flow,
        view: &View<'_>,
        room: Option<&Room>,
        in_dialog: bool,
    ) -> Result<Option<Permit>, Unfit> {
        if instance.state != State::On {
            return Err(Refusal::InstanceOff.into());
        }
        light::check(flow, instance, view)?;
        if view.method() == Method::Register && self.has_connections_enough(instance, flow) {
            return Err(Refusal::InstanceConnections.into());
        }
        let emergency = view.method() == Method::Invite && is_emergency(view.uri(), &instance.emergency_numbers);
        let favoured = in_dialog || emergency;
        if !self.tables.has_room(favoured) || self.tables.buffers.held() >= self.config.kept_bytes {
            return Err(Refusal::NodeBusy.into());
        }
        // A flood of large requests for one must leave room for the others.
        if !favoured && instance.stats.kept_bytes.read() >= self.config.kept_bytes as u64 / 4 {
            return Err(Refusal::InstanceBusy.into());
        }
        let limit = match u64::from(instance.limits.transactions) {
            0 => u64::MAX,
            limit if favoured => limit + limit.div_ceil(8),
            limit => limit,
        };
        if !instance.stats.transactions.inc_within(limit) {
            return Err(Refusal::InstanceBusy.into());
        }
        let Some(room) = room else { return Ok(None) };
        let admitted = self.admit_registration(moment, room, view);
        if admitted.is_err() {
            instance.stats.transactions.dec();
        }
        admitted.map(Some).map_err(|Busy(seconds)| Unfit::Later(seconds))
    }

    /// Whether a client's connection would be one too many for the instance. What is registered over one that it has
    /// already is no further one.
    fn has_connections_enough(&self, instance: &Instance, flow: Flow) -> bool {
        let Flow::Stream { conn, listener, .. } = flow else { return false };
        !listener.is_inside()
            && instance.stats.connections.read() >= u64::from(self.config.connections)
            && !self.shared.registry.streams.carries(conn, instance.id)
    }

    fn admit_registration(&mut self, moment: Moment<'_>, room: &Room, view: &View<'_>) -> Result<Permit, Busy> {
        let registry = &self.shared.registry;
        let account = view.to().and_then(|to| to.user()).ok().flatten().unwrap_or_default();
        let credentials = view.value(Name::Authorization).or(view.value(Name::ProxyAuthorization)).is_some();
        let asked = Asked { account: registry.account(account), credentials };
        let registered = || room.with(|live| live.ledger.is_live(account) || live.bindings.has(account));
        room.gate.enter(moment.now, asked, registered, self.rng.f64())
    }

    /// A REGISTER has its final answer: the PBX has one less to do.
    pub(super) fn close_registration(&mut self, moment: Moment<'_>, id: ServerId, status: u16) {
        let Some(server) = self.tables.server_mut(id) else { return };
        let Some(permit) = server.permit.take() else { return };
        let attempts = server.tried.len();
        let sent = server.client.and_then(|branch| self.tables.client(branch)).map(|client| client.started);
        permit.close(moment.now, Answer { status, sent: sent.filter(|_| attempts == 1) });
    }
}
