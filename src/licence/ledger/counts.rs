//! How many users have a seat, by kind.

use super::Terms;
use super::claim::Holder;
use crate::model::{Kind, Seats};
use crate::reason::Refusal;

/// Users with a seat, and with one in the balance; full and light never count for each other (R48).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    /// Users with a lasting claim.
    pub used: Seats,
    /// Users of whom nobody has been granted anything yet.
    pub in_flight: Seats,
}

impl Counts {
    /// Why there is no seat for another user of a kind.
    pub(super) fn full(&self, kind: Kind, terms: &Terms) -> Option<Refusal> {
        let limit = terms.seats.of(kind);
        let (used, in_flight) = (self.used.of(kind), self.in_flight.of(kind));
        let (all, all_in_flight) = (sum(self.used), sum(self.in_flight));
        if used >= limit || all >= terms.total {
            return Some(Refusal::SeatsExhausted);
        }
        (used + in_flight >= limit || all + all_in_flight >= terms.total).then_some(Refusal::SeatsPending)
    }

    pub(super) fn add(&mut self, holder: &Holder) {
        if let Some(count) = self.place(holder) {
            *count += 1;
        }
    }

    pub(super) fn sub(&mut self, holder: &Holder) {
        if let Some(count) = self.place(holder) {
            *count -= 1;
        }
    }

    const fn place(&mut self, holder: &Holder) -> Option<&mut u32> {
        let seats = match (holder.committed(), holder.claims) {
            (_, 0) => return None,
            (0, _) => &mut self.in_flight,
            _ => &mut self.used,
        };
        Some(match holder.kind() {
            Kind::Full => &mut seats.full,
            Kind::Light => &mut seats.light,
        })
    }
}

const fn sum(seats: Seats) -> u32 {
    seats.full.saturating_add(seats.light)
}
