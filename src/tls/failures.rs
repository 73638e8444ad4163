//! Handshakes that failed: why, and of which phone, so that an operator reads what to do (S05).
//!
//! Whoever accepts TLS connections tells [`Failures::note`] of each that came to nothing. The last ones are kept
//! whole, all are counted by reason, and sources are remembered as far as there is room: the one unheard of for the
//! longest makes way. Nothing here refuses anybody.

use super::hello::{self, First, Hello};
use crate::clock::Now;
use crate::ids::ListenerId;
use crate::observe::limit::Limit;
use crate::stats::Counter;
use rustls::{AlertDescription, Error, InvalidMessage, PeerIncompatible};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

/// Failures that are kept whole.
const RING: usize = 256;
/// Sources that are remembered.
const SOURCES: usize = 4096;
/// Cipher suites that are shown of one client.
const SUITES: usize = 12;

macro_rules! failures {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $english:literal, $german:literal;)+) => {
        /// Why a handshake failed.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Reason {
            $($(#[$doc])* $variant,)+
        }

        impl Reason {
            /// All of them, in the order of their counters.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable word for it.
            pub const fn kind(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// What to do about it, in English.
            pub const fn advice(self) -> &'static str {
                match self {
                    $(Self::$variant => $english,)+
                }
            }

            /// What to do about it, in German.
            pub const fn advice_de(self) -> &'static str {
                match self {
                    $(Self::$variant => $german,)+
                }
            }
        }
    };
}

