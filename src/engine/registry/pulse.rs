//! Which devices the edge keeps the way open to by itself: those over UDP behind NAT, each at its own second of the
//! interval, so that no timer is kept for any of them and they do not all come at once.

use super::devices::{Devices, Owners, State};
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
        let mut known = std::mem::take(&mut self.known);
        for (id, device) in &mut known {
            // How long ago this device's second was.
            if (until % interval + interval - second_of(*id, interval)) % interval >= seconds {
                continue;
            }
            for way in device.ways.iter_mut().filter(|way| way.state == State::Live && way.nat) {
                // The lines of one phone have one flow.
                let first = match self.owners(&way.flow) {
                    Some(Owners::One(first)) => Some(first),
                    Some(Owners::Many(all)) => all.first(),
                    None => None,
                };
                if first != Some(id) {
                    continue;
                }
                match wanted(&way.flow) {
                    KeepAlive::Off => {}
                    KeepAlive::Nat => due.push(Due::Lines(way.flow)),
                    KeepAlive::Options if way.unanswered >= UNANSWERED => due.push(Due::Gone(way.flow)),
                    KeepAlive::Options => {
                        way.unanswered += 1;
                        due.push(Due::Options(way.flow, device.account.clone()));
                    }
                }
            }
        }
        self.known = known;
    }

    /// A device answered an OPTIONS that came over this flow.
    pub fn hear(&mut self, flow: &FlowRef) -> bool {
        let first = match self.owners(flow) {
            Some(Owners::One(first)) => *first,
            Some(Owners::Many(all)) => match all.first() {
                Some(first) => *first,
                None => return false,
            },
            None => return false,
        };
        let ways = self.known.get_mut(&first).map(|device| device.ways.iter_mut()).into_iter().flatten();
        ways.filter(|way| way.flow.is_same(flow)).map(|way| way.unanswered = 0).count() > 0
    }
}

const fn second_of(id: DeviceId, interval: u64) -> u64 {
    id.0 % interval
}
