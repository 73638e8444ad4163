//! The OpenAPI document: made from the routes, served without a token, kept as a golden file.

use super::problem::MEDIA_TYPE;
use super::routes::{BASE, described};
use axum::Router;
use axum::http::header;
use axum::routing::get;
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, RefOr, SecurityRequirement};

/// The parts of the document that belong to no route.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Nantucket management API",
        description = "Instances, proxies and certificates of the table; what changes would do; what the node is doing. \
            Every refusal is a problem document (RFC 9457) with a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "instances", description = "The customers' PBXs"),
        (name = "users", description = "Who is a user of an instance"),
        (name = "proxies", description = "The named fronts with their listeners"),
        (name = "certificates", description = "Certificates with their keys"),
        (name = "licences", description = "Who may use what: licences, bookings, reports"),
        (name = "table", description = "All rows as one"),
        (name = "audit", description = "Who changed what, and when"),
        (name = "registrations", description = "Who is registered, and the end of it"),
        (name = "bans", description = "Who is kept out, and why"),
        (name = "usage", description = "What the use of licences comes to: events and monthly marks"),
        (name = "node", description = "What the node is doing")
    )
)]
struct Frame;

/// The document without routes.
pub(super) fn frame() -> Document {
    let mut document = Frame::openapi();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The text of the file admin-token in the node's data directory"))
        .build();
    document.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(scheme));
    document.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>("token", [])]);
    document
}

/// The whole document.
pub fn document() -> Document {
    finished(described().into_openapi())
}

/// As it is written: pretty JSON with a newline at its end.
pub fn text(document: &Document) -> String {
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// The route that serves it.
pub(super) fn route(document: Document) -> Router {
    let text: Arc<str> = text(&finished(document)).into();
    let serve = move || {
        let text = text.to_string();
        async move { ([(header::CONTENT_TYPE, "application/json")], text) }
    };
    Router::new().route(&format!("{BASE}/openapi.json"), get(serve))
}

/// Says of every answer what it is, and gives refusals their own media type: what the macros of the
/// routes cannot say in short.
fn finished(mut document: Document) -> Document {
    for item in document.paths.paths.values_mut() {
        let operations =
            [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten();
        for (status, answer) in operations.flat_map(|operation| &mut operation.responses.responses) {
            let RefOr::T(answer) = answer else { continue };
            answer.description = word(status).into();
            if status == "default"
                && let Some(content) = answer.content.shift_remove("application/json")
            {
                answer.content.insert(MEDIA_TYPE.into(), content);
            }
        }
    }
    document
}

fn word(status: &str) -> &'static str {
    match status {
        "200" => "Done",
        "201" => "Created",
        "204" => "Removed",
        _ => "Refused",
    }
}
