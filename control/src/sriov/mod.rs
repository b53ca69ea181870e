//! SR-IOV: virtual functions from birth to guest and back.
//!
//! - [`model`]: what is, and what should be; [`rules`]: what each driver takes, with sources.
//! - [`sysfs`], [`netlink`]: reading and writing; [`users`]: who has a VF open; [`helper`]: writes that may hang, in a process of their own; [`host`] puts them together.
//! - [`wish`]: from the configuration to what should be; [`plan`](mod@plan): the steps between, pure; [`apply`](mod@apply): the steps done,
//!   read back, undone.
//! - [`allocation`]: which VF is for which guest; [`guests`]: how a guest gets and loses one; [`migrate`]: how it moves, [`mover`]: the thread that moves it.
//! - [`manager`]: the thread that does all this and looks for drift; [`api`]: the same for `weirctl`; [`doctor`]: is this host fit for it.
//!
//! Rates are in Mbit/s. Read first: the kernel's Documentation/PCI/pci-iov-howto.rst.

pub mod allocation;
pub mod api;
pub mod apply;
pub mod doctor;
pub mod guests;
pub mod helper;
pub mod host;
pub mod manager;
pub mod migrate;
pub mod model;
pub mod mover;
pub mod netlink;
pub mod plan;
pub mod rules;
pub mod sysfs;
pub mod users;
pub mod wish;
