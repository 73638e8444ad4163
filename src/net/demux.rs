//! What a datagram on a SIP port is, told by its first bytes (RFC 5626 §8, RFC 7983).

/// The kinds of datagrams that meet on a SIP port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Datagram {
    /// Perhaps a SIP message: the engine judges.
    Sip,
    /// A keep-alive or filler that wants no answer: empty, CRLFs, NULs, blanks.
    KeepAlive,
    /// STUN by its first two bits and its magic cookie.
    Stun,
    /// Something else: see [`Junk`].
    Junk(Junk),
}

/// Traffic that has lost its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Junk {
    /// A media packet.
    Rtp,
    /// A TLS or DTLS record.
    Dtls,
    /// Anything else that cannot begin a SIP message.
    Other,
}

/// The magic cookie of RFC 5389 §6.
pub const STUN_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// Tells what `bytes` is.
pub fn classify(bytes: &[u8]) -> Datagram {
    let Some(first) = bytes.iter().copied().find(|b| !matches!(b, b'\r' | b'\n' | b'\0' | b' ' | b'\t')) else {
        return Datagram::KeepAlive;
    };
    match bytes.first().copied().unwrap_or_default() {
        0..=3 if bytes.get(4..8) == Some(&STUN_COOKIE) => Datagram::Stun,
        20..=25 if bytes.get(1) == Some(&0xfe) || bytes.get(1) == Some(&0x03) => Datagram::Junk(Junk::Dtls),
        128..=191 if bytes.len() >= 8 => Datagram::Junk(Junk::Rtp),
        _ if first.is_ascii_graphic() => Datagram::Sip,
        _ => Datagram::Junk(Junk::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alives_and_fillers_want_no_answer() {
        // X07: over datagrams CRLF CRLF is a keep-alive without a pong
        for bytes in [&b""[..], b"\r\n\r\n", b"\0\0\0\0", b"\0", b"\r\n", b"  \r\n"] {
            assert_eq!(classify(bytes), Datagram::KeepAlive, "{bytes:?}");
        }
    }

    #[test]
    fn stun_is_told_by_its_cookie() {
        // X08
        let mut request = vec![0, 1, 0, 0];
        request.extend(STUN_COOKIE);
        request.extend([7; 12]);
        assert_eq!(classify(&request), Datagram::Stun);
        request[4] = 0;
        assert_eq!(classify(&request), Datagram::Junk(Junk::Other));
    }

    #[test]
    fn media_and_handshakes_are_junk() {
        assert_eq!(classify(&[0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]), Datagram::Junk(Junk::Rtp));
        assert_eq!(classify(&[22, 0xfe, 0xfd, 0, 0]), Datagram::Junk(Junk::Dtls));
        assert_eq!(classify(&[22, 3, 1, 0, 0]), Datagram::Junk(Junk::Dtls));
        assert_eq!(classify(&[0xff; 20]), Datagram::Junk(Junk::Other));
    }

    #[test]
    fn what_may_be_sip_goes_on() {
        for bytes in [&b"OPTIONS sip:a SIP/2.0\r\n"[..], b"\r\nSIP/2.0 200 OK\r\n", b"x", b"!weird sip:x SIP/2.0"] {
            assert_eq!(classify(bytes), Datagram::Sip, "{bytes:?}");
        }
    }
}
