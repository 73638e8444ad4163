//! Whether a request may be taken on: the instance's state (R34) and the bounds (T19).

use super::core::Engine;
use crate::model::State;
use crate::reason::Refusal;
use crate::route::snapshot::Instance;

impl Engine {
    /// Admits a request for an instance, and counts it as one of its live transactions. What belongs to a dialog
    /// may use a last eighth that new requests may not: calls end and go on while a flood is refused.
    pub(super) fn admit(&self, instance: &Instance, in_dialog: bool) -> Result<(), Refusal> {
        if instance.state != State::On {
            return Err(Refusal::InstanceOff);
        }
        if !self.tables.has_room(in_dialog) || self.tables.buffers.held() >= self.config.kept_bytes {
            return Err(Refusal::NodeBusy);
        }
        let limit = match u64::from(instance.limits.transactions) {
            0 => u64::MAX,
            limit if in_dialog => limit + limit.div_ceil(8),
            limit => limit,
        };
        if instance.stats.transactions.inc_within(limit) { Ok(()) } else { Err(Refusal::InstanceBusy) }
    }
}
