//! `/licences`: the documents of the licence book (R64).

use super::list::Part;
use crate::admin::Api;
use crate::admin::auth::Actor;
use crate::admin::extract::{Ask, Body, Named};
use crate::admin::problem::Problem;
use crate::admin::view::Page;
use crate::control::change::Change;
use crate::control::licence::view::{Attach, Install, InstalledLicence};
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use std::sync::Arc;

/// List the licences installed.
#[utoipa::path(get, path = "/licences", operation_id = "list_licences", tag = "licences", params(Part),
    responses((status = 200, body = Page<InstalledLicence>), (status = "default", body = Problem)))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Ask(part): Ask<Part>,
) -> Result<Json<Page<InstalledLicence>>, Problem> {
    Ok(Json(part.cut(api.service.licences().await?, |row| &row.id)?))
}

/// Install documents, all of them or none (R21, R59, R61, R64).
///
/// A licence that is bound to another machine is refused as `bound-elsewhere` the first time; with `confirm` a
/// temporary binding begins.
#[utoipa::path(post, path = "/licences", operation_id = "install_licences", tag = "licences", request_body = Install,
    responses((status = 201, body = Vec<InstalledLicence>), (status = "default", body = Problem)))]
pub(super) async fn install(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Body(install): Body<Install>,
) -> Result<(StatusCode, Json<Vec<InstalledLicence>>), Problem> {
    let made = api.service.install_licences(&actor.into(), &install).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Show a licence.
#[utoipa::path(get, path = "/licences/{id}", operation_id = "show_licence", tag = "licences",
    params(("id" = String, Path)),
    responses((status = 200, body = InstalledLicence), (status = "default", body = Problem)))]
pub(super) async fn show(State(api): State<Arc<Api>>, Named(id): Named) -> Result<Json<InstalledLicence>, Problem> {
    Ok(Json(api.service.licence(&id).await?))
}

/// Remove a licence that nothing uses.
#[utoipa::path(delete, path = "/licences/{id}", operation_id = "remove_licence", tag = "licences",
    params(("id" = String, Path)), responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Named(id): Named,
) -> Result<StatusCode, Problem> {
    api.service.apply(&actor.into(), vec![Change::RemoveLicence { id }.into()]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Attach a pack or feature licence to a server licence (R53, R55).
#[utoipa::path(post, path = "/licences/{id}/attach", operation_id = "attach_licence", tag = "licences",
    request_body = Attach, params(("id" = String, Path)),
    responses((status = 200, body = InstalledLicence), (status = "default", body = Problem)))]
pub(super) async fn attach(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Named(id): Named,
    Body(Attach { server }): Body<Attach>,
) -> Result<Json<InstalledLicence>, Problem> {
    let change = Change::AttachLicence { id: id.clone(), server };
    api.service.apply(&actor.into(), vec![change.into()]).await?;
    Ok(Json(api.service.licence(&id).await?))
}

/// Release a pack or feature licence from its server licence; it keeps its entitlement (R55).
#[utoipa::path(post, path = "/licences/{id}/release", operation_id = "release_licence", tag = "licences",
    params(("id" = String, Path)),
    responses((status = 200, body = InstalledLicence), (status = "default", body = Problem)))]
pub(super) async fn release(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Named(id): Named,
) -> Result<Json<InstalledLicence>, Problem> {
    api.service.apply(&actor.into(), vec![Change::ReleaseLicence { id: id.clone() }.into()]).await?;
    Ok(Json(api.service.licence(&id).await?))
}
