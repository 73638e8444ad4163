//! What the node is doing: `/status`, `/health`, `/bindings` and `/explain`.

use super::list::Part;
use crate::admin::explain::{self, Question};
use crate::admin::extract::Ask;
use crate::admin::live::Binding;
use crate::admin::problem::{Code, Problem};
use crate::admin::view::{Explanation, InstanceHealth, Page, Status};
use crate::admin::{Api, explain::target, why};
use crate::model::State as Life;
use crate::route::snapshot::Instance;
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

/// Show the node: version, phase, uptime, revision, listeners.
#[utoipa::path(get, path = "/status", operation_id = "show_status", tag = "node",
    responses((status = 200, body = Status), (status = "default", body = Problem)))]
pub(super) async fn status(State(api): State<Arc<Api>>) -> Json<Status> {
    let snapshot = api.cell.load();
    Json(Status {
        version: env!("CARGO_PKG_VERSION").into(),
        phase: api.live.phase(),
        uptime_seconds: api.clock.now().tick.since(api.started) / 1000,
        revision: api.cell.revision(),
        instances: snapshot.instances.len(),
        proxies: snapshot.proxies.len(),
        listeners: api.live.listeners(),
    })
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct HealthFilter {
    /// How many items, 1 to 1000; 100 if absent.
    limit: Option<usize>,
    /// The `next` of the part before.
    after: Option<String>,
    /// Only instances whose name holds this text, in any case.
    name: Option<String>,
    /// Only instances in this state.
    state: Option<Life>,
    /// Only the instance of this name.
    instance: Option<String>,
}

/// Show the targets of instances: up or down, calls, bindings.
#[utoipa::path(get, path = "/health", operation_id = "show_health", tag = "node", params(HealthFilter),
    responses((status = 200, body = Page<InstanceHealth>), (status = "default", body = Problem)))]
pub(super) async fn health(
    State(api): State<Arc<Api>>,
    Ask(filter): Ask<HealthFilter>,
) -> Result<Json<Page<InstanceHealth>>, Problem> {
    let snapshot = api.cell.load();
    let matches = |it: &&Arc<Instance>| {
        filter.state.is_none_or(|state| it.state == state)
            && filter.instance.as_ref().is_none_or(|name| it.name.eq_ignore_ascii_case(name))
    };
    let part = Part { limit: filter.limit, after: filter.after.clone(), name: filter.name.clone() };
    let page = part.cut(snapshot.instances.iter().filter(matches), |it| &it.name)?;
    let items = page.items.into_iter().map(|it| health_of(it)).collect();
    Ok(Json(Page { items, total: page.total, next: page.next }))
}

fn health_of(instance: &Instance) -> InstanceHealth {
    let stats = &instance.stats;
    InstanceHealth {
        name: instance.name.to_string(),
        id: instance.id,
        state: instance.state,
        bindings: stats.bindings.read(),
        calls: stats.calls.read(),
        http_active: stats.http_active.read(),
        former_name_requests: stats.former_name.read(),
        targets: instance.backends.iter().map(target).collect(),
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct BindingFilter {
    /// The instance's name.
    instance: String,
    /// Only this account.
    account: Option<String>,
    /// How many items, 1 to 1000; 100 if absent.
    limit: Option<usize>,
    /// The `next` of the part before.
    after: Option<String>,
}

/// Show the registered contacts of an instance, as the node saw them.
#[utoipa::path(get, path = "/bindings", operation_id = "show_bindings", tag = "node", params(BindingFilter),
    responses((status = 200, body = Page<Binding>), (status = "default", body = Problem)))]
pub(super) async fn bindings(
    State(api): State<Arc<Api>>,
    Ask(filter): Ask<BindingFilter>,
) -> Result<Json<Page<Binding>>, Problem> {
    let id = api.service.instance(&filter.instance).await?.row.id;
    let mut items = api.live.bindings(id);
    items.retain(|it| filter.account.as_ref().is_none_or(|account| it.account == *account));
    let keyed = items.into_iter().map(|it| (format!("{} {}", it.account, it.contact), it));
    let part = Part { limit: filter.limit, after: filter.after, name: None };
    let page = part.cut(keyed, |(key, _)| key)?;
    let items = page.items.into_iter().map(|(_, it)| it).collect();
    Ok(Json(Page { items, total: page.total, next: page.next }))
}

/// Show what would become of a request, and by which rule.
///
/// Ask for an account that registers or calls (`register`), for a web address (`host`), or why a phone was refused
/// (`register`, `device` or `call_id`).
#[utoipa::path(get, path = "/explain", operation_id = "explain", tag = "node", params(Question),
    responses((status = 200, body = Explanation), (status = "default", body = Problem)))]
pub(super) async fn explain(
    State(api): State<Arc<Api>>,
    Ask(question): Ask<Question>,
) -> Result<Json<Explanation>, Problem> {
    let now = api.clock.now().unix;
    let snapshot = api.cell.load();
    let mut explanation =
        explain::explain(&snapshot, &question, now).map_err(|reason| Problem::new(Code::BadParameter, reason))?;
    if question.host.is_none() {
        why::add(&mut explanation, &snapshot, &*api.live, &question);
    }
    Ok(Json(explanation))
}
