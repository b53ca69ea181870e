//! The last question before a configuration takes much away: a reload that removes more than half of the virtual
//! addresses or of the backends, or everything, is more often a broken generator than a wish, and needs a confirmation.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use weir_configs::Config;

/// A larger share of what there was than this, in percent, needs a confirmation.
const REMOVED_PERCENT_MAX: usize = 50;

/// Why going from `old` to `new` needs a confirmation; `None` when it does not.
pub fn needs_confirmation(old: &Config, new: &Config) -> Option<String> {
    let kinds = [
        ("virtual addresses", addresses(old), addresses(new)),
        ("backends", backends(old), backends(new)),
    ];
    kinds.iter().find_map(|(what, before, after)| {
        let removed = before.difference(after).count();
        let many = removed * 100 > before.len() * REMOVED_PERCENT_MAX;
        many.then(|| format!("it removes {removed} of {} {what}", before.len()))
    })
}

type Name<'a> = (&'a str, SocketAddr, Option<SocketAddr>);

/// Every virtual address and port, whichever service has it.
fn addresses(config: &Config) -> BTreeSet<Name<'_>> {
    let services = config.services.iter();
    services
        .flat_map(|service| {
            service
                .addresses
                .iter()
                .map(|vip| (service.protocol.as_str(), *vip, None))
        })
        .collect()
}

/// Every backend at every virtual address.
fn backends(config: &Config) -> BTreeSet<Name<'_>> {
    let services = config.services.iter();
    services
        .flat_map(|service| {
            let pairs = service
                .addresses
                .iter()
                .flat_map(|vip| service.backends.iter().map(move |b| (*vip, b.address)));
            pairs.map(|(vip, backend)| (service.protocol.as_str(), vip, Some(backend)))
        })
        .collect()
}

#[cfg(test)]
mod tests;
