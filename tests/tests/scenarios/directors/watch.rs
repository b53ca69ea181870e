//! What a client of two directors sees: who answers ARP for the shared address, and which of its requests are lost.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use weir_tests::lab::{Injector, LabError, Node, wait_until};

/// How often the client asks who has the address.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// Answers kept.
const ANSWERS_MAX: usize = 100_000;
/// A client waits for this long between two requests.
const ASK_AGAIN: Duration = Duration::from_millis(10);
/// A request that takes longer is lost. A lost packet is sent again after one second, and then after two.
const REQUEST_MAX: Duration = Duration::from_secs(5);

/// A thread that sleeps for this long tells how late the machine is.
const NAP: Duration = Duration::from_millis(5);

type Mac = [u8; 6];

/// One that runs until it is dropped.
struct Background {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    fn start(node: &Node, mut turn: impl FnMut() + Send + 'static) -> Self {
        let (node, stop) = (node.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let run = || {
                while !stopped.load(Relaxed) {
                    turn();
                }
            };
            if let Err(error) = node.inside(run) {
                eprintln!("{error}");
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        // A panic of the thread has been printed, and whoever waits for what it sees waits in vain.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Asks by ARP who has an address, again and again, and keeps every answer.
pub(super) struct Owners {
    answers: Arc<Mutex<VecDeque<(Instant, Mac)>>>,
    _background: Background,
}

impl Owners {
    pub(super) fn watch(node: &Node, interface: &str, own: [u8; 4], vip: [u8; 4]) -> Result<Self, LabError> {
        let mac = node.mac(interface)?;
        let mut wire = Injector::open(node, interface)?;
        let question = [
            &[0xff; 6][..],
            &mac,
            &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
            &mac,
            &own,
            &[0; 6],
            &vip,
        ]
        .concat();
        let answers = Arc::new(Mutex::new(VecDeque::new()));
        let found = answers.clone();
        let background = Background::start(node, move || {
            // What is not sent is not answered, and seen by that.
            let _ = wire.send(&question);
            let until = Instant::now() + ASK_EVERY;
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                let is_answer = |frame: &[u8]| {
                    frame.get(12..14) == Some(&[8, 6])
                        && frame.get(20..22) == Some(&[0, 2])
                        && frame.get(28..32) == Some(&vip)
                };
                let Some(frame) = wire.receive(left, is_answer) else {
                    continue;
                };
                let mut sender = [0; 6];
                sender.copy_from_slice(&frame[22..28]);
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                if found.len() == ANSWERS_MAX {
                    found.pop_front();
                }
                found.push_back((Instant::now(), sender));
            }
        });
        Ok(Self {
            answers,
            _background: background,
        })
    }

    fn since(&self, start: Instant) -> Vec<(Instant, Mac)> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.iter().filter(|(at, _)| *at >= start).copied().collect()
    }

    /// Waits until `mac` alone has answered for `quiet`.
    pub(super) fn wait_for(&self, mac: Mac, quiet: Duration, patience: Duration) -> Result<(), LabError> {
        wait_until(&format!("only {mac:02x?} to answer ARP"), patience, || {
            let recent = self.since(Instant::now() - quiet);
            let first = recent.first().map(|(at, _)| at.elapsed());
            let long_enough = first.is_some_and(|age| age > quiet / 2);
            if long_enough && recent.iter().all(|(_, found)| *found == mac) {
                Ok(())
            } else {
                let mut seen: Vec<Mac> = recent.iter().map(|(_, mac)| *mac).collect();
                seen.sort_unstable();
                seen.dedup();
                Err(format!("{seen:02x?}"))
            }
        })
    }

    /// The longest time since `start` for which two answered by turns. One that takes over from another makes one turn,
    /// which takes no time.
    pub(super) fn overlap(&self, start: Instant) -> Duration {
        longest_by_turns(&self.since(start))
    }
}

/// Answers to one question are this close to each other; turns that are further apart are of two changes.
const TURNS_APART_MAX: Duration = Duration::from_millis(100);

fn longest_by_turns(answers: &[(Instant, Mac)]) -> Duration {
    let turns = answers
        .windows(2)
        .filter(|pair| pair[0].1 != pair[1].1)
        .map(|pair| pair[1].0);
    let (mut longest, mut stretch) = (Duration::ZERO, None);
    for at in turns {
        let first = match stretch {
            Some((first, last)) if at - last <= TURNS_APART_MAX => first,
            Some(_) | None => at,
        };
        longest = longest.max(at - first);
        stretch = Some((first, at));
    }
    longest
}

#[test]
fn two_that_answer_by_turns_are_told_from_a_change_of_owner() {
    let start = Instant::now();
    let at = |ms: u64, owner: u8| (start + Duration::from_millis(ms), [owner; 6]);
    let there_and_back = [at(0, 1), at(20, 1), at(40, 2), at(60, 2), at(400, 2), at(420, 1)];
    assert_eq!(longest_by_turns(&there_and_back), Duration::ZERO);
    let both = [
        at(0, 1),
        at(20, 1),
        at(21, 2),
        at(40, 1),
        at(41, 2),
        at(60, 1),
        at(61, 2),
        at(80, 2),
    ];
    assert_eq!(longest_by_turns(&both), Duration::from_millis(40));
}

/// How late this machine is: the longest that a thread slept longer than it wanted to.
pub(super) struct Stalls {
    longest: Arc<Mutex<Duration>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stalls {
    pub(super) fn watch() -> Self {
        let (longest, stop) = (
            Arc::new(Mutex::new(Duration::ZERO)),
            Arc::new(AtomicBool::new(false)),
        );
        let (noted, stopped) = (longest.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Relaxed) {
                let start = Instant::now();
                std::thread::sleep(NAP);
                let late = start.elapsed().saturating_sub(NAP);
                let mut longest = noted.lock().unwrap_or_else(PoisonError::into_inner);
                *longest = longest.max(late);
            }
        });
        Self {
            longest,
            stop,
            thread: Some(thread),
        }
    }

    /// The longest so far; begins anew.
    pub(super) fn take(&self) -> Duration {
        std::mem::take(&mut self.longest.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        // It only sleeps and counts.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What became of a client's requests.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Losses {
    pub(super) requests: u32,
    pub(super) lost: u32,
    /// The longest time between two good answers.
    pub(super) gap: Duration,
}

/// Sends one request after the other, each over a connection of its own.
pub(super) struct Prober {
    losses: Arc<Mutex<(Losses, Instant)>>,
    _background: Background,
}

impl Prober {
    pub(super) fn start(node: &Node, to: SocketAddr) -> Self {
        let losses = Arc::new(Mutex::new((Losses::default(), Instant::now())));
        let counted = losses.clone();
        let background = Background::start(node, move || {
            let good = request(to).is_ok();
            let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
            let (losses, last) = &mut *counted;
            losses.requests += 1;
            losses.lost += u32::from(!good);
            losses.gap = losses.gap.max(last.elapsed());
            if good {
                *last = Instant::now();
            }
            drop(counted);
            std::thread::sleep(ASK_AGAIN);
        });
        Self {
            losses,
            _background: background,
        }
    }

    /// The counts so far; they begin anew.
    pub(super) fn take(&self) -> Losses {
        let mut counted = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        counted.1 = Instant::now();
        std::mem::take(&mut counted.0)
    }

    /// Waits until a request is answered that began after this call.
    pub(super) fn wait_served(&self, patience: Duration) -> Result<(), LabError> {
        let good = |losses: &Losses| losses.requests - losses.lost;
        let now = || self.losses.lock().unwrap_or_else(PoisonError::into_inner).0;
        let before = now();
        wait_until("an answer through the shared address", patience, || {
            let losses = now();
            // The one that was under way may have begun before.
            if good(&losses) >= good(&before) + 2 {
                Ok(())
            } else {
                Err(format!("{losses:?}"))
            }
        })
    }
}

fn request(to: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, REQUEST_MAX)?;
    stream.set_read_timeout(Some(REQUEST_MAX))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200") {
        Ok(())
    } else {
        Err(std::io::ErrorKind::InvalidData.into())
    }
}

/// Connections that stay open: each sends a request now and then, and is alive while it is answered.
pub(super) struct LongFlows(Vec<TcpStream>);

impl LongFlows {
    /// Opens `count` of them; each is answered once.
    pub(super) fn open(node: &Node, to: SocketAddr, count: usize) -> Result<Self, LabError> {
        let opened = node.inside(|| {
            let one = |_| -> std::io::Result<TcpStream> {
                let mut stream = TcpStream::connect_timeout(&to, REQUEST_MAX)?;
                stream.set_read_timeout(Some(REQUEST_MAX))?;
                ask(&mut stream)?;
                Ok(stream)
            };
            (0..count).map(one).collect::<std::io::Result<Vec<_>>>()
        })?;
        opened
            .map(Self)
            .map_err(|error| LabError::unexpected(format!("opening {count} connections to {to}: {error}")))
    }

    /// How many are answered now.
    pub(super) fn alive(&mut self) -> usize {
        // All ask before the first one is listened to: what waits for a repetition waits together.
        let asked: Vec<bool> = self.0.iter_mut().map(|stream| say(stream).is_ok()).collect();
        let answered = self.0.iter_mut().zip(asked);
        answered
            .filter_map(|(stream, asked)| (asked && hear(stream).is_ok()).then_some(()))
            .count()
    }
}

fn ask(stream: &mut TcpStream) -> std::io::Result<()> {
    say(stream)?;
    hear(stream)
}

fn say(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: weir\r\n\r\n")
}

/// The answer's head and its four bytes (`rs1` and a line feed).
fn hear(stream: &mut TcpStream) -> std::io::Result<()> {
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        answer.push(byte[0]);
    }
    let mut body = [0; 4];
    stream.read_exact(&mut body)?;
    if answer.starts_with(b"HTTP/1.1 200") {
        Ok(())
    } else {
        Err(std::io::ErrorKind::InvalidData.into())
    }
}
