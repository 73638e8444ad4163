//! Which connection a session ticket was given to, for TLS 1.2 as well: rustls tells a server what it put into a
//! ticket only of TLS 1.3.
//!
//! Tickets are sealed and opened while the packets of a handshake are processed, on the thread that processes them.
//! So whoever does that says before for whom, and asks afterwards what was opened; the ticketer writes it into the
//! ticket and reads it out of it. What is opened need not have been accepted: that is for the asker to look at.

use crate::ids::ConnId;
use std::cell::Cell;

thread_local! {
    static SEALED_FOR: Cell<u64> = const { Cell::new(0) };
    static OPENED: Cell<u64> = const { Cell::new(0) };
}

/// Runs something that may seal tickets for a connection, and returns the one that a ticket it opened was for.
pub fn during<T>(conn: ConnId, process: impl FnOnce() -> T) -> (T, Option<ConnId>) {
    SEALED_FOR.set(conn.0);
    OPENED.set(0);
    let done = process();
    SEALED_FOR.set(0);
    let opened = OPENED.replace(0);
    (done, (opened != 0).then_some(ConnId(opened)))
}

/// Bytes of a note in a ticket.
const NOTE: usize = 8;

/// Writes down whom a ticket is for, before what it holds.
pub(super) fn note(plain: &[u8]) -> Vec<u8> {
    let mut noted = Vec::with_capacity(NOTE + plain.len());
    noted.extend_from_slice(&SEALED_FOR.get().to_be_bytes());
    noted.extend_from_slice(plain);
    noted
}

/// Takes note of whom a ticket was for, and returns what it holds.
pub(super) fn read(mut noted: Vec<u8>) -> Option<Vec<u8>> {
    let conn = u64::from_be_bytes(*noted.first_chunk::<NOTE>()?);
    OPENED.set(conn);
    noted.drain(..NOTE);
    Some(noted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_says_for_whom_it_was() {
        // S05
        let (ticket, opened) = during(ConnId(7), || note(b"session"));
        assert_eq!(opened, None);
        let (plain, opened) = during(ConnId(9), || read(ticket));
        assert_eq!((plain.unwrap(), opened), (b"session".to_vec(), Some(ConnId(7))));
        let (plain, opened) = during(ConnId(9), || read(note(b"")));
        assert_eq!((plain.unwrap(), opened), (Vec::new(), Some(ConnId(9))));
        assert_eq!(during(ConnId(9), || ()).1, None, "it is forgotten");
        assert_eq!(read(vec![0; 7]), None);
        assert_eq!(during(ConnId(9), || read(vec![0; 8])).1, None, "a ticket for nobody");
    }
}
