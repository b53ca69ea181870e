use super::*;

mod bounds;
mod conflict;
mod frames;
mod pinned;
mod random;
mod simulation;
mod table;

const PORT: u16 = 1;
const A: MacAddr = MacAddr([0x02, 0, 0x5e, 0, 0x53, 0x0a]);
const B: MacAddr = MacAddr([0x02, 0, 0x5e, 0, 0x53, 0x0b]);
const OURS: MacAddr = MacAddr([0x02, 0, 0x5e, 0, 0x53, 0x01]);

fn v6(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)
}

fn key6(last: u16) -> Key {
    Key {
        port: PORT,
        ip: v6(last).into(),
    }
}

fn key4(host: u16) -> Key {
    let [high, low] = host.to_be_bytes();
    Key {
        port: PORT,
        ip: IpAddr::from([198, 18, high, low]),
    }
}

fn advert(last: u16, mac: Option<MacAddr>, solicited: bool, override_: bool) -> Input {
    let message = ndp::Repr::NeighborAdvert {
        router: false,
        solicited,
        override_,
        target_addr: v6(last),
        lladdr: mac,
    };
    Input::Nd {
        port: PORT,
        src_addr: v6(last),
        message,
    }
}

/// A cache and its clock.
struct Bench {
    cache: Cache,
    now: Instant,
}

impl Bench {
    fn new(config: Config) -> Self {
        Self {
            cache: Cache::new(config, 1),
            now: Instant::from_secs(1000),
        }
    }

    fn feed(&mut self, input: Input) -> Vec<Action> {
        self.cache.handle(self.now, input);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.cache.poll_action()).collect()
    }

    /// Jumps to the next deadline.
    fn expire(&mut self) -> Vec<Action> {
        let (deadline, _) = self.cache.poll_timeout().unwrap();
        self.now = self.now.max(deadline);
        self.cache.handle_timeout(self.now);
        self.drain()
    }

    /// Runs for a time, and says when each action was due.
    fn run(&mut self, time: Duration) -> Vec<(Instant, Action)> {
        let end = self.now + time;
        let mut actions = Vec::new();
        while let Some((deadline, _)) = self.cache.poll_timeout().filter(|&(deadline, _)| deadline <= end) {
            self.now = self.now.max(deadline);
            self.cache.handle_timeout(self.now);
            actions.extend(self.drain().into_iter().map(|action| (self.now, action)));
        }
        self.now = end;
        actions
    }

    fn state(&self, key: Key) -> Option<State> {
        self.neighbor(key).map(|neighbor| neighbor.state)
    }

    fn mac(&self, key: Key) -> Option<MacAddr> {
        self.neighbor(key)?.mac
    }

    fn neighbor(&self, key: Key) -> Option<Neighbor> {
        self.cache.neighbors().find(|neighbor| neighbor.key == key)
    }
}

/// The seed of random tests: `WEIR_SEED` replays a run, and every failure prints it.
fn seed() -> u64 {
    std::env::var("WEIR_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0x5eed)
}
