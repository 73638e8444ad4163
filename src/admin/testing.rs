//! An API over a store of its own, asked without sockets.

use super::live::{Binding, BoundListener, Decided, Live, Phase, Place, Search, Seat, Seen, Told};
use super::problem::Problem;
use super::{Api, Pages, router, token};
use crate::acme::Board;
use crate::clock::Clock;
use crate::control::rows::Rows;
use crate::control::service::Service;
use crate::control::status::Status;
use crate::control::store::sqlite::Sqlite;
use crate::control::usage::{InUse, Usage};
use crate::guard::Guard;
use crate::ids::{InstanceId, Transport};
use crate::model::DeviceClass;
use crate::route::cell::Cell;
use crate::route::compile;
use crate::route::handles::Handles;
use crate::route::resolved::Resolved;
use crate::route::snapshot::Snapshot;
use crate::tls::failures::Failures;
use crate::usage::Journal;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::{Arc, Mutex};
use tower::ServiceExt as _;

/// The token that works.
pub const TOKEN: &str = "nt_a-token-that-only-tests-know";

/// An API, the store behind it and what it believes of the node.
pub struct World {
    rows: Arc<Rows>,
    cell: Arc<Cell>,
    pub api: Arc<Api>,
    router: Router,
    pub journal: Arc<Journal>,
    pub node: Arc<Fixed>,
    _dir: tempfile::TempDir,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub fn etag(&self) -> &str {
        self.header(header::ETAG)
    }

    pub fn read<T: DeserializeOwned>(&self) -> T {
        serde_json::from_value(self.body.clone()).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The refusal, whose status must be the one that was sent.
    pub fn problem(&self) -> Problem {
        assert_eq!(self.header(header::CONTENT_TYPE), super::problem::MEDIA_TYPE, "{self:?}");
        let problem: Problem = self.read();
        assert_eq!(problem.status, self.status.as_u16());
        problem
    }
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&dir.path().join("store.sqlite")).unwrap();
        let rows = Arc::new(Rows::new(Arc::new(store)));
        let clock = Clock::start();
        let status = Arc::new(Status::new(clock));
        let journal = Arc::new(Journal::in_memory().unwrap());
        let node = Arc::new(Fixed {
            guard: Arc::default(),
            journal: Arc::clone(&journal),
            registered: Mutex::default(),
            decided: Mutex::default(),
            seat: Mutex::new(Seat { can_save: true, ..Seat::default() }),
        });
        let service = Arc::new(Service::new(Arc::clone(&rows), status, Arc::clone(&node) as _, clock));
        let cell = Arc::new(Cell::new(Snapshot::default()));
        let api = Api::new(service, Arc::clone(&cell), Arc::clone(&node) as _, clock, token::Digest::of(TOKEN));
        Self { rows, cell, router: router(Arc::clone(&api), Pages::default()), api, journal, node, _dir: dir }
    }

    /// Lets the node serve what is in the store.
    pub async fn load(&self) -> Arc<Snapshot> {
        self.rows.refresh().await.unwrap();
        let (table, problems) = self.rows.table();
        assert!(problems.is_empty(), "{problems:?}");
        let (snapshot, _) = compile(&table, &Handles::default(), &Resolved::default(), 0);
        self.cell.store(Arc::new(snapshot));
        self.cell.load()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, &[], Some(body)).await
    }

    /// Creates an instance that is on.
    pub async fn with_instance(&self, name: &str) -> Answer {
        let backends = serde_json::json!([{ "address": "10.0.0.5:5060" }]);
        let licence = serde_json::json!({ "mode": "cloud" });
        let row = serde_json::json!({ "name": name, "state": "on", "backends": backends, "licence": licence });
        let answer = self.post("/instances", row).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer
    }

    /// Calls with the right token.
    pub async fn call(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.send(request.body(body).unwrap()).await
    }

    /// Sends a request as it is.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let csv = parts.headers.get(header::CONTENT_TYPE).is_some_and(|it| it.as_bytes().starts_with(b"text/csv"));
        let body = match bytes.as_ref() {
            [] => Value::Null,
            text if csv => Value::String(String::from_utf8(text.to_vec()).unwrap()),
            json => serde_json::from_slice(json).unwrap(),
        };
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

