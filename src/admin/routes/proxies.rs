//! `/proxies`: the named fronts (R11, R78).

use super::instances::patched;
use super::list::Part;
use crate::admin::auth::Actor;
use crate::admin::extract::{Ask, Body, Named, Patch};
use crate::admin::problem::{Code, Problem};
use crate::admin::view::Page;
use crate::admin::{Api, etag};
use crate::control::change::{Asked, Change, Versioned};
use crate::model::Proxy;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::{Extension, Json};
use std::sync::Arc;

/// Tries of a PATCH whose row is changed by others between reading and writing.
const TRIES: usize = 4;

/// List proxies.
#[utoipa::path(get, path = "/proxies", operation_id = "list_proxies", tag = "proxies", params(Part),
    responses((status = 200, body = Page<Proxy>), (status = "default", body = Problem)))]
pub(super) async fn list(State(api): State<Arc<Api>>, Ask(part): Ask<Part>) -> Result<Json<Page<Arc<Proxy>>>, Problem> {
    let (_, rows) = api.service.proxies().await?;
    Ok(Json(part.cut(rows.into_iter().map(|it| it.row), |row| &row.name)?))
}

/// Create a proxy.
///
/// `id` and `schema` may be left out.
#[utoipa::path(post, path = "/proxies", operation_id = "create_proxy", tag = "proxies", request_body = Proxy,
    responses((status = 201, body = Proxy, headers(("ETag" = String), ("Location" = String))),
        (status = "default", body = Problem)))]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Body(row): Body<Proxy>,
) -> Result<Response, Problem> {
    let made = api.service.change_proxy(&actor.into(), Change::CreateProxy { row }.into()).await?;
    let mut response = etag::changed(StatusCode::CREATED, &made, &made.row);
    let location = format!("{}/proxies/{}", super::BASE, made.row.name);
    if let Ok(value) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    Ok(response)
}

/// Show a proxy.
#[utoipa::path(get, path = "/proxies/{name}", operation_id = "show_proxy", tag = "proxies", params(("name" = String, Path)),
    responses((status = 200, body = Proxy, headers(("ETag" = String))), (status = "default", body = Problem)))]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = api.service.proxy(&name).await?;
    Ok(etag::answer(&headers, &found, &found.row))
}

/// Replace a proxy.
///
/// With `If-Match`, only if nobody else changed it.
#[utoipa::path(put, path = "/proxies/{name}", operation_id = "replace_proxy", tag = "proxies", request_body = Proxy,
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Proxy, headers(("ETag" = String))), (status = "default", body = Problem)))]
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Named(name): Named,
    headers: HeaderMap,
    Body(row): Body<Proxy>,
) -> Result<Response, Problem> {
    let asked = Asked { change: Change::UpdateProxy { name, row }, if_match: etag::if_match(&headers)? };
    Ok(ok(&api.service.change_proxy(&actor.into(), asked).await?))
}

/// Change some fields of a proxy (JSON merge patch, RFC 7396).
#[utoipa::path(patch, path = "/proxies/{name}", operation_id = "patch_proxy", tag = "proxies",
    request_body(content = serde_json::Value, content_type = "application/merge-patch+json"),
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Proxy, headers(("ETag" = String))), (status = "default", body = Problem)))]
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
        let found = api.service.proxy(&name).await?;
        let change = Change::UpdateProxy { name: name.clone(), row: patched(&*found.row, patch.clone())? };
        let asked = Asked { change, if_match: if_match.or(Some(found.revision)) };
        match api.service.change_proxy(&actor, asked).await.map_err(Problem::from) {
            Ok(changed) => return Ok(ok(&changed)),
            Err(problem) if problem.code == Code::Stale && if_match.is_none() && tries > 0 => {}
            Err(problem) => return Err(problem),
        }
    }
}

/// Remove a proxy; its listeners close.
#[utoipa::path(delete, path = "/proxies/{name}", operation_id = "delete_proxy", tag = "proxies",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Named(name): Named,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let asked = Asked { change: Change::DeleteProxy { name }, if_match: etag::if_match(&headers)? };
    api.service.apply(&actor.into(), vec![asked]).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn ok(versioned: &Versioned<Proxy>) -> Response {
    etag::changed(StatusCode::OK, versioned, &versioned.row)
}
