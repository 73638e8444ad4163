//! `/plan` and `/apply`: many changes as one, shown or made.

use crate::admin::Api;
use crate::admin::auth::Actor;
use crate::admin::extract::Body;
use crate::admin::problem::Problem;
use crate::admin::view::Wanted;
use crate::control::change::{Applied, Asked, Change};
use crate::control::error::ServiceError;
use crate::control::plan::Plan;
use axum::extract::State;
use axum::{Extension, Json};
use std::collections::HashSet;
use std::sync::Arc;

/// Show what changes would do, without making them.
///
/// Which instances would appear, disappear or be reached elsewhere; which listeners open or close;
/// which calls and bindings are touched; and why it would be refused.
#[utoipa::path(post, path = "/plan", operation_id = "plan", tag = "table", request_body = Wanted,
    responses((status = 200, body = Plan), (status = "default", body = Problem)))]
pub(super) async fn plan(State(api): State<Arc<Api>>, Body(wanted): Body<Wanted>) -> Result<Json<Plan>, Problem> {
    let asked = changes(&api, wanted).await?;
    Ok(Json(api.service.plan(asked).await?))
}

/// Make changes, all of them or none.
#[utoipa::path(post, path = "/apply", operation_id = "apply", tag = "table", request_body = Wanted,
    responses((status = 200, body = Applied), (status = "default", body = Problem)))]
pub(super) async fn apply(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Applied>, Problem> {
    let asked = changes(&api, wanted).await?;
    Ok(Json(api.service.apply(&actor.into(), asked).await?))
}

/// What has to be done for the table to be as wanted. Removals are bound to the revision that was
/// read, so that a row changed meanwhile is not removed unseen.
async fn changes(api: &Api, wanted: Wanted) -> Result<Vec<Asked>, ServiceError> {
    let mut asked = Vec::new();
    if wanted.complete {
        let listed = names(wanted.proxies.iter().map(|row| &row.name));
        for known in api.service.proxies().await?.1 {
            if !listed.contains(&known.row.name.to_lowercase()) {
                let change = Change::DeleteProxy { name: known.row.name.clone() };
                asked.push(Asked { change, if_match: Some(known.revision) });
            }
        }
        let listed = names(wanted.instances.iter().map(|row| &row.name));
        for known in api.service.instances().await?.1 {
            if !listed.contains(&known.row.name.to_lowercase()) {
                let change = Change::DeleteInstance { name: known.row.name.clone() };
                asked.push(Asked { change, if_match: Some(known.revision) });
            }
        }
    }
    asked.extend(wanted.into_changes());
    Ok(asked)
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> HashSet<String> {
    names.map(|name| name.to_lowercase()).collect()
}
