//! Messages for one connection that come of one turn of the worker, as a 180 and the 200 right behind it: written
//! together, they cost one system call, one TLS record and one segment.
//!
//! A worker holds at most one connection's back, and lets go when another's turn comes or its own turn ends. What cannot
//! be written then is told to the engine by its tickets, as if it had been known at once.

use super::effects::unsent;
use super::machine::Machine;
use super::worker::Worker;
use crate::engine::contract::SendError;
use crate::net::stream::{Connection, Unsent};
use std::rc::Rc;

/// Bytes that are held back at most; also the capacity that is kept.
const MOST: usize = 16 * 1024;

/// What is held back.
#[derive(Default)]
pub(super) struct Cork {
    connection: Option<Rc<Connection>>,
    bytes: Vec<u8>,
    tickets: Vec<u64>,
}

impl Cork {
    fn is_for(&self, connection: &Rc<Connection>) -> bool {
        self.connection.as_ref().is_some_and(|held| Rc::ptr_eq(held, connection))
    }

    fn has_room(&self, length: usize) -> bool {
        self.bytes.len() + length <= MOST
    }

    /// Sends it all; the tickets are the caller's to look at if that fails.
    fn pull(&mut self) -> Result<(), Unsent> {
        let sent = self.connection.take().map_or(Ok(()), |connection| connection.send_framed(&self.bytes));
        self.bytes.clear();
        sent
    }
}

impl<M: Machine + 'static> Worker<M> {
    /// Sends a message over a connection of ours before the worker's turn ends.
    pub(super) fn send_soon(&self, connection: Rc<Connection>, message: &[u8], ticket: u64) -> Result<(), SendError> {
        if !connection.is_open() || message.len() > MOST {
            self.pull_cork();
            return connection.send(message, ticket).map_err(unsent);
        }
        let fits = {
            let cork = self.cork.borrow();
            cork.is_for(&connection) && cork.has_room(message.len())
        };
        if !fits {
            self.pull_cork();
        }
        let mut cork = self.cork.borrow_mut();
        connection.frame(message, &mut cork.bytes).map_err(unsent)?;
        cork.connection = Some(connection);
        if ticket != 0 {
            cork.tickets.push(ticket);
        }
        Ok(())
    }

    /// Sends what is held back. Sends that fail are put with the failures.
    pub(super) fn pull_cork(&self) {
        let mut cork = self.cork.borrow_mut();
        let sent = cork.pull();
        for ticket in cork.tickets.drain(..) {
            if let Err(why) = sent {
                self.fail(ticket, unsent(why));
            }
        }
    }
}
