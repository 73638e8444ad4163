//! What a WebSocket message is to SIP (RFC 7118 §5): one SIP message, or a keep-alive.

/// What a message holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content<'a> {
    /// A double CRLF: to be answered with one (W08).
    Ping,
    /// Line ends that ask for nothing.
    Blank,
    /// One SIP message; whether it is sound is the engine's to say (W03).
    Message(&'a [u8]),
}

/// The answer to [`Content::Ping`].
pub const PONG: &[u8] = b"\r\n";

/// Tells what a message holds. Line ends before a SIP message are no part of it (RFC 3261 §7.5).
pub fn content(bytes: &[u8]) -> Content<'_> {
    let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    match bytes.get(blank..) {
        Some(message) if !message.is_empty() => Content::Message(message),
        _ if bytes == b"\r\n\r\n" => Content::Ping,
        _ => Content::Blank,
    }
}
