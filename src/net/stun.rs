//! STUN Binding on a SIP port, the keep-alive of RFC 5626 §4.4.2 and §8: a request is answered with
//! the address it came from, and nothing else of STUN is spoken.

use super::demux::STUN_COOKIE;
use std::net::{IpAddr, SocketAddr};

const HEADER: usize = 20;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_RESPONSE: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// Attributes below are for comprehension (RFC 5389 §15).
const OPTIONAL_FROM: u16 = 0x8000;
/// USERNAME and MESSAGE-INTEGRITY may be ignored by a server that asks for no credentials;
/// CHANGE-REQUEST with no bit set is what older clients add.
const UNDERSTOOD: [u16; 3] = [0x0003, 0x0006, 0x0008];

/// Writes the answer to the datagram `request` from `peer` into `out`; false if it is not a Binding
/// request and is to be dropped.
pub fn answer(request: &[u8], peer: SocketAddr, out: &mut Vec<u8>) -> bool {
    out.clear();
    let Some(head) = request.get(..HEADER) else { return false };
    let length = usize::from(be16(head, 2));
    if be16(head, 0) != BINDING_REQUEST || request.len() != HEADER + length || !length.is_multiple_of(4) {
        return false;
    }
    let Some(unknown) = first_unknown(request.get(HEADER..).unwrap_or_default()) else { return false };
    let transaction = head.get(8..HEADER).unwrap_or_default();
    match unknown {
        None => write_address(transaction, peer, out),
        Some(attribute) => write_unknown(transaction, attribute, out),
    }
    true
}

/// `None` if the attributes are not well formed, else the first one that had to be understood.
fn first_unknown(mut attributes: &[u8]) -> Option<Option<u16>> {
    while !attributes.is_empty() {
        let kind = be16(attributes.get(..4)?, 0);
        let length = usize::from(be16(attributes, 2)).next_multiple_of(4);
        attributes = attributes.get(4 + length..)?;
        if kind < OPTIONAL_FROM && !UNDERSTOOD.contains(&kind) {
            return Some(Some(kind));
        }
    }
    Some(None)
}

fn write_address(transaction: &[u8], peer: SocketAddr, out: &mut Vec<u8>) {
    let (family, length) = if peer.is_ipv4() { (1u8, 8u16) } else { (2, 20) };
    write_head(BINDING_RESPONSE, 4 + length, transaction, out);
    out.extend(XOR_MAPPED_ADDRESS.to_be_bytes());
    out.extend(length.to_be_bytes());
    out.extend([0, family]);
    out.extend((peer.port() ^ 0x2112).to_be_bytes());
    let key = STUN_COOKIE.iter().chain(transaction);
    match peer.ip() {
        IpAddr::V4(ip) => out.extend(ip.octets().iter().zip(key).map(|(a, b)| a ^ b)),
        IpAddr::V6(ip) => out.extend(ip.octets().iter().zip(key).map(|(a, b)| a ^ b)),
    }
}

fn write_unknown(transaction: &[u8], attribute: u16, out: &mut Vec<u8>) {
    write_head(BINDING_ERROR, 16, transaction, out);
    out.extend(ERROR_CODE.to_be_bytes());
    out.extend([0, 4, 0, 0, 4, 20]);
    out.extend(UNKNOWN_ATTRIBUTES.to_be_bytes());
    out.extend([0, 2]);
    out.extend(attribute.to_be_bytes());
    out.extend([0, 0]);
}

fn write_head(kind: u16, length: u16, transaction: &[u8], out: &mut Vec<u8>) {
    out.extend(kind.to_be_bytes());
    out.extend(length.to_be_bytes());
    out.extend(STUN_COOKIE);
    out.extend(transaction);
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(attributes: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 1];
        bytes.extend(u16::try_from(attributes.len()).unwrap().to_be_bytes());
        bytes.extend(STUN_COOKIE);
        bytes.extend(*b"abcdefghijkl");
        bytes.extend(attributes);
        bytes
    }

    #[test]
    fn the_address_of_the_peer_comes_back_masked() {
        // X08
        let mut out = Vec::new();
        let peer = "192.0.2.1:32853".parse().unwrap();
        assert!(answer(&request(&[]), peer, &mut out));
        assert_eq!(out[..4], [1, 1, 0, 12]);
        assert_eq!(out[4..8], STUN_COOKIE);
        assert_eq!(&out[8..20], b"abcdefghijkl");
        assert_eq!(out[20..], [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]); // the address of RFC 5769 §2.2
    }

    #[test]
    fn ipv6_is_masked_with_cookie_and_transaction() {
        // X08
        let mut out = Vec::new();
        let peer: SocketAddr = "[2001:db8::7]:5060".parse().unwrap();
        assert!(answer(&request(&[]), peer, &mut out));
        assert_eq!(out.len(), 44);
        let key: Vec<u8> = STUN_COOKIE.iter().chain(b"abcdefghijkl").copied().collect();
        let ip: Vec<u8> = out[28..].iter().zip(key).map(|(a, b)| a ^ b).collect();
        assert_eq!(ip, "2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets());
    }

    #[test]
    fn an_attribute_that_had_to_be_understood_is_named() {
        let mut out = Vec::new();
        let peer = "192.0.2.1:1".parse().unwrap();
        assert!(answer(&request(&[0x00, 0x24, 0, 4, 0, 0, 0, 1]), peer, &mut out));
        assert_eq!(out[..4], [1, 0x11, 0, 16]);
        assert_eq!(out[20..], [0, 9, 0, 4, 0, 0, 4, 20, 0, 10, 0, 2, 0, 0x24, 0, 0]);
        assert!(answer(&request(&[0x80, 0x22, 0, 3, b'a', b'b', b'c', 0]), peer, &mut out));
        assert_eq!(out[..2], [1, 1]);
    }

    #[test]
    fn what_is_no_sound_request_is_dropped() {
        let mut out = Vec::new();
        let peer = "192.0.2.1:1".parse().unwrap();
        let mut long = request(&[]);
        long.push(0);
        let mut response = request(&[]);
        response[0] = 1;
        for bytes in [&long[..], &response, &request(&[])[..19], &request(&[0, 0x24, 0, 200])] {
            assert!(!answer(bytes, peer, &mut out), "{bytes:?}");
        }
    }
}
