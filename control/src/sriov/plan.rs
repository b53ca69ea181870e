//! From what is and what should be to the steps between, or to the reasons why not. Pure: nothing is read or written here.
//!
//! The order is the kernel's: binding by itself off, number of VFs to 0 and then to n (n to m is EBUSY), the PF up, the settings of each
//! VF one by one, rates when the link is back (making VFs resets it), drivers last. What a change of the number forgets is put back.

use super::model::{Driver, Owner, Pf, PfWish, Setting, Settings, Vf, VfWish};
use super::rules::{self, OutOfRange, Rules};
use std::fmt;

/// One thing to do, on one PF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Take the PF's interface up.
    Up,
    /// Let the kernel bind new VFs by itself, or not.
    Autoprobe(bool),
    /// Change the number of VFs: from or to 0.
    Count {
        /// As it is.
        from: u16,
        /// As it shall be.
        to: u16,
    },
    /// Wait for the link: it is reset when VFs are made, and rates need it.
    AwaitLink,
    /// Set one thing of one VF.
    Set {
        /// The VF's number.
        vf: u16,
        /// What.
        setting: Setting,
    },
    /// Give a VF its driver.
    Bind {
        /// The VF's number.
        vf: u16,
        /// The driver.
        driver: Driver,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up => f.write_str("take the interface up"),
            Self::Autoprobe(on) => write!(f, "set sriov_drivers_autoprobe to {}", u8::from(*on)),
            Self::Count { from, to } => write!(f, "change the number of VFs from {from} to {to}"),
            Self::AwaitLink => f.write_str("wait for the link"),
            Self::Set { vf, setting } => write!(f, "set VF {vf} {setting}"),
            Self::Bind { vf, driver } => write!(f, "bind VF {vf} to driver {driver}"),
        }
    }
}

/// The way from what is to what should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to do, in order; empty when nothing differs.
    pub steps: Vec<Step>,
    /// What differs from the wish and is left so, and what the driver makes of a wish.
    pub notes: Vec<String>,
}

/// Why a wish cannot be fulfilled. Nothing has been written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// More VFs than there can be.
    #[error("{wish} VFs on {pf}: {range}")]
    TooMany {
        /// The PF.
        pf: String,
        /// How many are wished.
        wish: u16,
        /// How many there can be, and who says so.
        range: String,
    },
    /// A setting that the driver does not take.
    #[error("VF {vf} of {pf}: {problem}")]
    OutOfRange {
        /// The PF.
        pf: String,
        /// The VF's number.
        vf: u16,
        /// What and why.
        problem: OutOfRange,
    },
    /// The number would change under the feet of whoever has a VF. The kernel would wait for it without end.
    #[error(
        "the number of VFs of {pf} cannot change from {from} to {to} while VF {vf} is in use by {by}: stop it or detach the VF (weirctl sriov detach)"
    )]
    Held {
        /// The PF.
        pf: String,
        /// How many VFs there are.
        from: u16,
        /// How many are wished.
        to: u16,
        /// The VF that is held.
        vf: u16,
        /// Who holds it.
        by: String,
    },
    /// A driver for something that is no PCI function.
    #[error("VF {vf} of {pf} has no PCI address, so no driver can be bound: {hint}")]
    NoAddress {
        /// The PF.
        pf: String,
        /// The VF's number.
        vf: u16,
        /// What to look at.
        hint: &'static str,
    },
}

/// What a plan may do besides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leave {
    /// Change settings also of VFs that a guest holds.
    pub touch_held: bool,
}

/// The steps that bring `pf` to `wish`.
///
/// # Errors
/// Every reason why it cannot be.
pub fn plan(pf: &Pf, wish: &PfWish, leave: Leave) -> Result<Plan, Vec<Refusal>> {
    let mut planner = Planner {
        pf,
        rules: rules::of(pf.driver.as_deref()),
        leave,
        plan: Plan::default(),
        refusals: Vec::new(),
    };
    planner.whole(wish);
    if planner.refusals.is_empty() {
        Ok(planner.plan)
    } else {
        Err(planner.refusals)
    }
}

