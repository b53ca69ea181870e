//! The director that goes, the one that takes over, and a client that hears everything.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use weir_tests::lab::{Injector, Lab, LabError, Node, Process, wait_until};

use super::super::{Directors, Flavour, PATIENCE, V4};
use super::Case;

const SERVICE: &str = "192.0.2.100:9000";
const VIP: [u8; 4] = [192, 0, 2, 100];
/// Last bytes of the directors' own addresses.
const GOES: u8 = 1;
const TAKES: u8 = 2;
/// The client asks this often.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// The client notes what it hears when it is woken up for it: it may have been later with the first advertisement than
/// with the second.
pub(super) const EARLY_MAX: Duration = Duration::from_millis(20);

/// Who takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    Keepalived,
    Weir,
}

/// How the other one goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Its cable is cut.
    Silence,
    /// It is ended by SIGTERM.
    PriorityZero,
}

/// From the last advertisement of the one that goes to the first of the other one, its first announcement of the
/// address, and its first answer to a question sent to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) advert: Duration,
    pub(super) announcement: Duration,
    pub(super) answer: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Advert(u8),
    Announcement([u8; 6]),
    Answer(u8),
}

type Notes = Arc<Mutex<Vec<(Instant, Heard)>>>;

pub(super) struct Scene {
    directors: Directors,
    flavour: Flavour,
    interval: Duration,
    event: Event,
    goes: Option<Process>,
    mac: [u8; 6],
    notes: Notes,
    turns: usize,
}

impl Scene {
    pub(super) fn set(lab: &mut Lab, case: &Case) -> Result<Self, LabError> {
        let directors = Directors::new(lab)?;
        let client = lab.add_node("client", "eth0")?;
        client.ip("address add 192.0.2.10/24 dev eth0")?;
        // Linux takes no second announcement of an address within a second, unless it is told to.
        client.sysctl("net.ipv4.neigh.eth0.locktime", "0")?;
        for (node, number) in [(&directors.weir, GOES), (&directors.peer, TAKES)] {
            node.sysctl("net.ipv4.ip_nonlocal_bind", "1")?;
            answer(node, number)?;
        }
        let notes = Notes::default();
        listen(&client, &notes)?;
        ask(&client, &notes)?;
        let flavour = Flavour {
            name: case.name,
            weir: case.weir,
            keepalived: case.keepalived,
            vip: V4,
            down: case.theory,
        };
        let mut scene = Self {
            mac: directors.peer.mac("eth0")?,
            directors,
            flavour,
            interval: case.interval,
            event: case.event,
            goes: None,
            notes,
            turns: 0,
        };
        scene.return_one()?;
        Ok(scene)
    }

    /// The one that goes is there: it owns the address, so that it need not wait for it.
    fn return_one(&mut self) -> Result<(), LabError> {
        if self.goes.is_none() {
            let node = &self.directors.weir;
            self.goes = Some(self.directors.keepalived(node, 255, &self.flavour, "goes", "")?);
        }
        Ok(())
    }

