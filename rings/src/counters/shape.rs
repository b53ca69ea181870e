//! How large a counters page is, and where in it everything lies.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::memory::LINE_WORDS;

/// Cells of a worker's own row.
pub(super) const WORKER_CELLS: usize = 16;

/// What a counters page has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Workers.
    pub workers: u32,
    /// Ports.
    pub ports: u32,
    /// Verdict and reason counters.
    pub reasons: u32,
    /// Service slots.
    pub services: u32,
    /// Backend slots.
    pub backends: u32,
}

/// A shape nobody can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a counters page with {given} {what}: at most {max} are possible, and at least 1 worker")]
pub struct ShapeError {
    /// What there is too much or too little of.
    pub what: &'static str,
    /// How many were asked for.
    pub given: u32,
    /// The bound.
    pub max: u32,
}

/// Line numbers of a page. In order: header, service slots, backend slots, then for each worker its own row,
/// reasons, ports, services, signs of backends, backends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) service_slots: usize,
    pub(super) backend_slots: usize,
    workers: usize,
    worker_lines: usize,
    /// Within a worker's lines.
    pub(super) reasons: usize,
    pub(super) ports: usize,
    pub(super) services: usize,
    pub(super) signs: usize,
    pub(super) backends: usize,
    pub(super) lines: usize,
}

impl Shape {
    /// Bounds that keep every sum below within 40 bits of bytes.
    const MAX: Self = Self {
        workers: 128,
        ports: 256,
        reasons: 1024,
        services: 1 << 20,
        backends: 1 << 22,
    };

    fn pairs(self) -> [(&'static str, u32, u32); 5] {
        let max = Self::MAX;
        [
            ("workers", self.workers, max.workers),
            ("ports", self.ports, max.ports),
            ("reasons", self.reasons, max.reasons),
            ("services", self.services, max.services),
            ("backends", self.backends, max.backends),
        ]
    }

    pub(super) fn layout(self) -> Result<Layout, ShapeError> {
        for (what, given, max) in self.pairs() {
            if given > max || (what == "workers" && given == 0) {
                return Err(ShapeError { what, given, max });
            }
        }
        let [workers, ports, reasons, services, backends] = self.pairs().map(|(_, given, _)| given as usize);
        let reasons_at = WORKER_CELLS / LINE_WORDS;
        let ports_at = reasons_at + reasons.div_ceil(LINE_WORDS);
        let services_at = ports_at + ports;
        let signs_at = services_at + services;
        let backends_at = signs_at + backends;
        let worker_lines = backends_at + backends;
        let workers_at = 1 + services + backends;
        Ok(Layout {
            service_slots: 1,
            backend_slots: 1 + services,
            workers: workers_at,
            worker_lines,
            reasons: reasons_at,
            ports: ports_at,
            services: services_at,
            signs: signs_at,
            backends: backends_at,
            lines: workers_at + workers * worker_lines,
        })
    }

    /// Bytes a page of this shape takes.
    pub fn bytes(self) -> Result<u64, ShapeError> {
        self.layout()
            .map(|layout| (layout.lines * crate::memory::LINE_LEN) as u64)
    }
}

impl Layout {
    /// First line of a worker, and how many it has.
    pub(super) const fn worker(&self, worker: usize) -> (usize, usize) {
        (self.workers + worker * self.worker_lines, self.worker_lines)
    }
}
