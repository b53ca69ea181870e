//! Virtual routers that move together, and one whose machine is busy with everything else.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{available_parallelism, scope, sleep};
use std::time::{Duration, Instant};

use super::{Directors, FAST, Flavour, PATIENCE, Pipe, V4, write};
use weir_tests::lab::{Injector, LabError, wait_until};
use weir_tests::scenario::scenario;

/// The address of the other virtual router of the group.
const OTHER: &str = "192.0.2.101";

/// Two virtual routers in one group; the second one of priority 150 depends on a file.
fn text(directors: &Directors, tag: &str, priority: u8, track: &str) -> String {
    let pipe = directors.dir.join(format!("{tag}.fifo"));
    let one = directors.text(priority, &FAST, tag)
        + &format!("sync_group = 'G'\nnotify_fifo = '{}'\n", pipe.display());
    let other = one
        .replace(&directors.head(tag), "")
        .replace("VI_1", "VI_2")
        .replace("virtual_router_id = 51", "virtual_router_id = 52")
        .replace(V4, OTHER);
    one + &other + track
}

/// Whether this frame announces the address.
fn announces(frame: &[u8], host: u8) -> bool {
    let address = [192, 0, 2, host];
    frame.get(12..14) == Some(&[8, 6])
        && frame.get(28..32) == Some(&address)
        && frame.get(38..42) == Some(&address)
}

#[test]
fn a_group_moves_as_one_and_announces_every_address() {
    scenario("vrrp: a sync group", |lab| {
        let directors = Directors::new(lab)?;
        let mut pipe = Pipe::make(&directors.dir.join("high.fifo"))?;
        let well = directors.dir.join("well");
        write(&well, "", 0o644)?;
        let track = format!("[[vrrp.track]]\nfile = '{}'\ninterval_ms = 100\n", well.display());
        let _high = directors.start_weir(&directors.weir, "high", &text(&directors, "high", 150, &track))?;
        let both = |node| {
            [V4, OTHER]
                .iter()
                .try_for_each(|vip| directors.only(node, vip).map(drop))
        };
        both(&directors.weir)?;
        let low = text(&directors, "low", 100, "");
        let _low = directors.start_weir(&directors.peer, "low", &low)?;
        wait_until("the other one to hear both", PATIENCE, || {
            let shown = directors.shown("low").map_err(|error| error.to_string())?;
            let hearing = shown.iter().filter(|vrrp| vrrp["active"].is_object()).count();
            if hearing == 2 {
                Ok(())
            } else {
                Err(format!("{shown:?}"))
            }
        })?;
        // Each way: the fault of one takes both along, and its end brings both back.
        let moves = |node, cause: &dyn Fn() -> Result<(), LabError>| {
            let mut wire = Injector::open(&directors.peer, "eth0")?;
            cause()?;
            let (mut first, mut second) = (false, false);
            wire.receive(PATIENCE, |frame| {
                first |= announces(frame, 100);
                second |= announces(frame, 101);
                first && second
            });
            assert!(first && second, "announced: {V4} {first}, {OTHER} {second}");
            both(node)
        };
        moves(&directors.peer, &|| {
            std::fs::remove_file(&well).map_err(|source| LabError::Io {
                what: "remove a file".to_owned(),
                source,
            })
        })?;
        moves(&directors.weir, &|| write(&well, "", 0o644))?;
        // Once all members have told theirs; as keepalived, whose groups have no priority.
        let told =
            ["BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER"].map(|state| format!("GROUP \"G\" {state} 0"));
        wait_until("the pipe to tell of the group", PATIENCE, || {
            let heard = pipe.read();
            let mut lines = heard.lines();
            if told.iter().all(|wanted| lines.any(|line| line == wanted)) {
                Ok(())
            } else {
                Err(heard.to_owned())
            }
        })
    });
}

/// Nobody takes over from one that still runs, however seldom.
#[test]
fn a_busy_machine_is_no_reason_to_take_over() {
    const STEADY: Flavour = Flavour {
        name: "v3, 1 s",
        weir: "version = 3\n",
        keepalived: "",
        vip: V4,
        down: Duration::from_secs(4),
    };
    const BUSY: Duration = Duration::from_secs(6);
    scenario("vrrp: a busy machine", |lab| {
        let directors = Directors::new(lab)?;
        let _high = directors.weir_on(&directors.weir, 150, &STEADY, "high")?;
        directors.only(&directors.weir, V4)?;
        let _low = directors.weir_on(&directors.peer, 100, &STEADY, "low")?;
        wait_until("the other one to hear it", PATIENCE, || {
            let shown = directors.shown("low").map_err(|error| error.to_string())?;
            match shown.first() {
                Some(vrrp) if vrrp["active"].is_object() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
        let changes = || {
            let of = |tag| Ok::<_, LabError>(directors.shown(tag)?[0]["transitions"].clone());
            Ok::<_, LabError>([of("high")?, of("low")?])
        };
        let before = changes()?;
        // Two threads for each CPU, each of which would take it whole.
        let threads = 2 * available_parallelism().map_or(2, usize::from);
        let stop = AtomicBool::new(false);
        scope(|spinning| {
            for _ in 0..threads {
                spinning.spawn(|| {
                    while !stop.load(Relaxed) {
                        std::hint::black_box(Instant::now());
                    }
                });
            }
            sleep(BUSY);
            stop.store(true, Relaxed);
        });
        assert_eq!(changes()?, before, "a state changed");
        directors.only(&directors.weir, V4).map(drop)
    });
}
