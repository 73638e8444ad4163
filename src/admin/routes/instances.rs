//! `/instances`: the customers' PBXs (R1).

use super::list::Part;
use crate::admin::auth::Actor;
use crate::admin::extract::{Ask, Body, Named, Patch, typed};
use crate::admin::problem::{Code, Problem};
use crate::admin::view::{Page, Rename, Renamed};
use crate::admin::{Api, etag, merge};
use crate::control::change::{Asked, Change, Versioned};
use crate::model::{Instance, State as Life};
use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use utoipa::IntoParams;

/// Days for which a former name routes if the caller does not say (R7).
const KEEP_DAYS: u32 = 30;
/// Tries of a PATCH whose row is changed by others between reading and writing.
const TRIES: usize = 4;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    /// How many items, 1 to 1000; 100 if absent.
    limit: Option<usize>,
    /// The `next` of the part before.
    after: Option<String>,
    /// Only rows whose name holds this text, in any case.
    name: Option<String>,
    /// Only instances in this state.
    state: Option<Life>,
}

/// List instances.
#[utoipa::path(get, path = "/instances", operation_id = "list_instances", tag = "instances", params(Filter),
    responses((status = 200, body = Page<Instance>), (status = "default", body = Problem)))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Ask(filter): Ask<Filter>,
) -> Result<Json<Page<Arc<Instance>>>, Problem> {
    let (_, rows) = api.service.instances().await?;
    let rows = rows.into_iter().map(|it| it.row).filter(|row| filter.state.is_none_or(|state| row.state == state));
    let part = Part { limit: filter.limit, after: filter.after, name: filter.name };
    Ok(Json(part.cut(rows, |row| &row.name)?))
}

/// Create an instance.
///
/// `id` and `schema` may be left out.
#[utoipa::path(post, path = "/instances", operation_id = "create_instance", tag = "instances", request_body = Instance,
    responses((status = 201, body = Instance, headers(("ETag" = String), ("Location" = String))),
        (status = "default", body = Problem)))]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Body(row): Body<Instance>,
) -> Result<Response, Problem> {
    let made = api.service.change_instance(&actor.into(), Change::CreateInstance { row }.into()).await?;
    let mut response = etag::changed(StatusCode::CREATED, &made, &made.row);
    let location = format!("{}/instances/{}", super::BASE, made.row.name);
    if let Ok(value) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    Ok(response)
}

/// Show an instance.
#[utoipa::path(get, path = "/instances/{name}", operation_id = "show_instance", tag = "instances", params(("name" = String, Path)),
    responses((status = 200, body = Instance, headers(("ETag" = String))), (status = "default", body = Problem)))]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = api.service.instance(&name).await?;
    Ok(etag::answer(&headers, &found, &found.row))
}

/// Replace an instance.
///
/// With `If-Match`, only if nobody else changed it. Its name is changed by a rename only.
#[utoipa::path(put, path = "/instances/{name}", operation_id = "replace_instance", tag = "instances", request_body = Instance,
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Instance, headers(("ETag" = String))), (status = "default", body = Problem)))]
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Named(name): Named,
    headers: HeaderMap,
    Body(row): Body<Instance>,
) -> Result<Response, Problem> {
    let asked = Asked { change: Change::UpdateInstance { name, row }, if_match: etag::if_match(&headers)? };
    Ok(ok(&api.service.change_instance(&actor.into(), asked).await?))
}

/// Change some fields of an instance (JSON merge patch, RFC 7396).
#[utoipa::path(patch, path = "/instances/{name}", operation_id = "patch_instance", tag = "instances",
    request_body(content = serde_json::Value, content_type = "application/merge-patch+json"),
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Instance, headers(("ETag" = String))), (status = "default", body = Problem)))]
pub(super) async fn patch(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Named(name): Named,
    headers: HeaderMap,
    Patch(patch): Patch,
) -> Result<Response, Problem> {
    let if_match = etag::if_match(&headers)?;
    let actor = actor.into();
    let mut tries = TRIES;
    loop {
        tries -= 1;
        let found = api.service.instance(&name).await?;
        let change = Change::UpdateInstance { name: name.clone(), row: patched(&*found.row, patch.clone())? };
        let asked = Asked { change, if_match: if_match.or(Some(found.revision)) };
        match api.service.change_instance(&actor, asked).await.map_err(Problem::from) {
            Ok(changed) => return Ok(ok(&changed)),
            Err(problem) if problem.code == Code::Stale && if_match.is_none() && tries > 0 => {}
            Err(problem) => return Err(problem),
        }
    }
}

/// Remove an instance for ever.
#[utoipa::path(delete, path = "/instances/{name}", operation_id = "delete_instance", tag = "instances",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Named(name): Named,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let asked = Asked { change: Change::DeleteInstance { name }, if_match: etag::if_match(&headers)? };
    api.service.apply(&actor.into(), vec![asked]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Switch an instance on (R34).
#[utoipa::path(post, path = "/instances/{name}/start", operation_id = "start_instance", tag = "instances",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Instance, headers(("ETag" = String))), (status = "default", body = Problem)))]
pub(super) async fn start(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Named(name): Named,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    switch(&api, actor, name, &headers, Life::On).await
}

/// Switch an instance off (R34).
#[utoipa::path(post, path = "/instances/{name}/stop", operation_id = "stop_instance", tag = "instances",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Instance, headers(("ETag" = String))), (status = "default", body = Problem)))]
pub(super) async fn stop(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Named(name): Named,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    switch(&api, actor, name, &headers, Life::Off).await
}

/// Give an instance another name; the old one keeps routing for a while (R7).
///
/// With `dry_run`, only shows whom it concerns.
#[utoipa::path(post, path = "/instances/{name}/rename", operation_id = "rename_instance", tag = "instances", request_body = Rename,
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Renamed), (status = "default", body = Problem)))]
pub(super) async fn rename(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Named(name): Named,
    headers: HeaderMap,
    Body(asked): Body<Rename>,
) -> Result<Json<Renamed>, Problem> {
    let if_match = etag::if_match(&headers)?;
    let days = u64::from(asked.keep_days.unwrap_or(KEEP_DAYS));
    let keep_until = Some(api.clock.now().unix.saturating_add(days * 86_400));
    let preview = api.service.preview_rename(&name, &asked.to, keep_until).await?;
    if !asked.dry_run {
        let change = Change::RenameInstance { name, to: asked.to, keep_until };
        api.service.change_instance(&actor.into(), Asked { change, if_match }).await?;
    }
    Ok(Json(Renamed { done: !asked.dry_run, preview }))
}

async fn switch(api: &Api, actor: Actor, name: String, headers: &HeaderMap, state: Life) -> Result<Response, Problem> {
    let asked = Asked { change: Change::SetState { name, state }, if_match: etag::if_match(headers)? };
    Ok(ok(&api.service.change_instance(&actor.into(), asked).await?))
}

fn ok(versioned: &Versioned<Instance>) -> Response {
    etag::changed(StatusCode::OK, versioned, &versioned.row)
}

/// The row with a merge patch applied.
pub(super) fn patched<T: serde::Serialize + serde::de::DeserializeOwned>(row: &T, patch: Value) -> Result<T, Problem> {
    let mut value = serde_json::to_value(row).map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    merge::merge(&mut value, patch);
    typed(value)
}
