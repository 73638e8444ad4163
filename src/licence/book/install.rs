//! Documents coming into the book, and going (R18, R21, R52 to R55, R59, R61, R64).

use super::{Book, Licence, entitlement};
use crate::licence::binding::{Binding, Entry, Halt};
use crate::licence::document::{Document, DocumentError};
use crate::licence::pool::Tally;
use crate::licence::refusal::Refusal;
use crate::licence::terms::{Confirmation, Contract, Detachment, Terms, moment};

/// What became of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Installed {
    /// It is in the new book.
    Done(Book),
    /// It was there already: nothing changes.
    Unchanged,
    /// Nothing changed yet: it is bound elsewhere. The text says so, and the same document is to be given once more,
    /// confirmed (R59).
    Confirm(String),
}

impl Book {
    /// Takes a document in. Its signature was checked by whoever read it; its time is checked here.
    pub fn install(&self, document: Document, confirmed: bool, now: u64) -> Result<Installed, Refusal> {
        let book = self.at(now).0;
        let now = book.installation.seen;
        document.check_time(now)?;
        let known = book.licence(document.id());
        if let Some(known) = known {
            is_successor(&document, &known.document)?;
        }
        let again = known.is_some_and(|known| known.document == document && !known.removed);
        let mut next = match known {
            Some(known) => known.succeeded_by(document),
            None => Licence::new(document),
        };
        let terms = next.document.body().terms.clone();
        let made = match &terms {
            Terms::Volume(_) | Terms::Server(_) => match book.bound(&next, confirmed) {
                Ok(binding) => {
                    next.binding = binding;
                    book.take(next)
                }
                Err(Halt::Warn(text)) => return Ok(Installed::Confirm(text)),
                Err(Halt::Refuse(refusal)) => Err(refusal),
            },
            _ if again => return Ok(Installed::Unchanged),
            Terms::Pack(pack) => book.tied(next, pack.server.as_deref()),
            Terms::Feature(feature) => book.tied(next, Some(&feature.server)),
            Terms::Contract(contract) => book.contracted(next, contract),
            Terms::Confirmation(confirmation) => book.confirmed(next, confirmation),
            Terms::Detachment(detachment) => book.detached(next, detachment),
        }?;
        // What runs now counts from now on.
        let made = made.raised(now.saturating_sub(1));
        Ok(if made.licences == self.licences { Installed::Unchanged } else { Installed::Done(made) })
    }

    /// Takes a licence out. `instances` is what the instances use. It is kept, and counts no more.
    pub fn remove(&self, id: &str, instances: &Tally, now: u64) -> Result<Self, Refusal> {
        let book = self.at(now).0;
        let licence = book.installed(id)?;
        let refused = |rule, code, text: String| Err(Refusal::new(rule, code, text));
        match &licence.document.body().terms {
            Terms::Volume(_) if instances.booked().total() > 0 => {
                let booked = instances.booked().total();
                let text = format!("{id} is in use: {booked} users are booked. Install another one in its place");
                return Err(Refusal::new("R18", "volume-licence-used", text).with("booked", booked));
            }
            Terms::Server(_) => {
                if let Some(name) = instances.instance_of(id) {
                    return refused("R53", "server-licence-used", format!("{id} is used by the instance {name}"));
                }
            }
            Terms::Confirmation(_) => {
                return refused("R61", "not-removable", format!("{id} is a confirmation of the vendor's and stays"));
            }
            Terms::Detachment(_) => {
                return refused("R55", "not-removable", format!("{id} is a detachment of the vendor's and stays"));
            }
            _ => {}
        }
        Ok(book.with([Licence { removed: true, ..(**licence).clone() }]))
    }

    /// The binding of a volume or server licence whose key is entered.
    fn bound(&self, licence: &Licence, confirmed: bool) -> Result<Binding, Halt> {
        let body = licence.document.body();
        let (here, now) = (self.installation.hardware, self.installation.seen);
        // A confirmation may have come first (R61).
        let statements = self.statements();
        let known = statements.confirmed(&body.id).iter();
        let binding = known.fold(licence.binding.clone(), |binding, (hardware, revoked, issued)| {
            binding.confirm(*hardware, *revoked, *issued)
        });
        binding.enter(Entry { issued_for: licence.issued_for(), issued: body.issued, confirmed }, here, now)
    }

    /// A volume or server licence: the volume licence takes the place of the one before (R21), packs that name a server
    /// licence come back by themselves (R59).
    fn take(&self, licence: Licence) -> Result<Self, Refusal> {
        let id = licence.document.id().to_owned();
        if matches!(licence.document.body().terms, Terms::Server(_)) {
            let mut book = self.with([licence]);
            let waiting: Vec<_> = book.licences.values().filter(|it| !it.removed && names(it, &id)).cloned().collect();
            let statements = self.statements();
            for licence in waiting {
                if licence.server.is_none()
                    && !statements.is_detached(&licence)
                    && book.may_be_on(&licence, &id).is_ok()
                {
                    book = book.with([Licence { server: Some(id.clone()), ..(*licence).clone() }]);
                }
            }
            return Ok(book);
        }
        let Some(before) = self.volume().filter(|it| it.document.id() != id) else { return Ok(self.with([licence])) };
        let (issued, installed) = (licence.document.body().issued, before.document.body().issued);
        if issued < installed {
            return Err(DocumentError::Older { id, issued, installed }.into());
        }
        Ok(self.with([Licence { removed: true, ..before.clone() }, licence]))
    }

