//! A kernel in memory that behaves as ixgbe and PCI do, and fails where it is told to: whatever is wished and whatever fails, what is there
//! afterwards is the wish, or what was before with an error that names the step.

use super::*;
use crate::sriov::model::{Owner, Settings, Vf};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::io::Errno;
use std::hash::{BuildHasher, RandomState};
use weir_configs::{MacAddress, VlanProtocol};

const DEVICE: &str = "0000:41:00.0";

/// What goes wrong, once.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// A call answers with an error.
    Error(Errno),
    /// A call says it is done, and is not.
    Lie,
    /// The number of VFs changes, but after the deadline.
    Slow,
    /// The device is gone for one look.
    Gone,
}

struct Kernel {
    pf: Pf,
    /// Looks until the link is back.
    link_down_for: u32,
    /// Looks until a slow change of the number is done, and what it will be.
    pending: Option<(u32, u16)>,
    /// The fault of call number so and so.
    fault: Option<(u32, Fault)>,
    calls: u32,
    cable: bool,
}

fn fresh(index: u16) -> Vf {
    let settings = Settings {
        mac: Some(MacAddress([0; 6])),
        vlan: Some((0, 0, VlanProtocol::Dot1Q)),
        rate_mbps: Some((0, 0)),
        spoofchk: Some(true),
        trust: Some(false),
        // ixgbe's read-back tells of a link state, as every driver's does.
        link: Some(weir_configs::VfLink::Auto),
    };
    Vf {
        index,
        address: Some(format!("0000:41:10.{index}")),
        iommu_group: Some(40 + u32::from(index)),
        settings,
        ..Vf::default()
    }
}

impl Kernel {
    fn new(vfs: u16) -> Self {
        let pf = Pf {
            device: DEVICE.into(),
            interface: Some("enp65s0f0".into()),
            driver: Some("ixgbe".into()),
            vfs_max: Some(63),
            autoprobe: Some(true),
            up: true,
            carrier: true,
            vfs: (0..vfs).map(fresh).collect(),
            ..Pf::default()
        };
        Self {
            pf,
            link_down_for: 0,
            pending: None,
            fault: None,
            calls: 0,
            cable: true,
        }
    }

    fn change_count(&mut self, count: u16) {
        self.pf.vfs = (0..count).map(fresh).collect();
        if self.pf.autoprobe == Some(true) {
            self.pf
                .vfs
                .iter_mut()
                .for_each(|vf| vf.driver = Some("ixgbevf".into()));
        }
        self.pf.carrier = false;
        self.link_down_for = 3;
    }

    /// The fault of this call, if it is its turn. `Ok(true)`: do nothing, but say it is done.
    fn turn(&mut self) -> Result<Option<Fault>, HostError> {
        self.calls += 1;
        match self.fault.filter(|(at, _)| *at == self.calls) {
            Some((_, Fault::Error(errno))) => Err(errno.into()),
            Some((_, Fault::Gone)) => Err(HostError::Vanished),
            Some((_, fault)) => Ok(Some(fault)),
            None => Ok(None),
        }
    }

    fn vf(&mut self, address: &str) -> &mut Vf {
        self.pf
            .vfs
            .iter_mut()
            .find(|vf| vf.address.as_deref() == Some(address))
            .unwrap()
    }

    /// Runs a change, unless it is this call's turn to fail.
    fn change(&mut self, change: impl FnOnce(&mut Self)) -> Result<(), HostError> {
        if self.turn()?.is_none() {
            change(self);
        }
        Ok(())
    }

    /// What can be compared: everything but the link and what follows from it.
    fn state(&self) -> Pf {
        Pf {
            carrier: true,
            ..self.pf.clone()
        }
    }
}

impl Host for Kernel {
    fn read(&mut self, device: &str) -> Result<Pf, HostError> {
        assert_eq!(device, DEVICE);
        if self.turn()? == Some(Fault::Slow) {
            self.link_down_for += 1;
        }
        Ok(self.pf.clone())
    }

    fn set_up(&mut self, _: &Pf) -> Result<(), HostError> {
        self.change(|kernel| kernel.pf.up = true)
    }

    fn set_autoprobe(&mut self, _: &str, on: bool) -> Result<(), HostError> {
        self.change(|kernel| kernel.pf.autoprobe = Some(on))
    }

