//! The routes of `/api/v1`, one file a resource. The list here makes both the router and the
//! OpenAPI document.

mod audit;
mod bans;
mod booking;
mod certificates;
mod instances;
mod licence;
mod licences;
mod list;
mod node;
mod plan;
mod proxies;
mod refuse;
mod registrations;
mod table;
mod tls;
mod usage;
mod users;

use super::extract::{MAX_BODY, MAX_TABLE, MAX_USERS};
use super::problem::{Code, Problem};
use super::{Api, auth, openapi, request_id};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware;
use std::sync::Arc;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

/// Where the API begins.
pub const BASE: &str = "/api/v1";

/// Pages that are not of the API but served with it: metrics and health.
#[derive(Default)]
pub struct Pages {
    /// For everybody.
    pub open: Router,
    /// For those with a token.
    pub guarded: Router,
}

/// The whole API, with pages of the node beside it.
pub fn router(api: Arc<Api>, pages: Pages) -> Router {
    let (routes, document) = described().split_for_parts();
    let guarded = routes
        .merge(pages.guarded.with_state(()))
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), auth::layer))
        .with_state(api);
    openapi::route(document).merge(pages.open).fallback_service(guarded).layer(middleware::from_fn(request_id::layer))
}

/// The routes with their description.
pub(super) fn described() -> OpenApiRouter<Arc<Api>> {
    let resources = OpenApiRouter::default()
        .routes(routes!(instances::list, instances::create))
        .routes(routes!(instances::show, instances::replace, instances::patch, instances::remove))
        .routes(routes!(instances::start))
        .routes(routes!(instances::stop))
        .routes(routes!(instances::rename))
        .routes(routes!(booking::show, booking::book))
        .routes(
            routes!(users::list, users::replace, users::import, users::remove_all)
                .layer(DefaultBodyLimit::max(MAX_USERS)),
        )
        .routes(routes!(users::show, users::put, users::remove))
        .routes(routes!(proxies::list, proxies::create))
        .routes(routes!(proxies::show, proxies::replace, proxies::patch, proxies::remove))
        .routes(routes!(certificates::list, certificates::create))
        .routes(routes!(certificates::show, certificates::replace, certificates::remove))
        .routes(routes!(certificates::renew))
        .routes(routes!(tls::failures))
        .routes(routes!(licences::list, licences::install))
        .routes(routes!(licences::show, licences::remove))
        .routes(routes!(licences::attach))
        .routes(routes!(licences::release))
        .routes(routes!(licence::state))
        .routes(routes!(licence::hardware))
        .routes(routes!(licence::report))
        .routes(routes!(licence::dry_run))
        .routes(routes!(licence::export))
        .routes(routes!(licence::restore).layer(DefaultBodyLimit::max(MAX_TABLE)))
        .routes(routes!(licence::sizing))
        .routes(routes!(table::show))
        .routes(routes!(plan::plan).layer(DefaultBodyLimit::max(MAX_TABLE)))
        .routes(routes!(plan::apply).layer(DefaultBodyLimit::max(MAX_TABLE)))
        .routes(routes!(audit::list))
        .routes(routes!(registrations::list, registrations::end_all))
        .routes(routes!(registrations::count))
        .routes(routes!(registrations::end))
        .routes(routes!(bans::list, bans::add))
        .routes(routes!(bans::one, bans::lift))
        .routes(routes!(usage::events))
        .routes(routes!(usage::months))
        .routes(routes!(node::status))
        .routes(routes!(node::health))
        .routes(routes!(node::bindings))
        .routes(routes!(node::explain));
    OpenApiRouter::with_openapi(openapi::frame()).nest(BASE, resources)
}

async fn unknown(request: Request) -> Problem {
    Problem::new(
        Code::UnknownRoute,
        format!("there is no {}; {BASE}/openapi.json describes all routes", request.uri().path()),
    )
}

async fn not_allowed(request: Request) -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        format!("{} is not possible on {}; the Allow header lists what is", request.method(), request.uri().path()),
    )
}
