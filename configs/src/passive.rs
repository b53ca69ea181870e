//! `pool.passive`: what the traffic itself shows about backends, and what may be made of it.

use serde::Serialize;

use crate::forward::Forward;
use crate::reader::Fields;
use crate::scheduler::Scheduler;
use crate::section::{Key, Section};

/// What the traffic itself shows about backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Passive {
    /// Signs against a backend in a row, without one for it, that matter.
    pub fall: u32,
    /// The traffic alone takes a backend out; otherwise it only makes its check's next failure enough.
    pub decides: bool,
    /// How long a backend that was taken out by its traffic alone stays out at first.
    pub hold_s: u32,
    /// How long it may come to when each return fails.
    pub hold_max_s: u32,
}

pub(crate) static SECTION: Section = Section {
    header: "pool.passive",
    meaning: "What the traffic itself shows: a backend that leaves connections unanswered which others of its service answer, or refuses them. \
        A sign takes a second, or as long as it needs to see enough: with TCP by NAT and FULLNAT three connections that another backend would have answered. \
        Where only clients are seen (TCP by DR and tunnel) and where not everything is answered (UDP by NAT and FULLNAT), ten that others would have: \
        so a flood from addresses that do not exist takes nobody out. Refusals need no comparison: a reset for a SYN and an ICMP error from the backend's own \
        address, where they pass; through a tunnel, its answer that it has no such tunnel. \
        What cannot be seen: a backend alone in its service that falls silent, or all at once; refusals by DR and inside a tunnel, which go to the client directly and \
        look like silence; whether UDP is answered by DR or out of a tunnel. Use a check for those.",
    keys: &[
        Key {
            name: "fall",
            kind: "a whole number from 1 to 1000",
            default: Some("3"),
            meaning: "so many signs in a row, without an answered connection between them, speak against a backend",
        },
        Key {
            name: "decides",
            kind: "true or false",
            default: Some("false"),
            meaning: "true: that alone takes it out for `hold_s`; false: the next failure of its check is enough, whatever the check's `fall`",
        },
        Key {
            name: "hold_s",
            kind: "a whole number of seconds from 1 to 86400",
            default: Some("30"),
            meaning: "how long a backend stays out that its traffic alone has taken out; back again, one more sign against it takes it out for twice as long, until a connection is answered",
        },
        Key {
            name: "hold_max_s",
            kind: "a whole number of seconds from 1 to 86400",
            default: Some("600"),
            meaning: "the longest that may become; at least `hold_s`",
        },
    ],
};

pub(crate) fn read(fields: &Fields<'_, '_>) -> Passive {
    let hold_s = fields.integer("hold_s", 1..=86_400).unwrap_or(30);
    let hold_max_s = fields.integer("hold_max_s", 1..=86_400);
    if hold_max_s.is_some_and(|most| most < hold_s) {
        fields.context.error(
            fields.span_of("hold_max_s"),
            "`hold_max_s` is below `hold_s`",
            format!("write at least {hold_s}, or leave it out"),
        );
    }
    Passive {
        fall: fields.integer("fall", 1..=1_000).unwrap_or(3),
        decides: fields.boolean("decides").unwrap_or(false),
        hold_s,
        hold_max_s: hold_max_s.unwrap_or(600).max(hold_s),
    }
}

/// What of a service's answers can be seen.
pub(crate) struct Seen {
    /// They are datagrams.
    pub(crate) datagrams: bool,
    /// All of them pass here.
    pub(crate) replies: bool,
    /// Any client may be with any backend.
    pub(crate) spread: bool,
}

/// Whether answers pass here by this mode.
pub(crate) fn replies_pass(forward: Forward) -> bool {
    matches!(forward, Forward::Nat | Forward::FullNat)
}

/// Whether the scheduler gives a flow to a server without a look at its client, and to all in turn. By a hash of the
/// client all genuine ones may be with one server, and a flood with another.
pub(crate) fn spreads(scheduler: Scheduler) -> bool {
    match scheduler {
        Scheduler::Rr
        | Scheduler::Wrr
        | Scheduler::Lc
        | Scheduler::Wlc
        | Scheduler::Sed
        | Scheduler::Nq
        | Scheduler::Twos => true,
        Scheduler::Dh
        | Scheduler::Sh
        | Scheduler::Mh
        | Scheduler::Lblc
        | Scheduler::Lblcr
        | Scheduler::Fo
        | Scheduler::Ovf
        | Scheduler::Maglev => false,
    }
}

impl Seen {
    /// Whether that is enough; otherwise what is wrong, and the fix.
    pub(crate) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if self.datagrams && !self.replies {
            return Err((
                "`passive` with protocol \"udp\" needs forward \"nat\" or \"fullnat\"",
                "leave it out: with direct return no answer to a UDP packet passes here; use a check",
            ));
        }
        let asked = !self.datagrams && self.replies;
        if !asked && !self.spread {
            return Err((
                "`passive` cannot compare the backends of this service",
                "leave it out and use a check, or set scheduler to rr, wrr, lc, wlc, sed, nq or twos without persistence: where a client always has the same backend, a flood cannot be told from clients",
            ));
        }
        Ok(())
    }
}
