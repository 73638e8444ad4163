//! Plain requests of HTTP/2: one without a body asks the instance as one of HTTP/1.1 does; hyper reads it and writes the
//! answer.

use super::super::authority::Authority;
use super::super::body::{Body, Busy};
use super::super::front::Front;
use super::super::page::Taste;
use super::super::pause::Pause;
use super::super::response::Outside;
use super::super::serve::{self, Refused, Reset};
use super::answer::{self, Answer, Fields};
use super::ask::{Asker, Question, Trouble};
use super::flow::Flow;
use super::plan::{self, Plan, Wanted};
use super::request::{self, Terms};
use super::timer::Timer;
use super::{Link, buffers};
use crate::route::snapshot::Web;
use crate::stats::HttpRefusal;
use http::header;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, Version};
use hyper::body::{Body as _, Incoming};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

/// A request on its way to its answer.
pub(in crate::http) type Serving = Pin<Box<dyn Future<Output = Result<Response<Body>, Reset>> + Send>>;

/// What the streams of a connection share.
pub(in crate::http) struct Streams {
    front: Arc<Front>,
    terms: Terms,
    /// Timers of streams that are answered; there are never more than streams at once.
    timers: Mutex<Vec<Timer>>,
}

/// A request of which the answer is awaited.
struct Turn<'a> {
    method: &'a Method,
    outside: Outside<'a>,
    fields: Fields,
    timer: Timer,
}

impl Streams {
    pub(in crate::http) fn new(front: Arc<Front>) -> Self {
        let terms = Terms::of(&front, Version::HTTP_2);
        Self { front, terms, timers: Mutex::default() }
    }

    /// Answers a request. Where it goes is decided at once, so that what waits is small: hyper and the runtime move
    /// and keep it as often as there are streams.
    pub(in crate::http) fn serve(self: &Arc<Self>, request: Request<Incoming>) -> Serving {
        let Some((authority, plan)) = self.plan(&request) else {
            return Box::pin(serve::serve(Arc::clone(&self.front), request));
        };
        let busy = Busy::new(&self.front.pulse);
        self.front.shared.stats.requests.inc();
        plan.instance.stats.http_requests.inc();
        let ((parts, _), streams) = (request.into_parts(), Arc::clone(self));
        Box::pin(async move {
            let mut response = match streams.ask(&parts, &authority, &plan).await {
                Ok((link, answer, fields)) => streams.respond(link, answer, fields, plan),
                Err(why) => {
                    let refused = Refused { why, instance: Some(Arc::clone(&plan.instance)) };
                    serve::refuse(&streams.front, &refused, &Taste::of(&parts.headers))?
                }
            };
            response.body_mut().hold(busy);
            Ok(response)
        })
    }

    /// Where a request goes, and for whom; `None`: the other way has to see to it.
    fn plan(&self, request: &Request<Incoming>) -> Option<(Authority, Plan)> {
        let (method, headers) = (request.method(), request.headers());
        let target = request.uri().path_and_query()?.as_str();
        if !request.body().is_end_stream() || !request::is_plain(method, target, headers, &self.terms) {
            return None;
        }
        let authority = Authority::named(request.uri())?;
        let field = |name| headers.get(name).map(http::HeaderValue::as_bytes);
        let wanted = Wanted {
            method,
            target,
            host: authority.host(),
            authorization: field(header::AUTHORIZATION),
            user_agent: field(header::USER_AGENT),
            body: 0,
        };
        let plan = plan::plan(&self.front, &self.front.shared.cell.load(), &wanted)?;
        Some((authority, plan))
    }

    /// The head of the instance's answer, and what it came from.
    async fn ask(
        &self,
        parts: &Parts,
        authority: &Authority,
        plan: &Plan,
    ) -> Result<(Link, Answer, HeaderMap), HttpRefusal> {
        let web = plan.instance.web.as_deref().ok_or(HttpRefusal::WebOff)?;
        let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let stripped = if plan.strips { plan.prefix } else { 0 };
        let mut out = buffers::take();
        let head = (&parts.method, target, authority.text());
        let written = request::write_fields(&mut out, head, &parts.headers, stripped, &self.terms);
        written.ok_or(HttpRefusal::BadRequest)?;
        let outside = self.outside(authority, target.get(..plan.prefix).unwrap_or_default(), plan.strips, web);
        let mut turn = Turn { method: &parts.method, outside, fields: Fields::default(), timer: self.timer() };
        let (shared, upstream) = (&*self.front.shared, &*plan.upstream);
        let repeatable = parts.method.is_idempotent();
        let question = Question { shared, upstream, bytes: &out, repeatable, begun: plan.begun };
        let asked = question.ask(&mut turn).await;
        buffers::give_up(&mut out);
        let Turn { fields, timer, .. } = turn;
        self.lock().push(timer);
        let (link, answer) = asked.map_err(|trouble| match trouble {
            Trouble::Why(why) => why,
            Trouble::Lost | Trouble::Gone => HttpRefusal::Unreachable,
        })?;
        if let Some(offer) = &plan.offer {
            offer.answered(&self.front, &plan.instance, answer.status);
        }
        Ok((link, answer, fields.map))
    }

    fn respond(&self, link: Link, answer: Answer, fields: HeaderMap, plan: Plan) -> Response<Body> {
        let status = answer.status;
        let mut response = Response::new(self.body(link, answer, plan));
        *response.status_mut() = status;
        *response.headers_mut() = fields;
        response
    }

    fn body(&self, link: Link, answer: Answer, plan: Plan) -> Body {
        let shared = &self.front.shared;
        let Some(coding) = answer.coding else {
            if answer.kept && link.unread().is_empty() {
                plan.upstream.keep_plain(link, shared.clock.tick());
            }
            return Body::empty();
        };
        let pause = Pause::new(shared.config.answer_body);
        let mut flow = Flow::new((link, answer.kept), coding, (plan.upstream, plan.permit), (pause, shared.clock));
        match flow.at_once() {
            Some(bytes) => Body::here(bytes, flow.into_permit()),
            None => Body::flow(flow),
        }
    }

    fn outside<'a>(&self, authority: &'a Authority, prefix: &'a str, stripped: bool, web: &'a Web) -> Outside<'a> {
        let scheme = if self.front.services.tls { "https" } else { "http" };
        Outside { scheme, authority: authority.text(), host: authority.host(), prefix, stripped, web }
    }

    fn timer(&self) -> Timer {
        self.lock().pop().unwrap_or_else(|| Timer::new(self.front.shared.clock))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Timer>> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asker for Turn<'_> {
    fn read(&mut self, bytes: &[u8]) -> Result<Option<(usize, Answer)>, HttpRefusal> {
        answer::pass(&mut self.fields, bytes, self.method, &self.outside)
    }

    /// Then nobody asks: hyper drops what waits.
    fn is_gone(&mut self, _cx: &mut Context<'_>) -> bool {
        false
    }

    fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }
}
