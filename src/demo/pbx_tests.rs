//! Phones and a PBX on loopback, with nothing between them.

use super::super::line::{Account, Answering};
use super::super::phone::{self, Phone};
use super::super::transaction::Failure;
use super::*;
use std::time::Duration;

const MD5: &[Algorithm] = &[Algorithm::Md5];
const BOTH: &[Algorithm] = &[Algorithm::Md5, Algorithm::Sha256];

async fn pbx() -> Pbx {
    pbx_at("127.0.0.1").await
}

async fn pbx_at(ip: &str) -> Pbx {
    let accounts = ["alice", "bob", "carol"].map(|user| (user.to_owned(), format!("secret of {user}")));
    Pbx::start(Setup {
        domain: "harbor".into(),
        name: "harbor".into(),
        ip: ip.parse().unwrap(),
        accounts: accounts.into(),
        algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
        seed: 1,
        tap: Arc::new(|_| {}),
    })
    .await
    .unwrap()
}

async fn phone(pbx: &Pbx, user: &str, transport: Transport, algorithms: &[Algorithm]) -> Phone {
    Phone::start(setup(pbx, user, transport, algorithms)).await.unwrap()
}

fn setup(pbx: &Pbx, user: &str, transport: Transport, algorithms: &[Algorithm]) -> phone::Setup {
    phone::Setup {
        name: user.into(),
        account: Account { user: user.into(), domain: "harbor".into(), password: format!("secret of {user}") },
        ip: pbx.address().ip(),
        proxy: Peer { transport, address: pbx.address() },
        preload: false,
        algorithms: algorithms.to_vec(),
        patience: Duration::from_secs(5),
        seed: user.len() as u64,
        tap: Arc::new(|_| {}),
    }
}

async fn registered(pbx: &Pbx, user: &str, transport: Transport) -> Phone {
    let phone = phone(pbx, user, transport, BOTH).await;
    phone.register().await.unwrap();
    phone
}

