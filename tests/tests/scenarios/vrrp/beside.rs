//! The same events with two keepaliveds, and with a weir in the place of either: the same director wins each time, and
//! each goes through the same states, as both tell them to a pipe (`INSTANCE "VI_1" MASTER 150`).

use std::path::PathBuf;
use std::time::Duration;

use super::{Directors, Flavour, PASSWORD, PATIENCE, Pipe, V4, V6, keepalived_is_here};
use weir_tests::lab::{Lab, LabError, Node, Process, wait_until};
use weir_tests::scenario::scenario;

const FLAVOURS: &[Flavour] = &[
    PASSWORD,
    Flavour {
        name: "v2 authentication header",
        weir: "auth = 'header'\nauth_file = 'SECRET'\n",
        keepalived: "advert_int 1\nauthentication {\nauth_type AH\nauth_pass 1111\n}\n",
        vip: V4,
        down: Duration::from_millis(3_805),
    },
    Flavour {
        name: "v3",
        weir: "version = 3\nadvert_interval_ms = 200\n",
        keepalived: "version 3\nadvert_int 0.2\n",
        vip: V4,
        down: Duration::from_millis(722),
    },
    Flavour {
        name: "v3 unicast",
        weir: "version = 3\nadvert_interval_ms = 200\nunicast_peers = ['PEER']\n",
        keepalived: "version 3\nadvert_int 0.2\nunicast_peer {\nPEER\n}\n",
        vip: V4,
        down: Duration::from_millis(722),
    },
    Flavour {
        name: "v3 IPv6",
        weir: "version = 3\nadvert_interval_ms = 200\n",
        keepalived: "version 3\nadvert_int 0.2\n",
        vip: V6,
        down: Duration::from_millis(722),
    },
];

/// A director that was starved for longer than the silence it waits for goes through states of its own; a machine does
/// that to some, not to all of so many.
const TRIES: u32 = 3;
const HIGH: u8 = 150;
const LOW: u8 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Keepalived,
    Weir,
}

use Program::{Keepalived, Weir};

/// Who has the higher priority, and who the lower.
type Pairing = (Program, Program);

const BESIDE: &[Pairing] = &[(Weir, Keepalived), (Keepalived, Weir), (Weir, Weir)];

/// What the two told their pipes, the one of higher priority first.
type Told = [Vec<String>; 2];

/// One director of the two, which may be stopped and started again; its pipe is always the same.
struct Seat<'a> {
    directors: &'a Directors,
    node: &'a Node,
    program: Program,
    priority: u8,
    fifo: PathBuf,
    pipe: Pipe,
}

impl<'a> Seat<'a> {
    fn new(
        directors: &'a Directors,
        node: &'a Node,
        program: Program,
        priority: u8,
    ) -> Result<Self, LabError> {
        let fifo = directors.dir.join(format!("{priority}.fifo"));
        Ok(Self {
            directors,
            node,
            program,
            priority,
            pipe: Pipe::make(&fifo)?,
            fifo,
        })
    }

    fn start(&self, flavour: &Flavour) -> Result<Process, LabError> {
        let (directors, tag, fifo) = (self.directors, self.priority.to_string(), self.fifo.display());
        match self.program {
            Keepalived => {
                let globals = format!("vrrp_notify_fifo {fifo}\n");
                directors.keepalived(self.node, self.priority, flavour, &tag, &globals)
            }
            Weir => {
                let text =
                    directors.text(self.priority, flavour, &tag) + &format!("notify_fifo = '{fifo}'\n");
                let text = text.replace("PEER", directors.other(self.node));
                directors.start_weir(self.node, &tag, &text)
            }
        }
    }

