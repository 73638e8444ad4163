//! `/registrations`: who is registered, over all instances, page by page; and the end of a registration.
//!
//! A list goes on behind the last id of the page before: what comes and goes meanwhile moves nothing. An end frees
//! the seat; the phone is told by the end of its connection where it has one.

use super::list::Part;
use crate::admin::Api;
use crate::admin::auth::Actor;
use crate::admin::extract::{Ask, Named};
use crate::admin::live::{Binding, Place, Search, Seen};
use crate::admin::problem::{Code, Problem};
use crate::admin::view::{Count, Ended, EndedList, Registration, RegistrationPage};
use crate::control::store::NewAudit;
use crate::ids::{InstanceId, Transport};
use crate::route::snapshot::{Instance, Snapshot};
use axum::extract::State;
use axum::{Extension, Json};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ipnet::IpNet;
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::Arc;
use utoipa::IntoParams;

/// Ends that are recorded and made at a time.
const AT_ONCE: usize = 500;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    /// How many items, 1 to 1000; 100 if absent.
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
    /// Only of the instance of this name.
    instance: Option<String>,
    /// Only of this user; without a list of users, an account is its own user.
    user: Option<String>,
    /// Only of this account.
    account: Option<String>,
    /// Only devices whose User-Agent or instance id holds this text, in any case.
    device: Option<String>,
    /// Only from this address or network, as in `192.0.2.0/24`.
    source: Option<String>,
    /// Only over this transport.
    transport: Option<Transport>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Of the instance of this name.
    instance: String,
    /// Only of this user; without a list of users, an account is its own user.
    user: Option<String>,
    /// Only of this account.
    account: Option<String>,
}

/// List registrations.
///
/// In the order of instance, account and contact.
#[utoipa::path(get, path = "/registrations", operation_id = "list_registrations", tag = "registrations", params(Filter),
    responses((status = 200, body = RegistrationPage), (status = "default", body = Problem)))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Ask(filter): Ask<Filter>,
) -> Result<Json<RegistrationPage>, Problem> {
    let limit = Part::limit(filter.limit)?;
    let snapshot = api.cell.load();
    let asked = Asked::new(&filter)?;
    let after = filter.after.as_deref().map(|text| read_id(text).ok_or_else(no_cursor)).transpose()?;
    let mut items = Vec::new();
    for instance in asked.instances(&snapshot)? {
        let place = match &after {
            Some((id, _)) if instance.id < *id => continue,
            Some((id, place)) if instance.id == *id => Some(place),
            _ => None,
        };
        // One more than asked for tells whether there is more.
        let most = limit + 1 - items.len();
        let found = asked.look(instance, |search| api.live.registrations(instance.id, search, place, most));
        items.extend(found.into_iter().map(|(place, binding)| show(instance, &place, binding)));
        if items.len() > limit {
            break;
        }
    }
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|it| it.id.clone());
    Ok(Json(RegistrationPage { items, next }))
}

/// Count registrations.
#[utoipa::path(get, path = "/registrations/count", operation_id = "count_registrations", tag = "registrations",
    params(Filter), responses((status = 200, body = Count), (status = "default", body = Problem)))]
pub(super) async fn count(State(api): State<Arc<Api>>, Ask(filter): Ask<Filter>) -> Result<Json<Count>, Problem> {
    if filter.limit.is_some() || filter.after.is_some() {
        return Err(Problem::new(Code::BadParameter, "a count has no pages: leave out limit and after"));
    }
    let snapshot = api.cell.load();
    let asked = Asked::new(&filter)?;
    let counts = asked
        .instances(&snapshot)?
        .map(|instance| asked.look(instance, |search| api.live.count_registrations(instance.id, search)));
    Ok(Json(Count { count: counts.sum() }))
}

/// End one registration.
#[utoipa::path(delete, path = "/registrations/{id}", operation_id = "end_registration", tag = "registrations",
    params(("id" = String, Path)),
    responses((status = 200, body = EndedList), (status = "default", body = Problem)))]
pub(super) async fn end(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Named(id): Named,
) -> Result<Json<EndedList>, Problem> {
    let gone = || Problem::new(Code::NotFound, format!("there is no registration {id}; it may have ended"));
    let (instance, place) = read_id(&id).ok_or_else(gone)?;
    let snapshot = api.cell.load();
    let instance = snapshot.by_id(instance).ok_or_else(gone)?;
    let found = {
        let search = Search { account: Some(&place.account), wanted: &|seen| seen.contact == place.contact };
        api.live.registrations(instance.id, &search, None, 1)
    };
    if found.is_empty() {
        return Err(gone());
    }
    let items = make_end(&api, &actor, instance, found).await?;
    Ok(Json(EndedList::of(items)))
}

/// End all registrations of a user, an account or an instance.
///
/// Their seats are free at once. A phone over a connection is told by the connection's end and registers anew; one
/// over UDP cannot be told: its PBX keeps the binding, and calls it, until the binding ends. Without its registration
/// here its next REGISTER is a new one.
#[utoipa::path(delete, path = "/registrations", operation_id = "end_registrations", tag = "registrations", params(Which),
    responses((status = 200, body = EndedList), (status = "default", body = Problem)))]
