//! `[[sriov]]` and ports on virtual functions: what is read, and what is refused.

use weir_configs::{Config, Device, PfName, VfDriver, VfMac, parse};

const TWO_GUESTS: &str = r#"
[control]
sriov = "observe"

[[sriov]]
pf = "41:00.0"
vfs = 63
mac = "derived"
spoofchk = true
max_tx_rate_mbps = 1000
driver = "vfio-pci"

  [[sriov.vf]]
  index = 0
  mac = "02:00:00:00:0a:00"
  max_tx_rate_mbps = 0

  [[sriov.vf]]
  index = 62
  guest = "web1"
  vlan = 100
  qos = 3

[[port]]
name = "lan"
pf = "0000:41:00.0"
vf = 0
addresses = ["192.0.2.2/24"]
"#;

fn load(text: &str) -> Config {
    parse(text, "sriov.toml").unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn a_vf_takes_the_template_and_its_own_keys() {
    let config = load(TWO_GUESTS);
    let sriov = &config.sriov[0];
    assert_eq!(sriov.pf, PfName::Pci("0000:41:00.0".into()));
    let (first, guest) = sriov.vf(0);
    assert!(matches!(first.mac, VfMac::Fixed(_)) && guest.is_none());
    assert_eq!(
        (first.max_tx_rate_mbps, first.spoofchk, first.driver),
        (Some(0), Some(true), VfDriver::VfioPci)
    );
    let (last, guest) = sriov.vf(62);
    assert_eq!(
        (last.vlan, last.qos, last.mac, guest),
        (Some(100), Some(3), VfMac::Derived, Some("web1"))
    );
    assert_eq!(sriov.vf(5).0, &sriov.settings);
    assert_eq!(
        config.ports[0].device,
        Device::Vf {
            pf: sriov.pf.clone(),
            vf: 0
        }
    );
}

#[test]
fn what_is_written_out_loads_as_the_same() {
    let config = load(TWO_GUESTS);
    assert_eq!(load(&config.to_toml()), config);
}

#[test]
fn pfs_are_named_in_three_ways() {
    for (text, name) in [
        ("0000:41:00.1", PfName::Pci("0000:41:00.1".into())),
        ("enp65s0f0", PfName::Interface("enp65s0f0".into())),
        (
            "90:e2:ba:00:00:01",
            PfName::Mac("90:e2:ba:00:00:01".parse().unwrap()),
        ),
    ] {
        assert_eq!(
            load(&format!("[[sriov]]\npf = '{text}'\nvfs = 0\n")).sriov[0].pf,
            name
        );
    }
}

/// A file, and a part of the message it must get.
const REFUSED: &[(&str, &str)] = &[
    ("[[sriov]]\npf = 'eth0'\n", "has no `vfs`"),
    ("[[sriov]]\nvfs = 1\n", "has no `pf`"),
    ("[[sriov]]\npf = 'eth0'\nvfs = 513\n", "out of range"),
    ("[[sriov]]\npf = 'an interface'\nvfs = 1\n", "is no NIC port"),
    (
        "[[sriov]]\npf = 'eth0'\nvfs = 2\nmac = '02:00:00:00:00:01'\n",
        "one MAC address for all VFs",
    ),
    (
        "[[sriov]]\npf = 'eth0'\nvfs = 2\nmac = '01:00:5e:00:00:01'\n",
        "not the address of one host",
    ),
    ("[[sriov]]\npf = 'eth0'\nvfs = 2\nqos = 3\n", "without a `vlan`"),
    ("[[sriov]]\npf = 'eth0'\nvfs = 2\nvlan = 4095\n", "out of range"),
    (
        "[[sriov]]\npf = 'eth0'\nvfs = 2\nmin_tx_rate_mbps = 200\nmax_tx_rate_mbps = 100\n",
        "is above",
    ),
    (
        "[[sriov]]\npf = 'eth0'\nvfs = 2\ndriver = 'vfio'\n",
        "`driver` cannot be",
    ),
    (
        "[[sriov]]\npf = 'eth0'\nvfs = 2\n[[sriov.vf]]\nindex = 2\n",
        "there is no VF 2",
    ),
    (
        "[[sriov]]\npf = 'eth0'\nvfs = 2\n[[sriov.vf]]\nindex = 1\n[[sriov.vf]]\nindex = 1\n",
        "VF 1 has two entries",
    ),
    (
        "[[sriov]]\npf = 'eth0'\nvfs = 2\n[[sriov.vf]]\nindex = 0\nmac = '02:00:00:00:00:01'\n[[sriov.vf]]\nindex = 1\nmac = '02:00:00:00:00:01'\n",
        "two VFs have this MAC",
    ),
    (
        "[[sriov]]\npf = 'eth0'\nvfs = 2\n[[sriov]]\npf = 'eth0'\nvfs = 3\n",
        "already used",
    ),
    ("[[port]]\nname = 'a'\npf = 'eth0'\nvf = 0\n", "no [[sriov]] has"),
    ("[[port]]\nname = 'a'\npf = 'eth0'\n", "has no `vf`"),
    (
        "[[port]]\nname = 'a'\ndevice = 'null'\npf = 'eth0'\nvf = 0\n",
        "beside",
    ),
    (
        "[[sriov]]\npf = 'eth0'\nvfs = 2\n[[port]]\nname = 'a'\npf = 'eth0'\nvf = 2\n",
        "there is no VF 2",
    ),
    (
        "[[sriov]]\npf = 'eth0'\nvfs = 2\n[[sriov.vf]]\nindex = 1\nguest = 'web'\n[[port]]\nname = 'a'\npf = 'eth0'\nvf = 1\n",
        "kept for the guest",
    ),
    (
        "[[sriov]]\npf = 'eth0'\nvfs = 2\ndriver = 'kernel'\n[[port]]\nname = 'a'\npf = 'eth0'\nvf = 1\n",
        "another driver",
    ),
    ("[control]\nsriov = 'watch'\n", "`sriov` cannot be"),
];

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    for (text, wanted) in REFUSED {
        let report = parse(text, "sriov.toml").expect_err(text);
        assert!(report.to_string().contains(wanted), "{text}\n{report}");
    }
}
