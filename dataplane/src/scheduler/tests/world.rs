//! A service as its owner knows it, in the plainest form: servers, who is connected where, overload marks moved at the
//! moment a connection opens or closes. The oracle answers from it, the scheduler under test from its own state.

use super::*;

pub(super) const SLOTS: u32 = 24;

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) servers: Vec<Server>,
    pub(super) loads: Vec<Load>,
    pub(super) overloaded: Vec<bool>,
    /// The last weight that was not 0.
    pub(super) last_weights: Vec<u32>,
    pub(super) now_s: u64,
}

impl World {
    pub(super) fn new() -> Self {
        let slots = SLOTS as usize;
        Self {
            servers: Vec::new(),
            loads: vec![Load::default(); slots],
            overloaded: vec![false; slots],
            last_weights: vec![0; slots],
            // Close to where 32 bits of seconds wrap.
            now_s: (1 << 32) - 500_000,
        }
    }

    pub(super) fn load(&self, slot: u32) -> Load {
        self.loads[slot as usize]
    }

    pub(super) fn is_usable(&self, server: &Server) -> bool {
        server.weight > 0 && !self.overloaded[server.slot as usize] && !self.is_full(server)
    }

    pub(super) fn total(&self, slot: u32) -> u64 {
        let load = self.load(slot);
        u64::from(load.active) + u64::from(load.inactive)
    }

    pub(super) fn overhead(&self, slot: u32) -> u64 {
        let load = self.load(slot);
        u64::from(load.active) * 256 + u64::from(load.inactive)
    }

    pub(super) fn open(&mut self, index: usize, active: bool) {
        let server = self.servers[index];
        let load = &mut self.loads[server.slot as usize];
        if active {
            load.active += 1;
        } else {
            load.inactive += 1;
        }
        self.overloaded[server.slot as usize] |= self.is_full(&server);
    }

    pub(super) fn close(&mut self, index: usize) {
        let server = self.servers[index];
        let load = &mut self.loads[server.slot as usize];
        if load.inactive > 0 {
            load.inactive -= 1;
        } else if load.active > 0 {
            load.active -= 1;
        } else {
            return;
        }
        let total = self.total(server.slot);
        let (upper, lower) = (
            u64::from(server.upper_threshold),
            u64::from(server.lower_threshold),
        );
        let cleared = if lower != 0 {
            total < lower
        } else {
            upper == 0 || total * 4 < upper * 3
        };
        if cleared {
            self.overloaded[server.slot as usize] = false;
        }
    }

    /// A connection of the server changes between active and inactive.
    pub(super) fn turn(&mut self, index: usize) {
        let load = &mut self.loads[self.servers[index].slot as usize];
        if load.active > 0 {
            *load = Load {
                active: load.active - 1,
                inactive: load.inactive + 1,
            };
        } else if load.inactive > 0 {
            *load = Load {
                active: 1,
                inactive: load.inactive - 1,
            };
        }
    }

    pub(super) fn add(&mut self, at: usize, server: Server) {
        self.servers.insert(at, server);
        self.loads[server.slot as usize] = Load::default();
        self.overloaded[server.slot as usize] = false;
        self.last_weights[server.slot as usize] = server.weight;
    }

    pub(super) fn update(&mut self, index: usize, server: Server) {
        let slot = server.slot as usize;
        let before = &self.servers[index];
        if (server.upper_threshold, server.lower_threshold)
            != (before.upper_threshold, before.lower_threshold)
        {
            self.overloaded[slot] = false;
        }
        if server.weight != 0 {
            self.last_weights[slot] = server.weight;
        }
        self.servers[index] = server;
    }

    fn is_full(&self, server: &Server) -> bool {
        server.upper_threshold != 0 && self.total(server.slot) >= u64::from(server.upper_threshold)
    }

    pub(super) fn free_slot(&self, rng: &mut Rng) -> Option<u32> {
        let used: Vec<u32> = self.servers.iter().map(|server| server.slot).collect();
        let free: Vec<u32> = (0..SLOTS).filter(|slot| !used.contains(slot)).collect();
        (!free.is_empty()).then(|| free[rng.below(free.len() as u32) as usize])
    }
}
