//! `/licence`: what all licences together come to, on this machine.

use crate::admin::Api;
use crate::admin::auth::Actor;
use crate::admin::extract::{Ask, Body};
use crate::admin::problem::{Code, Problem};
use crate::control::licence::backup::Backup;
use crate::control::licence::report::LicenceReport;
use crate::control::licence::view::{DryRun, HardwareView, InstalledLicence, LicenceState, Supposed};
use crate::licence::sizing;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Show the pool, what each instance may use, and what needs attention.
#[utoipa::path(get, path = "/licence", operation_id = "show_licence_state", tag = "licences",
    responses((status = 200, body = LicenceState), (status = "default", body = Problem)))]
pub(super) async fn state(State(api): State<Arc<Api>>) -> Result<Json<LicenceState>, Problem> {
    Ok(Json(api.service.licence_state().await?))
}

/// Show this machine's hardware id and what it is made of (R57).
#[utoipa::path(get, path = "/licence/hardware", operation_id = "show_hardware", tag = "licences",
    responses((status = 200, body = HardwareView), (status = "default", body = Problem)))]
pub(super) async fn hardware(State(api): State<Arc<Api>>) -> Json<HardwareView> {
    Json(api.service.hardware())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportForm {
    /// `json`, or `csv` for comma-separated values; `json` if absent.
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    Json,
    Csv,
}

/// Show what is licensed, unassigned, assigned and unused, and used (R25).
#[utoipa::path(get, path = "/licence/report", operation_id = "show_licence_report", tag = "licences", params(ReportForm),
    responses((status = 200, body = LicenceReport), (status = "default", body = Problem)))]
pub(super) async fn report(State(api): State<Arc<Api>>, Ask(form): Ask<ReportForm>) -> Result<Response, Problem> {
    let report = api.service.licence_report().await?;
    if form.format == Some(Format::Csv) {
        let text = report.csv().map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
        return Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response());
    }
    Ok(Json(report).into_response())
}

/// Show what would be refused right now, if something were different; nothing is changed.
#[utoipa::path(post, path = "/licence/dry-run", operation_id = "dry_run_licences", tag = "licences",
    request_body = Supposed, responses((status = 200, body = DryRun), (status = "default", body = Problem)))]
pub(super) async fn dry_run(
    State(api): State<Arc<Api>>,
    Body(supposed): Body<Supposed>,
) -> Result<Json<DryRun>, Problem> {
    Ok(Json(api.service.dry_run(&supposed).await?))
}

/// Export the licence book (R62).
#[utoipa::path(get, path = "/licence/export", operation_id = "export_licences", tag = "licences",
    responses((status = 200, body = Backup), (status = "default", body = Problem)))]
pub(super) async fn export(State(api): State<Arc<Api>>) -> Result<Json<Backup>, Problem> {
    Ok(Json(api.service.export_licences().await?))
}

/// Put back what an exported licence book held (R62).
#[utoipa::path(post, path = "/licence/restore", operation_id = "restore_licences", tag = "licences",
    request_body = Backup, responses((status = 200, body = Vec<InstalledLicence>), (status = "default", body = Problem)))]
pub(super) async fn restore(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Body(backup): Body<Backup>,
) -> Result<Json<Vec<InstalledLicence>>, Problem> {
    Ok(Json(api.service.restore_licences(&actor.into(), backup).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Size {
    /// Instances.
    instances: u64,
    /// Proxies.
    proxies: u64,
}

/// Memory that instances and proxies take.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Memory {
    /// In all.
    megabytes: u64,
}

/// Say how much memory instances and proxies take (R37).
#[utoipa::path(get, path = "/licence/sizing", operation_id = "size_machine", tag = "licences", params(Size),
    responses((status = 200, body = Memory), (status = "default", body = Problem)))]
pub(super) async fn sizing(Ask(size): Ask<Size>) -> Json<Memory> {
    Json(Memory { megabytes: sizing::machine_mb(size.instances, size.proxies) })
}