    fn set_count(&mut self, _: &str, count: u16) -> Result<(), HostError> {
        assert!(
            self.pending.is_none(),
            "a second write would hang behind the first"
        );
        match self.turn()? {
            Some(Fault::Slow) => {
                self.pending = Some((5, count));
                return Err(HostError::TimedOut { seconds: 30 });
            }
            Some(_) => return Ok(()),
            None => {}
        }
        if count > 63 {
            return Err(Errno::RANGE.into());
        }
        if count > 0 && !self.pf.vfs.is_empty() {
            return Err(Errno::BUSY.into());
        }
        assert!(self.pf.vfs.iter().all(|vf| !vf.held), "this would hang");
        self.change_count(count);
        Ok(())
    }

    fn is_busy(&mut self, _: &str) -> bool {
        self.pending.is_some()
    }

    fn set_vf(&mut self, _: &Pf, vf: u16, setting: Setting) -> Result<(), HostError> {
        if self.turn()?.is_some() {
            return Ok(());
        }
        if matches!(setting, Setting::Rate { .. }) && !self.pf.carrier {
            return Err(Errno::INVAL.into());
        }
        let vf = self
            .pf
            .vfs
            .get_mut(usize::from(vf))
            .ok_or(HostError::System(Errno::INVAL.into()))?;
        vf.settings.set(setting);
        Ok(())
    }

    fn set_override(&mut self, address: &str, driver: Option<&str>) -> Result<(), HostError> {
        let driver = driver.map(str::to_owned);
        self.change(|kernel| kernel.vf(address).driver_override = driver)
    }

    fn unbind(&mut self, address: &str, driver: &str) -> Result<(), HostError> {
        assert!(!self.vf(address).held, "this would hang");
        if self.vf(address).driver.as_deref() != Some(driver) {
            return Err(Errno::NODEV.into());
        }
        self.change(|kernel| kernel.vf(address).driver = None)
    }

    fn probe(&mut self, address: &str) -> Result<(), HostError> {
        self.change(|kernel| {
            let autoprobe = kernel.pf.autoprobe == Some(true);
            let vf = kernel.vf(address);
            if vf.driver_override.is_none() && !autoprobe {
                return;
            }
            let chosen = vf.driver_override.clone().unwrap_or_else(|| "ixgbevf".to_owned());
            vf.driver.get_or_insert(chosen);
        })
    }

    fn pause(&mut self) {
        if self.link_down_for > 0 {
            self.link_down_for -= 1;
        }
        self.pf.carrier = self.cable && self.link_down_for == 0;
        match self.pending {
            Some((0, count)) => {
                self.change_count(count);
                self.pending = None;
            }
            Some((looks, count)) => self.pending = Some((looks - 1, count)),
            None => {}
        }
    }
}

fn wish(vfs: u16, settings: &Settings, driver: Option<Driver>) -> PfWish {
    let vf = VfWish {
        settings: settings.clone(),
        driver,
        owner: Owner::Free,
    };
    PfWish {
        vfs: vec![vf; vfs.into()],
        autoprobe: Some(false),
    }
}

fn vfio() -> Option<Driver> {
    Some(Driver::Named("vfio-pci".into()))
}

fn steps(kernel: &Kernel, wish: &PfWish) -> Plan {
    plan(&kernel.pf, wish, Leave::default()).unwrap_or_else(|refusals| panic!("{refusals:?}"))
}

fn fulfilled(kernel: &Kernel, wish: &PfWish) -> bool {
    plan(&kernel.state(), wish, Leave::default()).is_ok_and(|plan| plan.steps.is_empty())
}

#[test]
fn from_nothing_to_63_vfs_in_the_kernels_order() {
    let mut kernel = Kernel::new(0);
    let settings = Settings {
        rate_mbps: Some((0, 200)),
        spoofchk: Some(false),
        ..Settings::default()
    };
    let wish = wish(63, &settings, vfio());
    let plan = steps(&kernel, &wish);
    let words: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
    assert_eq!(
        words[..3],
        [
            "set sriov_drivers_autoprobe to 0",
            "change the number of VFs from 0 to 63",
            "set VF 0 spoofchk off"
        ]
    );
    assert_eq!(words[65], "wait for the link");
    assert_eq!(words[66], "set VF 0 max_tx_rate 200");
    assert_eq!(words[129], "bind VF 0 to driver vfio-pci");
    assert_eq!(words.len(), 192);
    let outcome = apply(&mut kernel, DEVICE, &plan).unwrap();
    assert_eq!((outcome.done.len(), outcome.deferred.len()), (192, 0));
    assert!(fulfilled(&kernel, &wish), "a second plan has nothing to do");
}

