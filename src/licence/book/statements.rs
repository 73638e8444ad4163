//! What the vendor's documents say about others: who was detached, confirmed, and up to which release. Gathered once
//! for a whole pass over the book.

use super::{Book, Licence, entitlement};
use crate::licence::hardware::HardwareId;
use crate::licence::release::Release;
use crate::licence::terms::Terms;
use std::collections::HashMap;

/// A confirmation: the machine, the one revoked, and the date of issue.
pub(super) type Confirmed = (HardwareId, Option<HardwareId>, u64);

/// The statements of one book.
#[derive(Default)]
pub(super) struct Statements<'a> {
    detached: HashMap<&'a str, u64>,
    confirmed: HashMap<&'a str, Vec<Confirmed>>,
    highest: Release,
}

impl Book {
    pub(super) fn statements(&self) -> Statements<'_> {
        let mut found = Statements::default();
        for licence in self.present() {
            let body = licence.document.body();
            match &body.terms {
                Terms::Detachment(it) => {
                    let last = found.detached.entry(&it.licence).or_default();
                    *last = body.issued.max(*last);
                }
                Terms::Confirmation(it) => {
                    found.confirmed.entry(&it.licence).or_default().push((it.hardware, it.revoked, body.issued));
                }
                Terms::Contract(it) => found.highest = found.highest.max(it.release),
                Terms::Volume(_) | Terms::Server(_) | Terms::Pack(_) | Terms::Feature(_) => {}
            }
        }
        for confirmed in found.confirmed.values_mut() {
            confirmed.sort_by_key(|(_, _, issued)| *issued);
        }
        found
    }
}

impl Statements<'_> {
    /// Whether the vendor took a licence out of its contract, for ever (R55). One issued anew since then is not.
    pub(super) fn is_detached(&self, licence: &Licence) -> bool {
        let issued = licence.document.body().issued;
        self.detached.get(licence.document.id()).is_some_and(|detached| *detached >= issued)
    }

    /// What the vendor confirmed of a licence, oldest first.
    pub(super) fn confirmed(&self, licence: &str) -> &[Confirmed] {
        self.confirmed.get(licence).map_or(&[], Vec::as_slice)
    }

    /// The release a licence can entitle to at most: what is written in no document is not believed.
    pub(super) fn most(&self, licence: &Licence) -> Release {
        entitlement(&licence.document).unwrap_or_default().max(self.highest)
    }
}
