//! What happens around the packets: refusals, draining, neighbours that move, explanations.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use weir_tests::lab::{Injector, Lab, LabError, Node, wait_until};
use weir_tests::scenario::scenario;
use weir_tests::stage::Config;

use super::cast::{Cast, Family};
use crate::assert_all_good;

/// The scene of all modes with further services, and its accounts at the end.
fn with_more(name: &str, more: &str, body: impl FnOnce(&Lab, &mut Cast) -> Result<(), LabError>) {
    scenario(name, |lab| {
        let mut cast = Cast::start(lab, &[0])?;
        let text = super::cast::config(&[0]).other.unwrap_or_default() + more;
        cast.director.apply(Config {
            other: Some(text),
            ..Config::new(2)
        })?;
        body(lab, &mut cast)?;
        let balance = cast.director.settled_balance()?;
        assert!(balance.is_even() && balance.rx > 0, "{balance:?}");
        Ok(())
    });
}

fn service(name: &str, address: &str, protocol: &str, more: &str, backend: &str) -> String {
    format!(
        "\n[[service]]\nname = \"{name}\"\naddress = \"{address}\"\nprotocol = \"{protocol}\"\nforward = \"dr\"\n\
         {more}\n\n  [[service.backend]]\n  address = \"{backend}\"\n"
    )
}

/// A datagram to `address`; the error that comes back within half a second.
fn datagram(node: &Node, address: &str) -> Result<Option<ErrorKind>, LabError> {
    let local = if address.starts_with('[') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    let sent = node.inside(|| {
        let socket = UdpSocket::bind(local)?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        socket.connect(address)?;
        socket.send(b"anybody there?")?;
        Ok::<_, std::io::Error>(socket.recv(&mut [0; 64]).err().map(|error| error.kind()))
    })?;
    sent.map_err(|error| LabError::unexpected(format!("a datagram to {address}: {error}")))
}

#[test]
fn a_service_without_servers_refuses_where_it_shall_and_is_silent_elsewhere() {
    let mut more = String::new();
    for (family, vip, backend) in [
        (4, "192.0.2.90", "192.0.2.11"),
        (6, "[2001:db8::90]", "[2001:db8::11]"),
    ] {
        for protocol in ["tcp", "udp"] {
            for (reply, port) in [("reject", 7001), ("drop", 7002)] {
                let more_lines = format!("no_server = \"{reply}\"");
                let text = service(
                    &format!("{reply}{family}-{protocol}"),
                    &format!("{vip}:{port}"),
                    protocol,
                    &more_lines,
                    &format!("{backend}:{port}"),
                );
                more += &(text + "  drain = true\n");
            }
        }
    }
    with_more("refusals", &more, |_, cast| {
        for vip in ["192.0.2.90", "[2001:db8::90]"] {
            let start = Instant::now();
            let reply = cast.client.get(&format!("http://{vip}:7001/"))?;
            assert_eq!(reply.curl_exit, 7, "connection refused: {reply:?}");
            assert!(start.elapsed() < Duration::from_secs(2), "a reset comes at once");
            assert_eq!(
                datagram(cast.client.node(), &format!("{vip}:7001"))?,
                Some(ErrorKind::ConnectionRefused)
            );
            assert_eq!(
                datagram(cast.client.node(), &format!("{vip}:7002"))?,
                Some(ErrorKind::WouldBlock),
                "silence"
            );
        }
        Ok(())
    });
}

/// Nobody listens on the servers' ports, so their kernels send ICMP, which NAT has to translate with what it quotes.
#[test]
fn a_servers_icmp_errors_reach_the_client_through_nat_and_fullnat() {
    let mut more = String::new();
    let mut targets = Vec::new();
    for family in Family::BOTH {
        for (forward, virt, settings) in [
            ("nat", family.far(91), String::new()),
            (
                "fullnat",
                family.near(91),
                format!("local_addresses = [\"{}\"]\n", family.near(50)),
            ),
        ] {
            let target = super::cast::socket(&virt, 7003);
            let backend = super::cast::socket(&family.near(11), 7004);
            more += &format!(
                "\n[[service]]\nname = \"closed-{forward}-{family:?}\"\naddress = \"{target}\"\nprotocol = \"udp\"\n\
                 forward = \"{forward}\"\n{settings}\n  [[service.backend]]\n  address = \"{backend}\"\n"
            );
            targets.push(target);
        }
    }
    with_more("ICMP through NAT", &more, |_, cast| {
        for target in &targets {
            // A kernel limits the errors it sends: one may be missing.
            wait_until(
                &format!("a refusal by {target}"),
                Duration::from_secs(10),
                || match datagram(cast.client.node(), target) {
                    Ok(Some(ErrorKind::ConnectionRefused)) => Ok(()),
                    seen => Err(format!("{seen:?}")),
                },
            )?;
        }
        Ok(())
    });
}

