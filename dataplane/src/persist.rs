//! Persistence templates: which server a client's next connection goes to. Shared by all workers, since RSS spreads one
//! client's connections over them.
//!
//! A fixed table of atomics, eight clients a bucket. A bucket is changed under a claim that is given up after a bounded
//! number of tries; a worker that does not get it schedules the connection as if there were no template. Only new
//! connections of persistent services come here, never a packet of a flow that exists.
//!
//! Read first: `ip_vs_sched_persist` and `ip_vs_check_template` of Linux; behaviour is theirs.

use weir_rings::sync::{AtomicU32, AtomicU64, Ordering};

use crate::flow::Tick;
use crate::hash::{Seed, range};

/// Templates in a bucket.
const WAYS: usize = 8;
/// Tries to claim a bucket.
const TRIES: usize = 256;
/// A template that expires while connections still refer to it lives on this long.
const REARM_S: u32 = 60;

/// A persistent client of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Slot of the service.
    pub service: u32,
    /// The client's address with the bits beyond the granularity cleared.
    pub address: u128,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Template {
    /// Service slot plus 1; 0 for a free place.
    service: AtomicU32,
    backend: AtomicU32,
    address_low: AtomicU64,
    address_high: AtomicU64,
    /// Tick it expires at.
    deadline: AtomicU32,
    /// Connections that refer to it.
    children: AtomicU32,
    /// Time it lives after a new connection.
    timeout_ticks: AtomicU32,
}

/// All templates.
#[derive(Debug)]
pub struct Templates {
    places: Box<[Template]>,
    claims: Box<[AtomicU32]>,
    seed: Seed,
}

/// What a lookup found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The template, to be referred to.
    pub index: u32,
    /// Slot of the server.
    pub backend: u32,
}

/// What came of an attempt to note a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// It is noted with this server: ours, or that of a worker that was faster.
    As(Found),
    /// The table has no room for it, or its bucket is contended.
    NoRoom,
}

impl Templates {
    /// Room for about `clients`.
    pub fn new(clients: usize, seed: Seed) -> Self {
        let buckets = clients.div_ceil(WAYS - 2).max(1);
        Self {
            places: (0..buckets * WAYS).map(|_| Template::default()).collect(),
            claims: (0..buckets).map(|_| AtomicU32::new(0)).collect(),
            seed,
        }
    }

    fn bucket(&self, client: &Client) -> usize {
        let words = [
            client.address as u64,
            (client.address >> 64) as u64,
            u64::from(client.service),
            0,
        ];
        range(self.seed.long(words, 1) as u32, self.claims.len() as u32) as usize
    }

    fn places(&self, bucket: usize) -> impl Iterator<Item = (u32, &Template)> {
        let first = bucket * WAYS;
        (first as u32..).zip(&self.places[first..first + WAYS])
    }

    /// The template of a client, if it has one.
    pub fn find(&self, client: &Client, now: Tick) -> Option<Found> {
        let (index, template) = self
            .places(self.bucket(client))
            .find(|(_, template)| template.is(client))?;
        let backend = template.backend.load(Ordering::Acquire);
        let due = Tick(template.deadline.load(Ordering::Relaxed)) <= now;
        let alive = !due || template.children.load(Ordering::Relaxed) > 0;
        // The place may have changed hands between the two looks.
        (alive && template.is(client)).then_some(Found { index, backend })
    }

    /// Notes that a client goes to `backend` for `timeout_ticks`. `replace` overrules what is noted.
    pub fn note(&self, client: &Client, backend: u32, timeout_ticks: u32, now: Tick, replace: bool) -> Noted {
        let bucket = self.bucket(client);
        if !self.claim(bucket) {
            return Noted::NoRoom;
        }
        let noted = self.note_claimed(bucket, client, backend, timeout_ticks, now, replace);
        self.claims[bucket].store(0, Ordering::Release);
        noted
    }

    fn note_claimed(
        &self,
        bucket: usize,
        client: &Client,
        backend: u32,
        timeout_ticks: u32,
        now: Tick,
        replace: bool,
    ) -> Noted {
        let own = self.places(bucket).find(|(_, template)| template.is(client));
        let vacant = || self.places(bucket).find(|(_, template)| template.is_vacant(now));
        let (index, template) = match own {
            Some((index, template)) => {
                let stale = template.is_vacant(now);
                if !replace && !stale {
                    let backend = template.backend.load(Ordering::Relaxed);
                    template
                        .deadline
                        .store(now.0.saturating_add(timeout_ticks), Ordering::Relaxed);
                    return Noted::As(Found { index, backend });
                }
                (index, template)
            }
            None => match vacant() {
                Some(vacant) => vacant,
                None => return Noted::NoRoom,
            },
        };
        if own.is_none() {
            // Readers see a free place while the key changes.
            template.service.store(0, Ordering::Release);
            template.children.store(0, Ordering::Relaxed);
            template
                .address_low
                .store(client.address as u64, Ordering::Relaxed);
            template
                .address_high
                .store((client.address >> 64) as u64, Ordering::Relaxed);
        }
        template.timeout_ticks.store(timeout_ticks, Ordering::Relaxed);
        template
            .deadline
            .store(now.0.saturating_add(timeout_ticks), Ordering::Relaxed);
        template.backend.store(backend, Ordering::Release);
        template.service.store(client.service + 1, Ordering::Release);
        Noted::As(Found { index, backend })
    }

    fn claim(&self, bucket: usize) -> bool {
        (0..TRIES).any(|_| {
            let free = self.claims[bucket]
                .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
            if !free {
                core::hint::spin_loop();
            }
            free
        })
    }

