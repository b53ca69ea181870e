//! Which VF is for which guest: counted here, because libvirt's pools run out without a word and leave VFs that no longer answer.
//!
//! Kept in one JSON file, replaced as a whole, so that weir-control may stop and start while guests run.

use super::model::{Owner, Pf, PfWish};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// PCI functions passed to one guest by vfio: libvirt and QEMU stop here.
pub const VFS_PER_GUEST_MAX: usize = 32;

/// How a guest is talked to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Through {
    /// libvirt, with `virsh`.
    Libvirt,
    /// QEMU's own monitor socket.
    Qmp(PathBuf),
}

/// A VF given to a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// The guest.
    pub guest: String,
    /// The PF's device.
    pub pf: String,
    /// The VF's number.
    pub vf: u16,
    /// The VF's PCI address.
    pub address: String,
    /// How the guest is talked to.
    pub through: Through,
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocations {
    /// In the order in which they were made.
    pub list: Vec<Allocation>,
}

/// Why a guest gets no VF.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoVf {
    /// All are given away.
    #[error(
        "no VF is free on {pfs}: {taken}; raise `vfs` in [[sriov]], or detach one (weirctl sriov detach GUEST)"
    )]
    Exhausted {
        /// Where it was looked.
        pfs: String,
        /// Who has what.
        taken: String,
    },
    /// The one that is wished has an owner.
    #[error("VF {vf} of {pf} belongs to {owner}; name another, or leave --vf out")]
    Taken {
        /// The PF.
        pf: String,
        /// The VF's number.
        vf: u16,
        /// Who has it.
        owner: String,
    },
    /// There is no such VF or PF.
    #[error("there is no {what}; weirctl sriov list shows what there is")]
    NoSuch {
        /// What is missing.
        what: String,
    },
    /// The guest has as many as it can.
    #[error("guest {guest} has {VFS_PER_GUEST_MAX} VFs, and takes no more")]
    GuestFull {
        /// The guest.
        guest: String,
    },
}

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ask {
    /// For whom.
    pub guest: String,
    /// On this PF only.
    pub pf: Option<String>,
    /// This VF only.
    pub vf: Option<u16>,
    /// Rather on this NUMA node.
    pub numa_node: Option<u16>,
}

/// A PF with what it should be.
pub type Managed<'a> = (&'a Pf, &'a PfWish);

impl Allocations {
    /// The allocation of one VF.
    pub fn of_vf(&self, pf: &str, vf: u16) -> Option<&Allocation> {
        self.list
            .iter()
            .find(|allocation| allocation.pf == pf && allocation.vf == vf)
    }

    /// The allocations of a guest.
    pub fn of_guest<'a>(&'a self, guest: &'a str) -> impl Iterator<Item = &'a Allocation> {
        self.list
            .iter()
            .filter(move |allocation| allocation.guest == guest)
    }

