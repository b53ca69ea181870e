//! Counters that one process writes and another reads in place.
//!
//! A page holds for each worker a row of its own, a counter for each verdict and reason, a line for each port,
//! a 64-byte line for each service slot and two for each backend slot (load; signs of health); and once for all workers the slot directory.
//! Every cell has one writer, so counting is a load, an add and a store. A page lives on the heap
//! ([`Counters::heap`]: tests, benches, a dataplane without control) or in a sealed memory file that control
//! maps for reading ([`Counters::shared`]); the writers are the same. Names of reasons, ports and workers are in
//! the [hello](crate::hello).
//!
//! A reader takes the shape from the page's header and checks it against the size of the mapping before it
//! computes any place from it; from then on a hostile writer can at worst give wrong numbers.

use thiserror::Error;

use crate::memory::{Line, Lines};
use crate::message::PortId;
use crate::sync::{Arc, AtomicBool, Ordering};

mod directory;
mod shape;
#[cfg(all(test, not(loom)))]
mod tests;
mod worker;

pub use crate::memory::Cell64;
pub use directory::{BackendSlot, Directory, ServiceSlot};
use shape::Layout;
pub use shape::{Shape, ShapeError};
pub use worker::{
    BackendLines, LoadCounts, LoadLine, PortCounts, PortLine, SignCounts, SignLine, WorkerCounters,
    WorkerCounts, WorkerRow,
};

/// "weircntr" as a number.
const MAGIC: u64 = u64::from_be_bytes(*b"weircntr");

/// Why a counters page cannot be had.
#[derive(Debug, Error)]
pub enum CountersError {
    /// The shape is out of bounds.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The memory file could not be made or mapped.
    #[cfg(not(loom))]
    #[error(transparent)]
    Segment(#[from] crate::segment::SegmentError),
    /// The page is not one, is another version's, or is not as long as it says.
    #[error("the counters page has a bad {what}; are both processes of the same version?")]
    BadPage {
        /// What is wrong with it.
        what: &'static str,
    },
}

/// A counters page, on the side that writes it. Clones are the same page.
#[derive(Clone)]
pub struct Counters {
    reader: CountersReader,
    /// One flag for each worker's counters and, last, one for the directory.
    claimed: Arc<Vec<AtomicBool>>,
    #[cfg(not(loom))]
    file: Option<Arc<std::os::fd::OwnedFd>>,
}

/// A counters page, on the side that only reads it. Clones are the same page.
#[derive(Clone)]
pub struct CountersReader {
    lines: Lines,
    shape: Shape,
    layout: Layout,
}

impl Counters {
    /// A page of this process alone.
    pub fn heap(shape: Shape) -> Result<Self, CountersError> {
        let layout = shape.layout()?;
        Ok(Self::new(Lines::heap(layout.lines), shape, layout))
    }

    /// A page that others can map for reading, and for nothing else.
    #[cfg(not(loom))]
    pub fn shared(shape: Shape) -> Result<Self, CountersError> {
        let layout = shape.layout()?;
        let (file, lines) = crate::segment::create(c"weir-counters", layout.lines)?;
        let mut counters = Self::new(lines, shape, layout);
        crate::segment::seal_read_only(&file)?;
        counters.file = Some(Arc::new(file));
        Ok(counters)
    }

    fn new(lines: Lines, shape: Shape, layout: Layout) -> Self {
        write_header(&lines[0], shape);
        let claimed: Vec<_> = (0..=shape.workers).map(|_| AtomicBool::new(false)).collect();
        Self {
            reader: CountersReader { lines, shape, layout },
            claimed: Arc::new(claimed),
            #[cfg(not(loom))]
            file: None,
        }
    }

    /// The memory file to hand to a reader; `None` for a page on the heap.
    #[cfg(not(loom))]
    pub fn file(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.file.as_deref().map(std::os::fd::AsFd::as_fd)
    }

