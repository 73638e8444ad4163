//! `/tls/failures`: handshakes that failed, and what to do about them (S05).

use crate::admin::Api;
use crate::admin::problem::Problem;
use crate::admin::view::{TlsFailure, TlsFailures, TlsReason, TlsSource};
use crate::ids::ListenerId;
use crate::route::snapshot::Snapshot;
use crate::tls::failures::Reason;
use crate::tls::hello;
use axum::Json;
use axum::extract::State;
use std::sync::Arc;

/// How many sources are shown, those with most failures first.
const SOURCES: usize = 200;

/// Show the TLS handshakes that failed: by reason with advice, by source, and the last ones.
#[utoipa::path(get, path = "/tls/failures", operation_id = "show_tls_failures", tag = "certificates",
    responses((status = 200, body = TlsFailures), (status = "default", body = Problem)))]
pub(super) async fn failures(State(api): State<Arc<Api>>) -> Json<TlsFailures> {
    let failures = api.live.tls_failures();
    let snapshot = api.cell.load();
    let reasons = Reason::ALL.iter().filter(|reason| failures.count(**reason) > 0).map(|reason| TlsReason {
        reason: reason.kind().into(),
        count: failures.count(*reason),
        advice: reason.advice().into(),
        advice_de: reason.advice_de().into(),
    });
    let sources = failures.sources().into_iter().take(SOURCES).map(|source| TlsSource {
        address: source.address,
        count: source.count,
        old: source.old,
        last: source.at,
        reason: source.reason.kind().into(),
        version: hello::version_name(source.version).into(),
        sni: source.sni.map(String::from),
    });
    let last = failures.last().into_iter().map(|it| TlsFailure {
        at: it.at,
        listener: place(&snapshot, it.listener),
        source: it.peer,
        reason: it.reason.kind().into(),
        version: hello::version_name(it.hello.version).into(),
        ciphers: it.suites(),
        sni: it.hello.sni.as_deref().map(Into::into),
        alpn: it.hello.alpn.iter().map(|name| String::from(&**name)).collect(),
        detail: it.detail.into(),
    });
    Json(TlsFailures { reasons: reasons.collect(), sources: sources.collect(), last: last.collect() })
}

/// A listener as operators know it; empty where it is gone.
fn place(snapshot: &Snapshot, id: ListenerId) -> String {
    let proxy = snapshot.proxy_by_id(id.proxy).map(|proxy| &*proxy.name);
    let listener = snapshot.listener(id);
    proxy.zip(listener).map_or_else(String::new, |(proxy, listener)| format!("{proxy} {}", listener.bind))
}
