//! Every kind of bad advertisement is counted by name and changes nothing.

use super::auth::{AntiReplay, Hmac, Key, Mode};
use super::*;
use weir_wire::IpProtocol;
use weir_wire::vrrp::ChecksumV3;

/// Two routers of one configuration; `theirs` sends, ours receives.
fn theirs(config: &Config) -> Config {
    Config {
        source: HIGHER,
        ..config.clone()
    }
}

const UNIX: UnixTime = UnixTime(Duration::from_secs(1_700_000_000));

fn at(seconds: u64) -> UnixTime {
    UnixTime(Duration::from_secs(seconds))
}

fn hmac(mode: Mode) -> Auth {
    Auth::Hmac(Hmac {
        keys: vec![Key {
            id: 1,
            secret: (0..32).collect(),
        }],
        active_key: 1,
        mode,
        anti_replay: AntiReplay::Time { window_s: 5 },
    })
}

/// A receiver, and what arrives at it.
struct Wire {
    sender: Codec,
    receiver: Codec,
    config: Config,
}

impl Wire {
    fn new(config: Config) -> Self {
        config.check().unwrap();
        Self {
            sender: Codec::new(),
            receiver: Codec::new(),
            config,
        }
    }

    fn send(&mut self, unix: UnixTime) -> Outgoing {
        self.sender.write(&theirs(&self.config), unix, 200).remove(0)
    }

    fn receive(&mut self, unix: UnixTime, outgoing: &Outgoing) -> Result<Advert, Reject> {
        self.receive_from(unix, outgoing, HIGHER, 255)
    }

    fn receive_from(
        &mut self,
        unix: UnixTime,
        outgoing: &Outgoing,
        src: IpAddr,
        ttl: u8,
    ) -> Result<Advert, Reject> {
        let received = Received {
            src,
            dst: outgoing.to,
            ttl,
            ip_header: outgoing.ip_header.as_ref().map_or(&[], |header| &header[..]),
            payload: &outgoing.payload,
        };
        self.receiver.read(&self.config, unix, &received)
    }

    fn changed(&mut self, at: usize, value: u8) -> Result<Advert, Reject> {
        let mut outgoing = self.send(UNIX);
        outgoing.payload[at] = value;
        self.receive(UNIX, &outgoing)
    }
}

