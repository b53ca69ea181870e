//! What the drivers of physical functions take, one table each, with the source of every figure.
//!
//! Kernel files are of Linux 6.12. A driver that is not here has no rules of its own: the device's `sriov_totalvfs` and the driver's own
//! answers are what is left.

use super::model::Setting;
use std::fmt;
use weir_configs::VlanProtocol;

/// Transmit rates in Mbit/s that a driver takes besides 0, which is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Lowest that is kept as it is.
    pub low_mbps: u32,
    /// Highest.
    pub high_mbps: u32,
    /// What the driver makes of something below `low_mbps`.
    pub below: Below,
}

/// What becomes of a rate that is too low.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Below {
    /// The driver answers EINVAL.
    Refused,
    /// The driver takes the lowest and only logs it.
    Raised,
}

/// Rules of one driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The PF's driver.
    pub driver: &'static str,
    /// The NICs it is for.
    pub nics: &'static str,
    /// Most VFs of one PF, whatever the device says.
    pub vfs_max: Option<u16>,
    /// Queues of a VF, in words.
    pub queues: &'static str,
    /// Rates; `None`: any up to the link's speed.
    pub max_tx_rate: Option<Rates>,
    /// Whether a rate can only be set while the link is up.
    pub rate_needs_link: bool,
    /// Whether it takes a least rate.
    pub min_tx_rate: bool,
    /// Whether it takes 802.1ad tags.
    pub dot1ad: bool,
    /// Whether it takes a link state.
    pub link_state: bool,
    /// Whether it takes spoof check and trust.
    pub spoofchk_and_trust: bool,
    /// Where the figures are from: what, and the place.
    pub sources: &'static [(&'static str, &'static str)],
}

