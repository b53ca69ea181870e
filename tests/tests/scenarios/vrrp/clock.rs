//! The system's clock is set while virtual routers run. Their timers do not look at it. What they sign does carry the time of
//! day, and peers refuse what is seconds off: a step must not make them, either.
//!
//! The machine's own clock is left alone: `libfaketime` stands between a process and CLOCK_REALTIME, and gives it the offset
//! that a file holds at the moment. The monotonic clock is the real one.

use std::path::{Path, PathBuf};

use super::hmac::{KEY, tell};
use super::{Directors, PATIENCE, V4, write};
use weir_tests::lab::{LabError, Node, Process, wait_until};
use weir_tests::scenario::scenario;

const HOUR_S: i64 = 3600;
const DAY_S: i64 = 24 * HOUR_S;
const DECADE_S: i64 = 3652 * DAY_S;
/// A backup takes over after three that it does not believe.
const ADVERTS: u64 = 5;

/// Debian and Ubuntu keep it in a folder of the architecture.
fn shim() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let mut found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let shim = found.find(|path| path.exists());
    if shim.is_none() {
        assert!(
            std::env::var("WEIR_REQUIRE_PRIVILEGED").as_deref() != Ok("1"),
            "needs libfaketime; scripts/install-deps installs it"
        );
        eprintln!("NOT RUN: needs libfaketime; scripts/install-deps installs it");
    }
    shim
}

/// A weir whose system clock can be set.
struct Clocked {
    process: Process,
    offset: PathBuf,
}

impl Clocked {
    fn start(
        directors: &Directors,
        shim: &Path,
        (node, tag, priority): (&Node, &str, u8),
        offset_s: i64,
    ) -> Result<Self, LabError> {
        let text = tell(directors, tag, priority, KEY, 1)?;
        let offset = directors.dir.join(format!("{tag}.offset"));
        set(&offset, offset_s)?;
        let mut command = directors.weir_command(node, tag, &text)?;
        command
            .env("LD_PRELOAD", shim)
            .env("FAKETIME_TIMESTAMP_FILE", &offset)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
        let process = Process::start(tag, &mut command, &directors.log(tag))?;
        Ok(Self { process, offset })
    }
}

/// Whole at once: it is read all the time.
fn set(file: &Path, offset_s: i64) -> Result<(), LabError> {
    let new = file.with_extension("new");
    write(&new, &format!("{offset_s:+}\n"), 0o644)?;
    std::fs::rename(&new, file).map_err(|source| LabError::Io {
        what: "set a clock".to_owned(),
        source,
    })
}

fn stat(directors: &Directors, tag: &str, name: &str) -> Result<u64, LabError> {
    let shown = directors.shown(tag)?;
    let count = shown.first().and_then(|vrrp| vrrp["stats"][name].as_u64());
    Ok(count.unwrap_or_default())
}

/// Waits until the backup has taken so many more.
fn takes(directors: &Directors, tag: &str, adverts: u64) -> Result<(), LabError> {
    let before = stat(directors, tag, "advert_rcvd")?;
    wait_until(
        &format!("{tag} to take {adverts} advertisements"),
        PATIENCE,
        || match stat(directors, tag, "advert_rcvd").map_err(|error| error.to_string())? {
            now if now >= before + adverts => Ok(()),
            now => Err(format!("{before} before, {now} now")),
        },
    )
}

fn is(directors: &Directors, tag: &str, state: &str) -> Result<(), LabError> {
    wait_until(&format!("{tag} to be {state}"), PATIENCE, || {
        let shown = directors.shown(tag).map_err(|error| error.to_string())?;
        let heard = |vrrp: &serde_json::Value| state != "backup" || vrrp["active"].is_object();
        match shown.first() {
            Some(vrrp) if vrrp["state"] == state && heard(vrrp) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}

#[test]
fn a_clock_that_is_set_makes_nobody_take_over() {
    let Some(shim) = shim() else { return };
    scenario("vrrp: clocks are set", |lab| {
        let directors = Directors::new(lab)?;
        let high = Clocked::start(&directors, &shim, (&directors.weir, "high", 150), 0)?;
        is(&directors, "high", "active")?;
        let low = Clocked::start(&directors, &shim, (&directors.peer, "low", 100), 0)?;
        is(&directors, "low", "backup")?;
        takes(&directors, "low", ADVERTS)?;
        let changes = || {
            let of = |tag| Ok::<_, LabError>(directors.shown(tag)?[0]["transitions"].clone());
            Ok::<_, LabError>([of("high")?, of("low")?])
        };
        let before = changes()?;
        for offset_s in [HOUR_S, -HOUR_S, DECADE_S, 0] {
            for (tag, clocked) in [("high", &high), ("low", &low)] {
                set(&clocked.offset, offset_s)?;
                takes(&directors, "low", ADVERTS)?;
                assert_eq!(changes()?, before, "{tag} by {offset_s} s");
            }
        }
        assert_eq!(stat(&directors, "low", "auth_stale")?, 0, "nothing was refused");
        // It is another time to them indeed: their logs show it.
        set(&high.offset, DECADE_S)?;
        let file = directors.file("high");
        write(
            &file,
            &(tell(&directors, "high", 150, KEY, 1)? + "announce_repeat = 4\n"),
            0o600,
        )?;
        directors.ctl("high", &format!("config apply {}", file.display()))?;
        let log = high.process.log();
        let year = |line: &str| line.get(..4).and_then(|year| year.parse::<u16>().ok());
        let years: Vec<u16> = log.lines().filter_map(year).collect();
        let (first, last) = (years.first().copied(), years.iter().max().copied());
        assert!(last >= first.map(|first| first + 9), "a decade passed: {log}");
        directors.only(&directors.weir, V4).map(drop)
    });
}

#[test]
fn a_clock_that_was_wrong_from_the_start_may_be_set_right() {
    let Some(shim) = shim() else { return };
    scenario("vrrp: a clock that was wrong is set right", |lab| {
        let directors = Directors::new(lab)?;
        let _high = Clocked::start(&directors, &shim, (&directors.weir, "high", 150), 0)?;
        is(&directors, "high", "active")?;
        // They do not believe each other, and both are active.
        let low = Clocked::start(&directors, &shim, (&directors.peer, "low", 100), DAY_S)?;
        is(&directors, "low", "active")?;
        set(&low.offset, 0)?;
        is(&directors, "low", "backup")?;
        let events = directors.ctl("low", "events")?;
        assert!(events.contains("the system's clock has been set"), "{events}");
        directors.only(&directors.weir, V4).map(drop)
    });
}
