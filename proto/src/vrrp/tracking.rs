//! What a virtual router depends on, summed up: a change of its priority, or a fault.
//!
//! keepalived's rules: a tracked thing of weight 0 that is down is a fault. A positive weight is added while it is up,
//! a negative one while it is down; `reverse` swaps up and down. The sum moves the priority within 1 to 254, and the
//! owner of the addresses (255) is not moved.

use weir_wire::vrrp::PRIORITY_OWNER;

/// Largest weight, either way.
pub const WEIGHT_MAX: i16 = 253;

/// One thing that is tracked: an interface, a script, a process, a file, a BFD session, a gateway, a quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracker {
    /// Its name, as people know it.
    pub name: String,
    /// Change of priority; 0: its failure is a fault.
    pub weight: i16,
    /// Up counts as down, and down as up.
    pub reverse: bool,
    /// Whether it is up; `None`: not known yet, which moves nothing.
    pub up: Option<bool>,
}

/// What tracking sums up to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tracked {
    /// Added to the priority.
    pub delta: i32,
    /// What is at fault.
    pub fault: Option<String>,
}

impl Tracked {
    /// The effective priority for a configured one.
    pub fn priority(&self, base: u8) -> u8 {
        if base == PRIORITY_OWNER {
            return base;
        }
        let moved = i32::from(base).saturating_add(self.delta).clamp(1, 254);
        u8::try_from(moved).unwrap_or(base)
    }
}

/// Everything one virtual router tracks.
#[derive(Debug, Clone, Default)]
pub struct Tracking {
    trackers: Vec<Tracker>,
}

impl Tracking {
    /// Tracks these.
    pub const fn new(trackers: Vec<Tracker>) -> Self {
        Self { trackers }
    }

    /// Everything tracked.
    pub fn trackers(&self) -> &[Tracker] {
        &self.trackers
    }

    /// Something that is tracked is up or down now; whether that was news.
    pub fn set(&mut self, name: &str, up: bool) -> bool {
        let mut news = false;
        for tracker in self.trackers.iter_mut().filter(|tracker| tracker.name == name) {
            news |= tracker.up.replace(up) != Some(up);
        }
        news
    }

    /// The sum.
    pub fn tracked(&self) -> Tracked {
        let mut tracked = Tracked::default();
        for tracker in &self.trackers {
            let Some(up) = tracker.up.map(|up| up != tracker.reverse) else {
                continue;
            };
            match (tracker.weight, up) {
                (0, true) => {}
                (0, false) => {
                    tracked.fault.get_or_insert_with(|| {
                        let state = if tracker.reverse { "up" } else { "down" };
                        format!("{} is {state}", tracker.name)
                    });
                }
                (weight @ 1.., true) | (weight @ ..0, false) => tracked.delta += i32::from(weight),
                (1.., false) | (..0, true) => {}
            }
        }
        tracked
    }
}
