//! Who gets which VF, and what is said when there is none.

use super::*;
use crate::sriov::model::{Vf, VfWish};

/// A PF with `count` VFs on a NUMA node, all free.
fn pf(device: &str, count: u16, numa_node: u16) -> (Pf, PfWish) {
    let vf = |index| Vf {
        index,
        address: Some(format!("{}:10.{index}", &device[..7])),
        ..Vf::default()
    };
    let pf = Pf {
        device: device.into(),
        numa_node: Some(numa_node),
        vfs: (0..count).map(vf).collect(),
        ..Pf::default()
    };
    (
        pf,
        PfWish {
            vfs: vec![VfWish::default(); count.into()],
            autoprobe: None,
        },
    )
}

fn ask(guest: &str) -> Ask {
    Ask {
        guest: guest.into(),
        ..Ask::default()
    }
}

fn give(allocations: &mut Allocations, pf: &Pf, vf: u16, guest: &str) {
    allocations.list.push(Allocation {
        guest: guest.into(),
        pf: pf.device.clone(),
        vf,
        address: String::new(),
        through: Through::Libvirt,
    });
}

#[test]
fn what_is_kept_then_the_node_then_the_emptier_pf() {
    let (near, mut near_wish) = pf("0000:41:00.0", 2, 0);
    let (far, far_wish) = pf("0000:81:00.0", 4, 1);
    near_wish.vfs[1].owner = Owner::Guest("web1".into());
    let managed = [(&near, &near_wish), (&far, &far_wish)];
    let mut allocations = Allocations::default();
    let chosen = |allocations: &Allocations, ask: Ask| {
        allocations
            .choose(&managed, &ask)
            .map(|(pf, vf)| (pf.device.clone(), vf))
    };
    assert_eq!(
        chosen(&allocations, ask("web1")),
        Ok(("0000:41:00.0".into(), 1)),
        "kept for it"
    );
    assert_eq!(
        chosen(&allocations, ask("web2")),
        Ok(("0000:81:00.0".into(), 0)),
        "most free"
    );
    let on_node = Ask {
        numa_node: Some(0),
        ..ask("web2")
    };
    assert_eq!(
        chosen(&allocations, on_node.clone()),
        Ok(("0000:41:00.0".into(), 0))
    );
    give(&mut allocations, &near, 0, "web2");
    assert_eq!(
        chosen(&allocations, on_node),
        Ok(("0000:81:00.0".into(), 0)),
        "the node is preferred, not demanded"
    );
}

#[test]
fn exhaustion_names_who_has_them() {
    let (mut pf, mut wish) = pf("0000:41:00.0", 4, 0);
    wish.vfs[0].owner = Owner::Port("lan".into());
    wish.vfs[1].owner = Owner::Guest("db".into());
    pf.vfs[2].held = true;
    let mut allocations = Allocations::default();
    give(&mut allocations, &pf, 3, "web1");
    let message = allocations
        .choose(&[(&pf, &wish)], &ask("web2"))
        .unwrap_err()
        .to_string();
    for part in [
        "VF 0 port lan",
        "VF 1 guest db",
        "VF 2 a process that has it open",
        "VF 3 guest web1",
        "raise `vfs`",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn one_that_is_named_is_given_or_its_owner_named() {
    let (pf, wish) = pf("0000:41:00.0", 2, 0);
    let mut allocations = Allocations::default();
    give(&mut allocations, &pf, 0, "web1");
    let named = |vf| Ask {
        vf: Some(vf),
        ..ask("web2")
    };
    assert_eq!(
        allocations.choose(&[(&pf, &wish)], &named(1)).map(|(_, vf)| vf),
        Ok(1)
    );
    assert!(
        matches!(allocations.choose(&[(&pf, &wish)], &named(0)), Err(NoVf::Taken { owner, .. }) if owner == "guest web1")
    );
    assert!(matches!(
        allocations.choose(&[(&pf, &wish)], &named(2)),
        Err(NoVf::NoSuch { .. })
    ));
    let elsewhere = Ask {
        pf: Some("enp1s0".into()),
        ..ask("web2")
    };
    assert!(matches!(
        allocations.choose(&[(&pf, &wish)], &elsewhere),
        Err(NoVf::NoSuch { .. })
    ));
}

#[test]
fn a_guest_takes_32_at_most() {
    let (pf, wish) = pf("0000:41:00.0", 63, 0);
    let mut allocations = Allocations::default();
    for vf in 0..32 {
        let (_, chosen) = allocations.choose(&[(&pf, &wish)], &ask("big")).unwrap();
        assert_eq!(chosen, vf, "each is given once");
        give(&mut allocations, &pf, chosen, "big");
    }
    assert!(matches!(
        allocations.choose(&[(&pf, &wish)], &ask("big")),
        Err(NoVf::GuestFull { .. })
    ));
    assert!(allocations.choose(&[(&pf, &wish)], &ask("other")).is_ok());
}

#[test]
fn the_book_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("below/sriov.json");
    assert_eq!(Allocations::load(&path).unwrap(), Allocations::default());
    let mut allocations = Allocations::default();
    give(&mut allocations, &pf("0000:41:00.0", 1, 0).0, 0, "web1");
    allocations.save(&path).unwrap();
    assert_eq!(Allocations::load(&path).unwrap(), allocations);
    fs::write(&path, "{").unwrap();
    assert!(
        Allocations::load(&path).is_err(),
        "a broken book is not an empty one"
    );
}