fn backend_row(cast: &Cast, service: &str, address: &str) -> Result<Value, LabError> {
    let answer = cast.director.ctl_json("backend")?;
    let rows = answer["backends"].as_array().cloned().unwrap_or_default();
    rows.into_iter()
        .find(|row| row["service"] == service && row["address"] == address)
        .ok_or_else(|| LabError::unexpected(format!("no {address} in {answer}")))
}

#[test]
fn a_draining_server_keeps_its_flows_and_its_progress_shows() {
    with_more("drain", "", |_, cast| {
        let url = "http://203.0.113.107/1MiB";
        // Two downloads of three seconds, one at each server (they take turns).
        let slow = |name: &str| {
            let mut curl = cast.client.node().command("curl");
            curl.args(["-sS", "--fail", "--limit-rate", "350k", "--max-time", "20", "-o"]);
            curl.arg(cast.director.config_path().with_file_name(name))
                .arg(url);
            curl.spawn()
                .map_err(|error| LabError::unexpected(error.to_string()))
        };
        let mut downloads = [slow("first")?, slow("second")?];
        let active = |address: &str| {
            let row = backend_row(cast, "nat-tcp-80", address)?;
            Ok::<_, LabError>(row["traffic"]["active"].as_u64().unwrap_or_default())
        };
        wait_until("both downloads", Duration::from_secs(3), || {
            let seen = (active("192.0.2.11:80"), active("192.0.2.12:80"));
            if matches!(seen, (Ok(1), Ok(1))) {
                Ok(())
            } else {
                Err(format!("{seen:?}"))
            }
        })?;
        cast.director
            .ctl(&["backend", "drain", "nat-tcp-80", "192.0.2.11:80"])?;
        let row = backend_row(cast, "nat-tcp-80", "192.0.2.11:80")?;
        assert_eq!(
            (&row["state"], &row["weight"]),
            (&"draining".into(), &0.into()),
            "{row}"
        );
        assert_eq!(row["traffic"]["active"], 1, "its flow goes on: {row}");
        let replies = cast.client.get_many("http://203.0.113.107/", 6)?;
        assert_all_good(&replies);
        assert!(replies.iter().all(|reply| reply.server == "rs2"), "{replies:?}");
        for download in &mut downloads {
            let status = download
                .wait()
                .map_err(|error| LabError::unexpected(error.to_string()))?;
            assert!(status.success(), "a download broke off: {status}");
        }
        wait_until(
            "no active flow on the drained server",
            Duration::from_secs(5),
            || match active("192.0.2.11:80") {
                Ok(0) => Ok(()),
                seen => Err(format!("{seen:?}")),
            },
        )?;
        cast.director
            .ctl(&["backend", "undrain", "nat-tcp-80", "192.0.2.11:80"])?;
        let replies = cast.client.get_many("http://203.0.113.107/", 4)?;
        assert_all_good(&replies);
        assert_eq!(replies.iter().filter(|reply| reply.server == "rs1").count(), 2);
        Ok(())
    });
}

/// The MAC address that weir has for `address`.
fn mac_known(cast: &Cast, address: &str) -> Result<Option<String>, LabError> {
    let answer = cast.director.ctl_json("neighbor")?;
    let rows = answer["neighbors"].as_array().cloned().unwrap_or_default();
    let row = rows.iter().find(|row| row["address"] == address);
    Ok(row.and_then(|row| row["mac"].as_str().map(str::to_owned)))
}

#[test]
fn a_server_that_changes_its_mac_address_is_followed_within_two_seconds() {
    with_more("MAC change", "", |_, cast| {
        let streams = [
            cast.client.stream("http://192.0.2.100/", 200, Some(50))?,
            cast.client.stream("http://[2001:db8::100]/", 200, Some(50))?,
        ];
        thread::sleep(Duration::from_millis(500));
        let server = cast.servers[0].node();
        server.sysctl("net.ipv4.conf.eth0.arp_notify", "0")?;
        server.ip("link set eth0 address 02:00:00:00:77:01")?;
        let start = Instant::now();
        for address in ["192.0.2.11", "2001:db8::11"] {
            wait_until(
                &format!("the new MAC address of {address}"),
                Duration::from_secs(2),
                || match mac_known(cast, address) {
                    Ok(Some(mac)) if mac == "02:00:00:00:77:01" => Ok(()),
                    seen => Err(format!("{seen:?}")),
                },
            )?;
            eprintln!("{address}: followed after {:.2} s", start.elapsed().as_secs_f32());
        }
        for stream in streams {
            let replies = stream.finish()?;
            // A SYN may be lost; the client's next one, a second or three later, is not.
            assert_all_good(&replies);
            let slowest = replies.iter().map(|reply| reply.seconds).fold(0.0, f64::max);
            assert!(slowest < 4.0, "{slowest} s");
        }
        Ok(())
    });
}

