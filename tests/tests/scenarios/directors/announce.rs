//! What a director tells the segment when it takes addresses over, and the MAC address they are at.

use std::time::{Duration, Instant};

use weir_tests::lab::{Injector, LabError, wait_until};
use weir_tests::scenario::scenario;
use weir_tests::stage::{Config, Director, Stage};

use super::pair::{CLIENT, PATIENCE, VIP, config};
use super::watch::Owners;

/// 00:00:5e:00:01 and the identifier, 51.
const VIRTUAL_MAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 51];

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Advert,
    Announcement([u8; 6]),
}

fn heard(frame: &[u8]) -> Option<Heard> {
    if frame.get(12..14) == Some(&[8, 0]) && frame.get(23) == Some(&112) {
        return Some(Heard::Advert);
    }
    // A request from the shared address about itself.
    let announces = frame.get(12..14) == Some(&[8, 6])
        && frame.get(28..32) == Some(&VIP)
        && frame.get(38..42) == Some(&VIP);
    let mac = frame.get(22..28).and_then(|mac| mac.try_into().ok());
    mac.filter(|_| announces).map(Heard::Announcement)
}

#[test]
fn the_advertisement_comes_first_then_announcements_with_the_virtual_mac() {
    scenario("directors: virtual MAC, announcements", |lab| {
        let (client, _servers) = Stage::audience(lab, 2)?;
        let node = lab.add_node("lb1", "veth-lb")?;
        let keys = "virtual_mac = true\naccept = false\nannounce_repeat = 3\nannounce_delay_ms = 600\nannounce_refresh_ms = 400\nannounce_interval_ms = 20\n";
        let text =
            config(&[(VIP, "rr", "dr")]).replace("priority = 100\n", &format!("priority = 100\n{keys}"));
        let other = Config {
            other: Some(text),
            ..Config::new(2)
        };
        let mut director = Director::new(&node, lab.dir(), other)?;
        director.start_dataplane()?;
        let mut wire = Injector::open(client.node(), "eth0")?;
        let listener = std::thread::spawn(move || {
            let mut found = Vec::new();
            let deadline = Instant::now() + PATIENCE;
            // Three at once, three again, and two refreshes at least.
            let enough = |found: &[Heard]| found.iter().filter(|heard| **heard != Heard::Advert).count() >= 8;
            while !enough(&found) && Instant::now() < deadline {
                wire.receive(Duration::from_millis(500), |frame| {
                    found.extend(heard(frame));
                    false
                });
            }
            found
        });
        director.start_control()?;
        let found = listener.join().unwrap_or_default();
        assert_eq!(found.first(), Some(&Heard::Advert), "{found:?}");
        let announcements: Vec<&Heard> = found.iter().filter(|heard| **heard != Heard::Advert).collect();
        assert!(announcements.len() >= 8, "{found:?}");
        assert!(
            announcements
                .iter()
                .all(|heard| **heard == Heard::Announcement(VIRTUAL_MAC)),
            "{found:?}"
        );
        let owners = Owners::watch(client.node(), "eth0", CLIENT, VIP)?;
        owners.wait_for(VIRTUAL_MAC, Duration::from_millis(400), PATIENCE)?;
        wait_until("an answer at the virtual MAC", PATIENCE, || {
            match client.get("http://192.0.2.100/") {
                Ok(reply) if reply.is_good() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
        // accept = false: the address serves, and says nothing of itself.
        let echo = client.node().run("ping", "-c 1 -W 1 192.0.2.100");
        assert!(matches!(echo, Err(LabError::Command { .. })), "{echo:?}");
        Ok(())
    });
}
