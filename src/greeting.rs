//! What a client says before its first SIP message. The shells fill it in, the engine judges it.

use crate::ids::ConnId;

/// What a client said of itself before its first SIP message: in the TLS handshake and in the request that opened
/// a WebSocket. None of it routes anything.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Greeting {
    /// The name it asked for in the TLS handshake (SNI), lower case.
    pub sni: Option<Box<str>>,
    /// The Host of the WebSocket's request, lower case and without a port.
    pub host: Option<Box<str>>,
    /// The Origin of the WebSocket's request, lower case.
    pub origin: Option<Box<str>>,
    /// SIP identities of a client certificate that was verified (RFC 5922 §7.1).
    pub identities: Box<[Box<str>]>,
    /// The connection whose TLS session it resumed, perhaps one of an earlier process.
    pub resumed: Option<ConnId>,
}