    /// Waits until the last word is `state`.
    fn is(&mut self, state: &str) -> Result<(), LabError> {
        let what = format!("{:?} of priority {} to tell {state}", self.program, self.priority);
        wait_until(&what, PATIENCE, || {
            let last = self.pipe.read().lines().last().unwrap_or_default();
            match last.split(' ').nth(2) {
                Some(word) if word == state => Ok(()),
                _ => Err(last.to_owned()),
            }
        })
    }
}

/// Start of both, orderly end, cut cable: who holds the address after each, and all that was told.
fn in_lab(lab: &mut Lab, flavour: &Flavour, pairing: Pairing) -> Result<Told, LabError> {
    let directors = Directors::new(lab)?;
    let mut high = Seat::new(&directors, &directors.weir, pairing.0, HIGH)?;
    let mut low = Seat::new(&directors, &directors.peer, pairing.1, LOW)?;
    let held_by = |high: &mut Seat<'_>, low: &mut Seat<'_>, states: [&str; 2]| {
        if !states[0].is_empty() {
            high.is(states[0])?;
        }
        low.is(states[1])?;
        let winner = if states[1] == "MASTER" {
            low.node
        } else {
            high.node
        };
        // One that is cut off lets go too: at fault, it holds nothing.
        directors.only(winner, flavour.vip).map(drop)
    };
    let _low = low.start(flavour)?;
    held_by(&mut high, &mut low, ["", "MASTER"])?;
    let process = high.start(flavour)?;
    held_by(&mut high, &mut low, ["MASTER", "BACKUP"])?;
    assert!(process.stop()?.success(), "{pairing:?}: an orderly end");
    held_by(&mut high, &mut low, ["STOP", "MASTER"])?;
    let _high = high.start(flavour)?;
    held_by(&mut high, &mut low, ["MASTER", "BACKUP"])?;
    lab.plug(&directors.weir, false)?;
    held_by(&mut high, &mut low, ["FAULT", "MASTER"])?;
    lab.plug(&directors.weir, true)?;
    held_by(&mut high, &mut low, ["MASTER", "BACKUP"])?;
    let lines = |seat: &mut Seat<'_>| seat.pipe.read().lines().map(str::to_owned).collect();
    Ok([lines(&mut high), lines(&mut low)])
}

fn play(flavour: &Flavour, pairing: Pairing) -> Told {
    let mut told = Told::default();
    scenario(&format!("vrrp: {}: {pairing:?}", flavour.name), |lab| {
        told = in_lab(lab, flavour, pairing)?;
        Ok(())
    });
    told
}

#[test]
fn a_weir_in_the_place_of_a_keepalived_changes_neither_winner_nor_transitions() {
    if !keepalived_is_here() {
        return;
    }
    // Each in a laboratory of its own; most of the time is waiting for version 2's seconds.
    std::thread::scope(|threads| {
        for flavour in FLAVOURS {
            threads.spawn(move || compare(flavour));
        }
    });
}

fn compare(flavour: &Flavour) {
    let mut reference = Told::default();
    for tried in 1..=TRIES {
        let played = std::thread::scope(|threads| {
            let one = |pairing: Pairing| threads.spawn(move || play(flavour, pairing));
            let all = [(Keepalived, Keepalived)].iter().chain(BESIDE);
            let playing: Vec<_> = all.map(|pairing| one(*pairing)).collect();
            playing
                .into_iter()
                .map(|played| played.join().expect("it was played to the end"))
                .collect::<Vec<Told>>()
        });
        let [first, others @ ..] = &played[..] else {
            continue;
        };
        reference.clone_from(first);
        let unlike: Vec<_> = BESIDE
            .iter()
            .zip(others)
            .filter(|(_, told)| *told != first)
            .collect();
        if unlike.is_empty() {
            break;
        }
        eprintln!(
            "{}: two keepaliveds told {first:#?}, but {unlike:#?}",
            flavour.name
        );
        assert!(tried < TRIES, "{}: not as two keepaliveds are", flavour.name);
    }
    eprintln!("{}: all as two keepaliveds: {reference:?}", flavour.name);
}
