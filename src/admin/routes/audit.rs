//! `/audit`: who changed what, and when (R77).

use super::list::Part;
use crate::admin::Api;
use crate::admin::extract::Ask;
use crate::admin::problem::Problem;
use crate::control::store::{AuditPage, AuditQuery};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    /// How many entries, 1 to 1000; 100 if absent.
    limit: Option<usize>,
    /// The `next` of the part before.
    before: Option<u64>,
    /// Only entries of this row, as in `instance/acme`.
    object: Option<String>,
}

/// List the audit, newest first.
#[utoipa::path(get, path = "/audit", operation_id = "list_audit", tag = "audit", params(Filter),
    responses((status = 200, body = AuditPage), (status = "default", body = Problem)))]
pub(super) async fn list(State(api): State<Arc<Api>>, Ask(filter): Ask<Filter>) -> Result<Json<AuditPage>, Problem> {
    let limit = u32::try_from(Part::limit(filter.limit)?).unwrap_or(0);
    let query = AuditQuery { before: filter.before, object: filter.object, limit };
    Ok(Json(api.service.audit(query).await?))
}