    /// A pack or feature licence: attached at once if it names its server licence and that is there.
    fn tied(&self, mut licence: Licence, server: Option<&str>) -> Result<Self, Refusal> {
        let attached = licence.server.clone();
        let wanted = match (server, &attached) {
            (Some(server), None) if self.server(server).is_some() => Some(server),
            (_, Some(attached)) => Some(attached.as_str()),
            _ => None,
        };
        if let Some(wanted) = wanted {
            self.may_be_on(&licence, wanted)?;
            licence.server = Some(wanted.to_owned());
        }
        Ok(self.with([licence]))
    }

    fn contracted(&self, licence: Licence, contract: &Contract) -> Result<Self, Refusal> {
        if contract.until <= self.installation.seen {
            let text = format!("the contract {} ended on {}", licence.document.id(), moment(contract.until));
            return Err(Refusal::new("R54", "contract-over", text));
        }
        let Some((server, _)) = self.server(&contract.server) else {
            let text = format!("the contract is for the server licence {}, which is not installed", contract.server);
            return Err(Refusal::new("R54", "no-server-licence", text));
        };
        if !server.edition.grows() {
            let text = format!("{} is of the free edition, which has no version updates", contract.server);
            return Err(Refusal::new("R52", "free-edition", text));
        }
        Ok(self.with([licence]))
    }

    fn confirmed(&self, licence: Licence, confirmation: &Confirmation) -> Result<Self, Refusal> {
        let here = self.installation.hardware;
        if confirmation.hardware != here {
            let text = format!("the confirmation is for the machine {}, and this one is {here}", confirmation.hardware);
            return Err(Refusal::new("R61", "other-hardware", text));
        }
        let issued = licence.document.body().issued;
        let statements = self.statements();
        if let Some((_, _, installed)) = statements.confirmed(&confirmation.licence).last().filter(|it| it.2 > issued) {
            let installed = *installed;
            let id = licence.document.id().to_owned();
            return Err(DocumentError::Older { id, issued, installed }.into());
        }
        let known = self.licence(&confirmation.licence);
        if let Some(other) = known.filter(|it| !it.binds()) {
            let text = format!("{} is a {}, which is bound to no machine", confirmation.licence, other.document.kind());
            return Err(Refusal::new("R61", "not-bound", text));
        }
        let moved = known.map(|it| {
            let binding = it.binding.confirm(confirmation.hardware, confirmation.revoked, issued);
            Licence { binding, ..(**it).clone() }
        });
        Ok(self.with(moved.into_iter().chain([licence])))
    }

    fn detached(&self, licence: Licence, detachment: &Detachment) -> Result<Self, Refusal> {
        let pack = self.installed(&detachment.licence)?;
        if !matches!(pack.document.body().terms, Terms::Pack(_) | Terms::Feature(_)) {
            let text = format!("{} is a {}, which is attached to nothing", detachment.licence, pack.document.kind());
            return Err(Refusal::new("R55", "not-attachable", text));
        }
        if pack.server.as_deref().is_some_and(|server| server != detachment.server) {
            let text = format!("{} is not attached to the server licence {}", detachment.licence, detachment.server);
            return Err(Refusal::new("R55", "other-server-licence", text));
        }
        Ok(self.with([Licence { server: None, ..(**pack).clone() }, licence]))
    }
}

impl Licence {
    /// A later issue of the same licence: what was reached and bound stays.
    fn succeeded_by(&self, document: Document) -> Self {
        let reached = entitlement(&document).map_or(self.reached, |own| own.max(self.reached));
        // A removed one comes back unattached.
        let server = self.server.clone().filter(|_| !self.removed);
        Self { document, removed: false, server, reached, binding: self.binding.clone() }
    }
}

/// A document takes the place of one of the same id and kind that is not newer.
fn is_successor(document: &Document, known: &Document) -> Result<(), Refusal> {
    document.check_kind(known.kind())?;
    let (issued, installed) = (document.body().issued, known.body().issued);
    if issued < installed || issued == installed && document != known {
        return Err(DocumentError::Older { id: document.id().to_owned(), issued, installed }.into());
    }
    Ok(())
}

fn names(licence: &Licence, server: &str) -> bool {
    match &licence.document.body().terms {
        Terms::Pack(pack) => pack.server.as_deref() == Some(server),
        Terms::Feature(feature) => feature.server == server,
        _ => false,
    }
}
