//! What programs and a pipe are told besides changes of state: another priority, a lower one that is heard, a removal by a
//! reload. keepalived is told to do the same, and says the same to both.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::Signal;

use super::wire::{SHARED, STEADY, frame, v3};
use super::{Directors, PATIENCE, Pipe, V4, keepalived_is_here, write};
use weir_tests::lab::{Injector, Lab, LabError, wait_until};
use weir_tests::scenario::scenario;

/// All that was told of the virtual router that is removed: to the pipe, and to programs (in no order: keepalived does not
/// wait for one before it starts the next).
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    pipe: Vec<String>,
    programs: Vec<String>,
}

/// A program that writes its name and its arguments down.
fn program(folder: &Path, name: &str) -> Result<String, LabError> {
    let path = folder.join(name);
    let told = folder.join("told").display().to_string();
    write(
        &path,
        &format!("#!/bin/sh\necho \"{name} $*\" >> {told}\n"),
        0o755,
    )?;
    Ok(path.display().to_string())
}

const PROGRAMS: [&str; 4] = [
    "notify",
    "notify_master",
    "notify_master_rx_lower_pri",
    "notify_deleted",
];

/// What the file tracked says, and what that adds to the priority.
const WEIGHT: u8 = 20;

/// The two configurations, before and after the removal. The other virtual router keeps the program busy.
fn weir(directors: &Directors, pipe: &str, words: &[String], file: &str) -> [String; 2] {
    let keys: String = words
        .iter()
        .map(|word| word.replacen(' ', " = '", 1) + "'\n")
        .collect();
    let both = directors.text(150, &STEADY, "weir")
        + &format!(
            "notify_fifo = '{pipe}'\nnotify_priority_changes = true\nscript_user = 'root'\n{keys}\
             [[vrrp.track]]\nfile = '{file}'\nweight = {WEIGHT}\ninterval_ms = 100\n"
        );
    let other = "[[vrrp]]\nname = 'VI_2'\ninterface = 'eth0'\nvirtual_router_id = 52\nversion = 3\n\
                 addresses = ['198.18.0.1/32']\n";
    [both + other, directors.head("weir") + other]
}

fn keepalived(pipe: &str, words: &[String], file: &str) -> [String; 2] {
    let globals = format!("global_defs {{\nscript_user root\nvrrp_notify_fifo {pipe}\n}}\n");
    let tracked = format!("track_file tracked {{\nfile {file}\nweight {WEIGHT}\n}}\n");
    let instance = |name: &str, vrid: u8, priority: u8, address: &str, more: &str| {
        format!(
            "vrrp_instance {name} {{\nstate BACKUP\ninterface eth0\nvirtual_router_id {vrid}\npriority {priority}\n\
             version 3\nadvert_int 1\n{more}virtual_ipaddress {{\n{address}\n}}\n}}\n"
        )
    };
    let more = format!(
        "notify_priority_changes true\n{}\ntrack_file {{\ntracked\n}}\n",
        words.join("\n")
    );
    let other = instance("VI_2", 52, 100, "198.18.0.1/32", "");
    let removed = instance("VI_1", 51, 150, &format!("{V4}/24"), &more);
    [
        format!("{globals}{tracked}{removed}{other}"),
        format!("{globals}{other}"),
    ]
}

/// Another priority, a priority 0 and a lower one from a stranger, a reload without the virtual router.
fn in_lab(lab: &mut Lab, is_weir: bool, deleted: bool) -> Result<Told, LabError> {
    let directors = Directors::new(lab)?;
    let io = |source| LabError::Io {
        what: "make a folder in /run".to_owned(),
        source,
    };
    let safe = tempfile::Builder::new()
        .prefix("weir-test-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in("/run")
        .map_err(io)?;
    let told = safe.path().join("told");
    write(&told, "", 0o644)?;
    let tracked = safe.path().join("tracked");
    write(&tracked, "0\n", 0o644)?;
    let fifo = safe.path().join("fifo");
    let mut pipe = Pipe::make(&fifo)?;
    let mut words = Vec::new();
    for name in PROGRAMS
        .iter()
        .filter(|name| deleted || **name != "notify_deleted")
    {
        words.push(format!("{name} {}", program(safe.path(), name)?));
    }
    let (fifo, file) = (fifo.display().to_string(), tracked.display().to_string());
    let (tag, [before, after]) = if is_weir {
        ("weir", weir(&directors, &fifo, &words, &file))
    } else {
        ("keepalived", keepalived(&fifo, &words, &file))
    };
    let process = if is_weir {
        directors.start_weir(&directors.weir, tag, &before)?
    } else {
        directors.start_keepalived(&directors.weir, tag, &before)?
    };
    let mut says = |word: &str| {
        wait_until(&format!("{tag} to say {word}"), PATIENCE, || {
            let heard = pipe.read();
            if heard
                .lines()
                .any(|line| line.starts_with(&format!("INSTANCE \"VI_1\" {word} ")))
            {
                Ok(())
            } else {
                Err(heard.to_owned())
            }
        })
    };
    says("MASTER")?;
    write(&tracked, "1\n", 0o644)?;
    says("MASTER_PRIORITY")?;
    let mut wire = Injector::open(&directors.peer, "eth0")?;
    wire.send(&frame(255, &v3(0x31, 0, 100, 1, &[SHARED], 0)))?;
    wire.send(&frame(255, &v3(0x31, 100, 100, 1, &[SHARED], 0)))?;
    says("MASTER_RX_LOWER_PRI")?;
    if is_weir {
        write(&directors.file(tag), &after, 0o600)?;
    } else {
        write(&directors.dir.join(format!("{tag}.conf")), &after, 0o600)?;
    }
    process.signal(Signal::HUP)?;
    says(if deleted { "DELETED" } else { "FAULT" })?;
    let programs = wait_until("every program to have run", PATIENCE, || {
        let text = fs::read_to_string(&told).unwrap_or_default();
        let mut lines: Vec<String> = text.lines().map(|line| line.trim_end().to_owned()).collect();
        lines.sort_unstable();
        // The common one at three changes of state, and one of its own for each that has such.
        if lines.len() >= 5 + usize::from(deleted) {
            Ok(lines)
        } else {
            Err(text)
        }
    })?;
    let of_it = |line: &&str| line.contains("\"VI_1\"");
    Ok(Told {
        pipe: pipe.read().lines().filter(of_it).map(str::to_owned).collect(),
        programs,
    })
}

#[test]
fn what_is_no_state_is_told_as_keepalived_tells_it() {
    if !keepalived_is_here() {
        return;
    }
    let play = |is_weir: bool, deleted: bool| {
        let mut told = Told::default();
        scenario(
            &format!("vrrp: told besides states: weir {is_weir}, deleted {deleted}"),
            |lab| {
                told = in_lab(lab, is_weir, deleted)?;
                Ok(())
            },
        );
        told
    };
    std::thread::scope(|threads| {
        for deleted in [false, true] {
            threads.spawn(move || {
                let reference = std::thread::scope(|pair| {
                    let theirs = pair.spawn(move || play(false, deleted));
                    let ours = play(true, deleted);
                    (theirs.join().expect("it was played to the end"), ours)
                });
                eprintln!("{reference:#?}");
                assert_eq!(reference.0, reference.1, "keepalived, weir");
            });
        }
    });
}
