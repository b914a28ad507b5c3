//! The network: the sandbox reaches the broker's listener and nothing else.

use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use dreamcore_wire::attack::Attack;
use dreamcore_wire::plan::Mechanism;
use dreamcore_worker::sandbox::policy::INNER_API_PORT;

use crate::arena::Arena;

#[tokio::test]
async fn reaches_the_broker_and_no_other_address() {
    let arena = Arena::new().await;
    assert!(arena.confinement.holds(Mechanism::NetworkNamespace));
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = outside.local_addr().unwrap();
    let (elsewhere, v6) = ("192.0.2.1:443".parse().unwrap(), "[::1]:80".parse().unwrap());
    let attacks = [address, elsewhere, v6].map(|address| Attack::TcpConnect { address });
    arena.try_all(&attacks).await.iter().for_each(Arena::assert_denied);

    // The test holds the listener that the launcher handed out. The kernel completes connections to
    // it without `accept`.
    let broker = format!("127.0.0.1:{INNER_API_PORT}").parse().unwrap();
    Arena::assert_allowed(&arena.try_one(Attack::TcpConnect { address: broker }).await);
}

#[tokio::test]
async fn cannot_listen_where_anybody_could_connect() {
    let arena = Arena::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let report = arena.try_one(Attack::TcpListen { address }).await;
    if arena.confinement.holds(Mechanism::Landlock) {
        Arena::assert_denied(&report);
    } else {
        // In its own network, the sandbox may listen even on an address that is taken outside.
        Arena::assert_allowed(&report);
    }
}

#[tokio::test]
async fn datagrams_do_not_arrive() {
    let arena = Arena::new().await;
    let ear = UdpSocket::bind("127.0.0.1:0").unwrap();
    ear.set_nonblocking(true).unwrap();
    let address = ear.local_addr().unwrap();
    arena.try_one(Attack::UdpSend { address }).await;
    assert!(ear.recv(&mut [0; 64]).is_err(), "a datagram came through");
    // The same from outside the sandbox arrives, so the receiver works.
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", address).unwrap();
    assert!(ear.recv(&mut [0; 64]).is_ok());
}

#[tokio::test]
async fn sockets_outside_cannot_be_reached_by_path_or_name() {
    let arena = Arena::new().await;
    let path = arena.outside_file("a").with_file_name("socket");
    let _by_path = UnixListener::bind(&path).unwrap();
    std::os::unix::net::UnixStream::connect(&path).unwrap();
    Arena::assert_denied(&arena.try_one(Attack::UnixConnect { path }).await);

    let name = format!("dreamcore-test-{}", std::process::id());
    let _by_name =
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    Arena::assert_denied(&arena.try_one(Attack::AbstractConnect { name }).await);

    // The sandbox can use a socket in its own folder.
    let made = arena.cell.tmp.join("socket");
    let _own = UnixListener::bind(&made).unwrap();
    std::fs::set_permissions(&made, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    Arena::assert_allowed(&arena.try_one(Attack::UnixConnect { path: "/tmp/socket".into() }).await);
}

#[tokio::test]
async fn unusual_sockets_cannot_be_opened() {
    let arena = Arena::new().await;
    let socket = |family, kind, protocol| Attack::Socket { family, kind, protocol };
    let families =
        [libc::AF_VSOCK, libc::AF_PACKET, libc::AF_ALG, libc::AF_BLUETOOTH, libc::AF_KEY];
    let mut refused = families.map(|family| socket(family, libc::SOCK_RAW, 0)).to_vec();
    refused.push(socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP));
    arena.try_all(&refused).await.iter().for_each(Arena::assert_denied);
    let plain = socket(libc::AF_INET, libc::SOCK_STREAM, 0);
    Arena::assert_allowed(&arena.try_one(plain).await);
}
