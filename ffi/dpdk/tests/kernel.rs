//! Ports with the kernel behind them: net_tap, AF_PACKET and AF_XDP, each in a fresh network namespace.
//!
//! The kernel's end has 192.0.2.1; the port plays 192.0.2.2: it answers ARP and echoes UDP.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::thread::{UnshareFlags, unshare_unsafe};
use weir_dpdk::{Burst, Eal, Mbuf, Mempool, MempoolConfig, Port, PortConfig};

const DATAGRAMS: usize = 50;

/// Moves this thread, and so the EAL threads it will make, to a network namespace that ends with the process.
/// `false` where that is not allowed, which is then reported.
fn enter_namespace() -> bool {
    // SAFETY: the flag changes this thread's network namespace only; no file descriptor or memory is unshared.
    if let Err(errno) = unsafe { unshare_unsafe(UnshareFlags::NEWNET) } {
        support::not_run(&format!("cannot make a network namespace: {errno}; run as root"));
        return false;
    }
    true
}

fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .expect("install iproute2");
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn veth() {
    ip("link add weir0 type veth peer name weir1");
    ip("link set weir1 up");
}

fn give_address(interface: &str) {
    ip(&format!("address add 192.0.2.1/24 dev {interface}"));
    ip(&format!("link set {interface} up"));
}

/// Turns a request for 192.0.2.2 into its answer; `false` for anything else.
fn answer(packet: &mut Mbuf, mac: [u8; 6]) -> bool {
    const ARP: [u8; 2] = [0x08, 0x06];
    const IPV4: [u8; 2] = [0x08, 0x00];
    const UDP: u8 = 17;
    let frame = packet.data_mut();
    if frame.len() < 42 {
        return false;
    }
    let is_arp_request = frame[12..14] == ARP && frame[21] == 1 && frame[38..42] == [192, 0, 2, 2];
    let is_udp = frame[12..14] == IPV4 && frame[23] == UDP && frame[30..34] == [192, 0, 2, 2];
    if is_arp_request {
        frame.copy_within(22..32, 32);
        frame[22..28].copy_from_slice(&mac);
        frame[28..32].copy_from_slice(&[192, 0, 2, 2]);
        frame[21] = 2;
    } else if is_udp {
        frame[26..34].rotate_left(4);
        frame[34..38].rotate_left(2);
        // None: the kernel may have left it to a device that is not there.
        frame[40..42].fill(0);
    } else {
        return false;
    }
    frame.copy_within(6..12, 0);
    frame[6..12].copy_from_slice(&mac);
    true
}

