//! A worker's life: its tasks, its orders, its end.

use super::command::{Command, Socket};
use super::machine::Machine;
use super::mail::Mail;
use super::worker::Worker;
use super::{datagrams, streams};
use crate::ids::{ListenerId, Transport};
use crate::model::State;
use crate::net::udp::UdpSocket;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_local};
use tokio_util::sync::CancellationToken;

/// For connections to be written out at the end.
const FAREWELL: Duration = Duration::from_secs(1);
const FAREWELL_STEP: Duration = Duration::from_millis(10);

/// What listens on one socket.
pub(super) struct Ear {
    /// Ends it gently; a task without it is just dropped.
    stop: Option<CancellationToken>,
    task: JoinHandle<()>,
}

fn end(stop: Option<CancellationToken>, task: &JoinHandle<()>) {
    match stop {
        Some(stop) => stop.cancel(),
        None => task.abort(),
    }
}

/// Drops `done` when the task has ended and its socket is closed.
fn finish(ear: Option<Ear>, done: oneshot::Sender<()>) {
    let Some(Ear { stop, task }) = ear else { return };
    end(stop, &task);
    spawn_local(async move {
        let _ = task.await;
        drop(done);
    });
}

impl<M: Machine + 'static> Worker<M> {
    /// Works until it is told to stop.
    pub(super) async fn work(
        self: Rc<Self>,
        inside: Vec<(ListenerId, Socket)>,
        letters: mpsc::Receiver<Mail>,
        mut orders: mpsc::Receiver<Command>,
    ) {
        spawn_local(Rc::clone(&self).keep_time());
        spawn_local(Rc::clone(&self).read_mail(letters));
        spawn_local(Rc::clone(&self).open_connections());
        for own in self.own.iter().flatten() {
            // Ends with the worker.
            spawn_local(datagrams::serve(Rc::clone(&self), Rc::clone(own)));
        }
        for (listener, socket) in inside {
            self.listen(listener, socket);
        }
        while let Some(order) = orders.recv().await {
            match order {
                Command::Listen { listener, socket, done } => finish(self.listen(listener, socket), done),
                Command::Unlisten { listener, transport, done } => finish(self.unlisten(listener, transport), done),
                Command::Leave { listener, transport, done } => {
                    let ear = self.ears.borrow_mut().remove(&(listener, transport));
                    finish(ear, done);
                }
                Command::Prune => self.prune(),
                Command::Stop => break,
            }
        }
        self.say_farewell().await;
    }

    /// Serves a socket; returns the task that served the listener before.
    fn listen(self: &Rc<Self>, listener: ListenerId, socket: Socket) -> Option<Ear> {
        let (transport, stop, task) = match socket {
            Socket::Udp(socket) => {
                let socket = UdpSocket::adopt(socket, listener).map(Rc::new).ok()?;
                self.sockets.borrow_mut().insert(listener, Rc::clone(&socket));
                (Transport::Udp, None, spawn_local(datagrams::serve(Rc::clone(self), socket)))
            }
            Socket::Stream(socket, spoken) => {
                let socket = tokio::net::TcpListener::from_std(socket).ok()?;
                let transport = spoken.transport;
                let stop = CancellationToken::new();
                let accept = streams::accept(Rc::clone(self), listener, socket, spoken, stop.clone());
                (transport, Some(stop), spawn_local(accept))
            }
        };
        self.ears.borrow_mut().insert((listener, transport), Ear { stop, task })
    }

    fn unlisten(&self, listener: ListenerId, transport: Transport) -> Option<Ear> {
        if transport == Transport::Udp {
            self.sockets.borrow_mut().remove(&listener);
        } else {
            for connection in self.connections.borrow().of(Some(listener)) {
                connection.close();
            }
        }
        self.ears.borrow_mut().remove(&(listener, transport))
    }

    /// Closes connections towards instances that are gone or switched off: nobody will use them.
    fn prune(&self) {
        let snapshot = self.routes();
        let lives = |id| snapshot.by_id(id).is_some_and(|it| !matches!(it.state, State::Off | State::Failed));
        for connection in self.connections.borrow().towards_others(lives) {
            connection.close();
        }
    }

    async fn say_farewell(&self) {
        for (_, ear) in self.ears.borrow_mut().drain() {
            end(ear.stop, &ear.task);
        }
        for connection in self.connections.borrow().of(None) {
            connection.close();
        }
        let all_gone = async {
            while !self.connections.borrow().of(None).is_empty() {
                tokio::time::sleep(FAREWELL_STEP).await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL, all_gone).await;
    }
}
