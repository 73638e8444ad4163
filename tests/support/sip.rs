//! SIP by hand: messages as text, for tests that must see every byte.

use super::PATIENCE;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};

/// A request with everything a request needs; `more` are whole header rows with their line ends.
pub fn request(method: &str, uri: &str, via: &str, number: u32, more: &str, body: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\n\
         Via: SIP/2.0/{via};branch=z9hG4bKt{number}\r\n\
         Max-Forwards: 70\r\n\
         From: <{uri}>;tag=f{number}\r\n\
         To: <{uri}>\r\n\
         Call-ID: c{number}@test\r\n\
         CSeq: {number} {method}\r\n\
         {more}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The response to a request that arrived, with the rows a response needs.
pub fn response(request: &str, status: &str) -> String {
    let wanted = ["Via:", "From:", "To:", "Call-ID:", "CSeq:", "Record-Route:"];
    let rows = request.split("\r\n").filter(|row| wanted.iter().any(|name| row.starts_with(name)));
    let rows: String =
        rows.map(|row| format!("{row}{}\r\n", if row.starts_with("To:") { ";tag=b" } else { "" })).collect();
    format!("SIP/2.0 {status}\r\n{rows}Content-Length: 0\r\n\r\n")
}

/// The value of the first row of this name.
pub fn value<'a>(message: &'a str, name: &str) -> &'a str {
    let row = message.split("\r\n").find(|row| row.starts_with(name) && row[name.len()..].starts_with(':'));
    row.map_or("", |row| row[name.len() + 1..].trim())
}

/// The status of a response.
#[track_caller]
pub fn status(message: &str) -> u16 {
    let code = message.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)?.parse().ok());
    code.unwrap_or_else(|| panic!("no response: {message}"))
}

/// A datagram socket: a phone, or a PBX.
pub struct Peer(pub UdpSocket);

impl Peer {
    /// At this address; port 0 takes any.
    pub fn open(address: impl Into<SocketAddr>) -> Self {
        let socket = UdpSocket::bind(address.into()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Its sent-by for a Via, with `rport`.
    pub fn via(&self) -> String {
        format!("UDP {};rport", self.address())
    }

    /// Sends.
    pub fn send(&self, to: &str, bytes: impl AsRef<[u8]>) {
        self.0.send_to(bytes.as_ref(), to).unwrap();
    }

    /// The next datagram.
    #[track_caller]
    pub fn next(&self) -> (String, SocketAddr) {
        let mut buffer = vec![0; 65_536];
        let (n, from) = self.0.recv_from(&mut buffer).unwrap_or_else(|error| panic!("nothing came: {error}"));
        (String::from_utf8_lossy(&buffer[..n]).into_owned(), from)
    }

    /// The next response that is final.
    #[track_caller]
    pub fn last(&self) -> String {
        loop {
            let (text, _) = self.next();
            if status(&text) >= 200 {
                return text;
            }
        }
    }
}

/// A stream.
pub struct Line {
    stream: TcpStream,
    begun: Vec<u8>,
}

impl Line {
    /// To this address.
    pub fn open(to: &str) -> Self {
        Self::over(TcpStream::connect(to).unwrap())
    }

    /// Over a stream that is open.
    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, begun: Vec::new() }
    }

    /// Its sent-by for a Via, with `rport`.
    pub fn via(&self) -> String {
        format!("TCP {};rport", self.stream.local_addr().unwrap())
    }

    /// The stream itself.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Sends.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// The next message, or `None` at the end of the stream. Line ends between messages are skipped.
    pub fn next(&mut self) -> Option<String> {
        loop {
            let blank = self.begun.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.begun.drain(..blank);
            let text = String::from_utf8_lossy(&self.begun).into_owned();
            if let Some(head) = text.find("\r\n\r\n") {
                let length: usize = value(&text[..head + 2], "Content-Length").parse().unwrap();
                if text.len() >= head + 4 + length {
                    self.begun.drain(..head + 4 + length);
                    return Some(text[..head + 4 + length].to_owned());
                }
            }
            if self.more() == 0 {
                return None;
            }
        }
    }

    /// Waits until `bytes` are what comes next.
    #[track_caller]
    pub fn expect(&mut self, bytes: &[u8]) {
        while self.begun.len() < bytes.len() {
            assert_ne!(self.more(), 0, "the stream ended");
        }
        assert_eq!(&self.begun[..bytes.len()], bytes);
        self.begun.drain(..bytes.len());
    }

    fn more(&mut self) -> usize {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(n) => {
                self.begun.extend_from_slice(&buffer[..n]);
                n
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("nothing came: {error}"),
        }
    }
}
