//! Two workers, each on a thread of its own, send hits one after the other; stores to a mark say when. Whoever records
//! the addresses of all stores can tell what each worker wrote meanwhile.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;

use weir_benches::world::{BURST, Scene, World, frame};
use weir_dataplane::parse::tcp_flag::{ACK, SYN};
use weir_rings::message::{Forward, Tunnel};

/// On a line of its own, and written at the four borders only.
#[repr(align(64))]
struct Mark(AtomicU64);

static MARK: Mark = Mark(AtomicU64::new(0));

/// Flows of each worker, other clients' but of the same servers.
const FLOWS: u32 = 4 * BURST as u32;

/// Prints the mark's address, then lets both workers send.
pub(crate) fn run(mode: &str) -> Option<u64> {
    let forward = match mode {
        "dr" => Forward::Dr,
        "nat" => Forward::Nat,
        "ipip" => Forward::Tunnel(Tunnel::Ipip),
        _ => return None,
    };
    println!("{:x}", &raw const MARK as usize);
    let mut scene = Scene::new(forward, 1 << 10, 2);
    let (first, second) = (scene.worker(0), scene.worker(1));
    // Both threads live until both are done, or the second would be given the first one's stack.
    let (done, begin) = mpsc::channel();
    let (all_done, end) = mpsc::channel();
    let threads = [
        thread::spawn(move || {
            let sent = hits(first, 0);
            let _ = done.send(());
            let _ = end.recv();
            sent
        }),
        thread::spawn(move || {
            let _ = begin.recv();
            let sent = hits(second, FLOWS);
            let _ = all_done.send(());
            sent
        }),
    ];
    Some(threads.into_iter().map(|thread| thread.join().unwrap_or(0)).sum())
}

/// The flows are made and confirmed first: only what follows is the hit path.
fn hits(mut worker: World, clients: u32) -> u64 {
    let (syn, ack) = (frame(SYN), frame(ACK));
    let bursts = || (clients..clients + FLOWS).step_by(BURST);
    for first in bursts() {
        worker.send(&syn, first..);
        worker.send(&ack, first..);
    }
    MARK.0.store(1, Relaxed);
    let sent = bursts().map(|first| worker.send(&ack, first..)).sum();
    MARK.0.store(2, Relaxed);
    sent
}