pub(super) async fn end_all(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Ask(which): Ask<Which>,
) -> Result<Json<EndedList>, Problem> {
    let Which { instance, user, account } = which;
    let filter = Filter { instance: Some(instance), user, account, ..Filter::default() };
    let snapshot = api.cell.load();
    let asked = Asked::new(&filter)?;
    let mut items = Vec::new();
    for instance in asked.instances(&snapshot)? {
        let mut after: Option<Place> = None;
        loop {
            let place = after.as_ref();
            let found = asked.look(instance, |search| api.live.registrations(instance.id, search, place, AT_ONCE));
            let Some((last, _)) = found.last() else { break };
            // Who registers anew meanwhile is not ended again.
            after = Some(last.clone());
            items.extend(make_end(&api, &actor, instance, found).await?);
        }
    }
    Ok(Json(EndedList::of(items)))
}

/// Records ends, then makes them: none is missing in the audit.
async fn make_end(
    api: &Api,
    actor: &Actor,
    instance: &Instance,
    found: Vec<(Place, Binding)>,
) -> Result<Vec<Ended>, Problem> {
    let at = api.clock.now().unix;
    let shown: Vec<_> = found.into_iter().map(|(place, it)| (show(instance, &place, it), place)).collect();
    let audit = shown.iter().map(|(registration, _)| NewAudit {
        at,
        who: actor.0.to_string(),
        action: "end-registration".into(),
        object: format!("registration/{}/{}", registration.instance, registration.binding.account),
        before: serde_json::to_value(registration).ok(),
        after: None,
    });
    api.service.record(audit.collect()).await?;
    let ended = shown.into_iter().filter_map(|(registration, place)| {
        let told = api.live.end_registration(instance.id, &place)?;
        Some(Ended { registration, told })
    });
    Ok(ended.collect())
}

/// What is asked for, ready to be compared.
struct Asked<'a> {
    filter: &'a Filter,
    device: Option<String>,
    source: Option<IpNet>,
}

impl<'a> Asked<'a> {
    fn new(filter: &'a Filter) -> Result<Self, Problem> {
        let network = |text: &String| {
            let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
            let reason = format!("`{text}` is neither an address nor a network, as in 192.0.2.0/24");
            network.ok_or_else(|| Problem::new(Code::BadParameter, reason))
        };
        let source = filter.source.as_ref().map(network).transpose()?;
        Ok(Self { filter, device: filter.device.as_ref().map(|text| text.to_lowercase()), source })
    }

    /// Where to look, in the order of ids.
    fn instances<'s>(&self, snapshot: &'s Snapshot) -> Result<impl Iterator<Item = &'s Arc<Instance>>, Problem> {
        let named = |name: &String| {
            let missing = || Problem::new(Code::NotFound, format!("there is no instance {name}"));
            snapshot.by_name(name).ok_or_else(missing)
        };
        let one = self.filter.instance.as_ref().map(named).transpose()?;
        let all = one.is_none().then(|| snapshot.instances.iter());
        Ok(one.into_iter().chain(all.into_iter().flatten()))
    }

    fn look<T>(&self, instance: &Instance, look: impl FnOnce(&Search<'_>) -> T) -> T {
        let wanted = |seen: &Seen<'_>| self.wants(instance, seen);
        look(&Search { account: self.filter.account.as_deref().map(str::as_bytes), wanted: &wanted })
    }

    fn wants(&self, instance: &Instance, seen: &Seen<'_>) -> bool {
        let Filter { user, transport, .. } = self.filter;
        let holds = |text: &str, part: &String| text.to_lowercase().contains(part);
        transport.is_none_or(|wanted| seen.transport == Some(wanted))
            && self.source.is_none_or(|net| seen.source.is_some_and(|it| net.contains(&it.ip().to_canonical())))
            && self.device.as_ref().is_none_or(|part| holds(seen.user_agent, part) || holds(seen.device, part))
            && user.as_ref().is_none_or(|wanted| {
                user_of(instance, seen.account).is_some_and(|(name, _)| name.eq_ignore_ascii_case(wanted))
            })
    }
}

/// Whose account it is, and what that user is licensed as; nobody's where the list does not have it.
fn user_of<'a>(instance: &'a Instance, account: &'a str) -> Option<(&'a str, crate::model::Kind)> {
    match &instance.roster {
        None => Some((account, crate::model::Kind::Full)),
        Some(roster) => roster.of_account(account.as_bytes()).map(|who| (who.name, who.kind)),
    }
}

fn show(instance: &Instance, place: &Place, binding: Binding) -> Registration {
    let user = user_of(instance, &binding.account);
    Registration {
        id: write_id(instance.id, place),
        instance: instance.name.to_string(),
        user: user.map(|(name, _)| name.to_owned()),
        kind: user.map(|(_, kind)| kind),
        binding,
    }
}

/// `<instance>.<account>.<contact>`, the latter two in base64url.
fn write_id(instance: InstanceId, place: &Place) -> String {
    let base = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    format!("{}.{}.{}", instance.0, base(&place.account), base(place.contact.as_bytes()))
}

fn read_id(id: &str) -> Option<(InstanceId, Place)> {
    let mut parts = id.split('.');
    let instance = InstanceId(parts.next()?.parse().ok()?);
    let account = BASE64_URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
    let contact = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(parts.next()?).ok()?).ok()?;
    parts.next().is_none().then_some((instance, Place { account, contact }))
}

fn no_cursor() -> Problem {
    Problem::new(Code::BadParameter, "after is the `next` of the page before")
}