#[test]
fn another_number_goes_over_0_and_puts_back_what_is_forgotten() {
    let mut kernel = Kernel::new(4);
    kernel.pf.autoprobe = Some(false);
    let settings = Settings {
        vlan: Some((100, 0, VlanProtocol::Dot1Q)),
        ..Settings::default()
    };
    kernel
        .pf
        .vfs
        .iter_mut()
        .for_each(|vf| vf.settings.vlan = settings.vlan);
    let wish = wish(2, &settings, None);
    let plan = steps(&kernel, &wish);
    let words: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            "change the number of VFs from 4 to 0",
            "change the number of VFs from 0 to 2",
            "set VF 0 vlan 100 qos 0",
            "set VF 1 vlan 100 qos 0"
        ]
    );
    apply(&mut kernel, DEVICE, &plan).unwrap();
    assert!(fulfilled(&kernel, &wish));
}

#[test]
fn without_a_cable_only_the_rates_wait() {
    let mut kernel = Kernel::new(0);
    kernel.cable = false;
    let settings = Settings {
        rate_mbps: Some((0, 200)),
        trust: Some(true),
        ..Settings::default()
    };
    let wish = wish(2, &settings, vfio());
    let planned = steps(&kernel, &wish);
    let outcome = apply(&mut kernel, DEVICE, &planned).unwrap();
    assert_eq!(outcome.deferred.len(), 2, "{outcome:?}");
    assert!(!fulfilled(&kernel, &wish));
    kernel.cable = true;
    kernel.pause();
    let planned = steps(&kernel, &wish);
    apply(&mut kernel, DEVICE, &planned).unwrap();
    assert!(fulfilled(&kernel, &wish));
}

