//! The configuration of weir: one TOML file for both processes, checked strictly.
//!
//! [`load`] turns a file into a [`Config`] in which every default is filled in and every reference is known to hold, or into a
//! [`Report`] of everything that is wrong, each fault with file, line, column and the fix. [`diff()`] says in words what differs between
//! two configurations. Nothing here touches the system: a file can be checked anywhere.
//!
//! Units: in the names of the fields (`_s`, `_ms`, `_us`, `_bytes`, `_mb`, `_percent`).

#![forbid(unsafe_code)]

mod backend;
mod bfd;
mod check;
mod control;
mod dataplane;
mod device;
mod diff;
mod forward;
mod health;
mod ipvs;
mod keepalived;
mod load;
mod passive;
mod pool;
mod port;
mod program;
mod reader;
mod reference;
mod report;
mod route;
mod scheduler;
mod section;
mod sections;
mod service;
mod sriov;
mod suggest;
mod tempo;
mod text;
mod timeouts;
mod topology;
mod vrrp;

pub use backend::Backend;
pub use bfd::{Bfd, BfdNode};
pub use check::bytes::{hex, hex_pattern};
pub use check::{
    BfdCheck, Check, CheckKind, DnsCheck, DnsType, FileCheck, GrpcCheck, HttpCheck, HttpVersion, LoginCheck,
    Nothing, PostgresCheck, RegexOption, ScriptCheck, SipCheck, SipTransport, SmtpCheck, StatusRange,
    TalkStep, TcpCheck, ThroughCheck, TlsCheck, UdpCheck, Url,
};
pub use control::{Control, LogFormat, LogLevel, SriovMode};
pub use dataplane::{Dataplane, HugePages, Idle};
pub use device::Device;
pub use diff::{Change, ChangeKind, diff};
pub use forward::{Forward, Tunnel};
pub use health::{Defaults, Health};
pub use ipvs::{ConnReuseMode, Ipvs};
pub use load::{Config, load, parse};
pub use passive::Passive;
pub use pool::{AllFailed, OnRemoval, Pool, RemovalLimit, SorryBackend, SorryServer};
pub use port::Port;
pub use reference::reference;
pub use report::{Diagnostic, Report};
pub use route::{Neighbor, NextHop, Route};
pub use scheduler::{Scheduler, SchedulerFlag};
pub use service::{MssClamp, NoServer, Protocol, Service};
pub use sriov::{PfName, Sriov, Vf, VfDriver, VfLink, VfMac, VfSettings, VlanProtocol};
pub use tempo::Flap;
pub use text::MacAddress;
pub use timeouts::{TimeoutPreset, Timeouts};
pub use vrrp::{NotifyOn, Track, Tracked, Vrrp, VrrpAuth, VrrpNode, VrrpRules};
