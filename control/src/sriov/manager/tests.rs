//! What is shown when a NIC is pulled out under a guest, and what a fresh VF has.

use super::*;
use crate::sriov::model::Vf;

fn notes() -> Notes {
    let config = weir_configs::parse(
        "[dataplane]\nworkers = [1]\n[[sriov]]\npf = \"0000:41:00.0\"\nvfs = 2\ndriver = \"vfio-pci\"\n",
        "test",
    );
    let allocation = Allocation {
        guest: "web1".into(),
        pf: "0000:41:00.0".into(),
        vf: 1,
        address: "0000:41:10.2".into(),
        through: Through::Libvirt,
    };
    Notes {
        config: Arc::new(config.unwrap_or_else(|report| panic!("{report}"))),
        allocations: Allocations {
            list: vec![allocation],
        },
        failures: HashMap::new(),
    }
}

fn pf(vfs: u16) -> Pf {
    let vf = |index| Vf {
        index,
        address: Some(format!("0000:41:10.{}", index * 2)),
        ..Vf::default()
    };
    Pf {
        device: "0000:41:00.0".into(),
        interface: Some("eth0".into()),
        vfs: (0..vfs).map(vf).collect(),
        ..Pf::default()
    }
}

#[test]
fn a_nic_that_is_pulled_out_is_missed_with_the_vfs_of_its_guests() {
    let all = picture(vec![pf(2)], &notes());
    assert!(all.absent.is_empty() && all.lost.is_empty());
    // Its VFs are gone, as after a reload of its driver: they are made again.
    let reset = picture(vec![pf(0)], &notes());
    assert_eq!(reset.lost.len(), 1);
    let steps = &reset.pfs[0].plan.as_ref().unwrap().steps;
    assert!(
        steps.iter().any(|step| step.to_string().contains("from 0 to 2")),
        "{steps:?}"
    );
    let gone = picture(Vec::new(), &notes());
    assert_eq!(
        (gone.absent, gone.lost.len()),
        (vec!["0000:41:00.0".to_owned()], 1)
    );
}

#[test]
fn nothing_of_the_last_guest_stays_that_is_not_wished() {
    let now = Settings {
        rate_mbps: Some((0, 200)),
        trust: Some(true),
        spoofchk: Some(false),
        vlan: Some((7, 3, VlanProtocol::Dot1Q)),
        ..Settings::default()
    };
    let wish = Settings {
        rate_mbps: Some((0, 1000)),
        ..Settings::default()
    };
    let fresh = with_defaults(&wish, &now);
    assert_eq!(
        (fresh.rate_mbps, fresh.trust, fresh.spoofchk, fresh.vlan),
        (
            Some((0, 1000)),
            Some(false),
            Some(true),
            Some((0, 0, VlanProtocol::Dot1Q))
        )
    );
    // What the driver does not tell is not set.
    assert_eq!(
        with_defaults(&Settings::default(), &Settings::default()),
        Settings::default()
    );
}
