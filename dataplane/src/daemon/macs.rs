//! Virtual MAC addresses: what devices must take in beside their own.

use std::collections::BTreeSet;

use tracing::{info, warn};
use weir_dpdk::Port;

/// The addresses every device has been told to take.
#[derive(Debug, Default)]
pub struct VirtualMacs(BTreeSet<[u8; 6]>);

impl VirtualMacs {
    /// Makes the devices take frames for exactly these addresses too. One that has no room for another address is told
    /// to take everything: frames for others are dropped by their destination, as on any port.
    pub fn set<'a>(&mut self, wanted: &[[u8; 6]], devices: impl Iterator<Item = &'a mut Port>) {
        let wanted: BTreeSet<[u8; 6]> = wanted.iter().copied().collect();
        if wanted == self.0 {
            return;
        }
        for device in devices {
            for mac in self.0.difference(&wanted) {
                // One that was never taken cannot be let go.
                let _ = device.remove_mac(*mac);
            }
            for mac in wanted.difference(&self.0) {
                if device.add_mac(*mac).is_ok() || device.is_promiscuous() {
                    continue;
                }
                match device.set_promiscuous(true) {
                    Ok(()) => info!(
                        port = device.name(),
                        "takes no further MAC address: promiscuous for the virtual one"
                    ),
                    Err(error) => {
                        warn!(port = device.name(), %error, "takes no virtual MAC address: leave virtual_mac out");
                    }
                }
            }
        }
        self.0 = wanted;
    }
}
