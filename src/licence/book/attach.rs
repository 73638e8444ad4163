//! Packs and feature licences on server licences (R51 to R56).

use super::{Book, Licence};
use crate::licence::contract::may_attach;
use crate::licence::refusal::Refusal;
use crate::licence::terms::Terms;

impl Book {
    /// Attaches a pack or feature licence to a server licence.
    pub fn attach(&self, id: &str, server: &str, now: u64) -> Result<Self, Refusal> {
        let book = self.at(now).0;
        let licence = book.installed(id)?;
        let mut next = (**licence).clone();
        if next.server.as_deref() == Some(server) {
            return Ok(book);
        }
        book.may_be_on(licence, server)?;
        next.server = Some(server.to_owned());
        Ok(book.with([next]))
    }

    /// Takes a pack or feature licence off its server licence. It keeps its entitlement (R55).
    pub fn release(&self, id: &str, now: u64) -> Result<Self, Refusal> {
        let book = self.at(now).0;
        let licence = book.installed(id)?;
        if licence.server.is_none() {
            return Err(Refusal::new("R53", "not-attached", format!("{id} is attached to no server licence")));
        }
        Ok(book.with([Licence { server: None, ..(**licence).clone() }]))
    }

    /// Whether a licence may be attached to this server licence.
    pub(super) fn may_be_on(&self, licence: &Licence, server: &str) -> Result<(), Refusal> {
        let id = licence.document.id();
        let named = match &licence.document.body().terms {
            Terms::Pack(pack) => pack.server.as_deref(),
            Terms::Feature(feature) => Some(feature.server.as_str()),
            other => {
                let text = format!("{id} is a {}: only packs and feature licences are attached", other.kind());
                return Err(Refusal::new("R53", "not-attachable", text));
            }
        };
        if let Some(named) = named.filter(|named| *named != server) {
            let text = format!("{id} was issued for the server licence {named}, not for {server}");
            return Err(Refusal::new("R53", "other-server-licence", text));
        }
        if let Some(other) = licence.server.as_deref().filter(|other| *other != server) {
            let text = format!("{id} is attached to the server licence {other}: release it there first");
            return Err(Refusal::new("R53", "attached-elsewhere", text));
        }
        let Some((terms, reached)) = self.server(server) else {
            return Err(Refusal::new("R53", "no-server-licence", format!("there is no server licence {server}")));
        };
        if !terms.edition.grows() {
            let text = format!("{server} is of the free edition, which has {} users and no more", terms.included);
            return Err(Refusal::new("R52", "free-edition", text).with("licensed", terms.included));
        }
        may_attach(id, licence.reached, reached)?;
        let Terms::Pack(pack) = &licence.document.body().terms else { return Ok(()) };
        let cap = terms.edition.cap();
        if cap == u32::MAX {
            return Ok(());
        }
        // R51: an edition's cap counts every pack that is attached.
        let others: u64 = self
            .present()
            .filter(|it| it.server.as_deref() == Some(server) && it.document.id() != id)
            .map(|it| match &it.document.body().terms {
                Terms::Pack(pack) => u64::from(pack.count),
                _ => 0,
            })
            .sum();
        let users = u64::from(terms.included) + others + u64::from(pack.count);
        if users <= u64::from(cap) {
            return Ok(());
        }
        let text = format!(
            "with {id} the server licence {server} would have {users} users, and the {} edition has at most {cap}",
            terms.edition.name()
        );
        Err(Refusal::new("R51", "edition-full", text).with("users", users).with("cap", cap))
    }

    pub(super) fn installed(&self, id: &str) -> Result<&std::sync::Arc<Licence>, Refusal> {
        self.licence(id)
            .filter(|it| !it.removed)
            .ok_or_else(|| Refusal::new("R53", "no-licence", format!("there is no licence {id}")))
    }
}
