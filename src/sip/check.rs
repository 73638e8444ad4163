//! What is answered when a message is not sound (RFC 3261 §16.3, PROTOCOLS 2.1 and 3).
//!
//! Judges the message alone: where it goes, and whether its sender may, is the engine's. Headers
//! the proxy does not need are not looked at (V02), nor is Require (V08).

use super::bad::Bad;
use super::limits::Limits;
use super::method::Method;
use super::name::Name;
use super::name_addr::NameAddr;
use super::uri::{Scheme, Uri};
use super::view::View;
use std::net::IpAddr;

/// What the message came over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channel {
    /// A datagram or a WebSocket message: its end is the message's.
    Whole,
    /// A stream: Content-Length is its end.
    Stream,
}

/// What becomes of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is sound.
    Ok,
    /// It is answered.
    Refuse(Refusal),
    /// It is neither answered nor passed on: a response, an ACK, or without a Via to answer by.
    Drop(Bad),
}

/// The answer to an unsound request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The reason phrase.
    pub reason: &'static str,
    /// What is wrong; its kind is the reason code.
    pub bad: Bad,
    /// Whether the stream it came on has lost its frame and is closed (V10).
    pub close: bool,
}

/// Judges a request. With a 420, [`unsupported`] names the extensions.
pub fn request(view: &View<'_>, channel: Channel, limits: &Limits) -> Verdict {
    let Err(bad) = sound(view, channel, limits) else { return Verdict::Ok };
    if matches!(view.method(), Method::Ack) || view.top_via().is_err() {
        return Verdict::Drop(bad);
    }
    let (status, reason) = bad.status();
    let close = channel == Channel::Stream && loses_frame(view);
    Verdict::Refuse(Refusal { status, reason, bad, close })
}

/// Judges a response.
pub fn response(view: &View<'_>, limits: &Limits) -> Verdict {
    match sound_response(view, limits) {
        Ok(()) => Verdict::Ok,
        Err(bad) => Verdict::Drop(bad),
    }
}

/// The extensions of Proxy-Require: none is known here, so all are unknown (V06).
pub fn unsupported<'a>(view: &View<'a>) -> impl Iterator<Item = &'a [u8]> {
    view.tokens(Name::ProxyRequire)
}

/// The end of the message was not where it said, or said nowhere.
fn loses_frame(view: &View<'_>) -> bool {
    view.count(Name::ContentLength) != 1
        || view.content_length().is_none_or(|length| length.ok() != Some(view.body_span().len()))
}

fn sound(view: &View<'_>, channel: Channel, limits: &Limits) -> Result<(), Bad> {
    view.flaw().map_or(Ok(()), Err)?;
    common(view, channel, limits)?;
    let (_, method) = view.cseq()?;
    // V18
    if method != view.method() {
        return Err(Bad::Method);
    }
    request_uri(view)?;
    addresses(view, limits)?;
    // V05
    if view.max_forwards().transpose()? == Some(0) {
        return Err(Bad::Hops);
    }
    // V06, and C03: not for CANCEL; an ACK cannot be answered.
    let exempt = matches!(method, Method::Ack | Method::Cancel);
    if !exempt && unsupported(view).next().is_some() { Err(Bad::Extension) } else { Ok(()) }
}

fn sound_response(view: &View<'_>, limits: &Limits) -> Result<(), Bad> {
    view.flaw().map_or(Ok(()), Err)?;
    common(view, Channel::Whole, limits)?;
    view.cseq()?;
    // `bcast`: the next Via is where it would go.
    match view.vias().nth(1) {
        Some(via) if via?.ip().is_some_and(is_everyone) => Err(Bad::Broadcast),
        _ => Ok(()),
    }
}

/// V01, V13, and the bounds of lists.
fn common(view: &View<'_>, channel: Channel, limits: &Limits) -> Result<(), Bad> {
    for name in [Name::To, Name::From, Name::CallId, Name::CSeq, Name::MaxForwards, Name::ContentLength] {
        if view.count(name) > 1 {
            return Err(Bad::Repeated(name));
        }
    }
    if channel == Channel::Stream && view.count(Name::ContentLength) == 0 {
        return Err(Bad::NoContentLength);
    }
    if view.count(Name::Via) == 0 {
        return Err(Bad::Missing(Name::Via));
    }
    for (number, via) in view.vias().enumerate() {
        bound(number, limits)?;
        params(via?.params, limits)?;
    }
    let call_id = view.value(Name::CallId).ok_or(Bad::Missing(Name::CallId))?;
    if call_id.is_empty() || call_id.iter().any(|b| *b <= b' ' || *b == 0x7f) {
        return Err(Bad::Header(Name::CallId));
    }
    for address in [view.from()?, view.to()?] {
        params(address.params, limits)?;
    }
    Ok(())
}

/// The lists that are read for routing and for seats.
fn addresses(view: &View<'_>, limits: &Limits) -> Result<(), Bad> {
    for name in [Name::Route, Name::RecordRoute, Name::Path, Name::Contact] {
        for (number, item) in view.values(name).enumerate() {
            bound(number, limits)?;
            let address = NameAddr::parse(view.buffer(), item?)?;
            params(address.params, limits)?;
            if name != Name::Contact {
                address.uri()?;
            }
        }
    }
    Ok(())
}

fn bound(number: usize, limits: &Limits) -> Result<(), Bad> {
    if number < limits.values { Ok(()) } else { Err(Bad::TooManyValues) }
}

fn params(params: super::params::Params<'_>, limits: &Limits) -> Result<(), Bad> {
    for (number, param) in params.enumerate() {
        param?;
        if number >= limits.params {
            return Err(Bad::TooManyParams);
        }
    }
    Ok(())
}

fn request_uri(view: &View<'_>) -> Result<(), Bad> {
    let uri = Uri::parse(view.uri()).map_err(|_| Bad::RequestUri)?;
    match uri.scheme {
        Scheme::Other => Err(Bad::Scheme),
        _ if uri.headers.is_some() => Err(Bad::UriHeaders),
        _ => Ok(()),
    }
}

/// An address that is not one host.
fn is_everyone(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.is_multicast() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_multicast() || v6.is_unspecified(),
    }
}