struct Planner<'a> {
    pf: &'a Pf,
    rules: Option<&'static Rules>,
    leave: Leave,
    plan: Plan,
    refusals: Vec<Refusal>,
}

impl Planner<'_> {
    fn step(&mut self, step: Step) {
        self.plan.steps.push(step);
    }

    fn whole(&mut self, wish: &PfWish) {
        let (from, to) = (
            self.pf.vf_count(),
            u16::try_from(wish.vfs.len()).unwrap_or(u16::MAX),
        );
        if let Some(on) = wish
            .autoprobe
            .filter(|on| self.pf.autoprobe.is_some_and(|is| is != *on))
        {
            self.step(Step::Autoprobe(on));
        }
        if from != to {
            self.count(from, to);
        }
        if to > 0 && self.pf.interface.is_some() && !self.pf.up {
            self.step(Step::Up);
        }
        // Freshly made VFs have none of what was set before.
        let fresh = from != to;
        let mut rates = Vec::new();
        for (vf, wish) in (0..).zip(&wish.vfs) {
            let now = self.pf.vf(vf).filter(|_| !fresh);
            self.settings(vf, now, wish, &mut rates);
        }
        let link_is_up = self.pf.carrier && !fresh;
        if !rates.is_empty() && !link_is_up && self.rules.is_none_or(|rules| rules.rate_needs_link) {
            self.step(Step::AwaitLink);
        }
        self.plan.steps.append(&mut rates);
        for (vf, wish) in (0..).zip(&wish.vfs) {
            if let Some(driver) = &wish.driver {
                self.driver(vf, self.pf.vf(vf).filter(|_| !fresh), wish, driver);
            }
        }
    }

    fn count(&mut self, from: u16, to: u16) {
        let by_driver = self.rules.and_then(|rules| Some((rules.vfs_max?, rules.driver)));
        let by_device = self.pf.vfs_max.map(|most| (most, "the device (sriov_totalvfs)"));
        let most = [by_driver, by_device]
            .into_iter()
            .flatten()
            .min_by_key(|(most, _)| *most);
        if let Some((most, who)) = most.filter(|(most, _)| to > *most) {
            let range = format!("{who} has from 0 to {most}");
            return self.refusals.push(Refusal::TooMany {
                pf: self.pf.title(),
                wish: to,
                range,
            });
        }
        if let Some(vf) = self.pf.vfs.iter().find(|vf| vf.held) {
            return self.refusals.push(Refusal::Held {
                pf: self.pf.title(),
                from,
                to,
                vf: vf.index,
                by: holder(vf),
            });
        }
        if from > 0 {
            self.step(Step::Count { from, to: 0 });
        }
        if to > 0 {
            self.step(Step::Count { from: 0, to });
        }
    }

    /// Steps for the settings of one VF; rates apart.
    fn settings(&mut self, vf: u16, now: Option<&Vf>, wish: &VfWish, rates: &mut Vec<Step>) {
        let mut differ = Vec::new();
        for setting in wish.settings.list() {
            match self.rules.map_or(Ok(setting), |rules| rules.effect(setting)) {
                Err(problem) => self.refusals.push(Refusal::OutOfRange {
                    pf: self.pf.title(),
                    vf,
                    problem,
                }),
                Ok(effect) => {
                    if effect != setting {
                        let driver = self.pf.driver.as_deref().unwrap_or("the driver");
                        self.plan
                            .notes
                            .push(format!("VF {vf}: {driver} makes {effect} of {setting}"));
                    }
                    if now.is_none_or(|now| !now.settings.has(effect)) {
                        differ.push(effect);
                    }
                }
            }
        }
        if !differ.is_empty() && now.is_some_and(|now| self.is_a_guests(now, wish)) {
            let list: Vec<_> = differ.iter().map(ToString::to_string).collect();
            self.plan.notes.push(format!(
                "VF {vf} is in use and left alone, though it should have {}; weirctl sriov apply --held changes it",
                list.join(", ")
            ));
            return;
        }
        for setting in differ {
            let step = Step::Set { vf, setting };
            match setting {
                Setting::Rate { .. } => rates.push(step),
                Setting::Mac(_)
                | Setting::Vlan { .. }
                | Setting::SpoofCheck(_)
                | Setting::Trust(_)
                | Setting::Link(_) => {
                    self.step(step);
                }
            }
        }
    }

    /// A VF that somebody has open is not touched, unless it is our own port or there is leave to.
    fn is_a_guests(&self, now: &Vf, wish: &VfWish) -> bool {
        now.held && !matches!(wish.owner, Owner::Port(_)) && !self.leave.touch_held
    }

    fn driver(&mut self, vf: u16, now: Option<&Vf>, wish: &VfWish, driver: &Driver) {
        if now.is_some_and(|now| has_driver(now, driver)) {
            return;
        }
        if now.is_some_and(|now| now.held) {
            let owner = &wish.owner;
            self.plan.notes.push(format!(
                "VF {vf} ({owner}) is in use and keeps its driver, though it should have {driver}"
            ));
            return;
        }
        let is_pci = self.pf.device.contains(':');
        let hint = match now {
            Some(now) if now.address.is_none() && is_pci => {
                "its virtfn link is broken; see dmesg, then set `vfs` to 0 and back"
            }
            _ if !is_pci => "leave `driver` out for this device",
            _ => {
                return self.step(Step::Bind {
                    vf,
                    driver: driver.clone(),
                });
            }
        };
        self.refusals.push(Refusal::NoAddress {
            pf: self.pf.title(),
            vf,
            hint,
        });
    }
}