/// Every driver that is known.
pub const RULES: &[Rules] = &[
    Rules {
        driver: "ixgbe",
        nics: "X520, X540, X550",
        vfs_max: Some(63),
        queues: "4 a VF with up to 32 VFs, 2 with more",
        max_tx_rate: Some(Rates {
            low_mbps: 11,
            high_mbps: 10_000,
            below: Below::Refused,
        }),
        rate_needs_link: true,
        min_tx_rate: false,
        dot1ad: false,
        link_state: true,
        spoofchk_and_trust: true,
        sources: &[
            (
                "vfs_max",
                "ixgbe_sriov.h: IXGBE_MAX_VFS_DRV_LIMIT, one of 64 pools is the PF's",
            ),
            ("queues", "DPDK guides/nics/intel_vf.rst"),
            (
                "max_tx_rate",
                "ixgbe_sriov.c: ixgbe_ndo_set_vf_bw refuses 1 to 10, and more than the link's speed",
            ),
            (
                "rate_needs_link",
                "ixgbe_sriov.c: ixgbe_ndo_set_vf_bw, EINVAL unless link_up, and at 10 Gbit/s",
            ),
            ("min_tx_rate", "ixgbe_sriov.c: ixgbe_ndo_set_vf_bw, EINVAL"),
            ("dot1ad", "ixgbe_sriov.c: ixgbe_ndo_set_vf_vlan, EPROTONOSUPPORT"),
            (
                "link_state",
                "ixgbe_sriov.c: ixgbe_ndo_set_vf_link_state; older kernels answer EOPNOTSUPP",
            ),
        ],
    },
    Rules {
        driver: "i40e",
        nics: "X710, X722",
        vfs_max: Some(128),
        queues: "4 a VF, up to 16 on request",
        max_tx_rate: Some(Rates {
            low_mbps: 50,
            high_mbps: 10_000,
            below: Below::Raised,
        }),
        rate_needs_link: false,
        min_tx_rate: false,
        dot1ad: false,
        link_state: true,
        spoofchk_and_trust: true,
        sources: &[
            (
                "vfs_max",
                "X710 datasheet: 128 VFs a device, shared by its ports; sriov_totalvfs tells each port's share",
            ),
            ("queues", "DPDK guides/nics/intel_vf.rst and i40e.rst"),
            (
                "max_tx_rate",
                "i40e_main.c: i40e_set_bw_limit, below 50 becomes 50, above the link's speed EINVAL; 10000 on X710",
            ),
            ("min_tx_rate", "i40e_virtchnl_pf.c: i40e_ndo_set_vf_bw, EINVAL"),
            (
                "dot1ad",
                "i40e_virtchnl_pf.c: i40e_ndo_set_vf_port_vlan, EPROTONOSUPPORT",
            ),
        ],
    },
    Rules {
        driver: "ice",
        nics: "E810, E830",
        vfs_max: Some(256),
        queues: "16 a VF, fewer with many VFs",
        max_tx_rate: None,
        rate_needs_link: false,
        min_tx_rate: true,
        dot1ad: true,
        link_state: true,
        spoofchk_and_trust: true,
        sources: &[
            ("vfs_max", "ice_vf_lib.h: ICE_MAX_SRIOV_VFS"),
            ("queues", "ice_vf_lib.h: ICE_MAX_RSS_QS_PER_VF"),
            ("min_tx_rate", "ice_sriov.c: ice_set_vf_bw"),
            ("dot1ad", "ice_sriov.c: ice_set_vf_port_vlan, in double VLAN mode"),
        ],
    },
    Rules {
        driver: "igb",
        nics: "82576, I350",
        vfs_max: Some(7),
        queues: "1 a VF",
        max_tx_rate: Some(Rates {
            low_mbps: 1,
            high_mbps: 1_000,
            below: Below::Refused,
        }),
        rate_needs_link: true,
        min_tx_rate: false,
        dot1ad: false,
        link_state: false,
        spoofchk_and_trust: true,
        sources: &[
            (
                "vfs_max",
                "igb_main.c: igb_probe_vfs, pci_sriov_set_totalvfs(pdev, 7)",
            ),
            (
                "max_tx_rate",
                "igb_main.c: igb_ndo_set_vf_bw, up to the link's speed; only the 82576 limits",
            ),
            (
                "rate_needs_link",
                "igb_main.c: igb_ndo_set_vf_bw, EINVAL unless E1000_STATUS_LU",
            ),
            ("min_tx_rate", "igb_main.c: igb_ndo_set_vf_bw, EINVAL"),
            ("dot1ad", "igb_main.c: igb_ndo_set_vf_vlan, EPROTONOSUPPORT"),
            (
                "link_state",
                "igb_main.c: igb_netdev_ops has no ndo_set_vf_link_state",
            ),
        ],
    },
    Rules {
        driver: "mlx5_core",
        nics: "ConnectX-4 to ConnectX-8",
        vfs_max: None,
        queues: "as many as the VF's driver asks for",
        max_tx_rate: None,
        rate_needs_link: false,
        min_tx_rate: true,
        dot1ad: false,
        link_state: true,
        spoofchk_and_trust: true,
        sources: &[
            (
                "vfs_max",
                "sriov.c: mlx5_get_max_vfs, the device's own TotalVFs, which is the firmware's NUM_OF_VFS (mlxconfig)",
            ),
            (
                "max_tx_rate",
                "esw/qos.c: esw_qos_set_vport_max_rate, EOPNOTSUPP unless the firmware has esw_rate_limit; no range",
            ),
            (
                "min_tx_rate",
                "esw/qos.c: esw_qos_set_vport_min_rate, EOPNOTSUPP unless the firmware has esw_bw_share",
            ),
            ("dot1ad", "en_main.c: mlx5e_set_vf_vlan, EPROTONOSUPPORT"),
            (
                "spoofchk_and_trust",
                "esw/legacy.c: mlx5_eswitch_set_vport_spoofchk and _trust, EOPNOTSUPP in switchdev mode, as a VLAN",
            ),
        ],
    },
    Rules {
        driver: "netdevsim",
        nics: "simulated, for tests",
        vfs_max: Some(4),
        queues: "none",
        max_tx_rate: None,
        rate_needs_link: false,
        min_tx_rate: true,
        dot1ad: true,
        link_state: true,
        spoofchk_and_trust: true,
        sources: &[(
            "vfs_max",
            "netdevsim/bus.c: NSIM_BUS_DEV_MAX_VFS; debugfs max_vfs may say another",
        )],
    },
];

/// The rules of a driver.
pub fn of(driver: Option<&str>) -> Option<&'static Rules> {
    RULES.iter().find(|rules| Some(rules.driver) == driver)
}

/// A wish that a driver does not fulfil.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfRange {
    /// What is wished.
    pub wish: String,
    /// What is possible.
    pub range: String,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.wish, self.range)
    }
}

impl Rules {
    /// What the driver will make of `setting`: the setting as it will be read back, or why it is refused.
    pub fn effect(&self, setting: Setting) -> Result<Setting, OutOfRange> {
        let refused = |range: String| {
            Err(OutOfRange {
                wish: setting.to_string(),
                range,
            })
        };
        match setting {
            Setting::Rate { min_mbps, .. } if min_mbps > 0 && !self.min_tx_rate => {
                refused(format!("{} has no min_tx_rate; leave it out", self.driver))
            }
            Setting::Rate { min_mbps, max_mbps } => match self.rate(max_mbps) {
                Ok(max_mbps) => Ok(Setting::Rate { min_mbps, max_mbps }),
                Err(range) => refused(range),
            },
            Setting::Vlan {
                id,
                protocol: VlanProtocol::Dot1Ad,
                ..
            } if id > 0 && !self.dot1ad => refused(format!(
                "{} has no 802.1ad; use vlan_protocol = \"802.1q\"",
                self.driver
            )),
            Setting::Link(_) if !self.link_state => refused(format!(
                "{} has no link state for VFs; leave `link` out",
                self.driver
            )),
            Setting::SpoofCheck(_) | Setting::Trust(_) if !self.spoofchk_and_trust => {
                refused(format!("{} has neither spoofchk nor trust", self.driver))
            }
            Setting::Mac(_)
            | Setting::Vlan { .. }
            | Setting::Link(_)
            | Setting::SpoofCheck(_)
            | Setting::Trust(_) => Ok(setting),
        }
    }

