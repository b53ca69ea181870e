//! Addresses on kernel interfaces that are to accept nothing (`accept = false`): an nftables table of our own drops what
//! is sent to them, as keepalived's does. Neighbour discovery passes, or nobody would find them (RFC 9568 §6.1,
//! Accept_Mode).
//!
//! The table holds for an address whether this director has it or not: nothing is for it while it has not. So nothing
//! need be done at a take-over, and the table is there before the first address is. The program `nft` changes it,
//! all or nothing, on a thread of its own, so that no advertisement waits. An orderly end removes the table after the
//! addresses; what a killed process leaves, addresses and table alike, the next one puts right.

use super::Tracker;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

/// What a virtual router that is to accept nothing depends on: without the table it is at fault.
pub(super) const LABEL: &str = "packet filter";
const TABLE: &str = "inet weir_vrrp";
/// `nft` may take this long.
const LIMIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

/// The thread that keeps the table.
#[derive(Debug)]
pub(super) struct Filter {
    wanted: Sender<BTreeSet<IpAddr>>,
    thread: JoinHandle<()>,
}

impl Filter {
    /// Starts the thread; `tracker` hears whether the table is as it should be.
    pub(super) fn start(tracker: Tracker) -> Self {
        let (wanted, taken) = channel();
        Self {
            wanted,
            thread: spawn(move || keep(&taken, &tracker)),
        }
    }

    /// Exactly these addresses are to accept nothing.
    pub(super) fn set(&self, addresses: BTreeSet<IpAddr>) {
        // The thread ends with this value and no sooner.
        let _ = self.wanted.send(addresses);
    }

    /// Removes the table; it is gone on return, unless `nft` refuses.
    pub(super) fn end(self) {
        drop(self.wanted);
        if self.thread.join().is_err() {
            tracing::error!("the thread of the packet filter panicked");
        }
    }
}

fn keep(wanted: &Receiver<BTreeSet<IpAddr>>, tracker: &Tracker) {
    let mut is: Option<BTreeSet<IpAddr>> = None;
    while let Ok(addresses) = wanted.recv() {
        if is.as_ref() == Some(&addresses) {
            continue;
        }
        match nft(&script(&addresses)) {
            Ok(()) => {
                tracker.track(LABEL, true);
                is = Some(addresses);
            }
            // A machine without nftables has no table left behind by anybody either.
            Err(error) if addresses.is_empty() => tracing::debug!(%error, "no packet filter to remove"),
            Err(error) => {
                tracing::error!(
                    %error,
                    "addresses with `accept = false` would accept packets: install nftables, or leave `accept` out"
                );
                tracker.track(LABEL, false);
                is = None;
            }
        }
    }
    if is.is_some_and(|addresses| !addresses.is_empty())
        && let Err(error) = nft(&script(&BTreeSet::new()))
    {
        tracing::error!(%error, "the packet filter stays: remove it with `nft delete table {TABLE}`");
    }
}

/// Replaces what is there in one transaction; without addresses, by nothing.
fn script(addresses: &BTreeSet<IpAddr>) -> String {
    // To delete a table there must be one.
    let mut script = format!("table {TABLE} {{ }}\ndelete table {TABLE}\n");
    if addresses.is_empty() {
        return script;
    }
    let _ = writeln!(
        script,
        "table {TABLE} {{\nchain input {{\ntype filter hook input priority filter; policy accept;"
    );
    script.push_str("icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n");
    for address in addresses {
        let family = if address.is_ipv4() { "ip" } else { "ip6" };
        let _ = writeln!(script, "{family} daddr {address} counter drop");
    }
    script.push_str("}\n}\n");
    script
}

fn nft(script: &str) -> io::Result<()> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::other(format!("cannot run nft: {error}")))?;
    if let Some(mut input) = child.stdin.take() {
        // If it ended before it had read all, its status says more.
        let _ = input.write_all(script.as_bytes());
    }
    let deadline = Instant::now() + LIMIT;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other(format!("nft did not end within {LIMIT:?}")));
        }
        sleep(LOOK);
    }
    ended(child)
}

fn ended(child: Child) -> io::Result<()> {
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().next().unwrap_or_default();
    Err(io::Error::other(format!("nft: {}: {first}", output.status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_replaced_in_one_transaction() {
        let none = script(&BTreeSet::new());
        assert_eq!(none, "table inet weir_vrrp { }\ndelete table inet weir_vrrp\n");
        let two = script(
            &["192.0.2.100", "2001:db8::100"]
                .map(|text| text.parse().unwrap())
                .into(),
        );
        let rules = two.strip_prefix(&none).expect("what was there goes first");
        let discovery = rules.find("nd-neighbor-solicit").expect("discovery passes");
        for rule in [
            "ip daddr 192.0.2.100 counter drop",
            "ip6 daddr 2001:db8::100 counter drop",
        ] {
            assert!(rules.find(rule).expect(rule) > discovery, "{rules}");
        }
    }
}