    /// A connection refers to the template now: its time starts anew.
    pub fn hold(&self, index: u32, now: Tick) {
        let Some(template) = self.places.get(index as usize) else {
            return;
        };
        template.children.fetch_add(1, Ordering::Relaxed);
        template.rearm(now, template.timeout_ticks.load(Ordering::Relaxed));
    }

    /// A connection that referred to the template ended.
    pub fn release(&self, index: u32, now: Tick) {
        let Some(template) = self.places.get(index as usize) else {
            return;
        };
        let before = template
            .children
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        let late = Tick(template.deadline.load(Ordering::Relaxed)) <= now;
        if before.is_ok() && late {
            template.rearm(now, Tick::from_secs(REARM_S));
        }
    }

    /// Every client that has a template now: service slot, address bits, server slot, ticks left, connections.
    pub fn iter(&self, now: Tick) -> impl Iterator<Item = (Client, u32, u32, u32)> {
        self.places.iter().filter_map(move |template| {
            let service = template.service.load(Ordering::Acquire).checked_sub(1)?;
            if template.is_vacant(now) {
                return None;
            }
            let left = template.deadline.load(Ordering::Relaxed).saturating_sub(now.0);
            let children = template.children.load(Ordering::Relaxed);
            Some((
                Client {
                    service,
                    address: template.address(),
                },
                template.backend.load(Ordering::Relaxed),
                left,
                children,
            ))
        })
    }
}

impl Template {
    fn address(&self) -> u128 {
        let (low, high) = (
            self.address_low.load(Ordering::Relaxed),
            self.address_high.load(Ordering::Relaxed),
        );
        u128::from(low) | u128::from(high) << 64
    }

    fn is(&self, client: &Client) -> bool {
        self.service.load(Ordering::Acquire) == client.service + 1 && self.address() == client.address
    }

    fn is_vacant(&self, now: Tick) -> bool {
        let free = self.service.load(Ordering::Acquire) == 0;
        let due = Tick(self.deadline.load(Ordering::Relaxed)) <= now;
        free || due && self.children.load(Ordering::Relaxed) == 0
    }

    fn rearm(&self, now: Tick, ticks: u32) {
        self.deadline
            .store(now.0.saturating_add(ticks), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, Found, Noted, Templates};
    use crate::flow::Tick;
    use crate::hash::Seed;

    const CLIENT: Client = Client {
        service: 3,
        address: 0xc000_0207,
    };

    #[test]
    fn a_client_keeps_its_server_until_the_time_is_over() {
        let templates = Templates::new(64, Seed::fixed(1));
        let Noted::As(found) = templates.note(&CLIENT, 7, 100, Tick(10), false) else {
            panic!("no room")
        };
        assert_eq!(found.backend, 7);
        assert_eq!(templates.find(&CLIENT, Tick(109)), Some(found));
        assert_eq!(templates.find(&Client { service: 4, ..CLIENT }, Tick(109)), None);
        assert_eq!(templates.find(&CLIENT, Tick(110)), None);
    }

    #[test]
    fn connections_keep_it_alive_and_sixty_seconds_longer() {
        let templates = Templates::new(64, Seed::fixed(1));
        let Noted::As(Found { index, .. }) = templates.note(&CLIENT, 7, 100, Tick(10), false) else {
            panic!("no room")
        };
        templates.hold(index, Tick(50));
        assert!(templates.find(&CLIENT, Tick(5_000)).is_some());
        templates.release(index, Tick(5_000));
        assert!(
            templates
                .find(&CLIENT, Tick(5_000 + Tick::from_secs(60) - 1))
                .is_some()
        );
        assert!(
            templates
                .find(&CLIENT, Tick(5_000 + Tick::from_secs(60)))
                .is_none()
        );
    }

    #[test]
    fn the_first_note_wins_unless_replaced() {
        let templates = Templates::new(64, Seed::fixed(1));
        templates.note(&CLIENT, 7, 100, Tick(10), false);
        let Noted::As(second) = templates.note(&CLIENT, 8, 100, Tick(10), false) else {
            panic!("no room")
        };
        assert_eq!(second.backend, 7);
        let Noted::As(third) = templates.note(&CLIENT, 8, 100, Tick(10), true) else {
            panic!("no room")
        };
        assert_eq!(third.backend, 8);
    }

    #[test]
    fn a_full_table_says_so_and_reuses_what_expired() {
        let templates = Templates::new(1, Seed::fixed(1));
        let noted = |n: u128, now| {
            templates.note(
                &Client {
                    service: 0,
                    address: n,
                },
                1,
                100,
                Tick(now),
                false,
            )
        };
        assert!((0..8).all(|n| matches!(noted(n, 1), Noted::As(_))));
        assert_eq!(noted(9, 1), Noted::NoRoom);
        assert!(matches!(noted(9, 101), Noted::As(_)));
    }

    #[test]
    fn workers_at_once_agree_on_one_server() {
        let templates = Templates::new(64, Seed::fixed(1));
        for round in 0..200u128 {
            let client = Client {
                service: 1,
                address: round % 32,
            };
            let noted: Vec<Noted> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..3u32)
                    .map(|me| {
                        scope.spawn({
                            let templates = &templates;
                            move || templates.note(&client, me, 50, Tick(1 + 100 * round as u32), false)
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let servers: Vec<u32> = noted
                .iter()
                .filter_map(|noted| match noted {
                    Noted::As(found) => Some(found.backend),
                    Noted::NoRoom => None,
                })
                .collect();
            assert!(servers.windows(2).all(|pair| pair[0] == pair[1]), "{noted:?}");
        }
    }
}
