//! What all licences come to, worked out once for each book and read for every instance (R18, R51, R56, R58).

use super::{Installation, Licence};
use crate::licence::allowance::{Allowance, Standing};
use crate::licence::binding::State;
use crate::licence::contract::counts;
use crate::licence::terms::{Right, Terms};
use crate::model::{Kind, Mode, Seats};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The pool, and what each server licence gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Grants {
    pool: Option<Pool>,
    servers: HashMap<String, Allowance>,
}

#[derive(Clone, Debug, PartialEq)]
struct Pool {
    users: Seats,
    standing: Standing,
    softphones: bool,
}

impl Grants {
    pub(super) fn of(installation: &Installation, licences: &BTreeMap<String, Arc<Licence>>) -> Self {
        let mut grants = Self::default();
        let present = || licences.values().map(|it| &**it).filter(|it| !it.removed);
        for licence in present() {
            let standing = standing(licence, installation);
            let with_rights = licence.binding.has_rights(installation.hardware, installation.seen);
            match &licence.document.body().terms {
                Terms::Volume(volume) => {
                    let softphones = with_rights && volume.rights.contains(&Right::Softphone);
                    grants.pool = Some(Pool { users: volume.users, standing, softphones });
                }
                Terms::Server(server) => {
                    let seats = Seats { full: server.included, light: 0 };
                    let softphones = with_rights && server.rights.contains(&Right::Softphone);
                    let (mode, total) = (Mode::Dedicated, server.edition.cap());
                    let allowance = Allowance { mode, seats, total, standing, softphones };
                    grants.servers.insert(licence.document.id().to_owned(), allowance);
                }
                _ => {}
            }
        }
        for licence in present().filter(|it| !it.is_expired(installation.seen)) {
            let Some(server) = licence.server.as_ref().and_then(|id| licences.get(id)) else { continue };
            let Some(allowance) = grants.servers.get_mut(server.document.id()) else { continue };
            // R56
            if counts(licence.reached, server.reached) {
                let with_rights = server.binding.has_rights(installation.hardware, installation.seen);
                add(allowance, &licence.document.body().terms, with_rights);
            }
        }
        grants
    }

    pub(super) fn cloud(&self, booked: Seats) -> Allowance {
        let (standing, softphones) =
            self.pool.as_ref().map_or((Standing::Unlicensed, false), |pool| (pool.standing, pool.softphones));
        // R20: the booking, whatever else is free.
        Allowance { mode: Mode::Cloud, seats: booked, total: u32::MAX, standing, softphones }
    }

    pub(super) fn dedicated(&self, server: Option<&str>) -> Allowance {
        server.and_then(|id| self.servers.get(id)).cloned().unwrap_or(Allowance {
            mode: Mode::Dedicated,
            seats: Seats::default(),
            total: u32::MAX,
            standing: Standing::Unlicensed,
            softphones: false,
        })
    }

    pub(super) fn pool(&self) -> Option<Seats> {
        self.pool.as_ref().map(|pool| pool.users)
    }
}

fn add(allowance: &mut Allowance, terms: &Terms, with_rights: bool) {
    match terms {
        Terms::Pack(pack) => {
            let seats = match pack.kind {
                Kind::Full => &mut allowance.seats.full,
                Kind::Light => &mut allowance.seats.light,
            };
            *seats = seats.saturating_add(pack.count);
        }
        Terms::Feature(feature) => {
            allowance.softphones |= with_rights && feature.rights.contains(&Right::Softphone);
        }
        _ => {}
    }
}

/// The binding's state, and the document's own end.
fn standing(licence: &Licence, installation: &Installation) -> Standing {
    let expires = licence.document.body().expires;
    if licence.is_expired(installation.seen) {
        return Standing::Deactivated;
    }
    match licence.binding.state(installation.hardware, installation.seen) {
        State::Unlicensed => Standing::Unlicensed,
        State::Deactivated => Standing::Deactivated,
        State::Permanent => expires.map_or(Standing::Active, Standing::Until),
        State::Temporary(deadline) => Standing::Until(expires.map_or(deadline, |expires| expires.min(deadline))),
    }
}
