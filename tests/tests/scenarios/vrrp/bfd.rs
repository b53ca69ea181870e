//! BFD: between two weirs, with BIRD as the other end, and as what a virtual router depends on.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Directors, FAST, PATIENCE, V4, write};
use weir_tests::lab::{LabError, Process, wait_until};
use weir_tests::scenario::scenario;

/// Loss is noticed after three intervals of 50 ms; the rest is for a busy machine, and far from the second after which
/// VRRP itself would notice at its default interval.
const DETECTED_MAX: Duration = Duration::from_millis(2_000);

/// Three packets of an end that is up, and so sends quickly.
const DETECTION_US: u64 = 150_000;

fn session(name: &str, peer: &str, keys: &str) -> String {
    session_every(50, name, peer, keys)
}

fn session_every(interval_ms: u32, name: &str, peer: &str, keys: &str) -> String {
    format!(
        "[[bfd]]\nname = '{name}'\npeer = '{peer}'\ntransmit_interval_ms = {interval_ms}\n\
         receive_interval_ms = {interval_ms}\ndetect_multiplier = 3\n{keys}"
    )
}

fn wait_for(
    directors: &Directors,
    tag: &str,
    name: &str,
    state: &str,
) -> Result<serde_json::Value, LabError> {
    wait_for_detection(directors, tag, name, state, DETECTION_US)
}

fn wait_for_detection(
    directors: &Directors,
    tag: &str,
    name: &str,
    state: &str,
    detection_us: u64,
) -> Result<serde_json::Value, LabError> {
    wait_until(&format!("{name} of {tag} to be {state}"), PATIENCE, || {
        let text = directors
            .ctl(tag, "bfd --json")
            .map_err(|error| error.to_string())?;
        let answer: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let sessions = answer["sessions"].as_array().cloned().unwrap_or_default();
        match sessions.iter().find(|session| session["name"] == name) {
            // Both ends agree, and on the intervals, too.
            Some(session)
                if session["state"] == state
                    && (state != "up" || session["detection_time_us"] == detection_us) =>
            {
                Ok(session.clone())
            }
            _ => Err(text),
        }
    })
}

