//! `/bans`: who is kept out and why, the end of it, and bans by hand. The guard makes its own bans; a person's are
//! recorded, and so is the lifting of any.

use super::list::Part;
use crate::admin::Api;
use crate::admin::auth::Actor;
use crate::admin::extract::{Ask, Body, Named};
use crate::admin::problem::{Code, Problem};
use crate::admin::view::{BanView, MakeBan, Page};
use crate::control::store::NewAudit;
use crate::guard::{Ban, NewBan, source_address};
use crate::ids::InstanceId;
use crate::route::snapshot::Snapshot;
use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::Arc;
use utoipa::IntoParams;

/// The longest ban by hand, in seconds: ten years.
const LONGEST: u64 = 315_360_000;
/// The longest reason.
const REASON: usize = 200;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    /// How many items, 1 to 1000; 100 if absent.
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
    /// Only those that hit this address.
    #[param(value_type = Option<String>)]
    source: Option<IpAddr>,
    /// Only those that hit requests for the instance of this name.
    instance: Option<String>,
}

/// List bans.
///
/// Those that have not ended, the newest first.
#[utoipa::path(get, path = "/bans", operation_id = "list_bans", tag = "bans", params(Filter),
    responses((status = 200, body = Page<BanView>), (status = "default", body = Problem)))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Ask(filter): Ask<Filter>,
) -> Result<Json<Page<BanView>>, Problem> {
    let limit = Part::limit(filter.limit)?;
    let snapshot = api.cell.load();
    let instance = filter.instance.as_deref().map(|name| find(&snapshot, name)).transpose()?;
    let source = filter.source.map(source_address);
    let mut all = api.live.guard().bans(api.clock.now());
    all.retain(|ban| {
        source.is_none_or(|source| ban.source == source)
            && instance.is_none_or(|id| ban.instance.is_none_or(|banned| banned == id))
    });
    let total = all.len();
    let before = match filter.after.as_deref().map(str::parse::<u64>) {
        None => u64::MAX,
        Some(Ok(id)) => id,
        Some(Err(_)) => return Err(Problem::new(Code::BadParameter, "after is the `next` of the page before")),
    };
    let mut left = all.into_iter().filter(|ban| ban.id < before);
    let items: Vec<_> = left.by_ref().take(limit).map(|ban| show(&snapshot, ban)).collect();
    let next = left.next().and(items.last()).map(|last| last.ban.id.to_string());
    Ok(Json(Page { items, total, next }))
}

/// Show one ban with its evidence.
#[utoipa::path(get, path = "/bans/{id}", operation_id = "show_ban", tag = "bans", params(("id" = u64, Path)),
    responses((status = 200, body = BanView), (status = "default", body = Problem)))]
pub(super) async fn one(State(api): State<Arc<Api>>, Named(id): Named) -> Result<Json<BanView>, Problem> {
    let bans = api.live.guard().bans(api.clock.now());
    let found = bans.into_iter().find(|ban| ban.id.to_string() == id).ok_or_else(|| gone(&id))?;
    Ok(Json(show(&api.cell.load(), found)))
}

/// Ban a source by hand.
///
/// With an instance only there, with an account of that instance only this account. It counts at once, also where phones
/// are registered.
#[utoipa::path(post, path = "/bans", operation_id = "add_ban", tag = "bans", request_body = MakeBan,
    responses((status = 200, body = BanView), (status = "default", body = Problem)))]
pub(super) async fn add(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Body(asked): Body<MakeBan>,
) -> Result<Json<BanView>, Problem> {
    let snapshot = api.cell.load();
    if !(1..=LONGEST).contains(&asked.seconds) {
        return Err(Problem::new(Code::Invalid, format!("a ban lasts 1 to {LONGEST} seconds (3650 days)")));
    }
    if asked.account.is_some() && asked.instance.is_none() {
        return Err(Problem::new(Code::Invalid, "an account is one of an instance: name it"));
    }
    if asked.reason.len() > REASON || asked.reason.chars().any(char::is_control) {
        return Err(Problem::new(Code::Invalid, format!("reason is one line of at most {REASON} bytes")));
    }
    let instance = asked.instance.as_deref().map(|name| find(&snapshot, name)).transpose()?;
    let now = api.clock.now();
    let audit = NewAudit {
        at: now.unix,
        who: actor.0.to_string(),
        action: "ban".into(),
        object: format!("ban/{}", source_address(asked.source)),
        before: None,
        after: serde_json::to_value(&asked).ok(),
    };
    api.service.record(vec![audit]).await?;
    let MakeBan { source, account, seconds, reason, .. } = &asked;
    let new = NewBan { source: *source, instance, account: account.as_deref(), seconds: *seconds, reason };
    let full = |_| Problem::new(Code::Conflict, "there are as many bans as guard.bans allows; lift one first");
    let ban = api.live.guard().add(&new, now).map_err(full)?;
    Ok(Json(show(&snapshot, ban)))
}

/// Lift a ban.
///
/// What was counted for it is forgotten. A source that goes on is banned again, and for longer only if the ban before it
/// ended by itself.
#[utoipa::path(delete, path = "/bans/{id}", operation_id = "lift_ban", tag = "bans", params(("id" = u64, Path)),
    responses((status = 200, body = BanView), (status = "default", body = Problem)))]
pub(super) async fn lift(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Named(id): Named,
) -> Result<Json<BanView>, Problem> {
    let (now, guard) = (api.clock.now(), api.live.guard());
    let found = guard.bans(now).into_iter().find(|ban| ban.id.to_string() == id).ok_or_else(|| gone(&id))?;
    let audit = NewAudit {
        at: now.unix,
        who: actor.0.to_string(),
        action: "lift-ban".into(),
        object: format!("ban/{}", found.source),
        before: serde_json::to_value(&found).ok(),
        after: None,
    };
    api.service.record(vec![audit]).await?;
    let lifted = guard.lift(found.id, now).ok_or_else(|| gone(&id))?;
    Ok(Json(show(&api.cell.load(), lifted)))
}

fn gone(id: &str) -> Problem {
    Problem::new(Code::NotFound, format!("there is no ban {id}; it may have ended"))
}

fn find(snapshot: &Snapshot, name: &str) -> Result<InstanceId, Problem> {
    let found = snapshot.by_name(name).map(|it| it.id);
    found.ok_or_else(|| Problem::new(Code::NotFound, format!("there is no instance {name}")))
}

fn show(snapshot: &Snapshot, ban: Ban) -> BanView {
    let name = ban.instance.and_then(|id| snapshot.by_id(id)).map(|instance| instance.name.to_string());
    BanView { instance_name: name, ban }
}