failures! {
    /// A hello in the format of SSL 2.
    Ssl2 = "sslv2",
        "The client greets in the format of SSL 2. Update its firmware or switch SSL 2 off in it; until then let it use another transport.",
        "Das Gerät meldet sich im Format von SSL 2. Firmware aktualisieren oder SSL 2 im Gerät abschalten; bis dahin einen anderen Transport verwenden.";
    /// Nothing newer than TLS 1.1.
    OldVersion = "old-version",
        "The client speaks nothing newer than TLS 1.1; TLS 1.2 and 1.3 are served. Update its firmware or allow TLS 1.2 in its settings.",
        "Das Gerät spricht nichts Neueres als TLS 1.1; bedient werden TLS 1.2 und 1.3. Firmware aktualisieren oder TLS 1.2 im Gerät erlauben.";
    /// No cipher suite, group or signature in common.
    NoCipher = "no-common-cipher",
        "The client offers no cipher suite, group or signature that is safe and that we have. Update its firmware or allow ECDHE with AES-GCM in it; RSA-only clients need an RSA certificate beside the ECDSA one.",
        "Das Gerät bietet kein sicheres Verfahren an, das wir auch haben. Firmware aktualisieren oder ECDHE mit AES-GCM erlauben; Geräte ohne ECDSA brauchen zusätzlich ein RSA-Zertifikat.";
    /// No protocol (ALPN) in common.
    NoProtocol = "no-common-protocol",
        "The client asks for a protocol (ALPN) that this port does not speak. Check which port it is set to.",
        "Das Gerät verlangt ein Protokoll (ALPN), das dieser Port nicht spricht. Den eingestellten Port prüfen.";
    /// The client does not know who signed our certificate.
    UnknownAuthority = "unknown-authority",
        "The client does not trust who signed our certificate. Install that authority in it, or use a certificate of a public authority (ACME).",
        "Das Gerät vertraut dem Aussteller unseres Zertifikats nicht. Dessen Stammzertifikat im Gerät installieren oder ein öffentliches Zertifikat (ACME) verwenden.";
    /// The client finds our certificate expired.
    Expired = "certificate-expired",
        "The client finds our certificate expired. Renew it; if it is valid, the client's clock is wrong: check its time server.",
        "Das Gerät hält unser Zertifikat für abgelaufen. Zertifikat erneuern; ist es gültig, geht die Uhr des Geräts falsch: dessen Zeitserver prüfen.";
    /// The client does not like our certificate for another reason.
    CertificateRefused = "certificate-refused",
        "The client refuses our certificate, mostly because the name it is set to is not in it. Check the server name in the client and the names of the certificate.",
        "Das Gerät lehnt unser Zertifikat ab, meist weil der eingestellte Name nicht darin steht. Servernamen im Gerät und Namen des Zertifikats prüfen.";
    /// The device has no certificate, and the proxy requires one.
    DeviceCertificateMissing = "device-certificate-missing",
        "The proxy requires a certificate of devices, and this one has none. Install one in it, or make device certificates optional.",
        "Der Proxy verlangt ein Gerätezertifikat, und dieses Gerät hat keines. Eines installieren oder Gerätezertifikate freistellen.";
    /// The device's certificate is not valid here.
    DeviceCertificateRefused = "device-certificate-refused",
        "The device's certificate is expired or not signed by an authority of the proxy. Install a valid one in it, or add its authority to the proxy.",
        "Das Gerätezertifikat ist abgelaufen oder nicht von einem Aussteller des Proxys. Ein gültiges installieren oder den Aussteller beim Proxy eintragen.";
    /// SIP in the clear.
    PlainSip = "plain-sip",
        "The client speaks SIP without TLS to a TLS port. Set its transport to TLS, or its port to one that serves SIP over TCP.",
        "Das Gerät spricht SIP ohne TLS auf einem TLS-Port. Den Transport auf TLS stellen oder einen Port für SIP über TCP verwenden.";
    /// HTTP in the clear.
    PlainHttp = "plain-http",
        "The client speaks HTTP without TLS to a TLS port. Use https:// in its address.",
        "Der Client spricht HTTP ohne TLS auf einem TLS-Port. In der Adresse https:// verwenden.";
    /// A PROXY protocol header from somebody who is not in the proxy's list.
    ProxyHeader = "proxy-header",
        "A load balancer begins with a PROXY protocol header, but its address is not in the proxy's proxy-protocol list. Add it there.",
        "Ein Load-Balancer beginnt mit einem PROXY-Protokoll-Kopf, steht aber nicht in der Liste proxy-protocol des Proxys. Dort eintragen.";
    /// Neither TLS nor anything else we know.
    NotTls = "not-tls",
        "What came is not TLS. Mostly a scanner; nothing to do.",
        "Was ankam, ist kein TLS. Meist ein Scanner; nichts zu tun.";
    /// The client went away.
    Closed = "closed-early",
        "The client closed before the handshake was over. Some clients do so when they do not trust the certificate; load balancers do so to see whether the port is open.",
        "Das Gerät hat vor Ende des Handshakes geschlossen. Manche tun das, wenn sie dem Zertifikat nicht trauen; Load-Balancer prüfen so, ob der Port offen ist.";
    /// The client took too long.
    Slow = "too-slow",
        "The client did not finish the handshake in time. Check the way to it for loss; timers.handshake allows more.",
        "Das Gerät hat den Handshake nicht rechtzeitig beendet. Die Strecke auf Verluste prüfen; timers.handshake erlaubt mehr.";
    /// Something else.
    Other = "other",
        "The handshake broke a rule of TLS; the detail says which.",
        "Der Handshake verletzt eine Regel von TLS; das Detail sagt welche.";
}

/// How a handshake ended that did not succeed.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// rustls refused it, or passed on the client's alert.
    Error(&'a Error),
    /// The client closed the connection.
    Closed,
    /// Time was over.
    Slow,
}

/// A handshake that failed.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Where it came to.
    pub listener: ListenerId,
    /// Who it was.
    pub peer: SocketAddr,
    /// The first bytes that came, [`hello::MOST`] of them at most.
    pub first: &'a [u8],
    /// How it ended.
    pub end: End<'a>,
}

/// A failure as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Unix seconds.
    pub at: u64,
    /// Where it came to.
    pub listener: ListenerId,
    /// Who it was.
    pub peer: SocketAddr,
    /// Why.
    pub reason: Reason,
    /// What the client offered; empty where it sent no hello.
    pub hello: Hello,
    /// What rustls says of it.
    pub detail: Box<str>,
}