/// What is wished, and a part of the refusal.
#[test]
fn what_cannot_be_is_refused_before_anything_is_written() {
    let rate = |mbps| Settings {
        rate_mbps: Some((0, mbps)),
        ..Settings::default()
    };
    let mut held = Kernel::new(4);
    held.pf.vfs[2].held = true;
    let mut few = Kernel::new(0);
    few.pf.vfs_max = Some(8);
    let mut broken = Kernel::new(2);
    broken.pf.autoprobe = Some(false);
    broken.pf.vfs[1].address = None;
    let table = [
        (
            &Kernel::new(0),
            wish(64, &Settings::default(), None),
            "64 VFs on 0000:41:00.0 (enp65s0f0): ixgbe has from 0 to 63",
        ),
        (
            &few,
            wish(9, &Settings::default(), None),
            "the device (sriov_totalvfs) has from 0 to 8",
        ),
        (
            &Kernel::new(4),
            wish(4, &rate(10), None),
            "from 11 to 10000 Mbit/s, or 0",
        ),
        (&held, wish(8, &Settings::default(), None), "while VF 2 is in use"),
        (&held, wish(0, &Settings::default(), None), "while VF 2 is in use"),
        (
            &broken,
            wish(2, &Settings::default(), vfio()),
            "virtfn link is broken",
        ),
    ];
    for (kernel, wish, part) in table {
        let refusals = plan(&kernel.pf, &wish, Leave::default()).expect_err(part);
        let message = refusals.iter().map(ToString::to_string).collect::<String>();
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn a_vf_in_use_is_left_alone_unless_there_is_leave() {
    let mut kernel = Kernel::new(2);
    kernel.pf.autoprobe = Some(false);
    kernel.pf.vfs[0].held = true;
    let wished = wish(
        2,
        &Settings {
            trust: Some(true),
            ..Settings::default()
        },
        vfio(),
    );
    let plan_of = |wish: &PfWish, touch_held| plan(&kernel.pf, wish, Leave { touch_held }).unwrap();
    let careful = plan_of(&wished, false);
    assert!(
        careful
            .steps
            .iter()
            .all(|step| !step.to_string().contains("VF 0")),
        "{careful:?}"
    );
    assert_eq!(careful.notes.len(), 2, "{careful:?}");
    let bold = plan_of(&wished, true);
    assert!(bold.steps.contains(&Step::Set {
        vf: 0,
        setting: Setting::Trust(true)
    }));
    assert!(
        !bold
            .steps
            .iter()
            .any(|step| matches!(step, Step::Bind { vf: 0, .. })),
        "a driver is never taken from under a guest"
    );
    let mut ours = wished;
    ours.vfs[0].owner = Owner::Port("lan".into());
    assert!(
        plan_of(&ours, false).steps.contains(&Step::Set {
            vf: 0,
            setting: Setting::Trust(true)
        }),
        "our own port is repaired"
    );
}

#[test]
fn every_step_fails_once_and_everything_is_as_before() {
    let settings = Settings {
        mac: Some(MacAddress([2, 0, 0, 0, 0, 1])),
        trust: Some(true),
        rate_mbps: Some((0, 100)),
        ..Settings::default()
    };
    let wish = wish(3, &settings, vfio());
    for fault in [
        Fault::Error(Errno::BUSY),
        Fault::Error(Errno::INVAL),
        Fault::Error(Errno::RANGE),
        Fault::Lie,
        Fault::Slow,
        Fault::Gone,
    ] {
        let mut failures = 0;
        for at in 1..200 {
            let mut kernel = Kernel::new(2);
            kernel.fault = Some((at, fault));
            let before = kernel.state();
            let planned = steps(&kernel, &wish);
            match apply(&mut kernel, DEVICE, &planned) {
                Ok(_) => assert!(fulfilled(&kernel, &wish), "{fault:?} at {at}"),
                Err(failed) => {
                    failures += 1;
                    assert_eq!(failed.undo, Undo::Done, "{fault:?} at {at}: {failed}");
                    assert_eq!(kernel.state(), before, "{fault:?} at {at}: {failed}");
                    assert!(!failed.step.is_empty());
                }
            }
        }
        assert!(failures > 0, "{fault:?}");
    }
}

#[test]
fn random_wishes_and_faults_end_in_the_wish_or_as_before() {
    let seed = std::env::var("WEIR_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| RandomState::new().hash_one(0));
    let mut rng = StdRng::seed_from_u64(seed);
    for round in 0..2000 {
        let mut kernel = Kernel::new(rng.random_range(0..6));
        for turn in 0..6 {
            let wish = random_wish(&mut rng);
            kernel.cable = true;
            kernel.pause();
            let faults = [
                Fault::Error(Errno::BUSY),
                Fault::Error(Errno::NOMEM),
                Fault::Error(Errno::INVAL),
                Fault::Lie,
                Fault::Slow,
                Fault::Gone,
            ];
            let fault = faults[rng.random_range(0..faults.len())];
            kernel.fault = rng
                .random_bool(0.7)
                .then(|| (kernel.calls + rng.random_range(1..60), fault));
            let before = kernel.state();
            let planned = steps(&kernel, &wish);
            let told = format!("WEIR_SEED={seed}, round {round}, turn {turn}, {:?}", kernel.fault);
            match apply(&mut kernel, DEVICE, &planned) {
                Ok(outcome) if outcome.deferred.is_empty() => assert!(fulfilled(&kernel, &wish), "{told}"),
                Ok(outcome) => panic!("{told}: there is a cable, but {:?}", outcome.deferred),
                Err(failed) => {
                    assert_eq!(failed.undo, Undo::Done, "{told}: {failed}");
                    assert_eq!(kernel.state(), before, "{told}: {failed}");
                    assert!(
                        planned.steps.iter().any(|step| step.to_string() == failed.step)
                            || failed.number == 1,
                        "{told}: {failed}"
                    );
                }
            }
        }
    }
}

fn random_wish(rng: &mut StdRng) -> PfWish {
    let vf = |rng: &mut StdRng| VfWish {
        settings: Settings {
            mac: rng
                .random_bool(0.5)
                .then(|| MacAddress([2, 0, 0, 0, 0, rng.random()])),
            vlan: rng.random_bool(0.5).then(|| {
                (
                    rng.random_range(0..4095),
                    rng.random_range(0..8),
                    VlanProtocol::Dot1Q,
                )
            }),
            rate_mbps: rng
                .random_bool(0.5)
                .then(|| (0, [0, 11, 1000, 10_000][rng.random_range(0..4)])),
            spoofchk: rng.random_bool(0.5).then(|| rng.random()),
            trust: rng.random_bool(0.5).then(|| rng.random()),
            link: None,
        },
        driver: [None, vfio(), Some(Driver::Kernel), Some(Driver::None)][rng.random_range(0..4)].clone(),
        owner: Owner::Free,
    };
    let vfs = rng.random_range(0..6);
    PfWish {
        vfs: (0..vfs).map(|_| vf(rng)).collect(),
        autoprobe: [None, Some(true), Some(false)][rng.random_range(0..3)],
    }
}
