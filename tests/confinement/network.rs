//! The network: nothing but the broker's listener exists.

use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use dreamcore_worker::sandbox::plan::Mechanism;
use dreamcore_worker::sandbox::policy::INNER_API_PORT;
use dreamcore_worker::sandbox::probe::Attack;

use crate::arena::Arena;

#[tokio::test]
async fn reaches_the_broker_and_no_other_address() {
    let arena = Arena::new().await;
    assert!(arena.confinement.holds(Mechanism::NetworkNamespace));
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = outside.local_addr().unwrap();
    Arena::assert_denied(&arena.try_one(Attack::TcpConnect { address }).await);
    let elsewhere = "192.0.2.1:443".parse().unwrap();
    Arena::assert_denied(&arena.try_one(Attack::TcpConnect { address: elsewhere }).await);
    let v6 = "[::1]:80".parse().unwrap();
    Arena::assert_denied(&arena.try_one(Attack::TcpConnect { address: v6 }).await);

    // The listener was handed out, and the kernel completes connections to it by itself.
    let broker = format!("127.0.0.1:{INNER_API_PORT}").parse().unwrap();
    Arena::assert_allowed(&arena.try_one(Attack::TcpConnect { address: broker }).await);
}

#[tokio::test]
async fn cannot_listen() {
    let arena = Arena::new().await;
    let address = "127.0.0.1:9999".parse().unwrap();
    Arena::assert_denied(&arena.try_one(Attack::TcpListen { address }).await);
}

#[tokio::test]
async fn datagrams_do_not_arrive() {
    let arena = Arena::new().await;
    let ear = UdpSocket::bind("127.0.0.1:0").unwrap();
    ear.set_nonblocking(true).unwrap();
    let address = ear.local_addr().unwrap();
    arena.try_one(Attack::UdpSend { address }).await;
    assert!(ear.recv(&mut [0; 64]).is_err(), "a datagram came through");
    // The same from out here arrives, so the ear hears.
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

    // A socket in its own folder can be used.
    let inside = arena.cell.tmp.join("socket");
    let _own = UnixListener::bind(&inside).unwrap();
    std::fs::set_permissions(&inside, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    Arena::assert_allowed(&arena.try_one(Attack::UnixConnect { path: inside }).await);
}

#[tokio::test]
async fn unusual_sockets_cannot_be_opened() {
    let arena = Arena::new().await;
    let socket = |family, kind, protocol| Attack::Socket { family, kind, protocol };
    for family in [libc::AF_VSOCK, libc::AF_PACKET, libc::AF_ALG, libc::AF_BLUETOOTH, libc::AF_KEY]
    {
        Arena::assert_denied(&arena.try_one(socket(family, libc::SOCK_RAW, 0)).await);
    }
    let raw = socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP);
    Arena::assert_denied(&arena.try_one(raw).await);
    let plain = socket(libc::AF_INET, libc::SOCK_STREAM, 0);
    Arena::assert_allowed(&arena.try_one(plain).await);
}
