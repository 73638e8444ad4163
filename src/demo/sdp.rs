//! Session descriptions (RFC 4566) as small as they can be: one audio stream and its direction.
//!
//! The demo's phones exchange no media; hold is told by direction alone (RFC 3264 §8.4).

use std::net::IpAddr;

/// The media type of a body made here.
pub const KIND: &str = "application/sdp";

/// Which way the audio flows, as the writer sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Both ways.
    Both,
    /// The writer sends only: it holds the other side.
    Send,
    /// The writer receives only: it is held.
    Receive,
    /// Neither.
    None,
}

impl Direction {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Both, "sendrecv"), (Self::Send, "sendonly"), (Self::Receive, "recvonly"), (Self::None, "inactive")];

    /// The attribute's name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(direction, _)| *direction == self).map_or("sendrecv", |(_, name)| name)
    }

    /// What answers it (RFC 3264 §6.1).
    pub const fn answer(self) -> Self {
        match self {
            Self::Both => Self::Both,
            Self::Send => Self::Receive,
            Self::Receive => Self::Send,
            Self::None => Self::None,
        }
    }

    /// Reads it from a description; `Both` where it is not said.
    pub fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        text.lines()
            .filter_map(|line| line.strip_prefix("a="))
            .find_map(|value| Self::ALL.into_iter().find(|(_, name)| *name == value.trim()))
            .map_or(Self::Both, |(direction, _)| direction)
    }
}

/// A description by `ip`, of the given version.
pub fn write(ip: IpAddr, version: u32, direction: Direction) -> String {
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    format!(
        "v=0\r\no=- 1 {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
         m=audio 9 RTP/AVP 8 0\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na={}\r\n",
        direction.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direction_survives_its_description() {
        for (direction, _) in Direction::ALL {
            let body = write("::1".parse().unwrap(), 2, direction);
            assert_eq!(Direction::read(body.as_bytes()), direction);
            assert_eq!(direction.answer().answer(), direction);
        }
        assert_eq!(Direction::read(b"v=0\r\n"), Direction::Both);
    }
}
