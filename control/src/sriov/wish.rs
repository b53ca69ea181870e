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
        let shares_a_mac = has_virtual_mac(config, &port.name);
        if port.promiscuous || shares_a_mac {
            wish.settings.trust = Some(true);
        }
        // The check knows the VF's own address only, and would drop what goes out from the virtual router's. ixgbe turns it off by itself.
        if shares_a_mac {
            wish.settings.spoofchk = Some(false);
        }
    } else if let Some(allocation) = allocations.of_vf(&pf.device, index) {
        wish.owner = Owner::Guest(allocation.guest.clone());
        wish.driver = Some(Driver::Named("vfio-pci".to_owned()));
    } else if let Some(guest) = guest {
        wish.owner = Owner::Guest(guest.to_owned());
    }
    wish
}

/// Whether a virtual router on this port brings a MAC address of its own: the VF then needs one more than the host gave it.
fn has_virtual_mac(config: &Config, port: &str) -> bool {
    let on_it = |router: &&weir_configs::Vrrp| router.port.as_deref() == Some(port);
    config.vrrps.iter().filter(on_it).any(|router| router.virtual_mac)
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

#[cfg(test)]
mod tests {
    use super::*;
    use weir_configs::MacAddress;

    fn wish(extra: &str) -> PfWish {
        let text = format!(
            r#"
            [dataplane]
            workers = [1]
            [[sriov]]
            pf = "0000:41:00.0"
            vfs = 2
            spoofchk = true
            [[port]]
            name = "lan"
            pf = "0000:41:00.0"
            vf = 0
            addresses = ["192.0.2.2/24"]
            {extra}"#
        );
        let config = weir_configs::parse(&text, "test").unwrap_or_else(|report| panic!("{report}"));
        let pf = Pf {
            device: "0000:41:00.0".into(),
            mac: Some(MacAddress([0x90, 0xe2, 0xba, 0, 0, 1])),
            ..Pf::default()
        };
        of_pf(&config, &Allocations::default(), &pf).unwrap()
    }

    /// Trust and spoof check of the port's VF and of another.
    fn rights(extra: &str) -> [(Option<bool>, Option<bool>); 2] {
        let wish = wish(extra);
        [0, 1].map(|vf| (wish.vfs[vf].settings.trust, wish.vfs[vf].settings.spoofchk))
    }

    #[test]
    fn a_port_gets_the_rights_that_its_addresses_need() {
        let router = |rest: &str| {
            format!(
                "host_interface = 'weir0'\n[[vrrp]]\nname = 'v'\nport = 'lan'\nvirtual_router_id = 1\naddresses = ['192.0.2.100/24']\n{rest}"
            )
        };
        let other = (None, Some(true));
        assert_eq!(rights(""), [other, other]);
        assert_eq!(rights("promiscuous = true"), [(Some(true), Some(true)), other]);
        assert_eq!(rights(&router("virtual_mac = false")), [other, other]);
        assert_eq!(
            rights(&router("virtual_mac = true")),
            [(Some(true), Some(false)), other]
        );
    }

    #[test]
    fn a_port_has_vfio_pci_and_a_mac_that_stays() {
        let wish = wish("");
        assert_eq!(wish.vfs[0].owner, Owner::Port("lan".into()));
        assert_eq!(wish.vfs[0].driver, Some(Driver::Named("vfio-pci".into())));
        assert!(wish.vfs[0].settings.mac.is_some() && wish.vfs[1].settings.mac.is_none());
    }
}