    /// The counters of a worker; `None` when there is no such worker or somebody has them already.
    pub fn worker(&self, worker: u16) -> Option<WorkerCounters> {
        let worker = usize::from(worker);
        if worker >= self.reader.shape.workers as usize || !self.claim(worker) {
            return None;
        }
        let (first, len) = self.reader.layout.worker(worker);
        let lines = self.reader.lines.slice(first, len)?;
        let (layout, shape) = (self.reader.layout, self.reader.shape);
        Some(WorkerCounters {
            lines,
            layout,
            shape,
            claimed: self.claimed.clone(),
            worker,
        })
    }

    /// The slot directory; `None` when somebody has it already.
    pub fn directory(&self) -> Option<Directory> {
        let claimed = self.claim(self.reader.shape.workers as usize);
        claimed.then(|| Directory::new(self.clone(), self.claimed.clone()))
    }

    /// A reader of the same page.
    pub fn reader(&self) -> CountersReader {
        self.reader.clone()
    }

    /// What the page has room for.
    pub const fn shape(&self) -> Shape {
        self.reader.shape
    }

    fn claim(&self, n: usize) -> bool {
        !self.claimed[n].swap(true, Ordering::AcqRel)
    }

    fn clear_service_lines(&self, slot: u32) {
        self.reader
            .workers()
            .filter_map(|w| self.reader.service_line(w, slot))
            .for_each(worker::clear);
    }

    fn clear_backend_lines(&self, slot: u32) {
        self.reader
            .workers()
            .flat_map(|w| [self.reader.backend_line(w, slot), self.reader.sign_line(w, slot)])
            .flatten()
            .for_each(worker::clear);
    }
}

impl CountersReader {
    /// Maps a page that the other process handed over.
    #[cfg(not(loom))]
    pub fn attach(file: &impl std::os::fd::AsFd) -> Result<Self, CountersError> {
        Self::from_lines(crate::segment::map_read_only(file)?)
    }

    #[cfg(not(loom))]
    fn from_lines(lines: Lines) -> Result<Self, CountersError> {
        let header = lines.first().ok_or(CountersError::BadPage { what: "size" })?;
        let words: [u64; 8] = core::array::from_fn(|i| header.0[i].get());
        let [magic, abi, shape @ ..] = words;
        if magic != MAGIC {
            return Err(CountersError::BadPage { what: "magic number" });
        }
        if abi != crate::ABI {
            return Err(CountersError::BadPage {
                what: "layout version",
            });
        }
        let shape = read_shape(shape).ok_or(CountersError::BadPage { what: "shape" })?;
        let layout = shape.layout()?;
        if layout.lines > lines.len() {
            return Err(CountersError::BadPage { what: "size" });
        }
        Ok(Self { lines, shape, layout })
    }

    /// What the page has room for.
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Every worker's number.
    pub fn workers(&self) -> impl Iterator<Item = u16> + use<> {
        // A shape has at most 128 workers.
        0..u16::try_from(self.shape.workers).unwrap_or(u16::MAX)
    }

    /// A worker's row.
    pub fn worker(&self, worker: u16) -> Option<WorkerCounts> {
        self.worker_lines(worker).map(|lines| WorkerRow(lines).values())
    }

    /// All workers' rows together. `heartbeat_ns` has no meaning in a sum.
    pub fn worker_total(&self) -> WorkerCounts {
        self.workers()
            .filter_map(|w| self.worker(w))
            .fold(WorkerCounts::default(), WorkerCounts::plus)
    }

    /// A worker's counter of a verdict or reason.
    pub fn reason(&self, worker: u16, reason: usize) -> Option<u64> {
        if reason >= self.shape.reasons as usize {
            return None;
        }
        let line = self
            .worker_lines(worker)?
            .get(self.layout.reasons + reason / crate::memory::LINE_WORDS)?;
        Some(line.0[reason % crate::memory::LINE_WORDS].get())
    }

    /// A verdict or reason over all workers.
    pub fn reason_total(&self, reason: usize) -> u64 {
        self.workers()
            .filter_map(|w| self.reason(w, reason))
            .fold(0, u64::wrapping_add)
    }

    /// A worker's numbers for a port.
    pub fn port(&self, worker: u16, port: PortId) -> Option<PortCounts> {
        let line = self.line(worker, self.layout.ports, port.0.into(), self.shape.ports)?;
        Some(PortLine(line).values())
    }