/// What one source failed with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// Who.
    pub address: IpAddr,
    /// Failures so far.
    pub count: u64,
    /// Of these, hellos of SSL 2, SSL 3, TLS 1.0 and 1.1.
    pub old: u64,
    /// When the last was (Unix seconds).
    pub at: u64,
    /// Why that was.
    pub reason: Reason,
    /// The newest version it spoke then; 0 where unknown.
    pub version: u16,
    /// The name it asked for then.
    pub sni: Option<Box<str>>,
}

/// All failures of the node.
#[derive(Debug)]
pub struct Failures {
    counts: Vec<Counter>,
    lines: Vec<Limit>,
    /// Sources that were forgotten to make room.
    pub evicted: Counter,
    kept: Mutex<Kept>,
}

#[derive(Default, Debug)]
struct Kept {
    ring: VecDeque<Failure>,
    sources: HashMap<IpAddr, Source, foldhash::fast::RandomState>,
}

impl Default for Failures {
    fn default() -> Self {
        Self {
            counts: Reason::ALL.iter().map(|_| Counter::default()).collect(),
            lines: Reason::ALL.iter().map(|_| Limit::new()).collect(),
            evicted: Counter::default(),
            kept: Mutex::default(),
        }
    }
}

impl Failures {
    /// Notes a failure, logs it so many times a second, and says why it was. One that sent nothing at all is only
    /// counted: load balancers look that way whether the port is open.
    pub fn note(&self, attempt: &Attempt<'_>, now: Now) -> Reason {
        let first = hello::read(attempt.first);
        let reason = reason(&first, attempt.end);
        if let Some(counter) = self.counts.get(reason as usize) {
            counter.inc();
        }
        let hello = match first {
            First::Hello(hello) => hello,
            First::Ssl2(version) => Hello { version, ..Hello::default() },
            _ => Hello::default(),
        };
        let detail = match attempt.end {
            End::Error(error) => error.to_string().into(),
            End::Closed | End::Slow => Box::default(),
        };
        let failure = Failure {
            at: now.unix,
            listener: attempt.listener,
            peer: SocketAddr::new(attempt.peer.ip().to_canonical(), attempt.peer.port()),
            reason,
            hello,
            detail,
        };
        if !attempt.first.is_empty()
            && let Some(suppressed) = self.lines.get(reason as usize).and_then(|limit| limit.pass(now.tick))
        {
            let Failure { peer, hello, detail, .. } = &failure;
            let (version, sni) = (hello::version_name(hello.version), hello.sni.as_deref().unwrap_or_default());
            let reason = reason.kind();
            tracing::info!(reason, %peer, version, sni, detail = &**detail, suppressed, "TLS handshake failed");
        }
        if !attempt.first.is_empty() {
            self.keep(failure);
        }
        reason
    }

    /// Failures so far, by reason.
    pub fn count(&self, reason: Reason) -> u64 {
        self.counts.get(reason as usize).map_or(0, Counter::read)
    }

    /// The last failures, newest first.
    pub fn last(&self) -> Vec<Failure> {
        self.lock().ring.iter().rev().cloned().collect()
    }

    /// The sources that are remembered, those with most failures first.
    pub fn sources(&self) -> Vec<Source> {
        let mut all: Vec<Source> = self.lock().sources.values().cloned().collect();
        all.sort_by(|a, b| (b.count, b.at, a.address).cmp(&(a.count, a.at, b.address)));
        all
    }

