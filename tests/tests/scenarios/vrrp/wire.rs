//! Advertisements on the wire: through reloads, of many virtual routers, and bad ones from a stranger.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::{Directors, FAST, Flavour, PATIENCE, V4, write};
use weir_tests::lab::{Injector, LabError, wait_until};
use weir_tests::scenario::scenario;

/// Nothing that happens to a machine makes it miss three advertisements.
pub(super) const STEADY: Flavour = Flavour {
    name: "v3, 1 s",
    weir: "version = 3\n",
    keepalived: "",
    vip: V4,
    down: Duration::from_secs(4),
};
const RELOADS: u32 = 100;
/// No state changes for this long.
const CALM: Duration = Duration::from_secs(3);
const CALM_TRIES: u32 = 3;

fn is_advert(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[8, 0]) && frame.get(23) == Some(&112)
}

#[test]
fn a_hundred_reloads_of_the_active_leave_no_gap() {
    scenario("vrrp: a hundred reloads of the active", |lab| {
        let directors = Directors::new(lab)?;
        let _weir = directors.weir_on(&directors.weir, 150, &STEADY, "high")?;
        directors.only(&directors.weir, V4)?;
        let changes =
            |directors: &Directors| Ok::<_, LabError>(directors.shown("high")?[0]["transitions"].clone());
        let before = changes(&directors)?;
        let mut wire = Injector::open(&directors.peer, "eth0")?;
        let heard = std::thread::scope(|threads| {
            let listener = threads.spawn(|| {
                let mut heard = vec![Instant::now()];
                // The cable ends the listening.
                while wire
                    .receive(STEADY.down + Duration::from_secs(1), is_advert)
                    .is_some()
                {
                    heard.push(Instant::now());
                    if heard.len() > 1000 {
                        break;
                    }
                }
                heard
            });
            let file = directors.file("high");
            let reloaded = (0..RELOADS).try_for_each(|number| {
                // Something changes each time, or there would be nothing to apply.
                let text = directors.text(150, &STEADY, "high")
                    + &format!("announce_delay_ms = {}\n", 6000 + number);
                write(&file, &text, 0o600)?;
                directors.ctl("high", &format!("config apply {}", file.display()))?;
                // Over several advertisements, however fast the machine is.
                std::thread::sleep(STEADY.down / RELOADS);
                Ok::<_, LabError>(())
            });
            let after = reloaded.and_then(|()| changes(&directors));
            // The cable ends the listening.
            let unplugged = lab.plug(&directors.weir, false);
            (listener.join(), after, unplugged)
        });
        let (heard, after, unplugged) = heard;
        unplugged?;
        assert_eq!(after?, before, "a reload changes no state");
        let heard = heard.unwrap_or_default();
        let gap = heard
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap_or_default();
        eprintln!(
            "{} advertisements during {RELOADS} reloads, the longest gap {gap:?}",
            heard.len() - 1
        );
        // One that is missing makes a gap of two seconds.
        assert!(
            heard.len() > 2 && gap < Duration::from_millis(1900),
            "{gap:?} between two advertisements"
        );
        Ok(())
    });
}

#[test]
fn every_identifier_of_a_link_is_in_use() {
    scenario("vrrp: 255 virtual routers on one interface", |lab| {
        let directors = Directors::new(lab)?;
        let text = |tag: &str, priority: u8| {
            let mut text = directors.head(tag);
            for vrid in 1..=255 {
                // Writing to a String cannot fail.
                let _ = write!(
                    text,
                    "[[vrrp]]\nname = 'V{vrid}'\ninterface = 'eth0'\nvirtual_router_id = {vrid}\nversion = 3\n\
                     advert_interval_ms = 100\npriority = {priority}\nannounce_delay_ms = 0\naddresses = ['198.18.0.{vrid}/32']\n"
                );
            }
            text
        };
        let _high = directors.start_weir(&directors.weir, "high", &text("high", 150))?;
        let all = |tag: &str, state: &str| {
            wait_until(&format!("all of {tag} to be {state}"), PATIENCE, || {
                let shown = directors.shown(tag).map_err(|error| error.to_string())?;
                let there = shown.iter().filter(|vrrp| {
                    vrrp["state"] == state && (state != "backup" || vrrp["active"].is_object())
                });
                match there.count() {
                    255 => Ok(()),
                    count => Err(format!("{count} of {}", shown.len())),
                }
            })
        };
        all("high", "active")?;
        let _low = directors.start_weir(&directors.peer, "low", &text("low", 100))?;
        all("low", "backup")?;
        let changes = |tag: &str| {
            let shown = directors.shown(tag)?;
            let all = shown.iter().map(|vrrp| vrrp["transitions"].clone());
            Ok::<_, LabError>(all.collect::<Vec<_>>())
        };
        // A machine that keeps a process from running for a third of a second makes it miss three advertisements.
        for tried in 1..=CALM_TRIES {
            let before = [changes("high")?, changes("low")?];
            // Long enough for many take-overs, if advertisements were lost.
            std::thread::sleep(CALM);
            all("high", "active")?;
            all("low", "backup")?;
            if before == [changes("high")?, changes("low")?] {
                break;
            }
            assert!(tried < CALM_TRIES, "states change without need, again and again");
        }
        Ok(())
    });
}

