//! The first bytes of a client that wanted TLS, read for what they tell of it.
//!
//! It decides nothing in a handshake, which is rustls' business: when one has failed, this says what the client had
//! offered, so that an operator can name the phone. It reads what there is of a hello; the bytes are a stranger's.

use rustls::CipherSuite;

/// Bytes of a connection that are worth keeping for this. Old phones' hellos have less than 300.
pub const MOST: usize = 4096;

/// TLS 1.2, the oldest version served.
pub const OLDEST: u16 = 0x0303;

/// Bytes of a name that are kept.
const NAME: usize = 253;
/// Entries of a list that are kept.
const ENTRIES: usize = 64;

/// What a client began with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum First {
    /// Nothing came.
    Nothing,
    /// A ClientHello, or the beginning of one.
    Hello(Hello),
    /// A ClientHello in the format of SSL 2, with the version it asks for.
    Ssl2(u16),
    /// SIP in the clear.
    Sip,
    /// HTTP in the clear.
    Http,
    /// A PROXY protocol header that nobody expected.
    Proxy,
    /// Something else.
    Other,
}

/// A ClientHello (RFC 8446 §4.1.2), as far as it came.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Hello {
    /// The newest version the client speaks; 0 where that had not come.
    pub version: u16,
    /// Cipher suites it offers, the first of them only.
    pub suites: Vec<u16>,
    /// The name it asks for, lower case.
    pub sni: Option<Box<str>>,
    /// Protocols it offers (ALPN).
    pub alpn: Vec<Box<str>>,
}

/// Reads the first bytes of a connection.
pub fn read(bytes: &[u8]) -> First {
    match bytes {
        [] => First::Nothing,
        [0x16] | [0x16, 3, ..] => First::Hello(Hello::read(&payload(bytes))),
        // RFC 5246 appendix E.2: the length with its highest bit set, CLIENT-HELLO, the version.
        [0x80..=0xff, _, 1, high @ (0 | 3), low, ..] => First::Ssl2(u16::from_be_bytes([*high, *low])),
        _ if bytes.starts_with(b"PROXY ") || bytes.starts_with(b"\r\n\r\n\0\r\nQUIT\n") => First::Proxy,
        _ => plain(bytes),
    }
}

/// A version as people call it.
pub fn version_name(version: u16) -> &'static str {
    match version {
        0x0002 => "SSL 2",
        0x0300 => "SSL 3",
        0x0301 => "TLS 1.0",
        0x0302 => "TLS 1.1",
        0x0303 => "TLS 1.2",
        0x0304 => "TLS 1.3",
        _ => "",
    }
}

/// A cipher suite as the IANA registry calls it; its number where it is a rare one.
pub fn suite_name(suite: u16) -> String {
    let known = OLD_SUITES.iter().find(|(number, _)| *number == suite).map(|(_, name)| *name);
    known.map_or_else(|| format!("{:?}", CipherSuite::from(suite)), str::to_owned)
}