/// A node with three calls and one phone at every instance.
pub struct Fixed {
    pub guard: Arc<Guard>,
    journal: Arc<Journal>,
    /// Registrations in the order of instances and places.
    pub registered: Mutex<Vec<(InstanceId, Place, Binding)>>,
    /// What was decided.
    pub decided: Mutex<Vec<(InstanceId, Decided)>>,
    /// Seats of every instance; only the account 10 has one.
    pub seat: Mutex<Seat>,
}

fn wanted(search: &Search<'_>, (_, place, binding): &(InstanceId, Place, Binding)) -> bool {
    search.account.is_none_or(|account| account == place.account)
        && (search.wanted)(&Seen {
            account: &binding.account,
            contact: &binding.contact,
            user_agent: &binding.user_agent,
            device: &binding.device,
            transport: binding.transport,
            source: binding.source,
        })
}

impl Usage for Fixed {
    fn of(&self, _: InstanceId) -> InUse {
        InUse { calls: 3, bindings: 1, accounts: vec!["6001".into()] }
    }
}

impl Live for Fixed {
    fn tls_failures(&self) -> Arc<Failures> {
        Arc::default()
    }

    fn acme(&self) -> Arc<Board> {
        Arc::default()
    }

    fn guard(&self) -> Arc<Guard> {
        Arc::clone(&self.guard)
    }

    fn phase(&self) -> Phase {
        Phase::Serving
    }

    fn listeners(&self) -> Vec<BoundListener> {
        let listener = |address: &str, error: Option<&str>| BoundListener {
            owner: "front".into(),
            service: "sip-udp".into(),
            address: address.parse().unwrap(),
            error: error.map(Into::into),
        };
        vec![listener("192.0.2.1:5060", None), listener("192.0.2.2:5060", Some("in use"))]
    }

    fn registrations(
        &self,
        instance: InstanceId,
        search: &Search<'_>,
        after: Option<&Place>,
        most: usize,
    ) -> Vec<(Place, Binding)> {
        let behind = |it: &&(InstanceId, Place, Binding)| {
            after.is_none_or(|place| (&it.1.account, &it.1.contact) > (&place.account, &place.contact))
        };
        let known = self.registered.lock().unwrap();
        let found = known.iter().filter(|it| it.0 == instance).filter(behind).filter(|it| wanted(search, it));
        found.take(most).map(|(_, place, binding)| (place.clone(), binding.clone())).collect()
    }

    fn count_registrations(&self, instance: InstanceId, search: &Search<'_>) -> usize {
        let known = self.registered.lock().unwrap();
        known.iter().filter(|it| it.0 == instance && wanted(search, it)).count()
    }

    fn end_registration(&self, instance: InstanceId, place: &Place) -> Option<bool> {
        let mut known = self.registered.lock().unwrap();
        let at = known.iter().position(|it| it.0 == instance && it.1 == *place)?;
        Some(known.remove(at).2.transport == Some(Transport::Tcp))
    }

    fn decisions(&self, instance: InstanceId, wanted: &dyn Fn(&Told<'_>) -> bool) -> Vec<Decided> {
        let is_wanted = |(id, it): &&(InstanceId, Decided)| {
            let Decided { account, device, user_agent, call_id, .. } = it;
            *id == instance && wanted(&Told { account, device, user_agent, call_id })
        };
        self.decided.lock().unwrap().iter().filter(is_wanted).map(|(_, it)| it.clone()).collect()
    }

    fn seat(&self, _: InstanceId, account: &[u8], _: &[u8]) -> Seat {
        let seat = *self.seat.lock().unwrap();
        Seat { has_claim: account == b"10", has_seat: account == b"10", ..seat }
    }

    fn soft_client(&self, class: DeviceClass, _: &str, _: &str) -> Option<&'static str> {
        (class == DeviceClass::Softphone).then_some("device-class")
    }

    fn licence_now(&self) -> u64 {
        1_000
    }

    fn journal(&self) -> Option<Arc<Journal>> {
        Some(Arc::clone(&self.journal))
    }

    fn bindings(&self, _: InstanceId) -> Vec<Binding> {
        let binding = |account: &str| Binding {
            account: account.into(),
            contact: format!("sip:{account}@192.0.2.9:5060"),
            user_agent: "phone".into(),
            device: String::new(),
            transport: Some(Transport::Udp),
            source: Some("192.0.2.9:5060".parse().unwrap()),
            since: 1,
            expires: 2,
        };
        vec![binding("6002"), binding("6001")]
    }
}
