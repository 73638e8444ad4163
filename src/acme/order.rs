//! One order at an authority, from the account to the chain.

use super::State;
use crate::model::{Acme, AcmeChallenge};
use crate::tls::challenges::{Answered, Challenges};
use instant_acme::{
    Account, AccountBuilder, AccountCredentials, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount,
    NewOrder, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// How long the authority may look at the names, and make the certificate.
const STEP: Duration = Duration::from_secs(80);

/// What an order brought.
pub(super) struct Made {
    pub(super) chain: String,
    pub(super) key: String,
}

/// Why an order failed, and what to do about it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) detail: String,
    pub(super) advice: String,
}

impl Failure {
    fn new(detail: impl Into<String>, advice: &str) -> Self {
        Self { detail: detail.into(), advice: advice.to_owned() }
    }

    pub(super) fn slow() -> Self {
        Self::new("the order took too long", "It is tried again by itself; see whether the authority has troubles.")
    }

    pub(super) fn changed() -> Self {
        Self::new("the certificate was changed while it was ordered", "It is ordered anew by itself.")
    }

    pub(super) fn ours(error: &dyn std::fmt::Display) -> Self {
        Self::new(error.to_string(), "The store did not take it; it is tried again by itself.")
    }

    fn of(error: &Error) -> Self {
        match error {
            Error::Api(problem) => {
                let kind = problem.r#type.as_deref().and_then(|kind| kind.rsplit(':').next()).unwrap_or_default();
                Self::new(error.to_string(), advice(kind))
            }
            Error::Timeout(_) => Self::slow(),
            _ => Self::new(
                chain(error),
                "The authority cannot be reached: check the directory's address, DNS, the firewall, and the root of a private authority.",
            ),
        }
    }
}

/// What to do about a problem the authority names (RFC 8555 §6.7).
fn advice(kind: &str) -> &'static str {
    match kind {
        "dns" => "The authority finds no address for the name: let its DNS record point here.",
        "connection" | "tls" => {
            "The authority cannot reach this node under the name: let its DNS record point here, open port 80 (http-01) \
             or 443 (tls-alpn-01), and have a listener there."
        }
        "unauthorized" | "incorrectResponse" => {
            "The authority did not get our answer under the name: let its DNS record point here and to nothing else, \
             and have a listener that it reaches on port 80 (http-01) or 443 (tls-alpn-01)."
        }
        "rateLimited" => "The authority wants fewer orders: it is tried again later by itself.",
        "rejectedIdentifier" | "caa" => "The authority may not issue for this name: check its CAA record and policy.",
        "userActionRequired" => "The authority's terms have changed: read them and agree again.",
        "externalAccountRequired" => "The authority demands an account that was made elsewhere; choose another one.",
        "accountDoesNotExist" => "The authority does not know the account any more: change the contact to get another.",
        _ => "The authority says what is wrong; mend that and order again.",
    }
}

/// An error with what lies behind it.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let more = inner.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = inner.source();
    }
    text
}

/// The account that was kept.
pub(super) async fn known_account(acme: &Acme, credentials: &str) -> Result<Account, Failure> {
    let credentials: AccountCredentials = serde_json::from_str(credentials).map_err(|error| Failure::ours(&error))?;
    builder(acme)?.from_credentials(credentials).await.map_err(|error| Failure::of(&error))
}

/// A new account, and what is to be kept of it.
pub(super) async fn new_account(acme: &Acme) -> Result<(Account, String), Failure> {
    let contact: Vec<String> = acme.contact.iter().map(|mail| format!("mailto:{mail}")).collect();
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let wanted =
        NewAccount { contact: &contact, terms_of_service_agreed: acme.terms_agreed, only_return_existing: false };
    let made = builder(acme)?.create(&wanted, acme.directory.clone(), None).await;
    let (account, credentials) = made.map_err(|error| Failure::of(&error))?;
    let credentials = serde_json::to_string(&credentials).map_err(|error| Failure::ours(&error))?;
    Ok((account, credentials))
}

