//! `/events` and `/usage/months`: what happened to licences and seats, and the most users of each month (R72).

use super::list::Part;
use super::users::{CSV, wants_csv};
use crate::admin::Api;
use crate::admin::extract::Ask;
use crate::admin::problem::{Code, Problem};
use crate::admin::view::MonthList;
use crate::usage::{EventPage, EventQuery, Journal, JournalError, Month, MonthQuery, Topic, csv};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    /// How many events, 1 to 1000; 100 if absent.
    limit: Option<usize>,
    /// The `next` of the part before.
    before: Option<u64>,
    /// Only events of this topic.
    topic: Option<Topic>,
    /// Only events about the instance of this name.
    instance: Option<String>,
}

/// List events about licences and seats, newest first.
///
/// The newest 100,000 are kept. Webhooks are sent the same documents.
#[utoipa::path(get, path = "/events", operation_id = "list_events", tag = "usage", params(Filter),
    responses((status = 200, body = EventPage), (status = "default", body = Problem)))]
pub(super) async fn events(State(api): State<Arc<Api>>, Ask(filter): Ask<Filter>) -> Result<Json<EventPage>, Problem> {
    let limit = u32::try_from(Part::limit(filter.limit)?).unwrap_or(u32::MAX);
    let query = EventQuery { before: filter.before, topic: filter.topic, instance: filter.instance, limit };
    Ok(Json(journal(&api)?.call(move |journal| journal.events(&query)).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Span {
    /// From this month on, as in `2026-11`.
    #[param(value_type = Option<String>)]
    from: Option<Month>,
    /// Up to this month.
    #[param(value_type = Option<String>)]
    to: Option<Month>,
    /// Only of the instance of this name.
    instance: Option<String>,
}

/// Show the most users that instances had at once in each month (UTC), by kind.
///
/// As CSV with `Accept: text/csv`. A month without users has no entry; that of the running month may still grow.
#[utoipa::path(get, path = "/usage/months", operation_id = "list_months", tag = "usage", params(Span),
    responses((status = 200, content((MonthList = "application/json"), (String = "text/csv"))),
        (status = "default", body = Problem)))]
pub(super) async fn months(
    State(api): State<Arc<Api>>,
    Ask(span): Ask<Span>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let snapshot = api.cell.load();
    let named = |name: &String| snapshot.by_name(name);
    let instance = span.instance.as_ref().and_then(named).map(|it| it.id);
    // An instance that was deleted is still known by the name it had.
    let name = span.instance.filter(|_| instance.is_none());
    let query = MonthQuery { from: span.from, to: span.to, instance, name };
    let items = journal(&api)?.call(move |journal| journal.months(&query)).await?;
    let mut response = if wants_csv(&headers) {
        ([(header::CONTENT_TYPE, CSV)], csv(&items)).into_response()
    } else {
        Json(MonthList { items }).into_response()
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

fn journal(api: &Api) -> Result<Arc<Journal>, Problem> {
    api.live.journal().ok_or_else(|| Problem::new(Code::StoreUnavailable, "no journal of licence use is open"))
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Self {
        Self::new(Code::StoreUnavailable, format!("the journal of licence use: {error}"))
    }
}
