//! From the configuration's words about a pool to [`decide`], and from its answer to the seats of a service's backends.

use super::Inputs;
use super::standing::{Standing, standing};
use std::time::Duration;
use weir_configs::{OnRemoval, RemovalLimit, Service};
use weir_proto::health::pool::{AllFailed, Decision, Most, Policy, Removals, Seat, Sorry, Why, decide};

/// A service's backends and what its pool makes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its backends, in order.
    pub standings: Vec<Standing>,
    /// What was decided.
    pub decision: Decision,
}

/// The pool of `service` now.
pub fn pool(inputs: &Inputs<'_>, service: &Service) -> Pool {
    let backends = service.backends.iter();
    let mut standings: Vec<Standing> = backends
        .map(|backend| standing(inputs, service, backend))
        .collect();
    let members: Vec<_> = standings.iter().map(Standing::member).collect();
    let was = (inputs.quorum)(&service.name);
    let mut decision = decide(&policy(service), &members, was, inputs.now);
    for (standing, seat) in standings.iter_mut().zip(&mut decision.seats) {
        if standing.disabled {
            *seat = Seat::Out(Why::Drain);
        }
        standing.seat = *seat;
    }
    Pool { standings, decision }
}

/// The policy of a service's pool.
pub fn policy(service: &Service) -> Policy {
    let pool = &service.pool;
    Policy {
        quorum: pool.quorum,
        hysteresis: pool.hysteresis,
        inhibit: inhibits(service),
        sorry: pool.sorry_server.as_ref().map(|sorry| Sorry {
            inhibit: sorry.inhibit,
        }),
        all_failed: match pool.all_failed {
            weir_configs::AllFailed::Remove => AllFailed::Remove,
            weir_configs::AllFailed::Keep => AllFailed::Keep(milliseconds(pool.all_failed_within_ms)),
        },
        removals: pool.removal_limit.map(|limit| Removals {
            most: match limit {
                RemovalLimit::Backends(count) => Most::Servers(count),
                RemovalLimit::Percent(percent) => Most::Percent(percent),
            },
            per: milliseconds(pool.removal_interval_ms),
        }),
    }
}

fn milliseconds(count: u32) -> Duration {
    Duration::from_millis(count.into())
}

/// Whether a failed server keeps its place. IPVS's `expire_nodest_conn` asks for flows that end with their server, and
/// only of a server that is not there do they.
fn inhibits(service: &Service) -> bool {
    let wish = service.pool.inhibit_on_failure;
    wish.unwrap_or(!service.ipvs.expire_nodest_conn)
}

/// Whether a server that leaves the configuration keeps its flows for a while.
pub(crate) fn drains_on_removal(service: &Service) -> bool {
    match service.pool.on_removal {
        Some(OnRemoval::Drain) => true,
        Some(OnRemoval::Cut) => false,
        None => !service.ipvs.expire_nodest_conn,
    }
}