#[test]
fn two_weirs_notice_each_other_s_loss() {
    scenario("bfd: two weirs, one and several hops, both families", |lab| {
        let directors = Directors::new(lab)?;
        for (node, host) in [(&directors.weir, 1), (&directors.peer, 2)] {
            node.ip(&format!("address add 2001:db8::{host}/64 dev eth0 nodad"))?;
        }
        // One file for both; what differs on the second stands in sections of its own.
        let node = "[[bfd.node]]\nname = 'low'\npeer = '192.0.2.1'\n";
        let sessions = session("one", "192.0.2.2", "interface = 'eth0'\n")
            + node
            + &session("several", "192.0.2.2", "multihop = true\nttl_min = 254\n")
            + node
            + &session("six", "2001:db8::2", "source = '2001:db8::1'\n")
            + "[[bfd.node]]\nname = 'low'\npeer = '2001:db8::1'\nsource = '2001:db8::2'\n";
        let text = |tag: &str| directors.head(tag) + &sessions;
        let tracked = directors
            .text(100, &FAST, "high")
            .replace(&directors.head("high"), "")
            + "[[vrrp.track]]\nbfd = 'one'\nweight = -60\n";
        let _high = directors.start_weir(&directors.weir, "high", &(text("high") + &tracked))?;
        let low = directors.start_weir(&directors.peer, "low", &text("low"))?;
        for name in ["one", "several", "six"] {
            wait_for(&directors, "high", name, "up")?;
            wait_for(&directors, "low", name, "up")?;
        }
        directors.only(&directors.weir, V4)?;
        let start = Instant::now();
        low.kill()?;
        wait_until("the loss to be noticed", PATIENCE, || {
            let text = std::fs::read_to_string(directors.dir.join("high.log")).unwrap_or_default();
            let lost = text.matches("the peer was silent for the detection time").count();
            if lost >= 3 {
                Ok(())
            } else {
                Err(format!("{lost} of 3"))
            }
        })?;
        let noticed = start.elapsed();
        eprintln!("noticed within {noticed:?}, the killing included");
        assert!(noticed < DETECTED_MAX, "{noticed:?}");
        wait_until("the virtual router to follow", PATIENCE, || {
            match directors.shown("high").map_err(|error| error.to_string())?[0]["effective_priority"]
                .as_u64()
            {
                Some(40) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
    });
}

/// The shortest: loss is noticed after 30 ms.
const SHORTEST_MS: u32 = 10;
const SHORTEST_DETECTION_US: u64 = 30_000;
/// A machine that is this late with a thread that only sleeps may be late by a detection time with others.
const LATE: Duration = Duration::from_millis(8);
/// A session is watched for this long.
const WATCHED: Duration = Duration::from_secs(1);
/// And so often, until the machine was on time.
const WATCHES: u32 = 5;

#[test]
fn ten_milliseconds_three_times_are_kept_and_noticed() {
    scenario("bfd: 10 ms, three times", |lab| {
        let directors = Directors::new(lab)?;
        let text = |tag: &str, other: u8| {
            let peer = format!("192.0.2.{other}");
            directors.head(tag) + &session_every(SHORTEST_MS, "peer", &peer, "interface = 'eth0'\n")
        };
        let _high = directors.start_weir(&directors.weir, "high", &text("high", 2))?;
        let low = directors.start_weir(&directors.peer, "low", &text("low", 1))?;
        let up = |tag: &str| wait_for_detection(&directors, tag, "peer", "up", SHORTEST_DETECTION_US);
        up("low")?;
        // It stays up, on a machine that lets both ends run.
        for watch in 1.. {
            let before = up("high")?;
            let late = late_within(WATCHED);
            let after = up("high")?;
            if before["since_unix_ms"] == after["since_unix_ms"] {
                break;
            }
            eprintln!("lost although the peer was there; the machine was {late:?} late");
            assert!(late > LATE, "lost in time: {before} {after}");
            if watch == WATCHES {
                eprintln!("NOT MEASURABLE: this machine never was on time");
                break;
            }
        }
        let cut = unix_ms();
        lab.plug(&directors.peer, false)?;
        let down = wait_for(&directors, "high", "peer", "down")?;
        let noticed = down["since_unix_ms"]
            .as_u64()
            .unwrap_or_default()
            .saturating_sub(cut);
        eprintln!("noticed within {noticed} ms, the cutting included");
        assert_eq!(
            down["diagnostic"], "the peer was silent for the detection time",
            "{down}"
        );
        assert!(u128::from(noticed) < DETECTED_MAX.as_millis(), "{noticed} ms");
        lab.plug(&directors.peer, true)?;
        up("high")?;
        low.kill()?;
        wait_for(&directors, "high", "peer", "down").map(drop)
    });
}

fn unix_ms() -> u64 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or_default()
}

/// The longest that a thread slept longer than it wanted to, during this time.
fn late_within(time: Duration) -> Duration {
    const NAP: Duration = Duration::from_millis(2);
    let (start, mut longest) = (Instant::now(), Duration::ZERO);
    while start.elapsed() < time {
        let asleep = Instant::now();
        std::thread::sleep(NAP);
        longest = longest.max(asleep.elapsed().saturating_sub(NAP));
    }
    longest
}

#[test]
fn an_orderly_end_is_told_to_the_peer() {
    scenario("bfd: an orderly end", |lab| {
        let directors = Directors::new(lab)?;
        let text =
            |tag: &str, other: u8| directors.head(tag) + &session("peer", &format!("192.0.2.{other}"), "");
        let _high = directors.start_weir(&directors.weir, "high", &text("high", 2))?;
        let low = directors.start_weir(&directors.peer, "low", &text("low", 1))?;
        wait_for(&directors, "high", "peer", "up")?;
        assert!(low.stop()?.success());
        let session = wait_for(&directors, "high", "peer", "down")?;
        assert_eq!(session["remote_state"], "admin_down", "{session}");
        Ok(())
    });
}

#[test]
fn bird_is_a_peer_like_any_other() {
    let bird = ["/usr/sbin/bird", "/usr/bin/bird"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let Some(bird) = bird else {
        assert!(
            std::env::var("WEIR_REQUIRE_PRIVILEGED").as_deref() != Ok("1"),
            "needs the program bird; scripts/install-deps installs it"
        );
        eprintln!("NOT RUN: needs the program bird; scripts/install-deps installs it");
        return;
    };
    scenario("bfd: with BIRD", |lab| {
        let directors = Directors::new(lab)?;
        let (file, dir) = (directors.dir.join("bird.conf"), directors.dir.display());
        let text = "router id 192.0.2.2;\nprotocol device { }\nprotocol bfd {\n\
                    interface \"eth0\" { min rx interval 50 ms; min tx interval 50 ms; multiplier 3; };\n\
                    neighbor 192.0.2.1 dev \"eth0\" local 192.0.2.2;\n}\n";
        write(&file, text, 0o644)?;
        let mut command = directors.peer.command(bird);
        command.args([
            "-f",
            "-c",
            &file.to_string_lossy(),
            "-s",
            &format!("{dir}/bird.ctl"),
        ]);
        let peer = Process::start("bird", &mut command, &directors.dir.join("bird.log"))?;
        let text = directors.head("high") + &session("bird", "192.0.2.2", "interface = 'eth0'\n");
        let _high = directors.start_weir(&directors.weir, "high", &text)?;
        wait_for(&directors, "high", "bird", "up")?;
        peer.kill()?;
        let down = wait_for(&directors, "high", "bird", "down")?;
        assert_eq!(
            down["diagnostic"], "the peer was silent for the detection time",
            "{down}"
        );
        Ok(())
    });
}
