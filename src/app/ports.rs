//! Port 0 in a configuration means any free port. Clients and calls in progress know the port, so it is chosen once,
//! before it is written down or bound, and outside the range the kernel gives to connections.

use crate::net::{tcp, udp};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;

const RANGE: Range<u16> = 10_000..30_000;
const TRIES: usize = 1_000;

/// `address` with a port that is free for UDP and TCP, if it has none.
pub(super) fn settle(mut address: SocketAddr) -> io::Result<SocketAddr> {
    if address.port() != 0 {
        return Ok(address);
    }
    for _ in 0..TRIES {
        address.set_port(fastrand::u16(RANGE));
        if udp::probe(address).is_ok() && tcp::probe(address).is_ok() {
            return Ok(address);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_chosen_only_where_none_is_given() {
        let fixed: SocketAddr = "127.0.0.1:5060".parse().unwrap();
        assert_eq!(settle(fixed).unwrap(), fixed);
        let chosen = settle("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(RANGE.contains(&chosen.port()));
        assert!(tcp::bind(chosen).is_ok());
    }
}
