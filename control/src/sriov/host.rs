//! This machine: sysfs, rtnetlink and the helper process together.

use super::apply::{Host, HostError, POLL_MS};
use super::helper::{self, Helper};
use super::model::{Pf, Setting, Vf};
use super::netlink::Socket;
use super::sysfs::Roots;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The machine.
#[derive(Debug)]
pub struct Machine {
    roots: Roots,
    helper: Helper,
    socket: Socket,
}

impl Machine {
    /// The machine this runs on.
    pub fn open() -> Result<Self, HostError> {
        Ok(Self {
            roots: Roots::default(),
            helper: Helper::new().map_err(HostError::System)?,
            socket: Socket::open()?,
        })
    }

    /// Every PF with its VFs and their settings.
    pub fn pfs(&mut self) -> Vec<Pf> {
        let mut pfs = self.roots.pfs();
        for pf in &mut pfs {
            if let Err(error) = self.add_settings(pf) {
                pf.faults
                    .push(format!("the VFs' settings cannot be read: {error}"));
            }
        }
        pfs
    }

    /// Joins what sysfs does not know: settings and counters.
    fn add_settings(&mut self, pf: &mut Pf) -> Result<(), HostError> {
        let Some(index) = pf.interface.as_ref().and_then(|name| self.interface_index(name)) else {
            return Ok(());
        };
        let reports = self.socket.vfs(index)?;
        // No PCI device, no virtfn links: rtnetlink alone knows the VFs.
        if !pf.device.contains(':') {
            pf.vfs = reports
                .iter()
                .map(|report| Vf {
                    index: report.index,
                    ..Vf::default()
                })
                .collect();
        }
        for report in reports {
            if let Some(vf) = pf.vfs.iter_mut().find(|vf| vf.index == report.index) {
                vf.settings = report.settings;
                vf.counters = report.counters;
            }
        }
        Ok(())
    }

    fn interface_index(&self, name: &str) -> Option<u32> {
        let path = self.roots.sys.join("class/net").join(name).join("ifindex");
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    }

    fn index_of(&self, pf: &Pf) -> Result<u32, HostError> {
        let none = || {
            HostError::System(io::Error::other(format!(
                "{} has no kernel interface: its driver is {}",
                pf.device,
                pf.driver.as_deref().unwrap_or("missing")
            )))
        };
        let name = pf.interface.as_ref().ok_or_else(none)?;
        self.interface_index(name).ok_or(HostError::Vanished)
    }

    fn attribute(&self, device: &str, name: &str) -> Result<PathBuf, HostError> {
        Ok(self.roots.device(device).ok_or(HostError::Vanished)?.join(name))
    }
}

impl Host for Machine {
    fn read(&mut self, device: &str) -> Result<Pf, HostError> {
        let mut pf = self.roots.pf_named(device).ok_or(HostError::Vanished)?;
        self.add_settings(&mut pf)?;
        Ok(pf)
    }

    fn set_up(&mut self, pf: &Pf) -> Result<(), HostError> {
        let index = self.index_of(pf)?;
        self.socket.set_up(index)
    }

    fn set_autoprobe(&mut self, device: &str, on: bool) -> Result<(), HostError> {
        let path = self.attribute(device, "sriov_drivers_autoprobe")?;
        self.helper.write(&path, if on { "1" } else { "0" })
    }

    fn set_count(&mut self, device: &str, count: u16) -> Result<(), HostError> {
        let path = self.attribute(device, "sriov_numvfs")?;
        self.helper.write(&path, &count.to_string())
    }

    fn is_busy(&mut self, device: &str) -> bool {
        self.attribute(device, "sriov_numvfs")
            .is_ok_and(|path| self.helper.is_busy(&path))
    }

    fn set_vf(&mut self, pf: &Pf, vf: u16, setting: Setting) -> Result<(), HostError> {
        let index = self.index_of(pf)?;
        self.socket.set_vf(index, vf, setting)
    }

    fn set_override(&mut self, address: &str, driver: Option<&str>) -> Result<(), HostError> {
        let path = self.attribute(address, "driver_override")?;
        // An empty line takes the override away. This write waits for nothing.
        helper::write(&path, driver.unwrap_or_default()).map_err(HostError::System)
    }

    fn unbind(&mut self, address: &str, driver: &str) -> Result<(), HostError> {
        let path = self.roots.sys.join("bus/pci/drivers").join(driver).join("unbind");
        self.helper.write(&path, address)
    }

    fn probe(&mut self, address: &str) -> Result<(), HostError> {
        self.helper
            .write(&self.roots.sys.join("bus/pci/drivers_probe"), address)
    }

    fn pause(&mut self) {
        std::thread::sleep(Duration::from_millis(POLL_MS));
    }
}