#[test]
fn a_virtual_mac_moves_with_the_addresses() {
    scenario(
        "vrrp: virtual MAC on a kernel interface, leftovers of a killed process",
        |lab| {
            let directors = Directors::new(lab)?;
            let text = directors.text(150, &FAST, "high") + "virtual_mac = true\n";
            let asker = lab.add_node("asker", "eth0")?;
            asker.ip("address add 192.0.2.3/24 dev eth0")?;
            let vmac = || {
                wait_until("the address at the virtual MAC", PATIENCE, || {
                    // Whether it answers shows in the table.
                    let _ = asker.ip("neighbor flush dev eth0");
                    let _ = asker.run("ping", "-c 1 -W 1 192.0.2.100");
                    let table = asker
                        .run("ip", "neighbor show 192.0.2.100")
                        .map_err(|error| error.to_string())?;
                    if table.contains("00:00:5e:00:01:33") {
                        Ok(())
                    } else {
                        Err(table)
                    }
                })
            };
            let weir = directors.start_weir(&directors.weir, "high", &text)?;
            vmac()?;
            let device = || {
                directors
                    .weir
                    .interfaces()
                    .map(|names| names.contains(&"vrrp.51".to_owned()))
            };
            assert!(device()?);
            weir.kill()?;
            assert!(device()?, "who is killed leaves everything");
            let weir = directors.start_weir(&directors.weir, "high", &text)?;
            vmac()?;
            assert!(weir.stop()?.success());
            assert!(!device()?, "an orderly end leaves nothing");
            Ok(())
        },
    );
}

// ===== bad advertisements =====

/// RFC 1071.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let bytes = parts.concat();
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).unwrap_or_default()).to_be_bytes()
}

const STRANGER: [u8; 4] = [192, 0, 2, 66];
const GROUP: [u8; 4] = [224, 0, 0, 18];

pub(super) fn frame(ttl: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + payload.len())
        .unwrap_or_default()
        .to_be_bytes();
    let mut ip = [
        &[0x45, 0xc0][..],
        &len,
        &[0, 0, 0, 0, ttl, 112, 0, 0],
        &STRANGER,
        &GROUP,
    ]
    .concat();
    let sum = checksum(&[&ip]);
    ip[10..12].copy_from_slice(&sum);
    let ethernet = [1, 0, 0x5e, 0, 0, 18, 2, 0, 0, 0, 0, 66, 8, 0];
    [&ethernet[..], &ip, payload].concat()
}

/// An advertisement of version 3 with the highest priority; a bit of `spoil` makes the checksum wrong.
pub(super) fn v3(
    kind: u8,
    priority: u8,
    interval_cs: u16,
    count: u8,
    addresses: &[[u8; 4]],
    spoil: u8,
) -> Vec<u8> {
    let [high, low] = interval_cs.to_be_bytes();
    let mut payload = [
        &[kind, 51, priority, count, high, low, 0, 0][..],
        &addresses.concat(),
    ]
    .concat();
    let len = u16::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    let sum = checksum(&[&STRANGER, &GROUP, &[0, 112], &len, &payload]);
    payload[6..8].copy_from_slice(&sum);
    payload[7] ^= spoil;
    payload
}

