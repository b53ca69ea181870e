//! From the configuration and the guests that have VFs to what every PF should be. Pure.

use super::allocation::Allocations;
use super::model::{Driver, Owner, Pf, PfWish, Settings, VfWish, derived_mac};
use weir_configs::{Config, Device, PfName, Sriov, VfDriver, VfMac, VfSettings, VlanProtocol};

/// What `pf` should be, or `None` when the configuration does not speak of it.
pub fn of_pf(config: &Config, allocations: &Allocations, pf: &Pf) -> Option<PfWish> {
    let sriov = config.sriov.iter().find(|sriov| pf.is(&sriov.pf))?;
    let vfs: Vec<_> = (0..sriov.vfs)
        .map(|index| of_vf(config, allocations, sriov, pf, index))
        .collect();
    // With the kernel's own binding off, a VF gets no driver that nobody wished.
    let managed = vfs.iter().any(|vf| vf.driver.is_some());
    Some(PfWish {
        vfs,
        autoprobe: managed.then_some(false),
    })
}

/// Names in the configuration that no PF here has.
pub fn absent<'a>(config: &'a Config, pfs: &[Pf]) -> Vec<&'a PfName> {
    config
        .sriov
        .iter()
        .map(|sriov| &sriov.pf)
        .filter(|name| !pfs.iter().any(|pf| pf.is(name)))
        .collect()
}

fn of_vf(config: &Config, allocations: &Allocations, sriov: &Sriov, pf: &Pf, index: u16) -> VfWish {
    let (settings, guest) = sriov.vf(index);
    let port = config.ports.iter().find(|port| {
        port.device
            == Device::Vf {
                pf: sriov.pf.clone(),
                vf: index,
            }
    });
    let mut wish = VfWish {
        settings: of_settings(settings, pf, index),
        driver: of_driver(settings.driver),
        owner: Owner::Free,
    };
    if let Some(port) = port {
        wish.owner = Owner::Port(port.name.clone());
        wish.driver = Some(Driver::Named("vfio-pci".to_owned()));
        // DPDK would make up another address at each start.
        wish.settings.mac = wish.settings.mac.or_else(|| Some(derived_mac(pf.mac?, index)));
        if port.promiscuous {
            wish.settings.trust = Some(true);
        }
    } else if let Some(allocation) = allocations.of_vf(&pf.device, index) {
        wish.owner = Owner::Guest(allocation.guest.clone());
        wish.driver = Some(Driver::Named("vfio-pci".to_owned()));
    } else if let Some(guest) = guest {
        wish.owner = Owner::Guest(guest.to_owned());
    }
    wish
}

fn of_driver(driver: VfDriver) -> Option<Driver> {
    match driver {
        VfDriver::Any => None,
        VfDriver::VfioPci => Some(Driver::Named("vfio-pci".to_owned())),
        VfDriver::Kernel => Some(Driver::Kernel),
        VfDriver::None => Some(Driver::None),
    }
}

fn of_settings(settings: &VfSettings, pf: &Pf, index: u16) -> Settings {
    Settings {
        mac: match settings.mac {
            VfMac::Any => None,
            VfMac::Derived => pf.mac.map(|pf| derived_mac(pf, index)),
            VfMac::Fixed(mac) => Some(mac),
        },
        vlan: settings.vlan.map(|vlan| {
            (
                vlan,
                settings.qos.unwrap_or(0),
                settings.vlan_protocol.unwrap_or(VlanProtocol::Dot1Q),
            )
        }),
        rate_mbps: (settings.max_tx_rate_mbps.is_some() || settings.min_tx_rate_mbps.is_some()).then(|| {
            (
                settings.min_tx_rate_mbps.unwrap_or(0),
                settings.max_tx_rate_mbps.unwrap_or(0),
            )
        }),
        spoofchk: settings.spoofchk,
        trust: settings.trust,
        link: settings.link,
    }
}
