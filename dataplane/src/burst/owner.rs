//! Whose packet is it? Asked only for packets whose flow this worker does not have, and only with several workers.

use weir_rings::message::Protocol;

use super::{Context, Lane, Stop};
use crate::family::{Family, Key};
use crate::steer::Rss;
use crate::verdict::WorkerId;

impl<F: Family> Lane<F> {
    /// Steers a packet that another worker must handle.
    pub(crate) fn check_owner(&self, at: usize, context: &Context<'_>) -> Result<(), Stop> {
        check::<F>(&self.pending[at].key, self.pending[at].hash, context)
    }
}

/// As [`Lane::check_owner`] for any tuple, as it would arrive: also for the reverse of a quoted one.
///
/// A packet that was handed over is handed on only where the owner is computed. That happens when the workers take up new
/// tables one after the other, and ends with them. A hint that led here may be wrong: it is not followed twice.
#[inline]
pub(crate) fn check<F: Family>(key: &Key<F>, hash: u64, context: &Context<'_>) -> Result<(), Stop> {
    if context.shared.steering.workers() == 1 {
        return Ok(());
    }
    check_among_several(key, hash, context)
}

fn check_among_several<F: Family>(key: &Key<F>, hash: u64, context: &Context<'_>) -> Result<(), Stop> {
    match owner::<F>(key, hash, context) {
        Owner::Noted(_) if context.steered => Ok(()),
        Owner::Computed(owner) | Owner::Noted(owner) if owner != context.worker => Err(Stop::Steer(owner)),
        Owner::Computed(_) | Owner::Noted(_) => Ok(()),
    }
}

/// Whose it is, and how that is known.
enum Owner {
    /// By a function of the packet and the tables.
    Computed(WorkerId),
    /// By the index of hints, or because nothing says otherwise.
    Noted(WorkerId),
}

fn owner<F: Family>(key: &Key<F>, hash: u64, context: &Context<'_>) -> Owner {
    let steering = &context.shared.steering;
    let noted = || Owner::Noted(context.shared.owners.find(hash).unwrap_or(context.worker));
    let software = matches!(steering.rss(context.port), Rss::None);
    let destination = F::to_ip(key.dst());
    match context.tables.address(destination) {
        Some(address) if address.vip.is_some() || is_service::<F>(key, context) => {
            if software {
                Owner::Computed(steering.of_client(F::to_ip(key.src()), key.src_port()))
            } else {
                noted()
            }
        }
        Some(address) if address.local => match steering.rss(context.port) {
            Rss::Known(_) => noted(),
            Rss::None | Rss::Unknown => Owner::Computed(steering.of_local_port(key.dst_port())),
        },
        Some(_) => Owner::Noted(context.worker),
        // Not ours: the reply of a NAT server, if anything.
        None if software => Owner::Computed(steering.of_client(destination, key.dst_port())),
        None => noted(),
    }
}

fn is_service<F: Family>(key: &Key<F>, context: &Context<'_>) -> bool {
    let protocol = Protocol::from_code(key.protocol);
    protocol.is_some_and(|protocol| {
        context
            .tables
            .service_for(protocol, F::to_ip(key.dst()), key.dst_port())
            .is_some()
    })
}
