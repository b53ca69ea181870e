//! One pick of every scheduler, for pools of 4, 32 and 256 servers with unequal weights and loads.
//!
//! `cargo bench -p weir-benches --bench scheduler`

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use weir_dataplane::scheduler::{Flags, Load, PickInput, SchedulerKind, Server, State, maglev};

fn server(slot: u32) -> Server {
    Server {
        address: IpAddr::V4(Ipv4Addr::from_bits(0xc612_0000 + slot)),
        port: 80,
        slot,
        weight: 1 + slot % 4,
        upper_threshold: 0,
        lower_threshold: 0,
    }
}

fn state(kind: SchedulerKind, servers: u32) -> State {
    let pool = (0..servers).map(server).collect();
    State::new(kind, Flags::default(), pool, None, &mut maglev::Tables::default())
        .expect("256 servers fit every scheduler")
}

/// Another client each time, by a multiplicative sequence.
fn input(number: u64) -> PickInput {
    let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    PickInput {
        client: IpAddr::V4(Ipv4Addr::from_bits((random >> 32) as u32)),
        client_port: random as u16,
        destination: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100)),
        destination_port: 80,
        now_s: 1000,
        random,
    }
}

fn picks(criterion: &mut Criterion) {
    for &kind in SchedulerKind::ALL {
        let mut group = criterion.benchmark_group(format!("pick/{kind}"));
        group
            .sample_size(30)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_millis(500));
        for servers in [4, 32, 256] {
            let state = state(kind, servers);
            let loads: Vec<Load> = (0..servers)
                .map(|slot| Load {
                    active: 1 + slot * 7 % 13,
                    inactive: slot * 5 % 11,
                })
                .collect();
            group.bench_function(BenchmarkId::from_parameter(servers), |b| {
                let mut number = 0;
                b.iter(|| {
                    number += 1;
                    state.pick(black_box(&input(number)), |slot| loads[slot as usize])
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, picks);
criterion_main!(benches);
