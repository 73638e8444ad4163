//! How many REGISTERs may be on their way to an instance's PBX at once, and who comes first when more want to.
//!
//! A [`Gate`] is one instance's, shared by all shards through its registry room. It follows the PBX: how long an
//! answer takes (`limit`) says how many requests it works on without a queue of its own; what does not fit is sent
//! away for as long as the queue before it needs (`lanes`), those who would lose a registration first, then those
//! who had one (`known`), then strangers. A challenge and the answer to it are both work of the PBX and both count.
//!
//! Not for calls, and no ban: nobody is kept out, only kept waiting. Called by `admit` when a REGISTER comes and by
//! `reply` when it has been answered; a permit that is dropped says that no answer came.

mod gate;
mod known;
mod lanes;
mod limit;
#[cfg(test)]
mod storm;

pub use gate::{Answer, Asked, Busy, Gate, Permit};
