//! Phones, a PBX, and the SIP side of a node between them, on real sockets.

use super::super::ports::settle;
use super::*;
use crate::demo::digest::Algorithm;
use crate::demo::line::Account;
use crate::demo::pbx::{self, Pbx};
use crate::demo::phone::{self, Phone};
use crate::demo::wire::Peer;
use crate::driver::listeners::wanted;
use crate::engine::token::Keyring;
use crate::ids::{BackendId, Transport};
use crate::model::{Backend, Listener, Profile, Service};
use crate::route::testing::{compiled, instance, proxy, table};
use std::net::SocketAddr;
use std::time::Duration;

const NAME: &str = "harbor";

struct Stage {
    plane: Plane,
    shared: Arc<Shared>,
    cell: Arc<Cell>,
    pbx: Pbx,
    _dir: tempfile::TempDir,
}

impl Stage {
    async fn open(home: &str, towards: Transport, profile: Profile) -> Self {
        let accounts = ["alice", "bob", "carol"].map(|user| (user.to_owned(), format!("secret of {user}")));
        let setup = pbx::Setup {
            domain: NAME.into(),
            name: NAME.into(),
            ip: home.parse().unwrap(),
            accounts: accounts.into(),
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            seed: 1,
            tap: Arc::new(|_| {}),
        };
        let pbx = Pbx::start(setup).await.unwrap();
        let mut row = instance(1, NAME);
        let address = pbx.address().to_string();
        row.backends = vec![Backend { id: BackendId(1), transport: towards, profile, ..Backend::at(&address) }];
        let mut front = proxy(1, "front");
        let any = SocketAddr::new(home.parse().unwrap(), 0);
        let listener = |number, service| Listener { number, service, bind: settle(any).unwrap(), advertise: None };
        front.listeners = vec![listener(1, Service::SipUdp), listener(2, Service::SipTcp)];
        let cell = Arc::new(Cell::new(compiled(&table([row], [front]))));

        let dir = tempfile::tempdir().unwrap();
        let mut config = Config { workers: 2, data_dir: dir.path().to_owned(), ..Config::default() };
        config.inside.bind = vec![any];
        let shared = Arc::new(Shared::new(Keyring::default().rotated(Clock::start().now().unix, [7; 32])));
        let mut plane = Plane::start(&config, &cell, &shared, Arc::default(), Clock::start(), None).unwrap();
        let troubles = plane.front.listen(&wanted(&cell.load()), |_| Err(std::io::ErrorKind::Unsupported.into())).await;
        assert!(troubles.is_empty(), "{troubles:?}");
        Self { plane, shared, cell, pbx, _dir: dir }
    }

    async fn phone(&self, user: &str, transport: Transport) -> Phone {
        let bound = self.plane.front.bound().iter().find(|bound| bound.wanted.transport == transport).unwrap();
        let setup = phone::Setup {
            name: user.into(),
            account: Account { user: user.into(), domain: NAME.into(), password: format!("secret of {user}") },
            ip: bound.address.ip(),
            proxy: Peer { transport, address: bound.address },
            preload: false,
            algorithms: vec![Algorithm::Md5, Algorithm::Sha256],
            patience: Duration::from_secs(10),
            seed: user.len() as u64,
            tap: Arc::new(|_| {}),
        };
        let phone = Phone::start(setup).await.unwrap();
        phone.register().await.unwrap();
        phone
    }

    /// Two phones call each other, hold, resume and hang up.
    async fn talk(&self, a: Transport, b: Transport) {
        let (alice, bob) = (self.phone("alice", a).await, self.phone("bob", b).await);
        assert_eq!(self.pbx.bindings(), 2);
        for (caller, callee) in [(&alice, &bob), (&bob, &alice)] {
            let (calling, called) = tokio::join!(caller.call(&callee.account().user), callee.next_call());
            let (calling, called) = (calling.unwrap(), called.unwrap());
            calling.hold().await.unwrap();
            calling.resume().await.unwrap();
            called.hold().await.unwrap();
            called.resume().await.unwrap();
            called.hang_up().await.unwrap();
            calling.ended().await.unwrap();
        }
        assert_eq!((alice.reached_directly(), bob.reached_directly()), (0, 0), "phones behind NAT cannot be dialled");
    }
}

#[tokio::test]
async fn phones_register_and_call_over_udp() {
    // X04 P01 P05
    Stage::open("127.0.0.1", Transport::Udp, Profile::Generic).await.talk(Transport::Udp, Transport::Udp).await;
}

#[tokio::test]
async fn phones_register_and_call_over_udp_and_tcp() {
    // X09 P05 F10
    Stage::open("127.0.0.1", Transport::Udp, Profile::Generic).await.talk(Transport::Udp, Transport::Tcp).await;
}

#[tokio::test]
async fn a_pbx_is_spoken_to_over_tcp() {
    // X09 F10
    Stage::open("127.0.0.1", Transport::Tcp, Profile::Generic).await.talk(Transport::Tcp, Transport::Udp).await;
}

#[tokio::test]
async fn everything_works_over_ipv6() {
    // X13
    Stage::open("::1", Transport::Udp, Profile::Generic).await.talk(Transport::Udp, Transport::Tcp).await;
}

#[tokio::test]
async fn a_pbx_without_path_is_told_by_contact() {
    Stage::open("127.0.0.1", Transport::Udp, Profile::Contact).await.talk(Transport::Udp, Transport::Tcp).await;
}

#[tokio::test]
async fn what_is_registered_is_seen_and_the_end_of_a_stream_ends_it() {
    // P07
    let stage = Stage::open("127.0.0.1", Transport::Udp, Profile::Generic).await;
    let id = stage.cell.load().instances[0].id;
    let (alice, _bob) = (stage.phone("alice", Transport::Tcp).await, stage.phone("bob", Transport::Udp).await);
    assert_eq!(stage.shared.bindings(id).len(), 2);
    alice.disconnect();
    let gone = async {
        while stage.shared.bindings(id).len() == 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
    assert_eq!(&*stage.shared.bindings(id)[0].account, "bob");
    stage.plane.stop().await;
}