    /// A port over all workers.
    pub fn port_total(&self, port: PortId) -> PortCounts {
        self.workers()
            .filter_map(|w| self.port(w, port))
            .fold(PortCounts::default(), PortCounts::plus)
    }

    /// A worker's numbers for a service slot.
    pub fn service(&self, worker: u16, slot: u32) -> Option<LoadCounts> {
        self.service_line(worker, slot)
            .map(|line| LoadLine(line).values())
    }

    /// A service slot over all workers.
    pub fn service_total(&self, slot: u32) -> LoadCounts {
        self.workers()
            .filter_map(|w| self.service(w, slot))
            .fold(LoadCounts::default(), LoadCounts::plus)
    }

    /// A worker's numbers for a backend slot.
    pub fn backend(&self, worker: u16, slot: u32) -> Option<LoadCounts> {
        self.backend_line(worker, slot)
            .map(|line| LoadLine(line).values())
    }

    /// A backend slot over all workers.
    pub fn backend_total(&self, slot: u32) -> LoadCounts {
        self.workers()
            .filter_map(|w| self.backend(w, slot))
            .fold(LoadCounts::default(), LoadCounts::plus)
    }

    /// What packets show of the health of a backend slot, over all workers.
    pub fn signs_total(&self, slot: u32) -> SignCounts {
        self.workers()
            .filter_map(|w| self.sign_line(w, slot))
            .map(|line| SignLine(line).values())
            .fold(SignCounts::default(), SignCounts::plus)
    }

    /// Every taken service slot.
    pub fn service_slots(&self) -> impl Iterator<Item = (u32, ServiceSlot)> + '_ {
        (0..self.shape.services).filter_map(|slot| Some((slot, self.service_slot(slot)?)))
    }

    /// Every taken backend slot.
    pub fn backend_slots(&self) -> impl Iterator<Item = (u32, BackendSlot)> + '_ {
        (0..self.shape.backends).filter_map(|slot| Some((slot, self.backend_slot(slot)?)))
    }

    fn service_line(&self, worker: u16, slot: u32) -> Option<&[Line]> {
        self.line(worker, self.layout.services, slot, self.shape.services)
    }

    fn backend_line(&self, worker: u16, slot: u32) -> Option<&[Line]> {
        self.line(worker, self.layout.backends, slot, self.shape.backends)
    }

    fn sign_line(&self, worker: u16, slot: u32) -> Option<&[Line]> {
        self.line(worker, self.layout.signs, slot, self.shape.backends)
    }

    fn service_entry(&self, slot: u32) -> Option<&Line> {
        (slot < self.shape.services).then(|| self.lines.get(self.layout.service_slots + slot as usize))?
    }

    fn backend_entry(&self, slot: u32) -> Option<&Line> {
        (slot < self.shape.backends).then(|| self.lines.get(self.layout.backend_slots + slot as usize))?
    }

    fn line(&self, worker: u16, first: usize, n: u32, bound: u32) -> Option<&[Line]> {
        let at = (n < bound).then_some(first + n as usize)?;
        self.worker_lines(worker)?.get(at..=at)
    }

    fn worker_lines(&self, worker: u16) -> Option<&[Line]> {
        if u32::from(worker) >= self.shape.workers {
            return None;
        }
        let (first, len) = self.layout.worker(worker.into());
        self.lines.get(first..first + len)
    }
}

fn write_header(line: &Line, shape: Shape) {
    let Shape {
        workers,
        ports,
        reasons,
        services,
        backends,
    } = shape;
    let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    let words = [
        MAGIC,
        crate::ABI,
        pair(workers, ports),
        pair(reasons, 0),
        pair(services, backends),
    ];
    for (cell, word) in line.0.iter().zip(words) {
        cell.set(word);
    }
}

#[cfg(not(loom))]
fn read_shape([a, b, c, rest @ ..]: [u64; 6]) -> Option<Shape> {
    let halves = |word: u64| ((word >> 32) as u32, word as u32);
    let ((workers, ports), (reasons, zero), (services, backends)) = (halves(a), halves(b), halves(c));
    (zero == 0 && rest == [0; 3]).then_some(Shape {
        workers,
        ports,
        reasons,
        services,
        backends,
    })
}
