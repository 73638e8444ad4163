//! Which instance a request from outside is for (R4, R9, R10). It reads names; limits and states are `admit`'s.

use super::core::Moment;
use super::steer::Inbound;
use crate::ids::{Flow, InstanceId};
use crate::model::Unknown;
use crate::reason::Refusal;
use crate::route::snapshot::{Host, Instance, Proxy};
use crate::sip::method::Method;
use crate::sip::name_addr::NameAddr;
use crate::sip::uri::{Scheme, Uri};
use crate::sip::view::View;
use std::cell::Cell;
use std::sync::Arc;

/// Whom a request is for.
pub(super) enum Goal<'s> {
    /// An instance.
    Instance(&'s Arc<Instance>),
    /// The proxy itself.
    Ourselves,
}

/// Why it is for nobody.
pub(super) enum Nobody {
    /// It is refused.
    Refuse(Refusal),
    /// It is for a name we do not know, at a proxy that keeps silent.
    Silence,
}

impl From<Refusal> for Nobody {
    fn from(why: Refusal) -> Self {
        Self::Refuse(why)
    }
}

/// Finds the instance of a request without a token that says where to.
pub(super) fn find<'s>(
    moment: Moment<'s>,
    proxy: &Proxy,
    flow: Flow,
    view: &View<'_>,
    inbound: &Inbound,
    uri: &[u8],
) -> Result<Goal<'s>, Nobody> {
    let uri = if uri == view.uri() { view.request_uri() } else { Uri::parse(uri) };
    let uri = uri.map_err(|_| Refusal::Malformed)?;
    let known = Cell::new(inbound.host.map(|found| (uri.host, found)));
    let names = Names { moment, proxy, flow, known };
    let named = match inbound.instance {
        // A masked URI or an outbound proxy's name.
        Some(id) if proxy.serves(id) => Named::Instance(id, false),
        Some(_) => Named::Nobody,
        None => names.resolve(&uri),
    };
    let (id, former) = match named {
        Named::Instance(id, former) => (id, former),
        Named::Address if let Some(id) = proxy.default_instance => (id, false),
        Named::Proxy if view.method() == Method::Options && uri.user.is_none() => return Ok(Goal::Ourselves),
        Named::Proxy => (proxy.default_instance.ok_or(Refusal::UnknownInstance)?, false),
        Named::Nobody | Named::Address if proxy.unknown == Unknown::Drop => return Err(Nobody::Silence),
        Named::Nobody | Named::Address => return Err(Refusal::UnknownInstance.into()),
    };
    let instance = moment.snapshot.by_id(id).ok_or(Refusal::UnknownInstance)?;
    // R10
    let agrees = match view.method() {
        Method::Register => names.is_of(view.to().ok(), id) && names.is_of(view.from().ok(), id),
        _ => !names.is_of_another(view.from().ok(), id),
    };
    if !agrees {
        return Err(Refusal::InstanceMismatch.into());
    }
    if former {
        instance.stats.former_name.inc();
    }
    Ok(Goal::Instance(instance))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    Instance(InstanceId, bool),
    Proxy,
    /// An IP literal that is not ours: no name at all.
    Address,
    Nobody,
}

struct Names<'a> {
    moment: Moment<'a>,
    proxy: &'a Proxy,
    flow: Flow,
    /// The host that was looked up last: the Request-URI, To and From mostly have the same one.
    known: Cell<Option<(&'a [u8], Host)>>,
}

impl<'a> Names<'a> {
    fn resolve(&self, uri: &Uri<'a>) -> Named {
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            // A telephone number names no instance.
            return Named::Proxy;
        }
        let found = match self.known.get() {
            Some((host, found)) if host == uri.host => found,
            _ => self.moment.snapshot.resolve_host(self.proxy, uri.host, self.moment.now.unix),
        };
        self.known.set(Some((uri.host, found)));
        match found {
            Host::Instance { id, former } => Named::Instance(id, former),
            Host::Proxy => Named::Proxy,
            // A listener on every address is named by the one that was reached.
            Host::Unknown if uri.ip() == Some(self.flow.local().ip().to_canonical()) => Named::Proxy,
            Host::Unknown if uri.ip().is_some() => Named::Address,
            Host::Unknown => Named::Nobody,
        }
    }

    /// Whether an address is of this instance, by its name or by naming none at a proxy whose default it is.
    fn is_of(&self, address: Option<NameAddr<'a>>, id: InstanceId) -> bool {
        match address.as_ref().and_then(|a| a.uri().ok()).map(|uri| self.resolve(&uri)) {
            Some(Named::Instance(other, _)) => other == id,
            Some(Named::Proxy | Named::Address) => self.proxy.default_instance == Some(id),
            Some(Named::Nobody) | None => false,
        }
    }

    /// Whether an address names an instance, and not this one.
    fn is_of_another(&self, address: Option<NameAddr<'a>>, id: InstanceId) -> bool {
        let named = address.as_ref().and_then(|a| a.uri().ok()).map(|uri| self.resolve(&uri));
        matches!(named, Some(Named::Instance(other, _)) if other != id)
    }
}