/// Suites of old phones that rustls has no names for.
const OLD_SUITES: [(u16, &str); 22] = [
    (0x0004, "TLS_RSA_WITH_RC4_128_MD5"),
    (0x0005, "TLS_RSA_WITH_RC4_128_SHA"),
    (0x0009, "TLS_RSA_WITH_DES_CBC_SHA"),
    (0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA"),
    (0x0016, "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA"),
    (0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA"),
    (0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA"),
    (0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA"),
    (0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA"),
    (0x003c, "TLS_RSA_WITH_AES_128_CBC_SHA256"),
    (0x003d, "TLS_RSA_WITH_AES_256_CBC_SHA256"),
    (0x0067, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256"),
    (0x006b, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256"),
    (0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256"),
    (0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384"),
    (0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"),
    (0x00ff, "TLS_EMPTY_RENEGOTIATION_INFO_SCSV"),
    (0xc009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"),
    (0xc00a, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"),
    (0xc012, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA"),
    (0xc013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"),
    (0xc014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"),
];

/// Words of SIP or HTTP: a blank line is SIP's keep-alive.
fn plain(bytes: &[u8]) -> First {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let has = |word: &[u8]| memchr::memmem::find(line, word).is_some();
    let begins = |words: &[&[u8]]| words.iter().any(|word| bytes.starts_with(word));
    if has(b"SIP/2.0") || has(b" sip:") || has(b" sips:") || begins(&[b"\r\n", b"REGISTER ", b"INVITE "]) {
        First::Sip
    } else if has(b"HTTP/") || begins(&[b"GET ", b"POST ", b"HEAD ", b"PUT ", b"CONNECT ", b"PRI ", b"OPTIONS "]) {
        First::Http
    } else {
        First::Other
    }
}

/// The handshake bytes of the records at the front.
fn payload(bytes: &[u8]) -> Vec<u8> {
    let mut rest = bytes.get(..MOST).unwrap_or(bytes);
    let mut whole = Vec::with_capacity(rest.len());
    while let [0x16, 3, _, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (part, next) = after.split_at(length.min(after.len()));
        whole.extend_from_slice(part);
        rest = next;
    }
    whole
}

impl Hello {
    fn read(bytes: &[u8]) -> Self {
        let mut hello = Self::default();
        // What is missing at the end leaves the rest as it is.
        let _ = hello.fill(&mut Bytes(bytes));
        hello
    }

    fn fill(&mut self, bytes: &mut Bytes<'_>) -> Option<()> {
        let kind = bytes.number(1)?;
        if kind != 1 {
            return None;
        }
        bytes.take(3)?;
        self.version = bytes.short()?;
        bytes.take(32)?;
        bytes.block(1)?;
        let mut suites = Bytes(bytes.block(2)?);
        while let Some(suite) = suites.short() {
            if !is_grease(suite) && self.suites.len() < ENTRIES {
                self.suites.push(suite);
            }
        }
        bytes.block(1)?;
        // The length of all extensions: some of them may be missing.
        bytes.take(2)?;
        for _ in 0..ENTRIES {
            let kind = bytes.short()?;
            let content = Bytes(bytes.block(2)?);
            match kind {
                0 => self.sni = sni(content),
                16 => self.alpn = alpn(content),
                43 => self.version = newest(content).unwrap_or(self.version),
                _ => {}
            }
        }
        Some(())
    }
}

fn sni(mut content: Bytes<'_>) -> Option<Box<str>> {
    let mut list = Bytes(content.block(2)?);
    while let Some(kind) = list.number(1) {
        let name = list.block(2)?;
        if kind == 0 {
            return text(name);
        }
    }
    None
}

fn alpn(mut content: Bytes<'_>) -> Vec<Box<str>> {
    let mut list = Bytes(content.block(2).unwrap_or_default());
    let mut found = Vec::new();
    while let Some(name) = list.block(1)
        && found.len() < 8
    {
        found.extend(text(name));
    }
    found
}

fn newest(mut content: Bytes<'_>) -> Option<u16> {
    let mut list = Bytes(content.block(1)?);
    let mut newest = None;
    while let Some(version) = list.short() {
        if !is_grease(version) {
            newest = newest.max(Some(version));
        }
    }
    newest
}

/// Printable text only: it is shown to people.
fn text(bytes: &[u8]) -> Option<Box<str>> {
    let printable = bytes.len() <= NAME && !bytes.is_empty() && bytes.iter().all(u8::is_ascii_graphic);
    printable.then(|| String::from_utf8_lossy(bytes).to_ascii_lowercase().into())
}

/// RFC 8701: values that mean nothing.
const fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, length: usize) -> Option<usize> {
        Some(self.take(length)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn short(&mut self) -> Option<u16> {
        u16::try_from(self.number(2)?).ok()
    }

    /// What follows its own length of so many bytes.
    fn block(&mut self, length: usize) -> Option<&'a [u8]> {
        let length = self.number(length)?;
        self.take(length)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A ClientHello as an old phone sends it: of this version, with these suites and this name.
    pub(in crate::tls) fn old(version: u16, suites: &[u16], name: &str) -> Vec<u8> {
        let short = |n: usize| u16::try_from(n).unwrap().to_be_bytes();
        let mut body = version.to_be_bytes().to_vec();
        body.extend([7; 32]);
        body.push(0);
        body.extend(short(suites.len() * 2));
        suites.iter().for_each(|suite| body.extend(suite.to_be_bytes()));
        body.extend([1, 0]);
        let mut extension = Vec::new();
        if !name.is_empty() {
            extension.extend([0, 0]);
            extension.extend(short(name.len() + 5));
            extension.extend(short(name.len() + 3));
            extension.push(0);
            extension.extend(short(name.len()));
            extension.extend(name.as_bytes());
        }
        body.extend(short(extension.len()));
        body.extend(extension);
        let mut record = vec![0x16, 3, 1];
        record.extend(short(body.len() + 4));
        record.extend([1, 0]);
        record.extend(short(body.len()));
        record.extend(body);
        record
    }

    /// What rustls itself sends as a client.
    fn modern(name: &str) -> Vec<u8> {
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"sip".to_vec(), b"h2".to_vec()];
        let name = name.to_owned().try_into().unwrap();
        let mut client = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
        let mut sent = Vec::new();
        client.write_tls(&mut sent).unwrap();
        sent
    }

    fn hello(bytes: &[u8]) -> Hello {
        match read(bytes) {
            First::Hello(hello) => hello,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_modern_hello_is_read_whole() {
        // S05
        let read = hello(&modern("Acme.pbx.example"));
        assert_eq!((version_name(read.version), read.sni.as_deref()), ("TLS 1.3", Some("acme.pbx.example")));
        assert_eq!(read.alpn, ["sip".into(), "h2".into()]);
        assert!(read.suites.iter().any(|suite| suite_name(*suite) == "TLS13_AES_256_GCM_SHA384"), "{:?}", read.suites);
    }

    #[test]
    fn an_old_phone_is_known_by_its_version_suites_and_name() {
        // S05
        for version in [0x0300, 0x0301, 0x0302] {
            let read = hello(&old(version, &[0x002f, 0x000a], "phones.example"));
            assert_eq!((read.version, read.suites.as_slice()), (version, &[0x002f, 0x000a][..]));
            assert_eq!(read.sni.as_deref(), Some("phones.example"));
        }
        assert_eq!(hello(&old(0x0301, &[5], "")).sni, None);
        assert_eq!(suite_name(0x002f), "TLS_RSA_WITH_AES_128_CBC_SHA");
    }

    #[test]
    fn what_is_no_tls_is_told_apart() {
        // S05 3.3.14
        for (bytes, first) in [
            (&b""[..], First::Nothing),
            (b"\x80\x2e\x01\x00\x02\x00\x15", First::Ssl2(2)),
            (b"\x80\x2e\x01\x03\x01\x00\x15", First::Ssl2(0x0301)),
            (b"REGISTER sip:acme SIP/2.0\r\n", First::Sip),
            (b"OPTIONS sip:acme SIP/2.0\r\n", First::Sip),
            (b"\r\n\r\n", First::Sip),
            (b"GET / HTTP/1.1\r\n", First::Http),
            (b"OPTIONS * HTTP/1.1\r\n", First::Http),
            (b"PRI * HTTP/2.0\r\n", First::Http),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", First::Proxy),
            (b"\r\n\r\n\0\r\nQUIT\n\x21", First::Proxy),
            (b"SSH-2.0-x\r\n", First::Other),
            (b"\x15\x03\x01\x00\x02\x02\x28", First::Other),
        ] {
            assert_eq!(read(bytes), first, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_hello_in_many_records_is_one() {
        // S06
        let whole = old(0x0301, &[0x002f, 0x0035, 0x000a], "phones.example");
        let split: Vec<u8> = whole[5..]
            .chunks(7)
            .flat_map(|part| [&[0x16, 3, 1, 0, u8::try_from(part.len()).unwrap()][..], part].concat())
            .collect();
        assert_eq!(read(&split), read(&whole));
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..200, cut in 0usize..250) {
            read(&bytes);
            let mut damaged = modern("acme.example");
            let end = damaged.len();
            for (place, byte) in damaged[at.min(end)..].iter_mut().zip(&bytes) {
                *place ^= byte & 3;
            }
            read(&damaged);
            read(&damaged[..cut.min(end)]);
        }
    }
}