/// Exchanges datagrams with the kernel through the port, then closes it. Returns how many mbufs did not come back.
fn echo(eal: &Eal, name: &str, interface: &str, config: &PortConfig) -> u32 {
    // AF_XDP fills a ring of 2048 buffers whatever number of descriptors is asked for.
    let pool = Mempool::new(eal, "packets", MempoolConfig::default()).unwrap();
    let mut port = Port::open(eal, name).unwrap();
    let (mut rx, mut tx) = support::start(&mut port, config, &pool);
    println!("{name}: {:?}", port.started().unwrap());
    give_address(interface);
    let mac = port.mac().unwrap();
    let socket = UdpSocket::bind("192.0.2.1:0").unwrap();
    socket.connect("192.0.2.2:7").unwrap();
    socket.set_nonblocking(true).unwrap();

    let deadline = Instant::now() + Duration::from_secs(20);
    let mut burst = Burst::new();
    let mut answers = Burst::new();
    let mut answered = 0;
    let mut buffer = [0; 2000];
    for number in 0..DATAGRAMS {
        let datagram = vec![number as u8; 1 + number * 29];
        socket.send(&datagram).unwrap();
        loop {
            rx.burst(&mut burst);
            for mut packet in burst.drain() {
                if answer(&mut packet, mac) {
                    answered += 1;
                    answers.push(packet).unwrap();
                }
            }
            tx.burst(&mut answers);
            match socket.recv(&mut buffer) {
                Ok(len) => break assert_eq!(buffer[..len], datagram),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
            assert!(
                Instant::now() < deadline,
                "datagram {number} did not come back in time"
            );
            std::thread::sleep(Duration::from_micros(100));
        }
    }
    assert!(
        answered > DATAGRAMS,
        "{answered} answers are no ARP reply and {DATAGRAMS} datagrams"
    );
    let stats = port.stats().unwrap();
    assert!(
        stats.tx_packets as usize >= answered && stats.rx_packets as usize >= answered,
        "{stats:?}"
    );
    assert!(!port.xstats().unwrap().is_empty());
    drop((rx, tx, answers));
    port.stop().unwrap();
    drop(port);
    pool.size() - pool.available()
}

/// What the kernel says of an interface; nothing if there is none.
fn show(interface: &str) -> String {
    let output = Command::new("ip")
        .args(["link", "show", interface])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn tap() {
    if !enter_namespace() {
        return;
    }
    let stage = support::stage(&["net_tap0,iface=weirtap"]);
    let config = PortConfig {
        promiscuous: true,
        ..PortConfig::default()
    };
    assert_eq!(echo(&stage.eal, "net_tap0", "weirtap", &config), 0);
    assert_eq!(show("weirtap"), "", "the tap goes with its port");
}

#[test]
fn tap_settings() {
    if !enter_namespace() {
        return;
    }
    let stage = support::stage(&["net_tap0,iface=weirtap"]);
    let pool = support::pool(&stage.eal);
    let mut port = Port::open(&stage.eal, "net_tap0").unwrap();
    let mac = [0x02, 0, 0x5e, 0, 1, 51];
    port.set_mac(mac).unwrap();
    let config = PortConfig {
        mtu: Some(1400),
        all_multicast: true,
        ..PortConfig::default()
    };
    let queues = support::start(&mut port, &config, &pool);
    assert_eq!(port.mac().unwrap(), mac);
    assert_eq!(port.mtu().unwrap(), 1400);
    let started = port.started().unwrap().clone();
    assert!(
        started.mtu_applied && started.all_multicast && !started.promiscuous,
        "{started:?}"
    );
    port.set_mtu(1300).unwrap();
    port.set_promiscuous(true).unwrap();
    assert!(port.is_promiscuous());
    port.set_promiscuous(false).unwrap();
    assert!(!port.is_promiscuous());
    port.set_multicast_macs(&[[0x01, 0, 0x5e, 0, 0, 18], [0x33, 0x33, 0, 0, 0, 18]])
        .unwrap();
    let text = show("weirtap");
    assert!(
        text.contains("mtu 1300") && text.contains("02:00:5e:00:01:33"),
        "{text}"
    );
    ip("link set weirtap up");
    assert!(port.link().unwrap().up);
    drop(queues);
}

#[test]
fn af_packet() {
    if !enter_namespace() {
        return;
    }
    veth();
    ip("link set weir0 up");
    let stage = support::stage(&["net_af_packet0,iface=weir0"]);
    assert_eq!(
        echo(&stage.eal, "net_af_packet0", "weir1", &PortConfig::default()),
        0
    );
}

#[test]
fn af_xdp() {
    if !enter_namespace() {
        return;
    }
    veth();
    ip("link set weir0 up");
    let stage = support::stage(&["net_af_xdp0,iface=weir0"]);
    // Closing leaves the buffers lent to the kernel, a ring of 2048 and what was on its way, with nobody.
    // The bound shows that no packet adds to that.
    let lent = echo(&stage.eal, "net_af_xdp0", "weir1", &PortConfig::default());
    assert!(lent <= 2048 + 32, "{lent}");
    let text = show("weir0");
    assert!(
        !text.contains("xdp"),
        "the program stayed on the interface: {text}"
    );
}
