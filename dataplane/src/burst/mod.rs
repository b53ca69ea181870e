//! What the stages of one burst share: its surroundings, its packets, whose they are, what they show, and why one goes no
//! further.

mod context;
pub(crate) mod evidence;
mod lane;
mod owner;
mod stop;

pub(crate) use context::{Context, Own, Servers};
pub use lane::BURST_MAX;
pub(crate) use lane::{Fate, Lane, Pending};
pub(crate) use owner::check as check_owner;
pub(crate) use stop::{Stop, check_link, check_vlan};
