//! Giving a VF to a guest and taking it back: through libvirt where `virsh` is, through QEMU's own monitor otherwise.

pub mod qmp;
pub mod virsh;
pub mod xml;

use super::allocation::{Allocation, Through};
use super::model::Settings;
use qmp::{Monitor, QmpError};
use virsh::{Runner, VirshError};

/// Why a guest did not get or lose a VF.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// libvirt said no.
    #[error(transparent)]
    Virsh(#[from] VirshError),
    /// QEMU said no.
    #[error("{socket}: {error}")]
    Qmp {
        /// The monitor's socket.
        socket: String,
        /// What it said.
        error: QmpError,
    },
}

/// Plugs the VF of an allocation into its guest.
pub fn plug(
    runner: &mut impl Runner,
    allocation: &Allocation,
    settings: &Settings,
) -> Result<(), GuestError> {
    match &allocation.through {
        Through::Libvirt => {
            let device = xml::interface(&allocation.address, settings);
            virsh::attach(runner, None, &allocation.guest, &device).map_err(Into::into)
        }
        Through::Qmp(socket) => {
            let monitor = Monitor::connect(socket);
            monitor
                .and_then(|mut monitor| monitor.plug(&allocation.address))
                .map_err(|error| named(socket, error))
        }
    }
}

/// Takes the VF of an allocation out of its guest. A guest that is not running has let go of it already.
pub fn unplug(
    runner: &mut impl Runner,
    allocation: &Allocation,
    settings: &Settings,
) -> Result<(), GuestError> {
    match &allocation.through {
        Through::Libvirt => {
            let device = xml::interface(&allocation.address, settings);
            virsh::detach(runner, None, &allocation.guest, &device).map_err(Into::into)
        }
        Through::Qmp(socket) => {
            let monitor = Monitor::connect(socket);
            match monitor.and_then(|mut monitor| monitor.unplug(&allocation.address)) {
                Err(QmpError::NotRunning(_)) => Ok(()),
                other => other.map_err(|error| named(socket, error)),
            }
        }
    }
}

fn named(socket: &std::path::Path, error: QmpError) -> GuestError {
    GuestError::Qmp {
        socket: socket.display().to_string(),
        error,
    }
}
