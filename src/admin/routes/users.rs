//! `/instances/{name}/users`: who is a user of an instance (R39, R49), as JSON and as CSV.

use crate::admin::auth::Actor;
use crate::admin::csv::{self, Sheet};
use crate::admin::extract::{Ask, Body, Named, Owned, Rows};
use crate::admin::problem::{Code, FieldProblem, Problem};
use crate::admin::view::UserList;
use crate::admin::{Api, etag};
use crate::control::change::{Asked, Change, Versioned};
use crate::control::error::ServiceError;
use crate::control::plan::UsersTouched;
use crate::model::{User, Users};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

/// The media type of CSV, as it is sent.
pub(super) const CSV: &str = "text/csv; charset=utf-8";

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Export {
    /// For CSV: with semicolons and a byte order mark, as Excel in German opens it.
    #[serde(default)]
    excel: bool,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Import {
    /// Only say what would change, or why it would be refused.
    #[serde(default)]
    dry_run: bool,
}

/// List the users of an instance.
///
/// As CSV with `Accept: text/csv`. An instance without a list (404) takes every account for a full user of its own.
#[utoipa::path(get, path = "/instances/{name}/users", operation_id = "list_users", tag = "users",
    params(("name" = String, Path), Export),
    responses((status = 200, headers(("ETag" = String)),
            content((UserList = "application/json"), (String = "text/csv"))),
        (status = "default", body = Problem)))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    Ask(export): Ask<Export>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = api.service.users(&name).await?;
    let mut response = if wants_csv(&headers) {
        let text = csv::write(&found.row.users, export.excel);
        etag::answer_with(&headers, &found, || ([(header::CONTENT_TYPE, CSV)], text).into_response())
    } else {
        etag::answer_with(&headers, &found, || Json(UserList { users: found.row.users.clone() }).into_response())
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// Make this the list of an instance's users.
///
/// From then on only listed accounts register. At most 10,000 users; nothing is changed unless all are valid. With
/// `If-Match`, only if nobody else changed the list.
#[utoipa::path(put, path = "/instances/{name}/users", operation_id = "replace_users", tag = "users",
    request_body(content((UserList = "application/json"), (String = "text/csv"))),
    params(("name" = String, Path), ("If-Match" = Option<String>, Header), Import),
    responses((status = 200, body = UsersTouched, headers(("ETag" = String))), (status = "default", body = Problem)))]
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Named(name): Named,
    Ask(import): Ask<Import>,
    headers: HeaderMap,
    rows: Rows<UserList>,
) -> Result<Response, Problem> {
    many(&api, actor, name, &import, &headers, rows, |instance, users| Change::PutUsers { instance, users }).await
}

/// Add users to the list, in place of those with the same names.
///
/// Those that are not named stay. Begins the list where there is none: from then on only listed accounts register.
#[utoipa::path(post, path = "/instances/{name}/users", operation_id = "import_users", tag = "users",
    request_body(content((UserList = "application/json"), (String = "text/csv"))),
    params(("name" = String, Path), ("If-Match" = Option<String>, Header), Import),
    responses((status = 200, body = UsersTouched, headers(("ETag" = String))), (status = "default", body = Problem)))]
pub(super) async fn import(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Named(name): Named,
    Ask(import): Ask<Import>,
    headers: HeaderMap,
    rows: Rows<UserList>,
) -> Result<Response, Problem> {
    many(&api, actor, name, &import, &headers, rows, |instance, users| Change::ImportUsers { instance, users }).await
}

/// Take the list away: every account is a full user of its own again (R49).
#[utoipa::path(delete, path = "/instances/{name}/users", operation_id = "delete_users", tag = "users",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn remove_all(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Named(instance): Named,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let asked = Asked { change: Change::DeleteUsers { instance }, if_match: etag::if_match(&headers)? };
    api.service.apply(&actor.into(), vec![asked]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Show a user. The tag is the list's.
#[utoipa::path(get, path = "/instances/{name}/users/{user}", operation_id = "show_user", tag = "users",
    params(("name" = String, Path), ("user" = String, Path)),
    responses((status = 200, body = User, headers(("ETag" = String))), (status = "default", body = Problem)))]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Owned { owner, name }: Owned,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = api.service.users(&owner).await?;
    Ok(etag::answer(&headers, &found, one(&found, &owner, &name)?))
}

