//! Listeners that come, go and change while workers run, and their end.

use super::*;

#[tokio::test]
async fn listeners_come_and_go_without_touching_others() {
    // R73; PROTOCOLS 4, trap 16
    let mut stage = Stage::open(2, Limits::default()).await;
    let (udp, tcp) = (any(UDP, Transport::Udp), any(TCP, Transport::Tcp));
    let third = ListenerId { proxy: ProxyId(2), number: 1 };
    let mut kept = stage.tcp().await;
    ask(&mut kept, "hello").await;
    let before = stage.address(TCP);

    let removed = stage.address(UDP);
    assert!(stage.listen(&[tcp, any(third, Transport::Udp)]).await.is_empty());
    assert_eq!(stage.address(TCP), before);
    assert_eq!(ask(&mut kept, "hello").await, framed("hello"));
    assert!(std::net::UdpSocket::bind(removed).is_ok(), "the removed one is closed");

    // One that cannot be bound is reported; the others are as they were.
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let broken = Wanted { bind: taken.local_addr().unwrap(), ..udp };
    let troubles = stage.listen(&[tcp, broken, any(third, Transport::Udp)]).await;
    assert_eq!(troubles.len(), 1);
    assert_eq!((troubles[0].wanted, troubles[0].error.kind()), (broken, std::io::ErrorKind::AddrInUse));
    assert_eq!(stage.front.bound().len(), 2);
    assert_eq!(ask(&mut kept, "hello").await, framed("hello"));
    drop(taken);
    assert!(stage.listen(&[tcp, broken, any(third, Transport::Udp)]).await.is_empty());

    // A listener that is removed closes what it accepted.
    assert!(stage.listen(&[broken]).await.is_empty());
    assert_eq!(read(&mut kept).await, "");
}

#[tokio::test]
async fn two_listeners_can_swap_their_addresses() {
    // R73
    let mut stage = Stage::open(1, Limits::default()).await;
    let third = ListenerId { proxy: ProxyId(2), number: 1 };
    let at = |listener, bind| Wanted { listener, transport: Transport::Udp, bind, shared: false };
    assert!(stage.listen(&[any(UDP, Transport::Udp), any(third, Transport::Udp)]).await.is_empty());
    let (a, b) = (stage.address(UDP), stage.address(third));
    assert!(stage.listen(&[at(UDP, a), at(third, b)]).await.is_empty());
    let troubles = stage.listen(&[at(UDP, b), at(third, a)]).await;
    assert!(troubles.is_empty(), "{troubles:?}");
    assert_eq!((stage.address(UDP), stage.address(third)), (b, a));
}

#[tokio::test]
async fn stopping_writes_what_waits_and_closes_everything() {
    let stage = Stage::open(2, Limits::default()).await;
    let mut phone = stage.tcp().await;
    ask(&mut phone, "hello").await;
    let address = stage.address(UDP);
    stage.front.stop().await;
    assert_eq!(read(&mut phone).await, "");
    assert!(std::net::UdpSocket::bind(address).is_ok());
}