fn v2(auth: u8, interval_s: u8, address: [u8; 4], password: &[u8; 8]) -> Vec<u8> {
    let mut payload = [
        &[0x21, 51, 254, 1, auth, interval_s, 0, 0][..],
        &address,
        password,
    ]
    .concat();
    let sum = checksum(&[&payload]);
    payload[6..8].copy_from_slice(&sum);
    payload
}

pub(super) const SHARED: [u8; 4] = [192, 0, 2, 100];
const OTHER: [u8; 4] = [192, 0, 2, 99];

/// A bad packet and the counter it moves.
type Bad = (&'static str, Vec<u8>);

fn bad_v3() -> Vec<Bad> {
    let many: Vec<[u8; 4]> = (0..255).map(|host| [198, 51, 100, host]).collect();
    vec![
        ("ip_ttl_err", frame(254, &v3(0x31, 254, 10, 1, &[SHARED], 0))),
        ("chk_err", frame(255, &v3(0x31, 254, 10, 1, &[SHARED], 1))),
        ("packet_len_err", frame(255, &v3(0x31, 254, 10, 9, &[SHARED], 0))),
        ("vers_err", frame(255, &v3(0x41, 254, 10, 1, &[SHARED], 0))),
        (
            "invalid_type_rcvd",
            frame(255, &v3(0x32, 254, 10, 1, &[SHARED], 0)),
        ),
        (
            "advert_interval_err",
            frame(255, &v3(0x31, 254, 0, 1, &[SHARED], 0)),
        ),
        ("addr_list_err", frame(255, &v3(0x31, 254, 10, 1, &[OTHER], 0))),
        ("addr_list_err", frame(255, &v3(0x31, 254, 10, 255, &many, 0))),
    ]
}

fn bad_v2() -> Vec<Bad> {
    vec![
        ("auth_failure", frame(255, &v2(1, 1, SHARED, b"2222\0\0\0\0"))),
        ("authtype_mismatch", frame(255, &v2(0, 1, SHARED, &[0; 8]))),
        ("invalid_authtype", frame(255, &v2(7, 1, SHARED, b"1111\0\0\0\0"))),
        (
            "advert_interval_err",
            frame(255, &v2(1, 9, SHARED, b"1111\0\0\0\0")),
        ),
        ("addr_list_err", frame(255, &v2(1, 1, OTHER, b"1111\0\0\0\0"))),
    ]
}

#[test]
fn bad_advertisements_are_counted_by_name_and_change_nothing() {
    let password = &super::PASSWORD;
    for (flavour, bad) in [(&FAST, bad_v3()), (password, bad_v2())] {
        scenario(&format!("vrrp: bad advertisements of {}", flavour.name), |lab| {
            let directors = Directors::new(lab)?;
            let _weir = directors.weir_on(&directors.weir, 150, flavour, "high")?;
            directors.only(&directors.weir, V4)?;
            let mut wire = Injector::open(&directors.peer, "eth0")?;
            let count = |name: &str| -> Result<u64, LabError> {
                Ok(directors.shown("high")?[0]["stats"][name]
                    .as_u64()
                    .unwrap_or_default())
            };
            for (name, packet) in &bad {
                let before = count(name)?;
                wire.send(packet)?;
                wait_until(&format!("{name} to be counted"), PATIENCE, || {
                    match count(name).map_err(|error| error.to_string())? {
                        now if now == before + 1 => Ok(()),
                        now => Err(format!("{before} before, {now} now")),
                    }
                })?;
            }
            // Somebody says again and again that he stops who never began.
            let stops = frame(255, &v3(0x31, 0, 10, 1, &[SHARED], 0));
            if flavour.down < Duration::from_secs(1) {
                for _ in 0..500 {
                    wire.send(&stops)?;
                }
                wait_until("a flood of priority 0 to be counted", PATIENCE, || {
                    match count("pri_zero_rcvd").map_err(|error| error.to_string())? {
                        now if now >= 500 => Ok(()),
                        now => Err(now.to_string()),
                    }
                })?;
            }
            assert_eq!((count("become_master")?, count("release_master")?), (1, 0));
            directors.only(&directors.weir, V4).map(drop)
        });
    }
}