/// Add a user to the list, or replace the one of that name.
///
/// There must be a list: with its first entry all other accounts are refused, so it is begun as a whole.
#[utoipa::path(put, path = "/instances/{name}/users/{user}", operation_id = "put_user", tag = "users",
    request_body = User, params(("name" = String, Path), ("user" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = User, headers(("ETag" = String))), (status = "default", body = Problem)))]
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Owned { owner, name }: Owned,
    headers: HeaderMap,
    Body(user): Body<User>,
) -> Result<Response, Problem> {
    if user.name.to_lowercase() != name.to_lowercase() {
        return Err(Problem::new(Code::Invalid, "a user is not renamed: add it by its new name").with_error(
            "name",
            format!("must be {name}, as in the address"),
            "rename-explicit",
        ));
    }
    let asked =
        Asked { change: Change::PutUser { instance: owner.clone(), user }, if_match: etag::if_match(&headers)? };
    api.service.apply(&actor.into(), vec![asked]).await?;
    let found = api.service.users(&owner).await?;
    Ok(etag::changed(StatusCode::OK, &found, one(&found, &owner, &name)?))
}

/// Take a user off the list; its accounts register no more.
#[utoipa::path(delete, path = "/instances/{name}/users/{user}", operation_id = "delete_user", tag = "users",
    params(("name" = String, Path), ("user" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Owned { owner, name }: Owned,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let change = Change::DeleteUser { instance: owner, user: name };
    let asked = Asked { change, if_match: etag::if_match(&headers)? };
    api.service.apply(&actor.into(), vec![asked]).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn many(
    api: &Api,
    actor: Actor,
    name: String,
    import: &Import,
    headers: &HeaderMap,
    rows: Rows<UserList>,
    change: impl FnOnce(String, Vec<User>) -> Change,
) -> Result<Response, Problem> {
    let if_match = etag::if_match(headers)?;
    let (users, sheet) = match rows {
        Rows::Json(list) => (list.users, None),
        Rows::Csv(bytes) => {
            let sheet = csv::read(&bytes).map_err(refused)?;
            (sheet.users.clone(), Some(sheet))
        }
    };
    let sheet = sheet.as_ref();
    let asked = vec![Asked { change: change(name.clone(), users), if_match }];
    if let Some(sheet) = sheet.filter(|sheet| !sheet.problems.is_empty()) {
        let plan = api.service.plan(asked).await?;
        return Err(refused(sheet.with(&plan.problems)));
    }
    if import.dry_run {
        let plan = api.service.plan(asked).await?;
        if let Some(error) = ServiceError::of(plan.problems) {
            return Err(placed(error, sheet));
        }
        return Ok(match plan.users.into_iter().next() {
            Some(touched) => Json(touched).into_response(),
            None => Json(unchanged(&api.service.users(&name).await?.row, name)).into_response(),
        });
    }
    let applied = api.service.apply(&actor.into(), asked).await.map_err(|error| placed(error, sheet))?;
    let found = api.service.users(&name).await?;
    let touched = applied.users.into_iter().next().unwrap_or_else(|| unchanged(&found.row, name));
    Ok(etag::changed(StatusCode::OK, &found, &touched))
}

fn unchanged(list: &Users, instance: String) -> UsersTouched {
    UsersTouched { instance, count: Some(list.users.len()), ..UsersTouched::default() }
}

/// Problems with the lines of the sheet they come from.
fn placed(error: ServiceError, sheet: Option<&Sheet>) -> Problem {
    let places: Vec<_> = error.problems().iter().map(|problem| sheet.and_then(|sheet| sheet.place(problem))).collect();
    let mut problem = Problem::from(error);
    for (told, place) in problem.errors.iter_mut().zip(places) {
        if let Some(place) = place {
            *told = place;
        }
    }
    problem
}

fn refused(errors: Vec<FieldProblem>) -> Problem {
    let detail = format!("the CSV has {} problems; nothing was changed", errors.len());
    Problem::new(Code::Invalid, detail).with_errors(errors)
}

fn one<'a>(list: &'a Versioned<Users>, owner: &str, name: &str) -> Result<&'a User, Problem> {
    let label = name.to_lowercase();
    let found = list.row.users.iter().find(|user| user.name.to_lowercase() == label);
    found.ok_or_else(|| Problem::new(Code::NotFound, format!("instance {owner} has no user {name}")))
}

pub(super) fn wants_csv(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepts
        .flat_map(|value| value.split(','))
        .any(|one| one.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("text/csv")))
}