/// The flavours of authentication, each with its version.
fn flavours() -> Vec<Config> {
    let v2 = |auth| Config {
        version: Version::V2,
        auth,
        ..config()
    };
    let v6 = |last: u16| -> IpAddr { [0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into() };
    vec![
        config(),
        v2(Auth::None),
        v2(Auth::Password(Password::new("1111"))),
        v2(Auth::Header(Password::new("secret12"))),
        v2(hmac(Mode::Enforce)),
        Config {
            auth: hmac(Mode::Enforce),
            ..config()
        },
        Config {
            checksum: ChecksumV3::AsV2,
            ..config()
        },
        Config {
            unicast_peers: vec![HIGHER],
            ..config()
        },
        Config {
            auth: hmac(Mode::Enforce),
            ..Config::new(7, v6(2), vec![v6(100), v6(101)])
        },
    ]
}

#[test]
fn what_is_written_is_read_in_every_flavour() {
    for config in flavours() {
        let source = if config.source.is_ipv6() {
            [0x2001, 0xdb8, 0, 0, 0, 0, 0, 3].into()
        } else {
            HIGHER
        };
        let sender = Config {
            source,
            unicast_peers: if config.unicast_peers.is_empty() {
                vec![]
            } else {
                vec![OURS]
            },
            ..config.clone()
        };
        let mut wire = Wire::new(config);
        for priority in [200, 0] {
            let outgoing = wire.sender.write(&sender, UNIX, priority).remove(0);
            let expected = Advert {
                src: source,
                priority,
                interval: SECOND,
                other_addresses: false,
            };
            assert_eq!(
                wire.receive_from(UNIX, &outgoing, source, 255),
                Ok(expected),
                "{:?}",
                wire.config
            );
            let over_a_router = wire.receive_from(UNIX, &outgoing, source, 254);
            assert_eq!(over_a_router, Err(Reject::Ttl));
        }
    }
}

#[test]
fn bad_packets_are_refused_by_name() {
    for (at, value, reject) in [
        (0, 0x21, Reject::Length),
        (0, 0x41, Reject::Version),
        (0, 0x32, Reject::Type),
        (1, 8, Reject::Vrid),
        (2, 201, Reject::Checksum),
        (3, 255, Reject::Length),
        (3, 0, Reject::Length),
        (6, 0, Reject::Checksum),
        (11, 101, Reject::Checksum),
    ] {
        let mut wire = Wire::new(config());
        assert_eq!(wire.changed(at, value), Err(reject), "byte {at} = {value:#x}");
    }
    let mut wire = Wire::new(config());
    let good = wire.send(UNIX);
    for len in 0..good.payload.len() {
        let short = Outgoing {
            payload: good.payload[..len].to_vec(),
            ..good.clone()
        };
        assert_eq!(wire.receive(UNIX, &short), Err(Reject::Length), "{len} bytes");
    }
}

#[test]
fn disagreements_between_configurations_are_refused_by_name() {
    let v2 = Config {
        version: Version::V2,
        ..config()
    };
    let pass = |text: &str| Config {
        auth: Auth::Password(Password::new(text)),
        ..v2.clone()
    };
    let head = |text: &str| Config {
        auth: Auth::Header(Password::new(text)),
        ..v2.clone()
    };
    let signed = |mode| Config {
        auth: hmac(mode),
        ..config()
    };
    let addresses = |addresses: &[IpAddr]| Config {
        addresses: addresses.to_vec(),
        ..config()
    };
    for (sender, receiver, result) in [
        (v2.clone(), config(), Err(Reject::Version)),
        (config(), v2.clone(), Err(Reject::Version)),
        (
            Config {
                interval: 2 * SECOND,
                ..v2.clone()
            },
            v2.clone(),
            Err(Reject::Interval),
        ),
        (
            Config {
                interval: 2 * SECOND,
                ..config()
            },
            config(),
            Ok(()),
        ),
        (addresses(&[VIP, LOWER]), config(), Err(Reject::Addresses)),
        (addresses(&[LOWER]), config(), Err(Reject::Addresses)),
        (
            addresses(&[VIP, VIP]),
            addresses(&[VIP, LOWER]),
            Err(Reject::Addresses),
        ),
        (addresses(&[VIP, LOWER]), addresses(&[LOWER, VIP]), Ok(())),
        (
            addresses(&[LOWER]),
            Config {
                rules: Rules::RFC_9568,
                ..config()
            },
            Ok(()),
        ),
        (pass("1111"), pass("2222"), Err(Reject::Authentication)),
        (pass("1111"), v2.clone(), Err(Reject::AuthType)),
        (v2.clone(), pass("1111"), Err(Reject::AuthType)),
        // Shorter than an authentication header.
        (v2.clone(), head("1111"), Err(Reject::Length)),
        (head("1111"), head("2222"), Err(Reject::Authentication)),
        (config(), signed(Mode::Enforce), Err(Reject::Authentication)),
        (config(), signed(Mode::Permissive), Ok(())),
        (
            signed(Mode::ReceiveOnly),
            signed(Mode::Enforce),
            Err(Reject::Authentication),
        ),
        (signed(Mode::Enforce), config(), Err(Reject::Length)),
        (
            Config {
                checksum: ChecksumV3::AsV2,
                ..config()
            },
            config(),
            Err(Reject::Checksum),
        ),
    ] {
        let outgoing = Codec::new().write(&theirs(&sender), UNIX, 200).remove(0);
        let mut wire = Wire::new(receiver);
        let got = wire.receive(UNIX, &outgoing).map(|_| ());
        assert_eq!(got, result, "{sender:?} to {:?}", wire.config);
    }
}

#[test]
fn an_unknown_authentication_type_and_a_zero_interval() {
    for (version, at, reject) in [
        (Version::V2, 4, Reject::AuthTypeUnknown),
        (Version::V3, 5, Reject::Interval),
    ] {
        let mut wire = Wire::new(Config { version, ..config() });
        let mut outgoing = wire.send(UNIX);
        outgoing.payload[at] = if version == Version::V2 { 3 } else { 0 };
        let mut packet = weir_wire::vrrp::Packet::new_unchecked(&mut outgoing.payload, wire.config.family);
        packet.fill_checksum(HIGHER, outgoing.to, ChecksumV3::PseudoHeader);
        assert_eq!(wire.receive(UNIX, &outgoing), Err(reject));
    }
}

#[test]
fn strangers_and_our_own_packets() {
    let mut wire = Wire::new(Config {
        unicast_peers: vec![HIGHER],
        ..config()
    });
    let sender = Config {
        source: LOWER,
        unicast_peers: vec![OURS],
        ..config()
    };
    let outgoing = Codec::new().write(&sender, UNIX, 255).remove(0);
    assert_eq!(
        wire.receive_from(UNIX, &outgoing, LOWER, 255),
        Err(Reject::Stranger)
    );
    assert_eq!(wire.receive_from(UNIX, &outgoing, OURS, 255), Err(Reject::Own));
}

#[test]
fn replays_are_refused() {
    for auth in [hmac(Mode::Enforce), Auth::Header(Password::new("x"))] {
        let version = if matches!(auth, Auth::Hmac(_)) {
            Version::V3
        } else {
            Version::V2
        };
        let mut wire = Wire::new(Config {
            auth,
            version,
            ..config()
        });
        let first = wire.send(UNIX);
        let second = wire.send(UNIX);
        assert!(wire.receive(UNIX, &first).is_ok());
        assert_eq!(wire.receive(UNIX, &first), Err(Reject::Replay));
        assert!(wire.receive(UNIX, &second).is_ok());
        assert_eq!(wire.receive(UNIX, &first), Err(Reject::Replay));
    }
}

#[test]
fn stale_and_future_adverts_are_refused_and_clocks_may_be_corrected() {
    let mut wire = Wire::new(Config {
        auth: hmac(Mode::Enforce),
        ..config()
    });
    let now = 1_700_000_000;
    let advert = wire.send(at(now));
    assert_eq!(wire.receive(at(now + 6), &advert), Err(Reject::Stale));
    assert_eq!(wire.receive(at(now - 6), &advert), Err(Reject::Stale));
    assert!(wire.receive(at(now + 5), &advert).is_ok());
    // The sender's clock goes back a day, and so does ours.
    let earlier = wire.send(at(now - 86_400));
    assert!(wire.receive(at(now - 86_400), &earlier).is_ok());
    // It stands still: the counter goes on.
    for _ in 0..70_000 {
        let next = wire.send(at(now - 86_400));
        assert!(wire.receive(at(now - 86_400), &next).is_ok());
    }
}

#[test]
fn a_wrong_key_a_wrong_scheme_and_a_wrong_source_are_refused() {
    let config = Config {
        auth: hmac(Mode::Enforce),
        ..config()
    };
    let trailer = 12;
    for (at, value, reject) in [
        (trailer, 2, Reject::Authentication),
        (trailer + 1, 9, Reject::Authentication),
        (trailer + 3, 1, Reject::Authentication),
        (trailer + 27, 0, Reject::Authentication),
    ] {
        let mut wire = Wire::new(config.clone());
        let mut outgoing = wire.send(UNIX);
        outgoing.payload[at] = if at == trailer + 27 {
            !outgoing.payload[at]
        } else {
            value
        };
        assert_eq!(wire.receive(UNIX, &outgoing), Err(reject), "byte {at}");
        let good = wire.send(UNIX);
        assert!(
            wire.receive(UNIX, &good).is_ok(),
            "a forged packet changes nothing"
        );
    }
    // Valid checksum, but signed by another source.
    let mut wire = Wire::new(config);
    let mut outgoing = wire.send(UNIX);
    let mut packet = weir_wire::vrrp::Packet::new_unchecked(&mut outgoing.payload, wire.config.family);
    packet.fill_checksum(LOWER, outgoing.to, ChecksumV3::PseudoHeader);
    assert_eq!(
        wire.receive_from(UNIX, &outgoing, LOWER, 255),
        Err(Reject::Authentication)
    );
}

/// Made with Python's `hmac` from keepalived's description of the format.
#[test]
fn the_trailer_is_keepalived_s() {
    let config = Config {
        vrid: 52,
        source: LOWER,
        auth: hmac(Mode::Enforce),
        ..config()
    };
    let unix = UnixTime(Duration::from_millis(1_700_000_000_500));
    let outgoing = Codec::new().write(&config, unix, 200).remove(0);
    assert_eq!(
        hex(&outgoing.payload),
        "3134c8010064a170c0000264010100006553f10080000000f3d1c76c9cb371716dad0f85f697f1d2"
    );
    assert_eq!(outgoing.protocol, IpProtocol::VRRP);
}

/// Made with Python's `hmac` from keepalived's description of the format.
#[test]
fn the_authentication_header_is_keepalived_s() {
    let config = Config {
        vrid: 51,
        version: Version::V2,
        source: LOWER,
        auth: Auth::Header(Password::new("1111")),
        ..config()
    };
    let outgoing = Codec::new().write(&config, UNIX, 100).remove(0);
    let packet = [&outgoing.ip_header.unwrap()[..], &outgoing.payload].concat();
    assert_eq!(
        hex(&packet),
        "45c0004000010000ff3318b6c0000201e000001270040000c0000201000000017bdbcbac34095393bcee6e97\
         213364010201b665c00002640000000000000000"
    );
    assert_eq!(outgoing.protocol, IpProtocol::AH);
}

#[test]
fn unicast_copies_carry_one_signature() {
    let config = Config {
        unicast_peers: vec![LOWER, HIGHER],
        auth: hmac(Mode::Enforce),
        ..config()
    };
    let copies = Codec::new().write(&config, UNIX, 100);
    let to: Vec<IpAddr> = copies.iter().map(|copy| copy.to).collect();
    assert_eq!(to, [LOWER, HIGHER]);
    assert_eq!(copies[0].payload[12..], copies[1].payload[12..]);
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!(
        "{:?} {:?}",
        hmac(Mode::Enforce),
        Auth::Password(Password::new("1111"))
    );
    assert!(
        shown.contains("masked") && !shown.contains("49, 49") && !shown.contains("1111"),
        "{shown}"
    );
}

#[test]
fn refused_packets_are_counted_and_change_nothing() {
    for state in [State::Backup, State::Active] {
        for reject in Reject::ALL {
            let mut bench = match state {
                State::Active => Bench::active(config()),
                State::Backup | State::Initialize => Bench::backup(config()),
            };
            let before = bench.machine.poll_timeout();
            assert_eq!(bench.input(Input::Rejected(reject)), []);
            assert_eq!(
                (bench.machine.state(), bench.machine.poll_timeout()),
                (state, before)
            );
            for (counted, count) in bench.machine.stats().rejects() {
                assert_eq!(count, u64::from(counted == reject), "{}", counted.name());
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