#[test]
fn gratuitous_arp_and_unsolicited_advertisements_are_understood() {
    // Nobody has these addresses, so only an announcement can teach them.
    let more = service("nobody", "192.0.2.91:80", "tcp", "", "192.0.2.77:80")
        + &service("nobody6", "[2001:db8::91]:80", "tcp", "", "[2001:db8::77]:80");
    with_more("announcements", &more, |_, cast| {
        let mut wire = Injector::open(cast.client.node(), "eth0")?;
        for (address, frame) in [
            ("192.0.2.77", gratuitous_arp([192, 0, 2, 77])),
            ("2001:db8::77", unsolicited_advertisement(0x77)),
        ] {
            assert_eq!(mac_known(cast, address)?, None, "{address}");
            wait_until(
                &format!("the MAC address of {address}"),
                Duration::from_secs(5),
                || {
                    wire.send(&frame).map_err(|error| error.to_string())?;
                    match mac_known(cast, address) {
                        Ok(Some(mac)) if mac == "02:00:00:00:77:02" => Ok(()),
                        seen => Err(format!("{seen:?}")),
                    }
                },
            )?;
        }
        Ok(())
    });
}

const ANNOUNCER: [u8; 6] = [2, 0, 0, 0, 0x77, 2];

/// RFC 5944 §4.6: a reply to everybody, sender and target the same.
fn gratuitous_arp(address: [u8; 4]) -> Vec<u8> {
    let head = [8, 6, 0, 1, 8, 0, 6, 4, 0, 2];
    [
        &[0xff; 6][..],
        &ANNOUNCER,
        &head,
        &ANNOUNCER,
        &address,
        &[0xff; 6],
        &address,
    ]
    .concat()
}

/// RFC 4861 §7.2.6: to all nodes, with the override flag, for 2001:db8::`last`.
fn unsolicited_advertisement(last: u8) -> Vec<u8> {
    let mut address = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    address[15] = last;
    let all_nodes = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let body = [&[136, 0, 0, 0, 0x20, 0, 0, 0][..], &address, &[2, 1], &ANNOUNCER].concat();
    let mut message = body.clone();
    let pseudo = [&address[..], &all_nodes, &[0, 0, 0, 32, 0, 0, 0, 58]].concat();
    let sum: u32 = [pseudo, body]
        .concat()
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    message[2..4].copy_from_slice(&(!folded as u16).to_be_bytes());
    let ethernet = [&[0x33, 0x33, 0, 0, 0, 1][..], &ANNOUNCER, &[0x86, 0xdd]].concat();
    [
        &ethernet[..],
        &[0x60, 0, 0, 0, 0, 32, 58, 255],
        &address,
        &all_nodes,
        &message,
    ]
    .concat()
}

/// `weirctl explain`, all of it as JSON.
fn explain(cast: &Cast, source: &str, destination: &str) -> Result<Value, LabError> {
    let text = cast
        .director
        .ctl(&["explain", "tcp", source, destination, "--json"])?;
    serde_json::from_str(&text).map_err(|error| LabError::unexpected(format!("{error}: {text}")))
}

#[test]
fn an_explanation_says_what_a_packet_then_experiences() {
    with_more("explain", "", |_, cast| {
        // A port of its own for every request: a closed one stays taken for a minute.
        let mut ports = 42_000..;
        for mode in super::MODES
            .iter()
            .filter(|mode| ["dr", "gre", "nat", "fullnat"].contains(&mode.name))
        {
            for family in Family::BOTH {
                let client = if mode.name == "nat" {
                    family.far(10)
                } else {
                    family.near(10)
                };
                for port in ports.by_ref().take(4) {
                    explained(cast, mode, family, &client, port)?;
                }
            }
        }
        // A port without a service.
        let answer = explain(cast, "192.0.2.10:43000", "192.0.2.100:81")?;
        assert_eq!(
            (&answer["verdict"], &answer["reason"]),
            (&"drop".into(), &"no_service".into()),
            "{answer}"
        );
        let count = |cast: &Cast| {
            let balance = cast.director.settled_balance()?;
            let drops: HashMap<_, _> = balance.drops.into_iter().collect();
            Ok::<_, LabError>(drops.get("no_service").copied().unwrap_or_default())
        };
        let before = count(cast)?;
        datagram(cast.client.node(), "192.0.2.100:81")?;
        assert_eq!(count(cast)?, before + 1);
        Ok(())
    });
}

/// The server that is named answers the request that follows, from the very port.
fn explained(
    cast: &Cast,
    mode: &super::Mode,
    family: Family,
    client: &str,
    port: u16,
) -> Result<(), LabError> {
    use super::cast::socket;
    let answer = explain(cast, &socket(client, port), &socket(&mode.vip(family), 80))?;
    assert_eq!(answer["verdict"], "tx", "{answer}");
    let steps = answer["steps"].to_string();
    let named: Vec<&str> = [("rs1", family.near(11)), ("rs2", family.near(12))]
        .into_iter()
        .filter(|(_, address)| steps.contains(&socket(address, 80)))
        .map(|(name, _)| name)
        .collect();
    let url = mode.url(family, "");
    let line = format!("-sS --fail --max-time 5 --local-port {port} {url}");
    let answered = cast.client.node().run("curl", &line)?;
    assert_eq!(named, [answered.trim()], "{} {family:?}: {steps}", mode.name);
    Ok(())
}
