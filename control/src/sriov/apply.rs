//! Carries out a plan: every step is read back, and when one fails, what was done is undone.
//!
//! Undoing is planning again, towards what was before: so whatever a failing step left behind is found and repaired, too. Only an interface
//! that was taken up stays up.

use super::model::{Driver, Pf, PfWish, Setting, VfWish};
use super::plan::{Leave, Plan, Step, as_it_is, has_driver, plan};
use std::fmt;
use std::io;

/// Why the host did not do something.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The system said no.
    #[error("{}", explained(.0))]
    System(io::Error),
    /// It did not answer in time. It may still be at it.
    #[error(
        "no answer within {seconds} s: a process probably holds a VF open; the kernel goes on when it lets go"
    )]
    TimedOut {
        /// How long it had.
        seconds: u64,
    },
    /// The device is gone.
    #[error("the device is gone")]
    Vanished,
}

/// The system's word, and what it means here.
fn explained(error: &io::Error) -> String {
    use rustix::io::Errno;
    let hint = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::BUSY) => "; the VFs must go to 0 before another number, or somebody uses them",
        Some(Errno::RANGE) => "; the device has fewer VFs",
        Some(Errno::NOMEM | Errno::NOSPC) => {
            "; no room for the VFs' registers or bus numbers: enable SR-IOV and ARI in the firmware, or boot with pci=realloc,assign-busses"
        }
        Some(Errno::INVAL) => "; the driver does not take this value, or has no link yet",
        Some(Errno::OPNOTSUPP) => "; the driver does not have this setting: leave it out",
        Some(Errno::PERM | Errno::ACCESS) => {
            "; weir-control needs to be root, or CAP_NET_ADMIN and write access to sysfs"
        }
        _ => "",
    };
    format!("{error}{hint}")
}

impl From<rustix::io::Errno> for HostError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::System(errno.into())
    }
}

/// The machine as the executor sees it.
pub trait Host {
    /// The PF named `device`, read anew.
    fn read(&mut self, device: &str) -> Result<Pf, HostError>;
    /// Takes the PF's interface up.
    fn set_up(&mut self, pf: &Pf) -> Result<(), HostError>;
    /// Whether the kernel binds new VFs.
    fn set_autoprobe(&mut self, device: &str, on: bool) -> Result<(), HostError>;
    /// Changes the number of VFs.
    fn set_count(&mut self, device: &str, count: u16) -> Result<(), HostError>;
    /// Whether a change of the number that timed out is still under way.
    fn is_busy(&mut self, device: &str) -> bool;
    /// Sets one thing of one VF.
    fn set_vf(&mut self, pf: &Pf, vf: u16, setting: Setting) -> Result<(), HostError>;
    /// The only driver that a function may be bound to.
    fn set_override(&mut self, address: &str, driver: Option<&str>) -> Result<(), HostError>;
    /// Takes a function's driver away.
    fn unbind(&mut self, address: &str, driver: &str) -> Result<(), HostError>;
    /// Asks the kernel to find a driver for a function.
    fn probe(&mut self, address: &str) -> Result<(), HostError>;
    /// Lets [`POLL_MS`] pass.
    fn pause(&mut self);
}

/// Between two looks at something that takes a while.
pub const POLL_MS: u64 = 200;
/// 63 VFs take about 10 s when the host's driver names them all.
const POLLS_FOR_VFS: u32 = 150;
/// A 10GBASE-T link takes up to 6 s.
const POLLS_FOR_LINK: u32 = 50;
/// A driver binds within one probe, its interface may come later.
const POLLS_FOR_DRIVER: u32 = 10;
/// A write that was too slow is waited for before it is undone.
const POLLS_FOR_BUSY: u32 = 50;
/// Rounds of undoing: what fails once may be a link that is not back yet.
const UNDO_ROUNDS: u32 = 3;

/// What came of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Steps that were done.
    pub done: Vec<String>,
    /// Steps that wait for the link, with the reason. They are tried again when drift is looked for.
    pub deferred: Vec<String>,
}