fn holder(vf: &Vf) -> String {
    match (&vf.driver, vf.iommu_group) {
        (Some(driver), Some(group)) => format!("a process that holds /dev/vfio/{group} open ({driver})"),
        (_, _) => "a process".to_owned(),
    }
}

/// Drivers that only hand a device on.
const PASS_THROUGH: &[&str] = &["vfio-pci", "pci-stub", "uio_pci_generic", "igb_uio"];

/// Whether a VF has the driver that is wished.
pub fn has_driver(vf: &Vf, driver: &Driver) -> bool {
    match driver {
        Driver::Named(name) => vf.driver.as_ref() == Some(name) && vf.driver_override.as_ref() == Some(name),
        Driver::Kernel => {
            vf.driver.as_deref().is_some_and(|is| !PASS_THROUGH.contains(&is)) && vf.driver_override.is_none()
        }
        Driver::None => vf.driver.is_none() && vf.driver_override.is_none(),
    }
}

/// The wish to be as `pf` is: what an undo goes back to. Drivers tell of settings that they do not take; these are left out.
pub fn as_it_is(pf: &Pf) -> PfWish {
    let rules = rules::of(pf.driver.as_deref());
    let taken = |setting: &Setting| rules.is_none_or(|rules| rules.effect(*setting).is_ok());
    let settings = |vf: &Vf| {
        let mut settings = Settings::default();
        vf.settings
            .list()
            .into_iter()
            .filter(taken)
            .for_each(|setting| settings.set(setting));
        settings
    };
    let wish = |vf: &Vf| VfWish {
        settings: settings(vf),
        driver: vf
            .address
            .as_ref()
            .and_then(|_| match (&vf.driver, &vf.driver_override) {
                (None, None) => Some(Driver::None),
                // Somebody is about to bind it.
                (None, Some(_)) => None,
                (Some(driver), Some(only)) if driver == only => Some(Driver::Named(driver.clone())),
                (Some(_), _) => Some(Driver::Kernel),
            }),
        owner: Owner::Free,
    };
    PfWish {
        vfs: pf.vfs.iter().map(wish).collect(),
        autoprobe: pf.autoprobe,
    }
}
