//! Broken frames through the running process: each is counted, none does harm.
//!
//! The seed is printed; `WEIR_SEED=<number>` plays the same frames again.

use std::thread;
use std::time::Duration;

use etherparse::PacketBuilder;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use weir_tests::lab::{Injector, wait_until};
use weir_tests::stage::{Config, URL};

use crate::{assert_all_good, on_stage};

const FRAMES: u64 = 10_000;
/// Frames sent without a pause; small enough for any receive ring.
const BURST: u64 = 64;
const VIP: [u8; 4] = [192, 0, 2, 100];

fn seed() -> u64 {
    std::env::var("WEIR_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0x7765_6972)
}

/// Well-formed frames of every kind the load balancer looks into, to be broken. Senders are in the benchmark range, so that
/// an answer finds no way back.
fn models(client: [u8; 6], lb: [u8; 6]) -> Vec<Vec<u8>> {
    let from = [198, 18, 0, 1];
    let ethernet = || PacketBuilder::ethernet2(client, lb);
    let v6 = |last| [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    let mut frames = Vec::new();
    let mut add = |write: &dyn Fn(&mut Vec<u8>) -> Result<(), etherparse::err::packet::BuildWriteError>| {
        let mut frame = Vec::new();
        write(&mut frame).expect("a frame of fixed parts");
        frames.push(frame);
    };
    add(&|f| {
        ethernet()
            .ipv4(from, VIP, 64)
            .tcp(40_000, 80, 1, 1024)
            .syn()
            .write(f, &[])
    });
    add(&|f| {
        ethernet()
            .ipv4(from, VIP, 64)
            .tcp(40_001, 80, 1, 1024)
            .ack(1)
            .write(f, b"GET / HTTP/1.0\r\n\r\n")
    });
    add(&|f| {
        ethernet()
            .ipv4(from, VIP, 64)
            .tcp(40_002, 81, 1, 1024)
            .syn()
            .write(f, &[])
    });
    add(&|f| {
        ethernet()
            .ipv4(from, VIP, 64)
            .udp(40_003, 80)
            .write(f, b"datagram")
    });
    add(&|f| {
        ethernet()
            .ipv4(from, VIP, 64)
            .icmpv4_echo_request(7, 1)
            .write(f, b"ping")
    });
    add(&|f| {
        ethernet()
            .single_vlan(5.try_into().expect("id"))
            .ipv4(from, VIP, 64)
            .tcp(1, 80, 1, 1)
            .syn()
            .write(f, &[])
    });
    add(&|f| {
        ethernet()
            .ipv6(v6(1), v6(2), 64)
            .tcp(40_000, 80, 1, 1024)
            .syn()
            .write(f, &[])
    });
    add(&|f| {
        ethernet()
            .ipv6(v6(1), v6(2), 64)
            .icmpv6_echo_request(7, 1)
            .write(f, b"ping")
    });
    let request = [
        &lb[..],
        &client,
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
        &client,
        &from,
        &[0; 6],
        &VIP,
    ]
    .concat();
    frames.push(request);
    frames
}

/// Breaks a frame behind its addresses: bytes changed, an end cut off or added, or all of it noise.
fn broken(rng: &mut SmallRng, model: &[u8]) -> Vec<u8> {
    let mut frame = model.to_vec();
    match rng.random_range(0..4) {
        0 => flip(rng, &mut frame),
        1 => frame.truncate(rng.random_range(14..=model.len())),
        2 => {
            let more = rng.random_range(0..1000);
            frame.extend((0..more).map(|_| rng.random::<u8>()));
            flip(rng, &mut frame);
        }
        _ => frame[12..].fill_with(|| rng.random()),
    }
    frame
}

fn flip(rng: &mut SmallRng, frame: &mut [u8]) {
    for _ in 0..rng.random_range(1..=8) {
        let at = rng.random_range(12..frame.len());
        frame[at] = rng.random();
    }
}

#[test]
fn broken_frames_are_counted_and_harm_nobody() {
    on_stage("bad input", 2, Config::new(2), |_, stage| {
        let seed = seed();
        eprintln!("WEIR_SEED={seed}");
        let mut rng = SmallRng::seed_from_u64(seed);
        let models = models(
            stage.client.node().mac("eth0")?,
            stage.director.node().mac("veth-lb")?,
        );
        let mut wire = Injector::open(stage.client.node(), "eth0")?;
        let before = stage.director.settled_balance()?;
        for number in 0..FRAMES {
            let model = &models[rng.random_range(0..models.len())];
            wire.send(&broken(&mut rng, model))?;
            if number % BURST == BURST - 1 {
                thread::sleep(Duration::from_millis(5));
            }
        }
        let after = wait_until("every frame to be counted", Duration::from_secs(10), || {
            let now = stage
                .director
                .settled_balance()
                .map_err(|error| error.to_string())?;
            if now.rx >= before.rx + FRAMES {
                Ok(now)
            } else {
                Err(format!("{} of {FRAMES}", now.rx - before.rx))
            }
        })?;
        assert!(after.dropped > before.dropped, "nothing was dropped: {after:?}");
        let replies = stage.client.get_many(URL, 20)?;
        assert_all_good(&replies);
        assert_eq!(
            stage.director.dataplane()?.ended()?,
            None,
            "the dataplane is still there"
        );
        Ok(())
    });
}