#[tokio::test]
async fn phones_register_with_the_first_hash_they_know() {
    let pbx = pbx().await;
    let old = phone(&pbx, "alice", Transport::Udp, MD5).await;
    assert_eq!(old.register().await.unwrap().algorithm, Some(Algorithm::Md5));
    let new = phone(&pbx, "bob", Transport::Tcp, BOTH).await;
    assert_eq!(new.register().await.unwrap().algorithm, Some(Algorithm::Sha256));
    assert_eq!(pbx.bindings(), 2);
    assert_eq!(old.register().await.unwrap().contacts.len(), 1, "a refresh is no second binding");
    assert!(old.unregister().await.unwrap().contacts.is_empty());
    assert_eq!(pbx.bindings(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_challenged_once_more_and_refused() {
    let pbx = pbx().await;
    let mut setup = setup(&pbx, "alice", Transport::Udp, BOTH);
    setup.account.password = "guess".into();
    setup.preload = true;
    let stranger = Phone::start(setup).await.unwrap();
    assert_eq!(stranger.register().await.unwrap_err().status(), 401);
    assert!(!stranger.registered());
    assert_eq!(stranger.call("echo").await.map(drop).unwrap_err().status(), 407);
}

#[tokio::test]
async fn a_call_is_held_resumed_and_hung_up_between_all_transports() {
    for (one, other) in
        [(Transport::Udp, Transport::Udp), (Transport::Udp, Transport::Tcp), (Transport::Tcp, Transport::Udp)]
    {
        let pbx = pbx().await;
        let alice = registered(&pbx, "alice", one).await;
        let bob = registered(&pbx, "bob", other).await;
        let call = alice.call("bob").await.unwrap();
        let at_bob = bob.next_call().await.unwrap();
        assert_eq!((call.with(), at_bob.with()), ("bob".into(), "alice".into()));
        assert_eq!(call.id(), at_bob.id());
        call.hold().await.unwrap();
        at_bob.until(Direction::Send).await.unwrap();
        assert_eq!(call.state().remote, Direction::Receive);
        call.resume().await.unwrap();
        at_bob.until(Direction::Both).await.unwrap();
        at_bob.hang_up().await.unwrap();
        call.ended().await.unwrap();
        assert!(alice.calls().is_empty() && bob.calls().is_empty());
        // INVITE, INVITE with credentials, hold, resume.
        assert_eq!((pbx.saw(&call.id(), Method::Invite), pbx.saw(&call.id(), Method::Bye)), (4, 1));
    }
}

#[tokio::test]
async fn ipv6_works_as_ipv4_does() {
    // X13
    let pbx = pbx_at("::1").await;
    let alice = registered(&pbx, "alice", Transport::Tcp).await;
    let bob = registered(&pbx, "bob", Transport::Udp).await;
    let call = alice.call("bob").await.unwrap();
    call.hold().await.unwrap();
    bob.next_call().await.unwrap().hang_up().await.unwrap();
    call.ended().await.unwrap();
}

#[tokio::test]
async fn a_blind_transfer_reaches_the_third_phone_and_is_reported() {
    let pbx = pbx().await;
    let alice = registered(&pbx, "alice", Transport::Udp).await;
    let bob = registered(&pbx, "bob", Transport::Tcp).await;
    let carol = registered(&pbx, "carol", Transport::Udp).await;
    let call = alice.call("bob").await.unwrap();
    bob.next_call().await.unwrap();
    assert_eq!(call.transfer("carol").await, Ok(200));
    let at_carol = carol.next_call().await.unwrap();
    let at_bob = bob.next_call().await.unwrap();
    assert_eq!((at_carol.with(), at_bob.with()), ("bob".into(), "carol".into()));
    call.hang_up().await.unwrap();
    at_bob.hang_up().await.unwrap();
    at_carol.ended().await.unwrap();
}

#[tokio::test]
async fn a_transfer_to_nobody_is_reported_as_failed() {
    let pbx = pbx().await;
    let alice = registered(&pbx, "alice", Transport::Udp).await;
    let bob = registered(&pbx, "bob", Transport::Udp).await;
    let call = alice.call("bob").await.unwrap();
    bob.next_call().await.unwrap();
    assert_eq!(call.transfer("carol").await, Ok(480));
    assert_eq!(call.transfer("nobody").await, Ok(404));
    call.hang_up().await.unwrap();
}

#[tokio::test]
async fn ringing_is_given_up_and_busy_is_said() {
    let pbx = pbx().await;
    let alice = registered(&pbx, "alice", Transport::Udp).await;
    let bob = registered(&pbx, "bob", Transport::Udp).await;
    bob.answering(Answering::Ring);
    let ringing = alice.ring("bob").await.unwrap();
    assert_eq!(ringing.cancel().await, Ok(487));
    bob.answering(Answering::Refuse);
    assert_eq!(alice.call("bob").await.map(drop).unwrap_err().status(), 486);
    assert_eq!(alice.call("carol").await.map(drop).unwrap_err().status(), 480);
    assert_eq!(alice.call("nobody").await.map(drop).unwrap_err().status(), 404);
    assert_eq!(alice.call("sip:bob@lighthouse").await.map(drop).unwrap_err().status(), 404);
}

#[tokio::test]
async fn a_refusal_is_confirmed_all_the_way_to_who_refused() {
    // C05
    let pbx = pbx().await;
    let alice = registered(&pbx, "alice", Transport::Udp).await;
    let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let mut setup = setup(&pbx, "bob", Transport::Udp, BOTH);
    setup.tap = Arc::new(move |glance| {
        if !glance.sent {
            let _ = sender.send(glance.message.summary());
        }
    });
    let bob = Phone::start(setup).await.unwrap();
    bob.register().await.unwrap();
    bob.answering(Answering::Refuse);
    assert_eq!(alice.call("bob").await.map(drop).unwrap_err().status(), 486);
    let confirmed = async { while heard.recv().await.unwrap() != "ACK" {} };
    tokio::time::timeout(Duration::from_secs(5), confirmed).await.unwrap();
}

#[tokio::test]
async fn extensions_answer_and_hang_up() {
    let pbx = pbx().await;
    for transport in [Transport::Udp, Transport::Tcp] {
        let alice = phone(&pbx, "alice", transport, MD5).await;
        let call = alice.call(ECHO).await.unwrap();
        call.hold().await.unwrap();
        call.resume().await.unwrap();
        call.hang_up().await.unwrap();
        assert_eq!(call.hang_up().await.unwrap_err().status(), 481);
        alice.call(GOODBYE).await.unwrap().ended().await.unwrap();
        assert_eq!(alice.options("sip:harbor").await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn nobody_at_the_address_is_a_failure_and_no_hang() {
    let pbx = pbx().await;
    let alice = phone(&pbx, "alice", Transport::Tcp, MD5).await;
    drop(pbx);
    alice.disconnect();
    assert!(matches!(alice.register().await, Err(Failure::Transport(_) | Failure::Timeout)));
}
