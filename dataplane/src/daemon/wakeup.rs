//! How a sleeping worker is woken.
//!
//! Two things end a sleep: packets at a device whose driver sits on a file descriptor (AF_XDP and AF_PACKET sockets,
//! a tap), and another thread's doorbell (an eventfd) after it put something into one of the worker's rings. Drivers
//! keep their descriptors to themselves, so the ones a device opened are found by comparing `/proc/self/fd` before and
//! after it was started, and duplicated through `pidfd_getfd`. Reading readiness never takes anything from the driver.
//! A device without such a descriptor (pcap, null, memif, a NIC) is polled again after each sleep's bound.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, epoll, eventfd, poll};
use rustix::fs::Timespec;
use rustix::net::{AddressFamily, sockopt};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::verdict::PortId;

/// The descriptors this process has open, as numbers.
pub fn open_descriptors() -> io::Result<BTreeSet<RawFd>> {
    let mut numbers = BTreeSet::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        if let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            numbers.insert(number);
        }
    }
    Ok(numbers)
}

/// Duplicates of those descriptors opened since `before` that announce received packets, in the order of their numbers.
pub fn packet_descriptors_since(before: &BTreeSet<RawFd>) -> io::Result<Vec<OwnedFd>> {
    let this_process = pidfd_open(getpid(), PidfdFlags::empty())?;
    let mut found = Vec::new();
    for number in open_descriptors()?.difference(before) {
        // The directory listing's own descriptor is already closed again: an error here is that, not a fault.
        let Ok(copy) = pidfd_getfd(&this_process, *number, PidfdGetfdFlags::empty()) else {
            continue;
        };
        if announces_packets(&copy, *number) && can_wait(&copy) {
            found.push(copy);
        }
    }
    Ok(found)
}

fn announces_packets(descriptor: &OwnedFd, number: RawFd) -> bool {
    match sockopt::socket_domain(descriptor) {
        Ok(domain) => domain == AddressFamily::XDP || domain == AddressFamily::PACKET,
        Err(_) => {
            fs::read_link(format!("/proc/self/fd/{number}")).is_ok_and(|to| to.as_os_str() == "/dev/net/tun")
        }
    }
}

/// A tap's detached keep-alive descriptor is for ever in error: watching it would end every sleep at once.
fn can_wait(descriptor: &OwnedFd) -> bool {
    let mut watched = [PollFd::new(descriptor, PollFlags::IN)];
    let polled = poll(
        &mut watched,
        Some(&Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        }),
    );
    polled.is_ok()
        && !watched[0]
            .revents()
            .intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL)
}

/// Rung by other threads after they put something into one of the worker's rings. One system call, and only when the
/// worker sleeps.
#[derive(Debug, Clone)]
pub struct Doorbell(Arc<Bell>);

#[derive(Debug)]
struct Bell {
    asleep: AtomicBool,
    event: OwnedFd,
}

impl Doorbell {
    /// A doorbell whose owner is awake.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self(Arc::new(Bell {
            asleep: AtomicBool::new(false),
            event,
        })))
    }

    /// Wakes the owner if it sleeps.
    #[inline]
    pub fn ring(&self) {
        // SeqCst on both sides: either the owner's last look at its rings, made after it said it sleeps, sees what was
        // put there before this load, or this load sees that it sleeps.
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.0.asleep.load(Ordering::SeqCst) {
            // A full eventfd is a wake-up already on its way.
            let _ = rustix::io::write(&self.0.event, &1u64.to_ne_bytes());
        }
    }

    /// Lets the owner sleep on the descriptor it is given, which becomes readable when the doorbell is rung.
    /// `nothing_waits` looks at the owner's rings a last time, after everybody can see that it is about to sleep.
    pub fn sleep_on(&self, nothing_waits: impl FnOnce() -> bool, sleep: impl FnOnce(BorrowedFd<'_>)) {
        let bell = &self.0;
        bell.asleep.store(true, Ordering::SeqCst);
        std::sync::atomic::fence(Ordering::SeqCst);
        if nothing_waits() {
            sleep(bell.event.as_fd());
        }
        bell.asleep.store(false, Ordering::SeqCst);
        let mut count = [0u8; 8];
        // Empty when nobody rang.
        let _ = rustix::io::read(&bell.event, &mut count);
    }
}

