//! The first start: an empty table gets the proxy of the configuration.

use super::ports;
use crate::config::sections::FirstProxy;
use crate::control::change::{Actor, Change};
use crate::control::error::ServiceError;
use crate::control::service::Service;
use crate::model::{Listener, Proxy};
use std::io;

/// Who does it, in the audit.
const ACTOR: &str = "first start";

/// Why the first proxy could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FirstError {
    /// No port was free.
    #[error("first_proxy.listeners: {0}")]
    Port(#[from] io::Error),
    /// The control plane would not have it.
    #[error("first_proxy: {0}")]
    Row(#[from] ServiceError),
}

/// Makes the proxy unless the table was ever written to.
pub(super) async fn make_proxy(service: &Service, wanted: &FirstProxy) -> Result<(), FirstError> {
    let (revision, _) = service.proxies().await?;
    if revision != 0 || wanted.name.is_empty() {
        return Ok(());
    }
    let change = Change::CreateProxy { row: row(wanted)? };
    service.apply(&Actor(ACTOR.into()), vec![change.into()]).await?;
    tracing::info!(proxy = wanted.name, fqdn = wanted.fqdn, "made the first proxy");
    Ok(())
}

fn row(wanted: &FirstProxy) -> io::Result<Proxy> {
    let listeners = wanted.listeners.iter().zip(1..).map(|(listener, number)| {
        let (service, advertise) = (listener.service, listener.advertise.clone());
        Ok(Listener { number, service, bind: ports::settle(listener.bind)?, advertise })
    });
    Ok(Proxy {
        listeners: listeners.collect::<io::Result<_>>()?,
        ..Proxy::named(&wanted.name, &wanted.fqdn, &wanted.base_domain)
    })
}
