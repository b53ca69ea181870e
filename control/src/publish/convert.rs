//! From the configuration's words to the dataplane's records: one function a word, each total.

use std::num::NonZeroU32;
use weir_configs as configs;
use weir_rings::message::{
    ConnReuse, FlowPolicy, Forward, MaglevSize, MssClamp, NoServerReply, Persistence, Protocol, Scheduler,
    SchedulerKind, Timeouts, Tunnel, TunnelChecksum, VlanId,
};

pub(super) fn protocol(protocol: configs::Protocol) -> Protocol {
    match protocol {
        configs::Protocol::Tcp => Protocol::Tcp,
        configs::Protocol::Udp => Protocol::Udp,
    }
}

pub(super) fn scheduler(service: &configs::Service) -> Scheduler {
    let kind = match service.scheduler {
        configs::Scheduler::Rr => SchedulerKind::Rr,
        configs::Scheduler::Wrr => SchedulerKind::Wrr,
        configs::Scheduler::Lc => SchedulerKind::Lc,
        configs::Scheduler::Wlc => SchedulerKind::Wlc,
        configs::Scheduler::Sed => SchedulerKind::Sed,
        configs::Scheduler::Nq => SchedulerKind::Nq,
        configs::Scheduler::Dh => SchedulerKind::Dh,
        configs::Scheduler::Sh => SchedulerKind::Sh,
        configs::Scheduler::Mh => SchedulerKind::Mh,
        configs::Scheduler::Lblc => SchedulerKind::Lblc,
        configs::Scheduler::Lblcr => SchedulerKind::Lblcr,
        configs::Scheduler::Fo => SchedulerKind::Fo,
        configs::Scheduler::Ovf => SchedulerKind::Ovf,
        configs::Scheduler::Twos => SchedulerKind::Twos,
        configs::Scheduler::Maglev => SchedulerKind::Maglev,
    };
    let has =
        |flags: [configs::SchedulerFlag; 2]| flags.iter().any(|flag| service.scheduler_flags.contains(flag));
    Scheduler {
        kind,
        fallback: has([
            configs::SchedulerFlag::ShFallback,
            configs::SchedulerFlag::MhFallback,
        ]),
        port: has([configs::SchedulerFlag::ShPort, configs::SchedulerFlag::MhPort]),
        maglev_size: match service.maglev_slots {
            Some(655_373) => MaglevSize::Large,
            Some(_) | None => MaglevSize::Small,
        },
    }
}

pub(super) fn forward(forward: configs::Forward, tunnel: Option<configs::Tunnel>) -> Forward {
    match forward {
        configs::Forward::Dr => Forward::Dr,
        configs::Forward::Nat => Forward::Nat,
        configs::Forward::FullNat => Forward::FullNat,
        configs::Forward::Tunnel => Forward::Tunnel(match tunnel.unwrap_or(configs::Tunnel::Ipip) {
            configs::Tunnel::Ipip => Tunnel::Ipip,
            configs::Tunnel::Gre { checksum } => Tunnel::Gre {
                checksum: tunnel_checksum(checksum),
            },
            configs::Tunnel::Gue { port, checksum } => Tunnel::Gue {
                port,
                checksum: tunnel_checksum(checksum),
            },
            configs::Tunnel::Vxlan { port, vni, inner_mac } => Tunnel::Vxlan {
                port,
                vni,
                inner_mac: inner_mac.0,
            },
        }),
    }
}

fn tunnel_checksum(wanted: bool) -> TunnelChecksum {
    if wanted {
        TunnelChecksum::Full
    } else {
        TunnelChecksum::None
    }
}

pub(super) fn persistence(service: &configs::Service) -> Option<Persistence> {
    (service.persistence_timeout_s > 0).then_some(Persistence {
        timeout_s: service.persistence_timeout_s,
        prefix_len: service.persistence_prefix,
    })
}

pub(super) fn mss_clamp(service: &configs::Service) -> MssClamp {
    match service.mss_clamp_bytes {
        None => MssClamp::Off,
        Some(configs::MssClamp::Auto) => MssClamp::Auto,
        Some(configs::MssClamp::Bytes(bytes)) => MssClamp::Fixed(bytes),
    }
}

/// The reader has checked the range.
pub(super) fn vlan(vlan: Option<u16>) -> Option<VlanId> {
    vlan.and_then(VlanId::new)
}

pub(super) fn no_server(no_server: configs::NoServer) -> NoServerReply {
    match no_server {
        configs::NoServer::Drop => NoServerReply::Drop,
        configs::NoServer::Reject => NoServerReply::Reject,
    }
}

pub(super) fn policy(ipvs: configs::Ipvs) -> FlowPolicy {
    FlowPolicy {
        expire_nodest: ipvs.expire_nodest_conn,
        expire_quiescent_template: ipvs.expire_quiescent_template,
        conn_reuse: match ipvs.conn_reuse_mode {
            configs::ConnReuseMode::Never => ConnReuse::Off,
            configs::ConnReuseMode::TimeWait => ConnReuse::TimeWait,
            configs::ConnReuseMode::FinWait => ConnReuse::FinWait,
        },
        sloppy_tcp: ipvs.sloppy_tcp,
    }
}

/// The file has no word for LAST and for a flow's first seconds: those are the preset's.
pub(super) fn timeouts(timeouts: &configs::Timeouts) -> Timeouts {
    let preset = match timeouts.preset {
        configs::TimeoutPreset::Ipvs => Timeouts::IPVS,
        configs::TimeoutPreset::Dpvs => Timeouts::DPVS,
    };
    Timeouts {
        none_s: timeouts.tcp_none_s,
        established_s: timeouts.tcp_established_s,
        syn_sent_s: timeouts.tcp_syn_sent_s,
        syn_recv_s: timeouts.tcp_syn_recv_s,
        fin_wait_s: timeouts.tcp_fin_wait_s,
        time_wait_s: timeouts.tcp_time_wait_s,
        close_s: timeouts.tcp_close_s,
        close_wait_s: timeouts.tcp_close_wait_s,
        last_ack_s: timeouts.tcp_last_ack_s,
        listen_s: timeouts.tcp_listen_s,
        synack_s: timeouts.tcp_synack_s,
        last_s: preset.last_s,
        udp_s: timeouts.udp_s,
        new_s: preset.new_s,
    }
}

/// A number for a service of several addresses, from its name (FNV-1a), so that it stays when other services come and
/// go. Two names may share it once in four thousand million; [`super::desired`] then takes the next free one.
pub(super) fn group_number(name: &str) -> NonZeroU32 {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    NonZeroU32::new(hash).unwrap_or(NonZeroU32::MIN)
}
