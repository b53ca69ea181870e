//! No two workers write one cache line on the hit path: every store of two workers is recorded by valgrind's lackey while
//! each sends hits through flows of the same servers, and the lines they wrote are compared.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const LINE_BYTES: u64 = 64;
/// Packets each worker sends while its stores are recorded.
const PACKETS: usize = 128;

fn has_valgrind() -> bool {
    Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Lines written by each of the two workers, and the number of packets both sent.
fn written(mode: &str) -> ([HashSet<u64>; 2], usize) {
    let mut child = Command::new("valgrind")
        .args(["--tool=lackey", "--trace-mem=yes", "--log-fd=1"])
        .args([env!("CARGO_BIN_EXE_weir-instructions"), "sharing", mode])
        .stdout(Stdio::piped())
        .spawn()
        .expect("valgrind starts");
    let output = child.stdout.take().expect("a pipe");
    let (mut mark, mut borders, mut sent) = (None, 0, 0);
    let mut lines = [HashSet::new(), HashSet::new()];
    for line in BufReader::new(output).lines() {
        let line = line.expect("text");
        let Some((kind, access)) = line.split_at_checked(3) else {
            continue;
        };
        match kind {
            // A store, or a load and a store.
            " S " | " M " => {
                let Some((address, size)) = access.split_once(',') else {
                    continue;
                };
                let address = u64::from_str_radix(address.trim(), 16).expect("an address");
                let size: u64 = size.trim().parse().expect("a size");
                if Some(address) == mark {
                    borders += 1;
                } else if borders % 2 == 1 {
                    let (first, last) = (address / LINE_BYTES, (address + size - 1) / LINE_BYTES);
                    lines[borders / 2].extend(first..=last);
                }
            }
            // What the program prints: the mark's address, at the end the number of packets.
            _ if mark.is_none() => mark = u64::from_str_radix(line.trim(), 16).ok(),
            _ => sent = line.trim().parse().unwrap_or(sent),
        }
    }
    assert!(child.wait().expect("it ends").success());
    assert_eq!(borders, 4, "each worker begins and ends");
    (lines, sent)
}

#[test]
fn no_two_workers_write_one_line() {
    if !has_valgrind() {
        assert!(
            std::env::var_os("WEIR_REQUIRE_VALGRIND").is_none(),
            "install valgrind"
        );
        println!("NOT RUN: needs valgrind");
        return;
    }
    for mode in ["dr", "nat", "ipip"] {
        let ([first, second], sent) = written(mode);
        assert_eq!(sent, 2 * PACKETS, "{mode}: every packet was sent on");
        // Its packets, its flows' entries, its counters.
        assert!(first.len() > PACKETS && second.len() > PACKETS, "{mode}");
        let both: Vec<_> = first
            .intersection(&second)
            .map(|line| format!("{:x}", line * LINE_BYTES))
            .collect();
        assert!(both.is_empty(), "{mode}: lines written by both workers: {both:?}");
    }
}
