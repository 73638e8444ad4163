//! Time passing and machines changing: contracts that begin, bindings that end, moves and backups (R54, R58 to R63).

use super::statements::Statements;
use super::{Book, Installation, Licence};
use crate::licence::binding::{Binding, State, warning_due};
use crate::licence::contract::ran;
use crate::licence::hardware::HardwareId;
use crate::licence::release::Release;
use crate::licence::terms::{Contract, Terms, moment};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// Something that happened by itself, to be told once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case", tag = "notice")]
pub enum Notice {
    /// A temporary binding ends in so many days (R60).
    Ending {
        /// Which licence.
        licence: String,
        /// Days left: 7, 3 or 1.
        days: u64,
        /// When it ends, in Unix seconds.
        until: u64,
    },
    /// A temporary binding ended (R63).
    Deactivated {
        /// Which licence.
        licence: String,
    },
    /// A licence's own time is over.
    Expired {
        /// Which licence.
        licence: String,
    },
    /// An update contract raised an entitlement (R54).
    Entitled {
        /// Which licence.
        licence: String,
        /// To which release.
        #[schema(value_type = String)]
        release: Release,
    },
    /// The machine changed: a licence is worth nothing here (R58).
    Unlicensed {
        /// Which licence.
        licence: String,
    },
    /// The machine is again the one a licence is bound to.
    Licensed {
        /// Which licence.
        licence: String,
    },
}

impl Book {
    /// The book at a later moment, and what happened until then. An earlier moment changes nothing (R60).
    pub fn at(&self, now: u64) -> (Self, Vec<Notice>) {
        let before = self.installation.seen;
        if now <= before {
            return (self.clone(), Vec::new());
        }
        let installation = Installation { seen: now, ..self.installation.clone() };
        let next = Self::settled(installation, self.licences.clone()).raised(before);
        let mut notices: Vec<Notice> = next.entitled(self).collect();
        let here = self.installation.hardware;
        for licence in next.present() {
            let id = || licence.document.id().to_owned();
            if !licence.is_expired(before) && licence.is_expired(now) {
                notices.push(Notice::Expired { licence: id() });
            }
            let State::Temporary(until) = licence.binding.state(here, before) else { continue };
            if now >= until {
                notices.push(Notice::Deactivated { licence: id() });
            } else if let Some(days) = warning_due(until, before, now) {
                notices.push(Notice::Ending { licence: id(), days, until });
            }
        }
        (next, notices)
    }

    /// The next moment at which [`Book::at`] gives something new, if none comes from outside.
    pub fn next_change(&self) -> Option<u64> {
        let seen = self.installation.seen;
        let of = |licence: &Licence| {
            let body = licence.document.body();
            let start = match &body.terms {
                Terms::Contract(contract) => Some(contract.from),
                _ => None,
            };
            let due = licence.binding.next(self.installation.hardware, seen);
            [body.expires, start, due].into_iter().flatten().filter(|at| *at > seen).min()
        };
        self.present().filter_map(of).min()
    }

    /// The book on a machine of this id (R58). The same id changes nothing.
    pub fn on(&self, hardware: HardwareId, now: u64) -> (Self, Vec<Notice>) {
        let (book, mut notices) = self.at(now);
        let before = book.installation.hardware;
        if before == hardware {
            return (book, notices);
        }
        let seen = book.installation.seen;
        let licences = book.licences.iter().map(|(id, it)| {
            let moved = Licence { binding: it.binding.moved(hardware), ..(**it).clone() };
            (id.clone(), Arc::new(moved))
        });
        let installation = Installation { hardware, ..book.installation.clone() };
        let next = Self::settled(installation, licences.collect());
        for licence in next.present().filter(|it| it.binds()) {
            let is = |machine| licence.binding.state(machine, seen) == State::Unlicensed;
            let id = || licence.document.id().to_owned();
            match (is(before), is(hardware)) {
                (false, true) => notices.push(Notice::Unlicensed { licence: id() }),
                (true, false) => notices.push(Notice::Licensed { licence: id() }),
                _ => {}
            }
        }
        (next, notices)
    }

    /// The book with what a backup of it knew (R62). The backup's documents were verified. What is here stays, what is
    /// only in the backup comes in, soft clients have their right back, and nothing lasts or entitles longer than the
    /// documents say.
    pub fn restore(&self, backup: &Self, now: u64) -> Self {
        let book = self.at(now).0;
        let mut licences = book.licences.clone();
        let (statements, taken_on) = (backup.statements(), backup.installation.hardware);
        for (id, saved) in &backup.licences {
            let here = book.licences.get(id);
            if here.is_none_or(|here| here.document.kind() == saved.document.kind()) {
                licences.insert(id.clone(), Arc::new(joined(here.map(|it| &**it), saved, &statements, taken_on)));
            }
        }
        let mut next = Self::settled(book.installation.clone(), licences).with_one_volume();
        let joined = next.clone();
        let statements = joined.statements();
        for (id, saved) in &backup.licences {
            let Some(licence) = next.licences.get(id).filter(|it| !it.removed && it.server.is_none()) else { continue };
            let Some(server) = &saved.server else { continue };
            if !statements.is_detached(licence) && next.may_be_on(licence, server).is_ok() {
                let attached = Licence { server: Some(server.clone()), ..(**licence).clone() };
                next.licences.insert(id.clone(), Arc::new(attached));
            }
        }
        Self::settled(next.installation, next.licences).raised(book.installation.seen)
    }