    fn rate(&self, wish: u32) -> Result<u32, String> {
        let Some(rates) = self.max_tx_rate else {
            return Ok(wish);
        };
        let Rates {
            low_mbps,
            high_mbps,
            below,
        } = rates;
        if wish == 0 || (low_mbps..=high_mbps).contains(&wish) {
            return Ok(wish);
        }
        match below {
            Below::Raised if wish < low_mbps => Ok(low_mbps),
            Below::Raised | Below::Refused => Err(format!(
                "{} takes max_tx_rate from {low_mbps} to {high_mbps} Mbit/s, or 0 for no limit",
                self.driver
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_configs::VfLink;

    fn rate(max_mbps: u32) -> Setting {
        Setting::Rate {
            min_mbps: 0,
            max_mbps,
        }
    }

    /// Driver, wish, and what comes of it: the setting itself, another, or a part of the refusal.
    #[derive(Debug)]
    enum Gives {
        Same,
        Other(Setting),
        No(&'static str),
    }

    #[test]
    fn every_limit_holds_at_both_of_its_sides() {
        let tagged = |protocol| Setting::Vlan {
            id: 100,
            qos: 3,
            protocol,
        };
        let guaranteed = Setting::Rate {
            min_mbps: 50,
            max_mbps: 200,
        };
        let table = [
            ("ixgbe", rate(0), Gives::Same),
            ("ixgbe", rate(10), Gives::No("from 11 to 10000")),
            ("ixgbe", rate(11), Gives::Same),
            ("ixgbe", rate(10_000), Gives::Same),
            ("ixgbe", rate(10_001), Gives::No("from 11 to 10000")),
            ("ixgbe", guaranteed, Gives::No("no min_tx_rate")),
            ("ixgbe", tagged(VlanProtocol::Dot1Ad), Gives::No("802.1ad")),
            ("ixgbe", tagged(VlanProtocol::Dot1Q), Gives::Same),
            ("i40e", rate(0), Gives::Same),
            ("i40e", rate(1), Gives::Other(rate(50))),
            ("i40e", rate(49), Gives::Other(rate(50))),
            ("i40e", rate(50), Gives::Same),
            ("i40e", rate(10_001), Gives::No("from 50 to 10000")),
            ("igb", rate(1_000), Gives::Same),
            ("igb", rate(1_001), Gives::No("from 1 to 1000")),
            ("igb", Setting::Link(VfLink::Enable), Gives::No("link state")),
            ("ice", guaranteed, Gives::Same),
            ("ice", tagged(VlanProtocol::Dot1Ad), Gives::Same),
            ("mlx5_core", rate(100_000), Gives::Same),
            ("mlx5_core", guaranteed, Gives::Same),
            ("mlx5_core", tagged(VlanProtocol::Dot1Ad), Gives::No("802.1ad")),
            ("netdevsim", Setting::Link(VfLink::Disable), Gives::Same),
        ];
        for (driver, wish, gives) in table {
            let effect = of(Some(driver)).unwrap().effect(wish);
            match gives {
                Gives::Same => assert_eq!(effect, Ok(wish), "{driver}"),
                Gives::Other(other) => assert_eq!(effect, Ok(other), "{driver} {wish}"),
                Gives::No(part) => {
                    let message = effect.unwrap_err().to_string();
                    assert!(message.contains(part), "{driver}: {message}");
                }
            }
        }
    }

    #[test]
    fn every_figure_that_refuses_something_has_a_source() {
        for rules in RULES {
            let sourced = |figure: &str| {
                rules
                    .sources
                    .iter()
                    .any(|(what, place)| *what == figure && !place.is_empty())
            };
            assert!(sourced("vfs_max"), "{}", rules.driver);
            assert!(
                rules.max_tx_rate.is_none() || sourced("max_tx_rate"),
                "{}",
                rules.driver
            );
            assert!(
                !rules.rate_needs_link || sourced("rate_needs_link"),
                "{}",
                rules.driver
            );
            assert!(rules.dot1ad || sourced("dot1ad"), "{}", rules.driver);
            assert!(rules.min_tx_rate || sourced("min_tx_rate"), "{}", rules.driver);
            assert!(rules.link_state || sourced("link_state"), "{}", rules.driver);
        }
    }
}