fn builder(acme: &Acme) -> Result<AccountBuilder, Failure> {
    if acme.root.is_empty() {
        return Account::builder().map_err(|error| Failure::of(&error));
    }
    let mut file = tempfile::NamedTempFile::new().map_err(|error| Failure::ours(&error))?;
    file.write_all(acme.root.as_bytes()).map_err(|error| Failure::ours(&error))?;
    Account::builder_with_root(file.path()).map_err(|error| Failure::of(&error))
}

/// Orders, answers the challenges, and fetches the chain.
pub(super) async fn run(
    account: &Account,
    acme: &Acme,
    challenges: &Arc<Challenges>,
    progress: impl Fn(State),
) -> Result<Made, Failure> {
    let fail = |error: Error| Failure::of(&error);
    let names: Vec<Identifier> = acme.names.iter().map(|name| Identifier::Dns(name.to_ascii_lowercase())).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await.map_err(fail)?;
    progress(State::Validating);
    let answered = answer(&mut order, acme, challenges).await?;
    let patience = RetryPolicy::new().initial_delay(Duration::from_millis(250)).timeout(STEP);
    let ready = order.poll_ready(&patience).await;
    if !matches!(ready, Ok(OrderStatus::Ready)) {
        return Err(refusal(&mut order).await.unwrap_or_else(|| match ready {
            Err(error) => Failure::of(&error),
            Ok(_) => Failure::new("the authority refused the order", advice("")),
        }));
    }
    drop(answered);
    progress(State::Issuing);
    let broken = |error: rcgen::Error| Failure::ours(&error);
    let key = KeyPair::generate().map_err(broken)?;
    let names: Vec<String> = acme.names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let mut params = CertificateParams::new(names).map_err(broken)?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(broken)?;
    order.finalize_csr(request.der()).await.map_err(fail)?;
    let chain = order.poll_certificate(&patience).await.map_err(fail)?;
    Ok(Made { chain, key: key.serialize_pem() })
}

/// Sets up an answer for each name that is still to be shown to be ours.
async fn answer(
    order: &mut instant_acme::Order,
    acme: &Acme,
    challenges: &Arc<Challenges>,
) -> Result<Vec<Answered>, Failure> {
    let fail = |error: Error| Failure::of(&error);
    let full = || Failure::new("too many challenges wait already", "It is tried again by itself.");
    let mut answered = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(fail)?;
        match authorization.status {
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Valid => continue,
            _ => return Err(Failure::new("the authority refuses a name", advice("unauthorized"))),
        }
        let kind = match acme.challenge {
            AcmeChallenge::Http01 => ChallengeType::Http01,
            AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        };
        let none = || Failure::new("the authority does not offer this challenge", "Choose the other challenge.");
        let mut challenge = authorization.challenge(kind).ok_or_else(none)?;
        let authorized = challenge.key_authorization();
        answered.push(match acme.challenge {
            AcmeChallenge::Http01 => challenges.over_http(&challenge.token, authorized.as_str()).ok_or_else(full)?,
            AcmeChallenge::TlsAlpn01 => {
                let name = challenge.identifier().to_string();
                let made = challenges.over_tls(&name, authorized.digest().as_ref());
                made.map_err(|error| Failure::ours(&error))?.ok_or_else(full)?
            }
        });
        challenge.set_ready().await.map_err(fail)?;
    }
    Ok(answered)
}

/// What the authority says of the name that was not shown to be ours.
async fn refusal(order: &mut instant_acme::Order) -> Option<Failure> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.ok()?;
        let state = authorization.refresh().await.ok()?;
        let name = state.identifier().to_string();
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            let kind = problem.r#type.as_deref().and_then(|kind| kind.rsplit(':').next()).unwrap_or_default();
            return Some(Failure::new(format!("{name}: {problem}"), advice(kind)));
        }
    }
    None
}