    /// Only the volume licence issued last is in force (R18).
    fn with_one_volume(self) -> Self {
        let volumes = || self.present().filter(|it| matches!(it.document.body().terms, Terms::Volume(_)));
        let Some(last) = volumes().max_by_key(|it| it.document.body().issued) else { return self };
        let others: Vec<_> = volumes()
            .filter(|it| it.document != last.document)
            .map(|it| Licence { removed: true, ..it.clone() })
            .collect();
        if others.is_empty() { self } else { self.with(others) }
    }

    /// With what the contracts entitle to that ran at any moment after `before` (R54).
    pub(super) fn raised(self, before: u64) -> Self {
        let seen = self.installation.seen;
        // Of two contracts the higher release counts.
        let mut running: HashMap<&str, Release> = HashMap::new();
        for contract in self.contracts().filter(|it| ran(it, before, seen)) {
            let release = running.entry(&contract.server).or_default();
            *release = contract.release.max(*release);
        }
        let statements = self.statements();
        let due = |licence: &Licence| {
            let server = if licence.binds() { Some(licence.document.id()) } else { licence.server.as_deref() };
            let release = *running.get(server?)?;
            (licence.reached < release && !statements.is_detached(licence)).then_some(release)
        };
        let raised: Vec<_> =
            self.present().filter_map(|it| Some(Licence { reached: due(it)?, ..it.clone() })).collect();
        if raised.is_empty() { self } else { self.with(raised) }
    }

    fn contracts(&self) -> impl Iterator<Item = &Contract> {
        self.present().filter(|it| !it.is_expired(self.installation.seen)).filter_map(|it| {
            match &it.document.body().terms {
                Terms::Contract(contract) => Some(contract),
                _ => None,
            }
        })
    }

    fn entitled(&self, before: &Self) -> impl Iterator<Item = Notice> {
        self.present().filter_map(|it| {
            let id = it.document.id();
            let was = before.licences.get(id)?.reached;
            (it.reached > was).then(|| Notice::Entitled { licence: id.to_owned(), release: it.reached })
        })
    }
}

/// What is known of a licence here and in a backup.
fn joined(here: Option<&Licence>, saved: &Licence, backup: &Statements<'_>, taken_on: HardwareId) -> Licence {
    let body = saved.document.body();
    let attested = saved.binding.attested(saved.issued_for(), body.issued, backup.confirmed(&body.id));
    let reached = saved.reached.min(backup.most(saved));
    let Some(here) = here else {
        let binding = Binding::default().restore(&attested, taken_on);
        return Licence { server: None, reached, binding, ..saved.clone() };
    };
    let newer = body.issued > here.document.body().issued;
    Licence {
        document: if newer { saved.document.clone() } else { here.document.clone() },
        reached: here.reached.max(reached),
        binding: here.binding.restore(&attested, taken_on),
        ..here.clone()
    }
}

impl Notice {
    /// What people are told.
    pub fn text(&self) -> String {
        match self {
            Self::Ending { licence, days, until } => {
                let unit = if *days == 1 { "day" } else { "days" };
                let end = moment(*until);
                format!(
                    "the temporary binding of {licence} ends in {days} {unit}, on {end}: ask the vendor to confirm the move"
                )
            }
            Self::Deactivated { licence } => {
                format!(
                    "the temporary binding of {licence} is over: it is deactivated until the vendor confirms the move"
                )
            }
            Self::Expired { licence } => format!("{licence} has expired"),
            Self::Entitled { licence, release } => format!("{licence} entitles to release {release}"),
            Self::Unlicensed { licence } => {
                format!("{licence} is bound to another machine: enter it anew, and ask the vendor to confirm the move")
            }
            Self::Licensed { licence } => format!("{licence} is on the machine it is bound to"),
        }
    }

    /// The licence it is about.
    pub fn licence(&self) -> &str {
        match self {
            Self::Ending { licence, .. }
            | Self::Deactivated { licence }
            | Self::Expired { licence }
            | Self::Entitled { licence, .. }
            | Self::Unlicensed { licence }
            | Self::Licensed { licence } => licence,
        }
    }
}
