//! What all licences together come to, and the report of it (R25).

use super::report::LicenceReport;
use super::view::{HardwareView, InstanceLicence, LicenceState, PoolView, StandingView};
use crate::control::error::ServiceError;
use crate::control::rows::Held;
use crate::control::service::Service;
use crate::licence::pool::Sum;
use crate::licence::report::report;
use crate::licence::terms::moment;
use crate::licence::{Book, Now, Standing};
use crate::model::{Instance, Mode, Seats};
use sha2::{Digest as _, Sha256};

/// Bytes of the key's fingerprint that are shown.
const SHOWN: usize = 8;

impl Service {
    /// The pool, what each instance may use, and what needs attention.
    pub async fn licence_state(&self) -> Result<LicenceState, ServiceError> {
        self.rows.refresh().await?;
        let held = self.rows.read();
        let (book, now) = (&held.shelf.book, held.premises.now());
        let instances: Vec<_> = by_name(&held).map(|row| self.instance_licence(book, row, now)).collect();
        let warnings = warnings(book, &instances, now);
        Ok(LicenceState {
            at: now,
            hardware: self.hardware(),
            pool: pool(&held),
            community: instances.iter().filter(|it| it.licence.mode == Mode::Community).count(),
            warnings: held.shelf.problems().map(|problem| problem.to_string()).chain(warnings).collect(),
            instances,
            next_change: book.next_change(),
        })
    }

    /// This machine: what its hardware id is made of (R57).
    pub fn hardware(&self) -> HardwareView {
        let held = self.rows.read();
        let machine = &held.premises.machine;
        let fingerprint = Sha256::digest(machine.key);
        HardwareView {
            id: machine.id().to_string(),
            cpu: machine.cpu.clone(),
            fingerprint: fingerprint.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    /// What is licensed, unassigned, assigned and unused, and used (R25).
    pub async fn licence_report(&self) -> Result<LicenceReport, ServiceError> {
        self.rows.refresh().await?;
        let held = self.rows.read();
        let report = report(&held.shelf.book, by_name(&held), |row| self.usage.seats(row.id));
        Ok(LicenceReport { at: held.premises.now(), hardware: held.premises.machine.id().to_string(), report })
    }

    /// Users booked beyond the volume licence (R22), as far as rows were read.
    pub fn over_allocated(&self) -> Seats {
        pool(&self.rows.read()).map_or(Seats::default(), |pool| pool.over_allocated)
    }

    fn instance_licence(&self, book: &Book, row: &Instance, now: u64) -> InstanceLicence {
        let allowance = book.allowance(row);
        let standing = match allowance.standing.at(now) {
            Now::Active => StandingView::Active,
            Now::Unlicensed => StandingView::Unlicensed,
            Now::Deactivated => StandingView::Deactivated,
        };
        InstanceLicence {
            name: row.name.clone(),
            state: row.state,
            licence: row.licence.clone(),
            seats: allowance.seats,
            total: (allowance.total != u32::MAX).then_some(allowance.total),
            standing,
            until: match allowance.standing {
                Standing::Until(end) => Some(end),
                Standing::Active | Standing::Unlicensed | Standing::Deactivated => None,
            },
            softphones: allowance.softphones,
            used: self.usage.seats(row.id),
        }
    }
}

/// Instances in the order of their names.
pub(super) fn by_name(held: &Held) -> impl Iterator<Item = &Instance> {
    let mut rows: Vec<&Instance> = held.instances.values().map(|kept| &*kept.row).collect();
    rows.sort_by_key(|row| row.name.to_ascii_lowercase());
    rows.into_iter()
}

fn pool(held: &Held) -> Option<PoolView> {
    let licence = held.shelf.book.volume()?;
    let (licensed, booked) = (held.shelf.book.pool()?, held.tally.booked());
    let each = |of: fn(u64, u64) -> u64| {
        let seats = Sum::from(licensed);
        let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Seats { full: narrow(of(seats.full, booked.full)), light: narrow(of(seats.light, booked.light)) }
    };
    Some(PoolView {
        licence: licence.document.id().to_owned(),
        licensed,
        booked: each(|_, booked| booked),
        unassigned: each(u64::saturating_sub),
        over_allocated: each(|licensed, booked| booked.saturating_sub(licensed)),
    })
}

/// What an operator should look at.
fn warnings(book: &Book, instances: &[InstanceLicence], now: u64) -> Vec<String> {
    use crate::licence::binding::State;
    let here = book.installation().hardware;
    let bindings = book.present().filter(|it| it.binds()).filter_map(|licence| {
        let id = licence.document.id();
        match licence.binding.state(here, now) {
            State::Unlicensed => Some(format!("{id} belongs to another machine: install it anew and confirm (R59)")),
            State::Temporary(end) => {
                Some(format!("{id} is bound until {}: ask the vendor to confirm the move (R60, R61)", moment(end)))
            }
            State::Deactivated => Some(format!("{id} is deactivated until the vendor confirms the move (R63)")),
            State::Permanent => None,
        }
    });
    let over = |kind: &str, over: u32| format!("the volume licence is over-allocated by {over} {kind} users (R22)");
    let community = instances.iter().filter(|it| it.licence.mode == Mode::Community).count();
    let many = (community > 3).then(|| format!("there are {community} community instances, 3 are allowed (R15)"));
    let unlicensed = instances
        .iter()
        .filter(|it| it.standing != StandingView::Active)
        .map(|it| format!("{} has no valid licence: new registrations are refused", it.name));
    let (licensed, booked) = instances
        .iter()
        .filter(|it| it.licence.mode == Mode::Cloud && crate::licence::pool::is_on(it.state))
        .fold((book.pool().unwrap_or_default(), Sum::default()), |(licensed, sum), it| {
            let booked = Sum::from(it.licence.booked);
            (licensed, Sum { full: sum.full + booked.full, light: sum.light + booked.light })
        });
    let beyond = [("full", booked.full, licensed.full), ("light", booked.light, licensed.light)]
        .into_iter()
        .filter_map(|(kind, booked, licensed)| {
            let by = booked.saturating_sub(licensed.into());
            (by > 0).then(|| over(kind, u32::try_from(by).unwrap_or(u32::MAX)))
        });
    bindings.chain(many).chain(beyond).chain(unlicensed).collect()
}
