//! `/instances/{name}/licence`: the mode of an instance and what is booked for it (R14, R18).

use crate::admin::auth::Actor;
use crate::admin::extract::{Body, Named};
use crate::admin::problem::Problem;
use crate::admin::{Api, etag};
use crate::control::change::{Asked, Change};
use crate::model::Licensing;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use std::sync::Arc;

/// Show how an instance is licensed.
#[utoipa::path(get, path = "/instances/{name}/licence", operation_id = "show_instance_licence", tag = "licences",
    params(("name" = String, Path)),
    responses((status = 200, body = Licensing, headers(("ETag" = String))), (status = "default", body = Problem)))]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = api.service.instance(&name).await?;
    Ok(etag::answer(&headers, &found, &found.row.licence))
}

/// Book users for an instance, or change its mode (R14, R18, R19).
///
/// With `If-Match`, only if nobody else changed the instance.
#[utoipa::path(put, path = "/instances/{name}/licence", operation_id = "book_instance_licence", tag = "licences",
    request_body = Licensing, params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Licensing, headers(("ETag" = String))), (status = "default", body = Problem)))]
pub(super) async fn book(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Named(name): Named,
    headers: HeaderMap,
    Body(licence): Body<Licensing>,
) -> Result<Response, Problem> {
    let asked = Asked { change: Change::SetLicence { name, licence }, if_match: etag::if_match(&headers)? };
    let changed = api.service.change_instance(&actor.into(), asked).await?;
    Ok(etag::changed(StatusCode::OK, &changed, &changed.row.licence))
}
