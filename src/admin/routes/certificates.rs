//! `/certificates`: own certificates of the operators (R82). A private key goes in and never out.

use super::list::Part;
use crate::acme::Status;
use crate::admin::auth::Actor;
use crate::admin::extract::{Ask, Body, Named};
use crate::admin::problem::{Code, Problem};
use crate::admin::view::{CertificateView, Page};
use crate::admin::{Api, etag};
use crate::control::change::{Asked, Change, Versioned};
use crate::control::error::{Kind, ServiceError};
use crate::control::store::NewAudit;
use crate::model::Certificate;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::{Extension, Json};
use std::net::IpAddr;
use std::sync::Arc;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

/// List certificates, without their keys.
#[utoipa::path(get, path = "/certificates", operation_id = "list_certificates", tag = "certificates", params(Part),
    responses((status = 200, body = Page<CertificateView>), (status = "default", body = Problem)))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Ask(part): Ask<Part>,
) -> Result<Json<Page<CertificateView>>, Problem> {
    let (_, rows) = api.service.certificates().await?;
    let page = part.cut(rows.into_iter().map(|it| it.row), |row| &row.name)?;
    let items = page.items.iter().map(|row| view(&api, row)).collect();
    Ok(Json(Page { items, total: page.total, next: page.next }))
}

/// Add a certificate with its key.
#[utoipa::path(post, path = "/certificates", operation_id = "create_certificate", tag = "certificates", request_body = Certificate,
    responses((status = 201, body = CertificateView, headers(("ETag" = String), ("Location" = String))),
        (status = "default", body = Problem)))]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Body(row): Body<Certificate>,
) -> Result<Response, Problem> {
    let name = row.name.clone();
    match api.service.certificate(&name).await {
        Err(error) if error.kind() == Kind::NotFound => {}
        Err(error) => return Err(error.into()),
        Ok(_) => {
            return Err(Problem::new(Code::Conflict, format!("there is a certificate {name} already")).with_error(
                "name",
                "taken: choose another, or replace that one with PUT",
                "name-taken",
            ));
        }
    }
    let mut response = put(&api, actor, row, None, StatusCode::CREATED).await?;
    if let Ok(value) = HeaderValue::from_str(&format!("{}/certificates/{name}", super::BASE)) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    Ok(response)
}

/// Show a certificate, without its key.
#[utoipa::path(get, path = "/certificates/{name}", operation_id = "show_certificate", tag = "certificates", params(("name" = String, Path)),
    responses((status = 200, body = CertificateView, headers(("ETag" = String))), (status = "default", body = Problem)))]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = api.service.certificate(&name).await?;
    Ok(etag::answer(&headers, &found, &view(&api, &found.row)))
}

/// Replace a certificate; open connections stay.
#[utoipa::path(put, path = "/certificates/{name}", operation_id = "replace_certificate", tag = "certificates", request_body = Certificate,
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = CertificateView, headers(("ETag" = String))), (status = "default", body = Problem)))]
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Named(name): Named,
    headers: HeaderMap,
    Body(row): Body<Certificate>,
) -> Result<Response, Problem> {
    let if_match = etag::if_match(&headers)?;
    if !row.name.eq_ignore_ascii_case(&name) {
        return Err(Problem::new(Code::Invalid, "a certificate is not renamed: add it by its new name").with_error(
            "name",
            format!("must be {name}, as in the address"),
            "rename-explicit",
        ));
    }
    api.service.certificate(&name).await?;
    put(&api, actor, row, if_match, StatusCode::OK).await
}

/// Remove a certificate.
#[utoipa::path(delete, path = "/certificates/{name}", operation_id = "delete_certificate", tag = "certificates",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Named(name): Named,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let asked = Asked { change: Change::DeleteCertificate { name }, if_match: etag::if_match(&headers)? };
    api.service.apply(&actor.into(), vec![asked]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Order a certificate of an ACME authority now, whenever it would be renewed.
#[utoipa::path(post, path = "/certificates/{name}/renew", operation_id = "renew_certificate", tag = "certificates",
    params(("name" = String, Path)), responses((status = 202, body = Status), (status = "default", body = Problem)))]
pub(super) async fn renew(
    State(api): State<Arc<Api>>,
    Extension(actor): Extension<Actor>,
    Named(name): Named,
) -> Result<(StatusCode, Json<Status>), Problem> {
    let row = api.service.certificate(&name).await?.row;
    if row.acme.is_none() || !api.live.acme().renew(&row.name) {
        let detail = format!("{name} is an operator's own certificate: replace it with PUT");
        return Err(Problem::new(Code::Conflict, detail));
    }
    let audit = NewAudit {
        at: api.clock.now().unix,
        who: crate::control::change::Actor::from(actor).0,
        action: "order-certificate".into(),
        object: format!("certificate/{}", row.name),
        before: None,
        after: None,
    };
    api.service.record(vec![audit]).await?;
    Ok((StatusCode::ACCEPTED, Json(api.live.acme().of(&row.name).unwrap_or_default())))
}

async fn put(
    api: &Api,
    actor: Actor,
    row: Certificate,
    if_match: Option<u64>,
    status: StatusCode,
) -> Result<Response, Problem> {
    let name = row.name.clone();
    let asked = Asked { change: Change::PutCertificate { row }, if_match };
    api.service.apply(&actor.into(), vec![asked]).await?;
    let stored: Result<Versioned<Certificate>, ServiceError> = api.service.certificate(&name).await;
    let stored = stored?;
    Ok(etag::changed(status, &stored, &view(api, &stored.row)))
}

/// What people may see of it. The fields of a chain that cannot be read are empty.
fn view(api: &Api, row: &Certificate) -> CertificateView {
    let mut view = CertificateView {
        name: row.name.clone(),
        chain: row.chain.clone(),
        subject: String::new(),
        issuer: String::new(),
        names: Vec::new(),
        not_before: 0,
        not_after: 0,
        acme: row.acme.clone(),
        acme_status: row.acme.as_ref().and_then(|_| api.live.acme().of(&row.name)),
    };
    let leaf =
        Pem::iter_from_buffer(row.chain.as_bytes()).filter_map(Result::ok).find(|pem| pem.label == "CERTIFICATE");
    let Some(leaf) = leaf else { return view };
    let Ok(leaf) = leaf.parse_x509() else { return view };
    view.subject = leaf.subject().to_string();
    view.issuer = leaf.issuer().to_string();
    view.not_before = leaf.validity().not_before.timestamp().try_into().unwrap_or(0);
    view.not_after = leaf.validity().not_after.timestamp().try_into().unwrap_or(0);
    if let Ok(Some(names)) = leaf.subject_alternative_name() {
        view.names = names.value.general_names.iter().filter_map(name).collect();
    }
    view
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|it| IpAddr::from(it).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|it| IpAddr::from(it).to_string()),
        },
        _ => None,
    }
}
