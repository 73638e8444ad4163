//! The floor: relays that move bytes and read none of them.

use crate::{backend, buffers, process};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

/// The process: datagrams of one client on port 5060 and connections on port 8080, all to the first PBX.
pub fn main() {
    process::end_with_parent();
    let outside = UdpSocket::bind("127.0.0.1:5060").unwrap();
    let inside = UdpSocket::bind("127.0.0.1:0").unwrap();
    inside.connect(("127.0.0.1", backend::SIP[0])).unwrap();
    for socket in [&outside, &inside] {
        socket.set_nonblocking(true).unwrap();
        buffers(socket);
    }
    let web = TcpListener::bind("127.0.0.1:8080").unwrap();
    web.set_nonblocking(true).unwrap();

    let epoll = Epoll::new(EpollCreateFlags::empty()).unwrap();
    let event = |number: u64| EpollEvent::new(EpollFlags::EPOLLIN, number);
    epoll.add(&outside, event(0)).unwrap();
    epoll.add(&inside, event(1)).unwrap();
    epoll.add(&web, event(2)).unwrap();
    println!("ready");

    let mut streams: HashMap<u64, TcpStream> = HashMap::new();
    let mut next = 4;
    let mut client: Option<SocketAddr> = None;
    let mut events = vec![EpollEvent::empty(); 64];
    let mut buffer = vec![0; 65_536];
    loop {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE).unwrap_or(0);
        for ready in &events[..ready] {
            match ready.data() {
                0 => {
                    while let Ok((length, from)) = outside.recv_from(&mut buffer) {
                        client = Some(from);
                        let _ = inside.send(&buffer[..length]);
                    }
                }
                1 => {
                    while let (Ok(length), Some(client)) = (inside.recv(&mut buffer), client) {
                        let _ = outside.send_to(&buffer[..length], client);
                    }
                }
                2 => {
                    while let Ok((near, _)) = web.accept() {
                        let far = TcpStream::connect(("127.0.0.1", backend::WEB[0])).unwrap();
                        for stream in [near, far] {
                            stream.set_nodelay(true).unwrap();
                            epoll.add(&stream, event(next)).unwrap();
                            streams.insert(next, stream);
                            next += 1;
                        }
                    }
                }
                // The two ends of a connection have an even number and the next odd one.
                number => {
                    let Some(mut from) = streams.get(&number) else { continue };
                    let length = from.read(&mut buffer).unwrap_or(0);
                    let sent = streams.get(&(number ^ 1)).map(|mut to| to.write_all(&buffer[..length]));
                    if length == 0 || !matches!(sent, Some(Ok(()))) {
                        streams.remove(&number);
                        streams.remove(&(number ^ 1));
                    }
                }
            }
        }
    }
}
