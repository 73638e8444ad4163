//! Our entries in Route, Record-Route and Path: written, and recognised.

use super::{BackendRef, Ends, Keys, Place, Side};
use crate::engine::token::{OpenError, Recent, SealError, Token};
use crate::ids::Transport;
use crate::model::TlsRoutes;
use crate::sip::uri::{Scheme, Uri};

/// Appends the text of a token.
pub(super) trait Seal: FnOnce(&Token<'_>, &mut Vec<u8>) -> Result<(), SealError> {}

impl<F: FnOnce(&Token<'_>, &mut Vec<u8>) -> Result<(), SealError>> Seal for F {}

/// Writes the URI of the outside entry: clients send to it, and on to this backend.
pub(super) fn outside(ends: &Ends<'_>, seal: impl Seal, out: &mut Vec<u8>) -> Result<(), SealError> {
    let BackendRef { id, address, transport } = ends.backend;
    out.extend_from_slice(scheme(ends.client.transport(), ends.routes));
    seal(&Token::ToBackend { instance: ends.instance, backend: id, address, transport }, out)?;
    uri_end(ends.outside, Some((ends.client.transport(), ends.routes)), out);
    Ok(())
}

/// Writes the URI of the inside entry as `side` sees it: PBXs send to it, and on to this client.
pub(super) fn inside(ends: &Ends<'_>, side: Side, seal: impl Seal, out: &mut Vec<u8>) -> Result<(), SealError> {
    inside_start(ends, side, out);
    seal(&Token::ToClient { instance: ends.instance, flow: ends.client }, out)?;
    inside_end(ends, side, out);
    Ok(())
}

/// Writes an inside entry again, with the token it had, as `side` sees it. Clients carry it but
/// never send to it, so they are not told our inside address.
pub(super) fn inside_again(ends: &Ends<'_>, side: Side, token: &[u8], out: &mut Vec<u8>) {
    inside_start(ends, side, out);
    out.extend_from_slice(token);
    inside_end(ends, side, out);
}

/// Writes the URI of an entry that hides another.
pub(super) fn mask(ends: &Ends<'_>, text: &[u8], keys: Keys<'_>, out: &mut Vec<u8>) -> Result<(), SealError> {
    out.extend_from_slice(scheme(ends.client.transport(), ends.routes));
    keys.seal(&Token::Mask { instance: ends.instance, text }, out)?;
    uri_end(ends.outside, None, out);
    Ok(())
}

fn inside_start(ends: &Ends<'_>, side: Side, out: &mut Vec<u8>) {
    out.extend_from_slice(match side {
        Side::Instance => scheme(ends.backend.transport, TlsRoutes::Sips),
        Side::Client => scheme(ends.client.transport(), ends.routes),
    });
}

fn inside_end(ends: &Ends<'_>, side: Side, out: &mut Vec<u8>) {
    match side {
        Side::Instance => uri_end(ends.inside, Some((ends.backend.transport, TlsRoutes::Sips)), out),
        Side::Client => uri_end(ends.outside, None, out),
    }
}

/// The scheme of an address of ours that is reached over a transport (F11): a hop over TLS is told by `sips`, or by
/// its transport parameter where a proxy says so.
pub(super) const fn scheme(transport: Transport, routes: TlsRoutes) -> &'static [u8] {
    match (transport, routes) {
        (Transport::Tls, TlsRoutes::Sips) => b"sips:",
        _ => b"sip:",
    }
}

fn uri_end(place: Place<'_>, transport: Option<(Transport, TlsRoutes)>, out: &mut Vec<u8>) {
    out.push(b'@');
    place.write(out);
    if let Some((transport, routes)) = transport {
        transport_param(transport, routes, out);
    }
    out.extend_from_slice(b";lr");
}

/// Writes the transport parameter of an address of ours; UDP is what is meant without one, and `transport=tls` is
/// written only where a proxy says so (F12).
pub(super) fn transport_param(transport: Transport, routes: TlsRoutes, out: &mut Vec<u8>) {
    let name = match (transport, routes) {
        (Transport::Udp, _) | (Transport::Tls, TlsRoutes::Sips) => return,
        (Transport::Tls, TlsRoutes::Transport) => "tls",
        (transport, _) => transport.uri_name(),
    };
    out.extend_from_slice(b";transport=");
    out.extend_from_slice(name.as_bytes());
}

/// What the user part of an entry is.
pub(super) enum User<'a, 's> {
    /// There is none.
    Absent,
    /// Not a token: too short, or with characters no token has.
    Plain,
    /// It looks like a token, but does not open.
    Refused(OpenError),
    /// A token: its text and what it says.
    Token(&'a [u8], Token<'s>),
}

/// Reads the user part of an entry's URI.
pub(super) fn read<'a, 's>(uri: &Uri<'a>, keys: Keys<'_>, scratch: &'s mut Recent) -> User<'a, 's> {
    if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
        return User::Plain;
    }
    match uri.user {
        None => User::Absent,
        Some(user) => read_text(user, keys, scratch),
    }
}

/// Reads what may be the text of a token.
pub(super) fn read_text<'a, 's>(text: &'a [u8], keys: Keys<'_>, scratch: &'s mut Recent) -> User<'a, 's> {
    match keys.open(text, scratch) {
        None => User::Plain,
        Some(Ok(token)) => User::Token(text, token),
        Some(Err(error)) => User::Refused(error),
    }
}