    /// Chooses a VF: one that the configuration keeps for this guest, else a free one, on the wished NUMA node if there is one, on the PF
    /// with most free ones.
    ///
    /// # Errors
    /// Why there is none, and who has them.
    pub fn choose<'a>(&self, managed: &[Managed<'a>], ask: &Ask) -> Result<(&'a Pf, u16), NoVf> {
        if self.of_guest(&ask.guest).count() >= VFS_PER_GUEST_MAX {
            return Err(NoVf::GuestFull {
                guest: ask.guest.clone(),
            });
        }
        let wanted = |pf: &Pf| {
            ask.pf
                .as_ref()
                .is_none_or(|name| pf.device == *name || pf.interface.as_ref() == Some(name))
        };
        let places: Vec<Managed<'a>> = managed.iter().copied().filter(|(pf, _)| wanted(pf)).collect();
        if places.is_empty() {
            let what = match &ask.pf {
                Some(name) => format!("[[sriov]] with PF {name}"),
                None => "[[sriov]] in the configuration with a PF of this host".to_owned(),
            };
            return Err(NoVf::NoSuch { what });
        }
        if let Some(vf) = ask.vf {
            return self.exactly(&places, ask, vf);
        }
        let kept = |(pf, wish): &Managed<'a>| {
            self.open_to(pf, wish, &ask.guest)
                .find(|vf| is_kept(wish, *vf))
                .map(|vf| (*pf, vf))
        };
        if let Some(found) = places.iter().find_map(kept) {
            return Ok(found);
        }
        let near = |pf: &Pf| ask.numa_node.is_none_or(|node| pf.numa_node == Some(node));
        let free = |(pf, wish): &Managed<'a>| self.open_to(pf, wish, &ask.guest).count();
        let best = places
            .iter()
            .max_by_key(|place| (free(place) > 0, near(place.0), free(place)));
        let found = best.and_then(|(pf, wish)| Some((*pf, self.open_to(pf, wish, &ask.guest).next()?)));
        found.ok_or_else(|| self.exhausted(&places))
    }

    fn exactly<'a>(&self, places: &[Managed<'a>], ask: &Ask, vf: u16) -> Result<(&'a Pf, u16), NoVf> {
        if let [(pf, wish)] = places {
            if self.open_to(pf, wish, &ask.guest).any(|open| open == vf) {
                return Ok((pf, vf));
            }
            let owner = self.owner(pf, wish, vf).ok_or_else(|| NoVf::NoSuch {
                what: format!("VF {vf} on {}", pf.title()),
            })?;
            return Err(NoVf::Taken {
                pf: pf.title(),
                vf,
                owner,
            });
        }
        Err(NoVf::NoSuch {
            what: format!("single PF that VF {vf} could be of: name it with --pf"),
        })
    }

    /// Free VFs of a PF, and those kept for `guest`. A VF must be there, and nobody may have it open.
    fn open_to<'a>(&'a self, pf: &'a Pf, wish: &'a PfWish, guest: &'a str) -> impl Iterator<Item = u16> + 'a {
        let open = move |vf: &u16| {
            let owner = wish.vfs.get(usize::from(*vf)).map(|wish| &wish.owner);
            let ours = matches!(owner, Some(Owner::Free))
                || matches!(owner, Some(Owner::Guest(name)) if name == guest);
            let there = pf.vf(*vf).is_some_and(|vf| vf.address.is_some() && !vf.held);
            ours && there && self.of_vf(&pf.device, *vf).is_none()
        };
        (0..pf.vf_count()).filter(open)
    }

    /// Who has a VF, in words; `None`: there is no such VF.
    fn owner(&self, pf: &Pf, wish: &PfWish, vf: u16) -> Option<String> {
        let now = pf.vf(vf)?;
        if let Some(allocation) = self.of_vf(&pf.device, vf) {
            return Some(format!("guest {}", allocation.guest));
        }
        match wish.vfs.get(usize::from(vf)).map(|wish| &wish.owner) {
            Some(Owner::Free) | None if now.held => Some("a process that has it open".to_owned()),
            Some(Owner::Free) | None => Some("nobody, but it is being removed".to_owned()),
            Some(owner) => Some(owner.to_string()),
        }
    }

    fn exhausted(&self, places: &[Managed<'_>]) -> NoVf {
        let pfs: Vec<_> = places.iter().map(|(pf, _)| pf.title()).collect();
        let who = |(pf, wish): &Managed<'_>| {
            let owners =
                (0..pf.vf_count()).filter_map(|vf| Some(format!("VF {vf} {}", self.owner(pf, wish, vf)?)));
            owners.collect::<Vec<_>>()
        };
        let taken: Vec<_> = places.iter().flat_map(who).collect();
        let taken = if taken.is_empty() {
            "there are no VFs yet".to_owned()
        } else {
            taken.join(", ")
        };
        NoVf::Exhausted {
            pfs: pfs.join(", "),
            taken,
        }
    }

    /// Reads the file; none is the same as an empty one.
    pub fn load(path: &Path) -> io::Result<Self> {
        match fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Replaces the file.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        save_json(path, self)
    }
}

fn is_kept(wish: &PfWish, vf: u16) -> bool {
    wish.vfs
        .get(usize::from(vf))
        .is_some_and(|wish| matches!(wish.owner, Owner::Guest(_)))
}

/// Writes a file beside the old one and puts it in its place: either of them is whole at any time.
pub(super) fn save_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let new = path.with_extension("new");
    let mut file = fs::File::create(&new)?;
    file.write_all(&serde_json::to_vec_pretty(value)?)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests;