    fn heard_since(&self, start: Instant, what: Heard) -> Vec<Instant> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let since = notes.iter().filter(|(at, heard)| *at >= start && *heard == what);
        since.map(|(at, _)| *at).collect()
    }

    fn wait_for(&self, start: Instant, what: Heard, times: usize) -> Result<Instant, LabError> {
        wait_until(&format!("{times} times {what:?}"), PATIENCE, || {
            let heard = self.heard_since(start, what);
            heard.get(times - 1).copied().ok_or(heard.len())
        })
    }

    /// Has `program` take the address over, and puts everything back.
    pub(super) fn take_over(&mut self, lab: &Lab, program: Program) -> Result<Times, LabError> {
        self.turns += 1;
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.wait_for(Instant::now(), Heard::Answer(GOES), 1)?;
        let taker = self.start(program)?;
        // One that has not heard the other yet would wait from its start.
        self.wait_for(Instant::now(), Heard::Advert(GOES), 2)?;
        let start = Instant::now();
        match self.event {
            Event::Silence => lab.plug(&self.directors.weir, false)?,
            Event::PriorityZero => {
                if let Some(goes) = &self.goes {
                    goes.signal(Signal::TERM)?;
                }
            }
        }
        let took = self.wait_for(start, Heard::Advert(TAKES), 1)?;
        // One that was starved may have taken over before for a moment: what followed from that is not meant.
        let announced = self.wait_for(took, Heard::Announcement(self.mac), 1)?;
        let answered = self.wait_for(took, Heard::Answer(TAKES), 1)?;
        let adverts = self.heard_since(start - 2 * self.interval, Heard::Advert(GOES));
        let last = adverts.into_iter().filter(|at| *at < took).max();
        let last = last.ok_or_else(|| LabError::unexpected("no advertisement of the one that goes"))?;
        match self.event {
            Event::Silence => lab.plug(&self.directors.weir, true)?,
            Event::PriorityZero => {
                if let Some(mut goes) = self.goes.take() {
                    goes.wait(PATIENCE)?;
                }
            }
        }
        self.return_one()?;
        self.wait_for(Instant::now(), Heard::Advert(GOES), 1)?;
        taker.stop()?;
        Ok(Times {
            advert: took - last,
            announcement: announced - last,
            answer: answered - last,
        })
    }

    /// Starts the one that takes over; it has told that it is a backup.
    fn start(&self, program: Program) -> Result<Process, LabError> {
        // A log of its own: what it says is waited for.
        let tag = format!("takes{}", self.turns);
        let (node, flavour) = (&self.directors.peer, &self.flavour);
        let (mut process, ready) = match program {
            Program::Keepalived => (
                self.directors.keepalived(node, 100, flavour, &tag, "")?,
                "Entering BACKUP STATE",
            ),
            Program::Weir => (
                self.directors.weir_on(node, 100, flavour, &tag)?,
                "kind=\"backup\"",
            ),
        };
        process.wait_for_log(ready, PATIENCE)?;
        Ok(process)
    }
}

/// Answers every datagram to the shared address with the director's number.
fn answer(node: &Node, number: u8) -> Result<(), LabError> {
    let socket = bound(node, SERVICE)?;
    // Ends with the process of the test.
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            // What is lost is seen by who asked.
            let _ = socket.send_to(&[number], from);
        }
    });
    Ok(())
}

fn bound(node: &Node, address: &str) -> Result<UdpSocket, LabError> {
    let bound = node.inside(|| UdpSocket::bind(address))?;
    bound.map_err(|source| LabError::Io {
        what: format!("bind {address}"),
        source,
    })
}

/// Asks for as long as somebody keeps the notes, and notes every answer.
fn ask(client: &Node, notes: &Notes) -> Result<(), LabError> {
    let socket = bound(client, "192.0.2.10:0")?;
    socket
        .set_read_timeout(Some(ASK_EVERY))
        .map_err(|source| LabError::Io {
            what: "limit the wait".to_owned(),
            source,
        })?;
    let notes = Arc::downgrade(notes);
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        loop {
            let asked = Instant::now();
            // Nobody may be there: that is what is measured.
            let _ = socket.send_to(b"?", SERVICE);
            let answer = socket.recv(&mut buffer);
            let Some(notes) = notes.upgrade() else { return };
            if answer.is_ok() {
                let note = (Instant::now(), Heard::Answer(buffer[0]));
                notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
            }
            drop(notes);
            std::thread::sleep(ASK_EVERY.saturating_sub(asked.elapsed()));
        }
    });
    Ok(())
}

/// Notes advertisements and announcements for as long as somebody keeps the notes.
fn listen(client: &Node, notes: &Notes) -> Result<(), LabError> {
    let mut wire = Injector::open(client, "eth0")?;
    let notes = Arc::downgrade(notes);
    std::thread::spawn(move || {
        loop {
            let mut found = None;
            wire.receive(Duration::from_millis(200), |frame| {
                found = heard(frame).map(|heard| (Instant::now(), heard));
                found.is_some()
            });
            let Some(notes) = notes.upgrade() else { return };
            notes.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
        }
    });
    Ok(())
}

fn heard(frame: &[u8]) -> Option<Heard> {
    match frame.get(12..14)? {
        [8, 0] if frame.get(23) == Some(&112) => frame.get(29).copied().map(Heard::Advert),
        // From the shared address about itself.
        [8, 6] if frame.get(28..32) == Some(&VIP) && frame.get(38..42) == Some(&VIP) => {
            Some(Heard::Announcement(frame.get(22..28)?.try_into().ok()?))
        }
        _ => None,
    }
}
