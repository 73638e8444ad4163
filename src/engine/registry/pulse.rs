//! Which devices the edge keeps the way open to by itself: those over UDP behind NAT, each at its own second of the
//! interval, so that no timer is kept for any of them and they do not all come at once.

use super::devices::{Devices, State};
use super::packed::Key;
use crate::engine::token::FlowRef;
use crate::ids::DeviceId;
use crate::model::KeepAlive;

/// OPTIONS that a device may leave unanswered; then it is gone.
const UNANSWERED: u8 = 3;

/// What is due for a flow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Due {
    /// Line ends.
    Lines(FlowRef),
    /// An OPTIONS to this account.
    Options(FlowRef, Box<[u8]>),
    /// Its device has not answered: it is gone.
    Gone(FlowRef),
}

impl Devices {
    /// What is due in the seconds after `from` up to `until` (Unix), at this interval in seconds.
    pub fn due(
        &mut self,
        (from, until): (u64, u64),
        interval: u64,
        wanted: impl Fn(&FlowRef) -> KeepAlive,
        due: &mut Vec<Due>,
    ) {
        let interval = interval.max(1);
        let seconds = until.saturating_sub(from).min(interval);
        let due_now = |id: DeviceId| (until % interval + interval - second_of(id, interval)) % interval < seconds;
        // How long ago a device's second was tells whether it is its turn.
        let turn: Vec<u32> = self.known.iter().filter(|(_, it)| due_now(it.id)).map(|(at, _)| at).collect();
        for at in turn {
            for place in self.list(at).iter() {
                self.pulse(at, place, &wanted, due);
            }
        }
    }

    /// What is due for one way of a device.
    fn pulse(&mut self, at: u32, place: u32, wanted: &impl Fn(&FlowRef) -> KeepAlive, due: &mut Vec<Due>) {
        let Some(device) = self.known.get(at) else { return };
        let Some(way) = self.ways.get(place).filter(|way| way.state == State::Live && way.nat) else { return };
        // The lines of one phone have one flow.
        if self.first_at(way.flow.key()) != Some(place) {
            return;
        }
        let flow = way.flow.flow_ref(device.id);
        match wanted(&flow) {
            KeepAlive::Off => {}
            KeepAlive::Nat => due.push(Due::Lines(flow)),
            KeepAlive::Options if way.unanswered >= UNANSWERED => due.push(Due::Gone(flow)),
            KeepAlive::Options => {
                due.push(Due::Options(flow, device.account.to_vec().into()));
                if let Some(way) = self.ways.get_mut(place) {
                    way.unanswered += 1;
                }
            }
        }
    }

    /// A device answered an OPTIONS that came over this flow.
    pub fn hear(&mut self, flow: &FlowRef) -> bool {
        let first = self.first_at(Key::of_ref(flow)).and_then(|place| self.ways.get_mut(place));
        first.map(|way| way.unanswered = 0).is_some()
    }
}

const fn second_of(id: DeviceId, interval: u64) -> u64 {
    id.0 % interval
}
