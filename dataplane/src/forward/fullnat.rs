//! FULLNAT's local addresses and ports.
//!
//! There is no list of free ports: a port is free towards a server when no flow has that reverse tuple, and the flow
//! table knows. A cursor per address makes the first try nearly always right. The port decides which worker gets the
//! replies: with a known RSS key it is chosen so that this one does, otherwise ports are parted by their remainder.

use crate::burst::{Context, Stop};
use crate::family::{Family, Key};
use crate::flow::{Entry, Flags, Reverse, Table};
use crate::steer::Rss;
use crate::tables::{LocalAddress, Service};
use crate::verdict::DropReason;

/// Free-port tests for one flow and address. With the cursor it takes a nearly full pool to need more than a few.
const PROBES_MAX: u32 = 128;
/// Candidates looked at, those that would lead replies to other workers included.
const CANDIDATES_MAX: u32 = 1024;

/// A local address and port for a new flow, as the place in the pool and the port.
pub(crate) fn choose_local<F: Family>(
    service: &Service,
    entry: &Entry<F>,
    table: &Table<F>,
    context: &mut Context<'_>,
) -> Result<(u16, u16), Stop> {
    let count = service.locals.len();
    let first = if count == 0 {
        0
    } else {
        context.own.random() as usize % count
    };
    for step in 0..count {
        let index = service.locals[(first + step) % count];
        let Some(local) = context.tables.local(index) else {
            continue;
        };
        if !local.live || local.address.is_ipv6() != F::V6 {
            continue;
        }
        if let Some(port) = choose_port(local, index, entry, table, context) {
            return Ok((index, port));
        }
    }
    Err(DropReason::NoLocalPort.into())
}

fn choose_port<F: Family>(
    local: &LocalAddress,
    index: u16,
    entry: &Entry<F>,
    table: &Table<F>,
    context: &mut Context<'_>,
) -> Option<u16> {
    let steering = &context.shared.steering;
    let out = context.shared.egress.link(entry.backend).port_id();
    let predicted = matches!(steering.rss(out), Rss::Known(_));
    let span = u32::from(local.port_max.checked_sub(local.port_min)?) + 1;
    let cursor_at = usize::from(index) % context.own.port_cursors.len();
    let servers = context.servers();
    let mut cursor = u32::from(context.own.port_cursors[cursor_at]);
    let mut probes = 0;
    let mut chosen = None;
    for _ in 0..span.min(CANDIDATES_MAX) {
        let port = local.port_min + (cursor % span) as u16;
        cursor = (cursor + 1) % span;
        if !predicted && steering.of_local_port(port) != context.worker {
            continue;
        }
        let flags = entry.flags.with(Flags::LOCAL);
        let reply: Key<F> = servers.reverse_key(&Entry {
            local_index: index,
            local_port: port,
            flags,
            ..*entry
        });
        if predicted && steering.of_reply(out, &reply) != Some(context.worker) {
            continue;
        }
        probes += 1;
        if table
            .find(&reply, reply.hash(&context.shared.seed), &servers)
            .is_none()
        {
            chosen = Some(port);
            break;
        }
        if probes == PROBES_MAX {
            break;
        }
    }
    context.own.port_cursors[cursor_at] = cursor as u16;
    chosen
}