/// A plan that failed.
#[derive(Debug, thiserror::Error)]
#[error("could not {step} (step {number} of {steps}): {cause}; {undo}")]
pub struct Failed {
    /// What failed.
    pub step: String,
    /// Which of them, from 1.
    pub number: usize,
    /// How many there were.
    pub steps: usize,
    /// Why.
    pub cause: Cause,
    /// What became of the steps before.
    pub undo: Undo,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The host did not do it.
    #[error(transparent)]
    Host(#[from] HostError),
    /// It said it did, but reading back shows otherwise.
    #[error("accepted, but not done: {0}")]
    NotDone(String),
}

/// What became of the steps before the one that failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Undo {
    /// All is as before.
    Done,
    /// It could not be brought back.
    Failed(String),
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("everything is as before"),
            Self::Failed(why) => write!(f, "and what was before could not be brought back: {why}"),
        }
    }
}

/// Carries out `plan` on the PF named `device`.
///
/// # Errors
/// The step that failed, and what became of the others.
pub fn apply(host: &mut impl Host, device: &str, plan: &Plan) -> Result<Outcome, Failed> {
    let mut outcome = Outcome::default();
    let failed = |number: usize, cause: Cause, undo| Failed {
        step: plan
            .steps
            .get(number)
            .map_or_else(|| "read the device".to_owned(), ToString::to_string),
        number: number + 1,
        steps: plan.steps.len(),
        cause,
        undo,
    };
    let before = match host.read(device) {
        Ok(before) => before,
        Err(error) => return Err(failed(0, error.into(), Undo::Done)),
    };
    let mut has_link = true;
    for (number, step) in plan.steps.iter().enumerate() {
        if !has_link
            && matches!(
                step,
                Step::Set {
                    setting: Setting::Rate { .. },
                    ..
                }
            )
        {
            outcome.deferred.push(format!("{step}: there is no link"));
            continue;
        }
        match execute(host, device, step) {
            Ok(()) => outcome.done.push(step.to_string()),
            // No cable: all but the rates works without.
            Err(Cause::NotDone(_)) if *step == Step::AwaitLink => has_link = false,
            Err(cause) => return Err(failed(number, cause, undo(host, device, &before))),
        }
    }
    Ok(outcome)
}

fn execute(host: &mut impl Host, device: &str, step: &Step) -> Result<(), Cause> {
    match step {
        Step::Up => {
            let pf = host.read(device)?;
            host.set_up(&pf)?;
            await_that(
                host,
                device,
                1,
                |pf| pf.up,
                |_| "the interface is still down".to_owned(),
            )
        }
        Step::Autoprobe(on) => {
            host.set_autoprobe(device, *on)?;
            await_that(
                host,
                device,
                1,
                |pf| pf.autoprobe == Some(*on),
                |_| "it still has its old value".to_owned(),
            )
        }
        Step::Count { to, .. } => {
            host.set_count(device, *to)?;
            let complete = |pf: &Pf| {
                pf.vf_count() == *to
                    && pf
                        .vfs
                        .iter()
                        .all(|vf| vf.address.is_some() || !device.contains(':'))
            };
            await_that(host, device, POLLS_FOR_VFS, complete, |pf| {
                format!("there are {} VFs", pf.vf_count())
            })
        }
        Step::AwaitLink => await_that(
            host,
            device,
            POLLS_FOR_LINK,
            |pf| pf.carrier,
            |_| "there is no link".to_owned(),
        ),
        Step::Set { vf, setting } => set(host, device, *vf, *setting),
        Step::Bind { vf, driver } => bind(host, device, *vf, driver),
    }
}

/// Looks until `holds`, `polls` times.
fn await_that(
    host: &mut impl Host,
    device: &str,
    polls: u32,
    holds: impl Fn(&Pf) -> bool,
    otherwise: impl Fn(&Pf) -> String,
) -> Result<(), Cause> {
    let mut pf = host.read(device)?;
    for _ in 1..polls {
        if holds(&pf) {
            return Ok(());
        }
        host.pause();
        pf = host.read(device)?;
    }
    if holds(&pf) {
        Ok(())
    } else {
        Err(Cause::NotDone(otherwise(&pf)))
    }
}

