//! Work for an instruction counter: the load-balancing stage on plain buffers, without DPDK.
//!
//! `weir-instructions CASE PACKETS` sets a case up, sends so many packets through it and prints how many were sent on.
//! `scripts/bench-check` runs it under callgrind with two numbers of packets and takes the difference, so that set-up does
//! not count; the case `copy` only puts the frame into its buffer, and is subtracted from the others.
//! `weir-instructions sharing MODE` is what `tests/sharing.rs` watches.

#![forbid(unsafe_code)]

mod sharing;

use std::process::ExitCode;

use weir_benches::world::{BURST, World, datagram, frame};
use weir_dataplane::parse::tcp_flag::{ACK, SYN};
use weir_rings::message::{Forward, Tunnel};

/// Flows of the hit cases: they fit in the first-level cache's reach, where instructions are what counts.
const FLOWS: u32 = 1024;

/// Room for them, and for those of the cases that make flows.
const FLOWS_MAX: usize = 1 << 20;

/// A case: how packets are forwarded, and what they are.
struct Case {
    name: &'static str,
    forward: Forward,
    packets: Packets,
}

/// What packets of a case are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Packets {
    /// Of flows that exist.
    Hits,
    /// The same, of UDP.
    Datagrams,
    /// Each begins a flow.
    New,
    /// Each would begin one, but every entry holds one already.
    Refused,
}

const CASES: [Case; 6] = [
    Case {
        name: "dr-hit",
        forward: Forward::Dr,
        packets: Packets::Hits,
    },
    Case {
        name: "ipip-hit",
        forward: Forward::Tunnel(Tunnel::Ipip),
        packets: Packets::Hits,
    },
    Case {
        name: "nat-hit",
        forward: Forward::Nat,
        packets: Packets::Hits,
    },
    Case {
        name: "dr-udp",
        forward: Forward::Dr,
        packets: Packets::Datagrams,
    },
    Case {
        name: "dr-new",
        forward: Forward::Dr,
        packets: Packets::New,
    },
    Case {
        name: "dr-full",
        forward: Forward::Dr,
        packets: Packets::Refused,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, packets] = &arguments[..] else {
        return usage();
    };
    if name == "sharing" {
        let Some(sent) = sharing::run(packets) else {
            return usage();
        };
        println!("{sent}");
        return ExitCode::SUCCESS;
    }
    let Ok(packets) = packets.parse::<u32>() else {
        return usage();
    };
    let sent = match CASES.iter().find(|case| case.name == name) {
        Some(case) => run(case, packets),
        None if name == "copy" => copy(packets),
        None => return usage(),
    };
    println!("{sent}");
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
    eprintln!("usage: weir-instructions copy|{} PACKETS", names.join("|"));
    eprintln!("       weir-instructions sharing dr|nat|ipip");
    ExitCode::from(2)
}

fn run(case: &Case, packets: u32) -> u64 {
    let flows_max = match case.packets {
        Packets::Hits | Packets::Datagrams | Packets::New => FLOWS_MAX,
        Packets::Refused => FLOWS as usize,
    };
    let (mut world, syn, ack) = match case.packets {
        Packets::Datagrams => (World::udp(case.forward, flows_max), datagram(), datagram()),
        Packets::Hits | Packets::New | Packets::Refused => {
            (World::new(case.forward, flows_max), frame(SYN), frame(ACK))
        }
    };
    if case.packets == Packets::New {
        return bursts(packets).map(|first| world.send(&syn, first..)).sum();
    }
    for first in bursts(FLOWS) {
        world.send(&syn, first..);
    }
    let send = |first| match case.packets {
        Packets::Refused => world.send(&syn, FLOWS + first..),
        Packets::Hits | Packets::Datagrams | Packets::New => world.send(&ack, first % FLOWS..),
    };
    bursts(packets).map(send).sum()
}

fn copy(packets: u32) -> u64 {
    let mut world = World::new(Forward::Dr, FLOWS_MAX);
    let ack = frame(ACK);
    bursts(packets)
        .map(|first| world.copy(&ack, first % FLOWS..))
        .sum()
}

/// The first client of each burst.
fn bursts(packets: u32) -> impl Iterator<Item = u32> {
    (0..packets).step_by(BURST)
}
