//! `/table`: what the node serves, and what is wrong in it (R74, R76).

use crate::admin::Api;
use crate::admin::problem::Problem;
use crate::control::service::TableInfo;
use axum::Json;
use axum::extract::State;
use std::sync::Arc;

/// Show the table's revision, hash, age and problems.
#[utoipa::path(get, path = "/table", operation_id = "show_table", tag = "table",
    responses((status = 200, body = TableInfo), (status = "default", body = Problem)))]
pub(super) async fn show(State(api): State<Arc<Api>>) -> Json<TableInfo> {
    Json(api.service.table())
}