fn set(host: &mut impl Host, device: &str, vf: u16, setting: Setting) -> Result<(), Cause> {
    let pf = host.read(device)?;
    host.set_vf(&pf, vf, setting)?;
    let has = |pf: &Pf| pf.vf(vf).is_some_and(|vf| vf.settings.has(setting));
    await_that(host, device, 1, has, |pf| match pf.vf(vf) {
        Some(vf) => {
            let list: Vec<_> = vf.settings.list().iter().map(ToString::to_string).collect();
            format!("it has {}", list.join(", "))
        }
        None => "the VF is gone".to_owned(),
    })
}

/// `drivers_probe` tells of no failure: the driver link is what counts.
fn bind(host: &mut impl Host, device: &str, vf: u16, driver: &Driver) -> Result<(), Cause> {
    let pf = host.read(device)?;
    let now = pf.vf(vf).ok_or(HostError::Vanished)?;
    let address = now.address.clone().ok_or(HostError::Vanished)?;
    if has_driver(now, driver) {
        return Ok(());
    }
    if now.held {
        return Err(Cause::NotDone("the VF is in use".to_owned()));
    }
    host.set_override(
        &address,
        match driver {
            Driver::Named(name) => Some(name),
            Driver::Kernel | Driver::None => None,
        },
    )?;
    if let Some(old) = &now.driver {
        host.unbind(&address, old)?;
    }
    match driver {
        Driver::None => {}
        // With binding by itself off, a VF without an override is bound to nothing, also when asked for.
        Driver::Kernel if pf.autoprobe == Some(false) => {
            host.set_autoprobe(device, true)?;
            let probed = host.probe(&address);
            host.set_autoprobe(device, false)?;
            probed?;
        }
        Driver::Kernel | Driver::Named(_) => host.probe(&address)?,
    }
    let bound =
        |after: &Pf| after.autoprobe == pf.autoprobe && after.vf(vf).is_some_and(|vf| has_driver(vf, driver));
    await_that(host, device, POLLS_FOR_DRIVER, bound, |pf| {
        let is = pf
            .vf(vf)
            .and_then(|vf| vf.driver.clone())
            .unwrap_or_else(|| "none".to_owned());
        let hint = match driver {
            Driver::Named(name) if name == "vfio-pci" => {
                "; is the module loaded, and the IOMMU on? weirctl doctor"
            }
            Driver::Named(_) | Driver::Kernel => "; is the module loaded and not on a deny list?",
            Driver::None => "",
        };
        format!("its driver is {is}{hint}")
    })
}

/// Brings the PF back to `before`.
fn undo(host: &mut impl Host, device: &str, before: &Pf) -> Undo {
    let mut why = String::new();
    for _ in 0..UNDO_ROUNDS {
        match undo_once(host, device, before) {
            Ok(()) => return Undo::Done,
            Err(error) => why = error,
        }
        host.pause();
    }
    Undo::Failed(why)
}

fn undo_once(host: &mut impl Host, device: &str, before: &Pf) -> Result<(), String> {
    for _ in 0..POLLS_FOR_BUSY {
        if !host.is_busy(device) {
            break;
        }
        host.pause();
    }
    if host.is_busy(device) {
        return Err("the kernel is still busy with the number of VFs".to_owned());
    }
    // The number first; then what of the settings is not as it was, which a new VF may have by itself.
    let count = PfWish {
        vfs: vec![VfWish::default(); before.vfs.len()],
        autoprobe: before.autoprobe,
    };
    for wish in [count, as_it_is(before)] {
        let now = host.read(device).map_err(|error| error.to_string())?;
        let back = plan(&now, &wish, Leave { touch_held: true }).map_err(|refusals| {
            refusals
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ")
        })?;
        for step in &back.steps {
            execute(host, device, step).map_err(|cause| format!("could not {step}: {cause}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