/// Where one worker sleeps.
#[derive(Debug)]
pub struct Bedside {
    epoll: OwnedFd,
    doorbell: Doorbell,
    // Kept open so that the epoll set keeps watching them; each with the port whose device it is of, if that may go.
    devices: Vec<(Option<PortId>, OwnedFd)>,
}

impl Bedside {
    /// Watches the devices' descriptors and a doorbell.
    pub fn new(doorbell: Doorbell, devices: Vec<(Option<PortId>, OwnedFd)>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let descriptors = devices.iter().map(|(_, descriptor)| descriptor.as_fd());
        for descriptor in descriptors.chain([doorbell.0.event.as_fd()]) {
            add(&epoll, descriptor)?;
        }
        Ok(Self {
            epoll,
            doorbell,
            devices,
        })
    }

    /// Watches a port's device no more: one that was taken away is for ever in error, and would end every sleep at once.
    pub fn forget(&mut self, port: PortId) {
        for (_, descriptor) in self.devices.extract_if(.., |(of, _)| *of == Some(port)) {
            // One that the set does not have is forgotten already.
            let _ = epoll::delete(&self.epoll, &descriptor);
        }
    }

    /// Watches a port's device that came back. Without, it is polled after each sleep's bound.
    pub fn watch(&mut self, port: PortId, descriptors: Vec<OwnedFd>) {
        for descriptor in descriptors {
            if add(&self.epoll, descriptor.as_fd()).is_ok() {
                self.devices.push((Some(port), descriptor));
            }
        }
    }

    /// Sleeps until a packet, the doorbell, a signal or `longest`, whichever is first; not at all unless `nothing_waits`.
    pub fn sleep(&self, longest: Duration, nothing_waits: impl FnOnce() -> bool) {
        self.doorbell.sleep_on(nothing_waits, |_| {
            let timeout = Timespec {
                tv_sec: 0,
                tv_nsec: i64::from(longest.subsec_nanos()),
            };
            let mut events = [epoll::Event {
                flags: epoll::EventFlags::empty(),
                data: epoll::EventData::new_u64(0),
            }; 4];
            // Interrupted or not, the worker looks at its queues next.
            let _ = epoll::wait(&self.epoll, &mut events[..], Some(&timeout));
        });
    }
}

fn add(epoll: &OwnedFd, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let data = epoll::EventData::new_u64(0);
    Ok(epoll::add(epoll, descriptor, data, epoll::EventFlags::IN)?)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_doorbell_ends_a_sleep_and_silence_ends_at_the_bound() {
        let doorbell = Doorbell::new().unwrap();
        let bedside = Bedside::new(doorbell.clone(), Vec::new()).unwrap();
        let start = Instant::now();
        bedside.sleep(Duration::from_millis(20), || true);
        assert!(start.elapsed() >= Duration::from_millis(19));

        let ringer = std::thread::spawn(move || {
            for _ in 0..50 {
                std::thread::sleep(Duration::from_millis(2));
                doorbell.ring();
            }
        });
        let start = Instant::now();
        bedside.sleep(Duration::from_millis(900), || true);
        assert!(
            start.elapsed() < Duration::from_millis(800),
            "{:?}",
            start.elapsed()
        );
        ringer.join().unwrap();
    }

    #[test]
    fn something_waiting_prevents_the_sleep() {
        let bedside = Bedside::new(Doorbell::new().unwrap(), Vec::new()).unwrap();
        let start = Instant::now();
        bedside.sleep(Duration::from_millis(900), || false);
        assert!(start.elapsed() < Duration::from_millis(500));
    }

    #[test]
    fn ordinary_files_are_not_taken_for_devices() {
        let before = open_descriptors().unwrap();
        let _file = fs::File::open("/proc/self/status").unwrap();
        assert!(packet_descriptors_since(&before).unwrap().is_empty());
    }
}