    fn keep(&self, failure: Failure) {
        let mut kept = self.lock();
        let address = failure.peer.ip();
        if kept.sources.len() >= SOURCES && !kept.sources.contains_key(&address) {
            let oldest = kept.sources.values().min_by_key(|source| source.at).map(|source| source.address);
            if let Some(oldest) = oldest {
                kept.sources.remove(&oldest);
                self.evicted.inc();
            }
        }
        let Failure { at, reason, ref hello, .. } = failure;
        let fresh = Source { address, count: 0, old: 0, at, reason, version: 0, sni: None };
        let source = kept.sources.entry(address).or_insert(fresh);
        source.count += 1;
        source.old += u64::from(matches!(reason, Reason::Ssl2 | Reason::OldVersion));
        (source.at, source.reason) = (at, reason);
        (source.version, source.sni) = (hello.version, hello.sni.clone());
        if kept.ring.len() >= RING {
            kept.ring.pop_front();
        }
        kept.ring.push_back(failure);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failure {
    /// The names of the cipher suites the client offered, the first of them only.
    pub fn suites(&self) -> Vec<String> {
        self.hello.suites.iter().take(SUITES).map(|suite| hello::suite_name(*suite)).collect()
    }
}

/// What the client began with tells more than how it ended; its alert tells most.
fn reason(first: &First, end: End<'_>) -> Reason {
    if let End::Error(Error::AlertReceived(alert)) = end {
        return of_alert(*alert);
    }
    match first {
        First::Ssl2(_) => return Reason::Ssl2,
        First::Sip => return Reason::PlainSip,
        First::Http => return Reason::PlainHttp,
        First::Proxy => return Reason::ProxyHeader,
        First::Other => return Reason::NotTls,
        First::Hello(hello) if (1..hello::OLDEST).contains(&hello.version) => return Reason::OldVersion,
        First::Hello(_) | First::Nothing => {}
    }
    match end {
        End::Closed => Reason::Closed,
        End::Slow => Reason::Slow,
        End::Error(error) => of_error(error),
    }
}

fn of_alert(alert: AlertDescription) -> Reason {
    use AlertDescription as Alert;
    match alert {
        Alert::UnknownCA => Reason::UnknownAuthority,
        Alert::CertificateExpired => Reason::Expired,
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateUnknown
        | Alert::UnrecognisedName => Reason::CertificateRefused,
        Alert::ProtocolVersion => Reason::OldVersion,
        Alert::HandshakeFailure | Alert::InsufficientSecurity => Reason::NoCipher,
        Alert::NoApplicationProtocol => Reason::NoProtocol,
        Alert::CloseNotify | Alert::UserCanceled => Reason::Closed,
        _ => Reason::Other,
    }
}

fn of_error(error: &Error) -> Reason {
    use PeerIncompatible as Peer;
    match error {
        Error::PeerIncompatible(Peer::Tls12NotOffered | Peer::Tls12NotOfferedOrEnabled) => Reason::OldVersion,
        Error::PeerIncompatible(Peer::ServerTlsVersionIsDisabledByOurConfig) => Reason::OldVersion,
        Error::PeerIncompatible(_) => Reason::NoCipher,
        Error::NoApplicationProtocol => Reason::NoProtocol,
        Error::NoCertificatesPresented => Reason::DeviceCertificateMissing,
        Error::InvalidCertificate(_) | Error::InvalidCertRevocationList(_) => Reason::DeviceCertificateRefused,
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => Reason::NotTls,
        _ => Reason::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Tick;
    use crate::tls::hello::tests::old;

    const NOW: Now = Now { tick: Tick(5_000), unix: 1_800_000_000 };

    fn note(failures: &Failures, peer: &str, first: &[u8], end: End<'_>) -> Reason {
        let attempt = Attempt { listener: ListenerId::INSIDE_V4, peer: peer.parse().unwrap(), first, end };
        failures.note(&attempt, NOW)
    }

    #[test]
    fn each_failure_has_its_name() {
        // S05 3.3.14
        let modern = old(0x0303, &[0xc02f], "acme.example");
        let alert = Error::AlertReceived;
        let cases: Vec<(&[u8], Error, Reason)> = vec![
            (b"\x80\x2e\x01\x00\x02\x00\x15", InvalidMessage::InvalidContentType.into(), Reason::Ssl2),
            (b"REGISTER sip:a SIP/2.0\r\n", InvalidMessage::InvalidContentType.into(), Reason::PlainSip),
            (b"GET / HTTP/1.1\r\n", InvalidMessage::InvalidContentType.into(), Reason::PlainHttp),
            (b"PROXY TCP4 ", InvalidMessage::InvalidContentType.into(), Reason::ProxyHeader),
            (b"SSH-2.0", InvalidMessage::InvalidContentType.into(), Reason::NotTls),
            (&modern, PeerIncompatible::NoCipherSuitesInCommon.into(), Reason::NoCipher),
            (&modern, PeerIncompatible::NoKxGroupsInCommon.into(), Reason::NoCipher),
            (&modern, Error::NoApplicationProtocol, Reason::NoProtocol),
            (&modern, alert(AlertDescription::UnknownCA), Reason::UnknownAuthority),
            (&modern, alert(AlertDescription::CertificateExpired), Reason::Expired),
            (&modern, alert(AlertDescription::BadCertificate), Reason::CertificateRefused),
            (&modern, Error::NoCertificatesPresented, Reason::DeviceCertificateMissing),
            (&modern, rustls::CertificateError::UnknownIssuer.into(), Reason::DeviceCertificateRefused),
            (&modern, Error::DecryptError, Reason::Other),
        ];
        for (first, error, wanted) in cases {
            let failures = Failures::default();
            assert_eq!(note(&failures, "192.0.2.9:5000", first, End::Error(&error)), wanted, "{error}");
            assert_eq!(failures.count(wanted), 1);
        }
        for version in [0x0300, 0x0301, 0x0302] {
            let error = PeerIncompatible::Tls12NotOffered.into();
            let first = old(version, &[0x002f], "");
            assert_eq!(note(&Failures::default(), "192.0.2.9:1", &first, End::Error(&error)), Reason::OldVersion);
        }
        assert_eq!(note(&Failures::default(), "192.0.2.9:1", b"", End::Closed), Reason::Closed);
        assert_eq!(note(&Failures::default(), "192.0.2.9:1", &modern, End::Slow), Reason::Slow);
    }

    #[test]
    fn the_phone_can_be_named() {
        // S05
        let failures = Failures::default();
        let hello = old(0x0301, &[0x002f, 0x000a], "acme.example");
        let error = PeerIncompatible::Tls12NotOffered.into();
        for port in 1..4 {
            note(&failures, &format!("192.0.2.7:{port}"), &hello, End::Error(&error));
        }
        note(&failures, "192.0.2.8:1", b"", End::Closed);
        note(&failures, "192.0.2.8:1", &old(0x0303, &[], ""), End::Closed);
        let last = failures.last();
        assert_eq!((last.len(), last[0].reason, last[1].reason), (4, Reason::Closed, Reason::OldVersion));
        assert_eq!(last[1].suites(), ["TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_RSA_WITH_3DES_EDE_CBC_SHA"]);
        let sources = failures.sources();
        assert_eq!((sources[0].address, sources[0].count, sources[0].old), ("192.0.2.7".parse().unwrap(), 3, 3));
        assert_eq!((sources[0].version, sources[0].sni.as_deref()), (0x0301, Some("acme.example")));
    }

    #[test]
    fn spoofed_sources_are_bounded() {
        let failures = Failures::default();
        let count = u32::try_from(SOURCES).unwrap() + 10;
        for n in 0..count {
            let peer = SocketAddr::new(IpAddr::V4(n.into()), 1);
            let attempt = Attempt { listener: ListenerId::INSIDE_V4, peer, first: &[22], end: End::Closed };
            failures.note(&attempt, Now { unix: NOW.unix + u64::from(n), ..NOW });
        }
        assert_eq!((failures.sources().len(), failures.last().len()), (SOURCES, RING));
        assert_eq!((failures.evicted.read(), failures.count(Reason::Closed)), (10, u64::from(count)));
        assert!(failures.sources().iter().all(|source| source.at >= NOW.unix + 10), "the oldest make way");
    }

    #[test]
    fn every_reason_has_words_of_its_own() {
        let mut seen = std::collections::HashSet::new();
        for reason in Reason::ALL {
            assert!(seen.insert(reason.kind()) && seen.insert(reason.advice()) && seen.insert(reason.advice_de()));
        }
    }
}
