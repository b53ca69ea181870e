//! The running process under change: ten thousand services and servers come and go while packets flood in.
//!
//! The seed is printed; `WEIR_SEED=<number>` makes the same changes again.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use weir_rings::message::{Command, Tunnel};

use super::*;

const CHANGES: u32 = 10_000;
/// Changes in one transaction, at most.
const TOGETHER: u32 = 20;
/// Services that come and go have the ports from here on; the flows that must survive belong to port 80.
const FIRST_PORT: u16 = 1000;
const SERVICES: u16 = 16;
const SURVIVORS: u16 = 64;
const KINDS: [SchedulerKind; 5] = [
    SchedulerKind::Rr,
    SchedulerKind::Wrr,
    SchedulerKind::Wlc,
    SchedulerKind::Sh,
    SchedulerKind::Maglev,
];
const FORWARDS: [(Forward, ForwardMode); 3] = [
    (Forward::Dr, ForwardMode::Dr),
    (Forward::Nat, ForwardMode::Nat),
    (Forward::Tunnel(Tunnel::Ipip), ForwardMode::Tunnel),
];

/// The services there are, each with its servers.
type Model = BTreeMap<u16, (Forward, BTreeSet<u8>)>;

fn seed() -> u64 {
    let given = std::env::var("WEIR_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or(0x6368_7572)
}

fn service_key(port: u16) -> ServiceKey {
    ServiceKey {
        protocol: Protocol::Tcp,
        address: ip(VIP),
        port,
    }
}

fn backend_key(port: u16, last: u8) -> BackendKey {
    BackendKey {
        address: IpAddr::from([192, 0, 2, last]),
        port,
    }
}

/// One more change, and what is there after it.
fn change(rng: &mut StdRng, model: &mut Model) -> Command {
    let (port, server) = (
        FIRST_PORT + rng.random_range(0..SERVICES),
        rng.random_range(11..20),
    );
    let Some((forward, servers)) = model.get_mut(&port) else {
        let (forward, mode) = FORWARDS[rng.random_range(0..FORWARDS.len())];
        model.insert(port, (forward, BTreeSet::new()));
        let kind = KINDS[rng.random_range(0..KINDS.len())];
        return Command::UpsertService(Service::new(service_key(port), kind, mode));
    };
    match rng.random_range(0..12) {
        0 => {
            model.remove(&port);
            Command::DeleteService(service_key(port))
        }
        1..=4 if servers.remove(&server) => {
            Command::DeleteBackend(service_key(port), backend_key(port, server))
        }
        _ => {
            servers.insert(server);
            let mut backend = Backend::new(service_key(port), backend_key(port, server), *forward);
            backend.weight = rng.random_range(0..4);
            Command::UpsertBackend(backend)
        }
    }
}

/// The server of each client of the service that does not change.
fn survivors(end: &mut ControlEnd) -> BTreeMap<u16, IpAddr> {
    let filter = FlowFilter {
        service: Some(service_key(80)),
        ..FlowFilter::default()
    };
    let Response::Flows { rows, more } = ask(end, Request::Flows { filter, limit: 1000 }) else {
        panic!("not flows")
    };
    assert!(!more);
    rows.into_iter()
        .map(|row| (row.client.port(), row.backend.ip()))
        .collect()
}

fn churn(workers: &str) {
    let seed = seed();
    eprintln!("WEIR_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let device = "vdev:net_pcap0,rx_pcap={dir}/in.pcap,infinite_rx=1,tx_pcap=/dev/null";
    let dataplane = Dataplane::start(device, workers, |directory| {
        let lasting = (0..SURVIVORS).map(|client| (10_000 + client, 80));
        let passing = (0..256).map(|client| (20_000 + client, FIRST_PORT + client % SERVICES));
        write_syns(&directory.join("in.pcap"), lasting.chain(passing));
    });
    let mut end = dataplane.connect();
    let mut first = commands();
    first.extend((11..20).map(|last| {
        let key = NeighborKey {
            address: backend_key(80, last).address,
            port: None,
            vlan: None,
        };
        Command::UpsertNeighbor(Neighbor {
            key,
            mac: [2, 0, 0, 0, 1, last],
        })
    }));
    end.commit_and_wait(end.next_generation(), true, first, PATIENCE)
        .unwrap();
    let counters = end.counters().clone();
    wait_for("the lasting flows", &counters, || {
        counters.worker_total().flows >= u64::from(SURVIVORS)
    });
    let before = survivors(&mut end);
    assert_eq!(before.len(), usize::from(SURVIVORS));
    let sent = counters.worker_total().tx_packets;

    let mut model = Model::new();
    let mut made = 0;
    while made < CHANGES {
        let count = rng.random_range(1..=TOGETHER);
        made += count;
        let commands: Vec<_> = (0..count).map(|_| change(&mut rng, &mut model)).collect();
        let told = end
            .commit_and_wait(end.next_generation(), false, commands, PATIENCE)
            .unwrap();
        let Event::Published { services, .. } = told else {
            panic!("seed {seed}, after {made} changes: {told:?}")
        };
        assert_eq!(
            services as usize,
            model.len() + 1,
            "seed {seed}, after {made} changes"
        );
    }

    assert_eq!(survivors(&mut end), before, "seed {seed}: a surviving flow moved");
    let total = counters.worker_total();
    assert!(total.tx_packets > sent, "nothing was sent meanwhile");
    assert!(
        total.flows_created > u64::from(SURVIVORS),
        "the services that came got no flows: {total:?}"
    );
    eprintln!(
        "{made} changes; {} packets, {} flows made",
        total.rx_packets, total.flows_created
    );
    let output = dataplane.stop();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_conserved(&counters);
}

#[test]
fn ten_thousand_changes_leave_the_other_flows_alone_with_one_worker() {
    churn("[0]");
}

#[test]
fn ten_thousand_changes_leave_the_other_flows_alone_with_two_workers() {
    churn("[0, 1]");
}
