//! Whole TCP connections a second (G7): three packets to begin, three to end, both directions, NAT.
//!
//! The capture holds every connection once. When it comes round again the client's SYN finds its old connection in TIME_WAIT
//! and begins a new one (IPVS's `conn_reuse_mode`), so that each life makes a flow, passes through its states and ends an
//! old flow. Servers answer by the same device.

use weir_wire::tcp::Flags;

use super::bench::{Bench, remove};
use super::capture::{End, FRAME_BYTES, SERVICE_PORT, VIP, client, frame};
use super::dataplane::{Dataplane, table_for, tables_mb};
use super::goals::G7_LIVES;
use super::report::line;
use super::results::{Figure, Results};
use super::service::{Mode, network, server, service};
use super::slice::{Competitor, take_turns};
use super::trouble::{Outcome, Trouble};

/// Packets of one connection.
const PACKETS: u32 = 6;
/// Services with one server each, so that the capture knows who answers.
const SERVICES: u16 = 16;
/// Connections under way at the same time.
const TOGETHER: u32 = 256;

const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);
const FIN_ACK: Flags = Flags(Flags::FIN.0 | Flags::ACK.0);

/// Packet `step` of connection `number`.
fn packet(number: u32, step: u32) -> [u8; FRAME_BYTES] {
    let which = (number % u32::from(SERVICES)) as u16;
    let port = SERVICE_PORT + which;
    let vip: End = (VIP, port);
    let server: End = (server(which as u8), port);
    let client = client(number);
    match step {
        0 => frame(0, client, vip, Flags::SYN),
        1 => frame(0, server, client, SYN_ACK),
        2 => frame(0, client, vip, Flags::ACK),
        3 => frame(0, client, vip, FIN_ACK),
        4 => frame(0, server, client, FIN_ACK),
        _ => frame(0, client, vip, Flags::ACK),
    }
}

/// All connections, so many at a time: a step of each, then the next step of each.
fn packets(connections: u32) -> impl Iterator<Item = [u8; FRAME_BYTES]> {
    (0..connections)
        .step_by(TOGETHER as usize)
        .flat_map(move |first| {
            let last = (first + TOGETHER).min(connections);
            (0..PACKETS).flat_map(move |step| (first..last).map(move |number| packet(number, step)))
        })
}

/// Measures it on one worker.
pub(crate) fn lives(bench: &Bench, results: &mut Results) -> Outcome<()> {
    let connections: u32 = if bench.quick { 50_000 } else { 250_000 };
    println!("\nwhole TCP connections, NAT, {connections} in turn");
    let device = bench.device("lives", bench.cpus(1), vec![packets(connections)])?;
    bench.provide(&[&device], tables_mb(connections))?;
    let mut commands = network();
    for which in 0..SERVICES {
        let number = which as u8;
        commands.extend(service(SERVICE_PORT + which, Mode::Nat, number..=number));
    }
    let mut weir = Dataplane::start(bench, &device, table_for(connections), commands)?;
    weir.feed(bench, vec![Box::new(core::iter::empty())])?;
    weir.process().pause()?;
    let before = weir.counts();
    let samples = take_turns(&bench.stop, bench.turns, &[Competitor::Weir(vec![&weir])])?;
    let after = weir.counts();
    let made = after.flows_created - before.flows_created;
    let expected = (after.rx_packets - before.rx_packets) / u64::from(PACKETS);
    if made.abs_diff(expected) > expected / 100 + u64::from(TOGETHER) {
        return Err(Trouble::Wrong(format!(
            "{expected} connections came, {made} flows were made"
        )));
    }
    let ns = samples[0].min() * f64::from(PACKETS);
    let figure = Figure {
        goal: "G7",
        what: "whole TCP connections, NAT, six packets, one worker".into(),
        value: 1e3 / ns,
        unit: "M/s",
        bound: Some(G7_LIVES),
        verdict: samples[0].verdict(),
        note: format!(
            "{:.0} cycles a connection, device included",
            ns * bench.machine.tsc_ghz
        ),
    };
    println!("{}", line(&figure));
    results.figures.push(figure);
    remove(&device);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_has_its_six_packets_in_order() {
        let all: Vec<_> = packets(300).collect();
        assert_eq!(all.len(), 300 * 6);
        let mut at = 0;
        for step in 0..PACKETS {
            let wanted = packet(270, step);
            at += all[at..]
                .iter()
                .position(|frame| *frame == wanted)
                .expect("in order")
                + 1;
        }
    }

    #[test]
    fn servers_answer_to_the_client() {
        let (syn, syn_ack) = (packet(5, 0), packet(5, 1));
        assert_eq!(syn[26..30], syn_ack[30..34], "the client's address");
        assert_eq!(syn[36..38], syn_ack[34..36], "the service's port");
    }
}
