//! The dry run: what would be refused right now with another booking, another licence, or on another machine.
//!
//! Changes are made on paper, as for a plan; then the users who are registered are counted against what their
//! instances would be allowed. Whoever came first would stay, as at registration; nobody is cut in any case (R67).

use super::desk::asked;
use super::state::by_name;
use super::view::{DryRun, Supposed, WouldRefuse};
use crate::control::change::{Asked, Change};
use crate::control::draft::Draft;
use crate::control::error::ServiceError;
use crate::control::service::Service;
use crate::control::usage::Registered;
use crate::licence::hardware::Machine;
use crate::licence::terms::moment;
use crate::licence::{Allowance, Book, Now, armour, binding};
use crate::model::{Instance, Kind, Seats};

/// Users named for each instance.
const NAMED: usize = 1_000;

impl Service {
    /// What would be refused right now.
    pub async fn dry_run(&self, supposed: &Supposed) -> Result<DryRun, ServiceError> {
        self.rows.refresh().await?;
        let held = self.rows.read();
        let now = held.premises.now();
        let mut draft = Draft::new(&held, now).on(&*self.usage);
        for change in changes(supposed) {
            draft.make(&change)?;
        }
        draft.check();
        let mut run = DryRun { problems: std::mem::take(&mut draft.problems), ..DryRun::default() };
        let book = if supposed.moved {
            let moved = draft.book.on(elsewhere(&held.premises.machine), now).0;
            run.notes = moving(&moved, now);
            moved
        } else {
            (*draft.book).clone()
        };
        for before in by_name(&held) {
            let after = draft.instances.get(&before.id).map_or(before, |kept| &*kept.row);
            let (was, is) = (held.shelf.book.allowance(before), book.allowance(after));
            let counted = self.usage.seats(before.id);
            let found = compare(after, &was, &is, now, counted, self.usage.registered(before.id));
            run.refused = run.refused.saturating_add(found.refused.full).saturating_add(found.refused.light);
            if was != is || found.refused != Seats::default() {
                run.instances.push(found);
            }
        }
        Ok(run)
    }
}

fn changes(supposed: &Supposed) -> Vec<Asked> {
    let booking = supposed.booking.as_ref().map(|it| {
        let (name, licence) = (it.instance.clone(), it.licence.clone());
        Change::SetLicence { name, licence }.into()
    });
    // A second submit is what the operator would make of a warning (R59).
    let documents = supposed.document.iter().flat_map(|text| armour::split(text)).map(|text| asked(text, true));
    documents.chain(booking).collect()
}

/// A machine with the same CPU and another key pair (R57).
fn elsewhere(machine: &Machine) -> crate::licence::HardwareId {
    Machine { cpu: machine.cpu.clone(), key: machine.key.map(|byte| !byte) }.id()
}

/// What a move would mean for the licences (R58 to R61).
fn moving(book: &Book, now: u64) -> Vec<String> {
    let ids: Vec<_> = book.present().filter(|it| it.binds()).map(|it| it.document.id().to_owned()).collect();
    if ids.is_empty() {
        return vec!["no licence is bound to this machine".into()];
    }
    vec![
        format!("{} would be worth nothing on the other machine until installed anew and confirmed", ids.join(", ")),
        format!("then until {}, and for good with the vendor's confirmation", moment(now + binding::TEMPORARY)),
        "soft clients would be refused until a backup taken before the move is restored, or the move is confirmed"
            .into(),
        "phones that are registered could refresh; nobody could register anew".into(),
    ]
}

/// The users of an instance against what it would be allowed.
fn compare(
    row: &Instance,
    was: &Allowance,
    is: &Allowance,
    now: u64,
    counted: Seats,
    registered: Vec<Registered>,
) -> WouldRefuse {
    let valid = is.standing.at(now) == Now::Active;
    let (mut left, mut total) = if valid { (is.seats, is.total) } else { (Seats::default(), 0) };
    let (mut known, mut refused, mut users) = (Seats::default(), Seats::default(), Vec::new());
    for Registered { user, kind } in registered {
        let (left, known, refused) = match kind {
            Kind::Full => (&mut left.full, &mut known.full, &mut refused.full),
            Kind::Light => (&mut left.light, &mut known.light, &mut refused.light),
        };
        *known += 1;
        if *left > 0 && total > 0 {
            *left -= 1;
            total = if total == u32::MAX { total } else { total - 1 };
        } else {
            *refused += 1;
            users.push(user);
        }
    }
    users.reverse();
    users.truncate(NAMED);
    // More have a seat than the node can name.
    let unnamed = Seats {
        full: counted.full.saturating_sub(known.full).saturating_sub(left.full),
        light: counted.light.saturating_sub(known.light).saturating_sub(left.light),
    };
    WouldRefuse {
        name: row.name.clone(),
        mode: row.licence.mode,
        before: was.seats,
        after: if valid { is.seats } else { Seats::default() },
        used: Seats { full: counted.full.max(known.full), light: counted.light.max(known.light) },
        refused: Seats { full: refused.full + unnamed.full, light: refused.light + unnamed.light },
        users,
        softphones_refused: was.softphones && !is.softphones,
    }
}
