//! What the traffic shows of backends, and for how long it keeps them out. The rule for a sign is
//! [`weir_proto::health::passive`]; here signs in a row make a backend suspect, or take it out.

use super::Instant;
use crate::health::book::Finding;
use crate::publish::BackendName;
use std::collections::BTreeMap;
use std::time::Duration;
use weir_proto::health::Health;

/// What the traffic shows of backends.
#[derive(Debug, Default)]
pub(super) struct Passive {
    backends: BTreeMap<BackendName, Shown>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Shown {
    /// Signs against it in a row.
    row: u32,
    /// How long it was out last; none since it last answered.
    held: Option<Duration>,
    /// Taken out, from when to when.
    out: Option<(Instant, Instant)>,
}

/// What the traffic shows of one backend, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrafficView {
    /// Signs against it in a row.
    pub against: u32,
    /// So many matter, where that is not what the configuration says: it has just come back.
    pub needed: Option<u32>,
    /// Since when it is out, and until when.
    pub out: Option<(Instant, Instant)>,
}

/// What a sign has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// The backend is suspect: the next failure of its check is enough.
    Suspect,
    /// It is out for so long.
    Out(Duration),
    /// It is back before its time.
    Back,
}

impl Passive {
    /// Takes a sign.
    pub(super) fn observe(
        &mut self,
        name: BackendName,
        rule: weir_configs::Passive,
        good: bool,
        now: Instant,
    ) -> Change {
        let shown = self.backends.entry(name).or_default();
        if good {
            let out = shown.out.is_some();
            *shown = Shown::default();
            return if out { Change::Back } else { Change::None };
        }
        if shown.out.is_some() {
            // Flows of before: they tell nothing new.
            return Change::None;
        }
        shown.row += 1;
        // Back from an absence it has not answered anything yet.
        let wanted = if shown.held.is_some() { 1 } else { rule.fall };
        if shown.row < wanted {
            return Change::None;
        }
        shown.row = 0;
        if !rule.decides {
            return Change::Suspect;
        }
        let most = Duration::from_secs(rule.hold_max_s.into());
        let first = Duration::from_secs(rule.hold_s.into());
        let hold = shown.held.map_or(first, |held| (held * 2).min(most));
        (shown.held, shown.out) = (Some(hold), Some((now, now + hold)));
        Change::Out(hold)
    }

    /// Signs in a row against a backend, and from when to when it is out.
    pub(super) fn shown(&self, name: &BackendName) -> TrafficView {
        let shown = self.backends.get(name).copied().unwrap_or_default();
        TrafficView {
            against: shown.row,
            needed: if shown.held.is_some() { Some(1) } else { None },
            out: shown.out,
        }
    }

    /// Down, while the traffic alone has taken the backend out.
    pub(super) fn finding(&self, name: &BackendName) -> Option<Finding> {
        let (since, _) = self.backends.get(name)?.out?;
        Some(Finding {
            health: Health::Down,
            since,
            ..Finding::UP
        })
    }

    /// Lets those back in whose time is over; gives their names.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<BackendName> {
        let over = self.backends.iter_mut().filter_map(|(name, shown)| {
            let over = shown.out.take_if(|(_, until)| *until <= now);
            over.map(|_| name.clone())
        });
        over.collect()
    }

    /// After a change of the configuration: forgets backends without a rule, and lets in those whose rule does not let
    /// the traffic alone decide any more.
    pub(super) fn keep(&mut self, rule: impl Fn(&BackendName) -> Option<weir_configs::Passive>) {
        self.backends.retain(|name, shown| match rule(name) {
            None => false,
            Some(rule) => {
                if !rule.decides {
                    (shown.out, shown.held) = (None, None);
                }
                true
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: weir_configs::Passive = weir_configs::Passive {
        fall: 2,
        decides: true,
        hold_s: 10,
        hold_max_s: 35,
    };

    fn name() -> BackendName {
        BackendName {
            service: "web".to_owned(),
            backend: "192.0.2.11:80".parse().expect("an address"),
        }
    }

    fn show(passive: &mut Passive, good: bool, now: Instant) -> Change {
        passive.observe(name(), RULE, good, now)
    }

    const NOW: Instant = Instant::from_secs(1_000);

    #[test]
    fn an_absence_doubles_until_something_is_answered() {
        let (mut passive, mut now) = (Passive::default(), NOW);
        assert_eq!(show(&mut passive, false, now), Change::None);
        for seconds in [10, 20, 35, 35] {
            let hold = Duration::from_secs(seconds);
            assert_eq!(
                show(&mut passive, false, now),
                Change::Out(hold),
                "on probation one is enough"
            );
            assert_eq!(show(&mut passive, false, now), Change::None, "it is out already");
            assert!(passive.finding(&name()).is_some_and(|found| found.since == now));
            assert!(passive.expire(now + hold - Duration::from_nanos(1)).is_empty());
            now += hold;
            assert_eq!(passive.expire(now), [name()]);
            assert_eq!(passive.finding(&name()), None);
        }
        assert_eq!(show(&mut passive, true, now), Change::None);
        assert_eq!(show(&mut passive, false, now), Change::None, "as at first");
        assert_eq!(
            show(&mut passive, false, now),
            Change::Out(Duration::from_secs(10))
        );
    }

    #[test]
    fn an_answer_or_another_rule_lets_it_back_in() {
        let mut passive = Passive::default();
        let take_out = |passive: &mut Passive| {
            show(passive, false, NOW);
            assert!(matches!(show(passive, false, NOW), Change::Out(_)));
        };
        take_out(&mut passive);
        assert_eq!(show(&mut passive, true, NOW), Change::Back);
        assert_eq!(passive.finding(&name()), None);
        take_out(&mut passive);
        passive.keep(|_| Some(RULE));
        assert!(passive.finding(&name()).is_some());
        let mild = weir_configs::Passive {
            decides: false,
            ..RULE
        };
        passive.keep(|_| Some(mild));
        assert_eq!(passive.finding(&name()), None);
        take_out(&mut passive);
        passive.keep(|_| None);
        assert!(passive.backends.is_empty());
    }
}
