//! An established call, and what one may do with it: hold, resume, transfer, hang up.
//!
//! Made by `phone` (placed calls) and `answer` (those that came in, and those of a transfer).

use super::dialog::Dialog;
use super::line::{Line, refused};
use super::lock;
use super::message::{Field, Method, Request};
use super::sdp::{self, Direction};
use super::transaction::Failure;
use super::wire::Peer;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// One side of a call.
pub struct Leg {
    /// The dialog.
    pub dialog: Mutex<Dialog>,
    /// What may be waited for.
    pub state: watch::Sender<State>,
}

/// What is known of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State {
    /// Version of our last description.
    pub version: u32,
    /// Our direction.
    pub local: Direction,
    /// Theirs, as they last said.
    pub remote: Direction,
    /// Whether it is over.
    pub ended: bool,
    /// What the other side last told of a transfer we asked for: status and whether that was all.
    pub transfer: Option<(u16, bool)>,
}

impl Leg {
    /// A new one; the description sent so far was version 1 and open both ways.
    pub fn new(dialog: Dialog) -> Arc<Self> {
        let state = State { version: 1, local: Direction::Both, remote: Direction::Both, ended: false, transfer: None };
        Arc::new(Self { dialog: Mutex::new(dialog), state: watch::Sender::new(state) })
    }
}

/// A call in progress. Dropping it does not hang up.
#[derive(Clone)]
pub struct Call {
    line: Arc<Line>,
    leg: Arc<Leg>,
}

impl Call {
    /// Puts a leg into its line's hands.
    pub fn new(line: Arc<Line>, leg: Arc<Leg>) -> Self {
        Self { line, leg }
    }

    /// Call-ID.
    pub fn id(&self) -> String {
        lock(&self.leg.dialog).call_id.clone()
    }

    /// The user part of the other side.
    pub fn with(&self) -> String {
        lock(&self.leg.dialog).remote_user().to_owned()
    }

    /// What is known of it now.
    pub fn state(&self) -> State {
        *self.leg.state.borrow()
    }

    /// Holds the other side; done when it agrees to be silent.
    pub async fn hold(&self) -> Result<(), Failure> {
        self.reinvite(Direction::Send).await
    }

    /// Takes the other side back; done when both may talk.
    pub async fn resume(&self) -> Result<(), Failure> {
        self.reinvite(Direction::Both).await
    }

    /// Asks the other side to call `target` instead (RFC 3515); returns what came of that call.
    pub async fn transfer(&self, target: &str) -> Result<u16, Failure> {
        self.leg.state.send_modify(|state| state.transfer = None);
        let target = self.line.dialled(target);
        let (mut request, to) = self.request(Method::Refer);
        request.fields.push(Field::Contact, self.line.contact());
        request.fields.push(Field::REFER_TO, format!("<{target}>"));
        request.fields.push(Field::REFERRED_BY, format!("<{}>", self.line.account.aor()));
        self.ask(request, to).await?;
        let state = self.wait(|state| state.transfer.is_some_and(|(_, last)| last) || state.ended).await?;
        state
            .transfer
            .map(|(status, _)| status)
            .ok_or(Failure::Unexpected("ended without a word of the transfer".into()))
    }

    /// Ends it.
    pub async fn hang_up(&self) -> Result<(), Failure> {
        let (request, to) = self.request(Method::Bye);
        self.line.forget(&self.leg);
        let done = self.ask(request, to).await;
        self.leg.state.send_modify(|state| state.ended = true);
        done
    }

    /// Waits until the other side hung up.
    pub async fn ended(&self) -> Result<(), Failure> {
        self.wait(|state| state.ended).await.map(drop)
    }

    /// Waits until the other side said this direction.
    pub async fn until(&self, direction: Direction) -> Result<(), Failure> {
        self.wait(|state| state.remote == direction).await.map(drop)
    }

    async fn wait(&self, what: impl FnMut(&State) -> bool) -> Result<State, Failure> {
        let mut watch = self.leg.state.subscribe();
        let wait = async { watch.wait_for(what).await.map(|state| *state).map_err(|_| Failure::Timeout) };
        self.line.patiently(wait).await
    }

    async fn reinvite(&self, direction: Direction) -> Result<(), Failure> {
        let mut version = 0;
        self.leg.state.send_modify(|state| {
            state.version = state.version.saturating_add(1);
            state.local = direction;
            version = state.version;
        });
        let (mut request, to) = self.request(Method::Invite);
        request.fields.push(Field::Contact, self.line.contact());
        let body = sdp::write(self.line.endpoint.local().ip(), version, direction);
        let mut transaction = self.line.endpoint.request(request.with_body(sdp::KIND, body), to);
        let response = self.line.patiently(transaction.last()).await?;
        if let Some(failure) = refused(&response) {
            return Err(failure);
        }
        lock(&self.leg.dialog).retarget(response.fields.first(Field::Contact));
        self.line.confirm(&self.leg, &transaction.request).await?;
        let answered = Direction::read(&response.body);
        self.leg.state.send_modify(|state| state.remote = answered);
        if answered == direction.answer() {
            Ok(())
        } else {
            Err(Failure::Unexpected(format!("{} was answered with {}", direction.name(), answered.name())))
        }
    }

    fn request(&self, method: Method) -> (Request, Peer) {
        let mut dialog = lock(&self.leg.dialog);
        (dialog.request(method), self.line.hop(&dialog))
    }

    async fn ask(&self, request: Request, to: Peer) -> Result<(), Failure> {
        let (asked, response) = self.line.ask(request, to).await?;
        if let Some((number, _)) = asked.fields.cseq() {
            lock(&self.leg.dialog).number = number;
        }
        refused(&response).map_or(Ok(()), Err)
    }
}
