//! VF settings over rtnetlink: one attribute a message, as iproute2 sends them.
//!
//! Drivers stop at the first attribute they do not take and leave the rest half done, hence one at a time. Read first: rtnetlink(7), and
//! do_setvfinfo and rtnl_fill_vfinfo in the kernel's net/core/rtnetlink.c.

use super::apply::HostError;
use super::model::{Counters, Setting, Settings};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload, NlaBuffer,
    NlasIterator, Parseable,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    LinkAttribute, LinkExtentMask, LinkFlags, LinkMessage, LinkVfInfo, VfInfo, VfInfoLinkState, VfInfoMac,
    VfInfoRate, VfInfoSpoofCheck, VfInfoTrust, VfInfoVlan, VfLinkState, VfStats, VfVlan, VfVlanInfo,
    VlanProtocol as WireVlanProtocol,
};
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use std::time::Duration;
use weir_configs::{MacAddress, VfLink, VlanProtocol};

/// 256 VFs with counters fit.
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// The kernel answers at once; a driver's mailbox to its firmware may take a second.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const IFLA_VFINFO_LIST: u16 = 22;
const RTM_NEWLINK: u16 = 16;
/// Length of `ifinfomsg`, which comes before the attributes.
const IFINFOMSG_BYTES: usize = 16;
/// Length of `nlmsghdr`.
const NLMSGHDR_BYTES: usize = 16;

/// The message that sets one thing of one VF.
pub fn set_vf_message(interface_index: u32, vf: u16, setting: Setting, sequence: u32) -> Vec<u8> {
    let vf = u32::from(vf);
    let attribute = match setting {
        Setting::Mac(mac) => VfInfo::Mac(VfInfoMac::new(vf, &mac.0)),
        Setting::Vlan {
            id,
            qos,
            protocol: VlanProtocol::Dot1Q,
        } => VfInfo::Vlan(VfInfoVlan::new(vf, id.into(), qos.into())),
        Setting::Vlan {
            id,
            qos,
            protocol: VlanProtocol::Dot1Ad,
        } => {
            let info = VfVlanInfo::new(vf, id.into(), qos.into(), WireVlanProtocol::Ieee8021Ad);
            VfInfo::VlanList(vec![VfVlan::Info(info)])
        }
        Setting::Rate { min_mbps, max_mbps } => VfInfo::Rate(VfInfoRate::new(vf, min_mbps, max_mbps)),
        Setting::SpoofCheck(on) => VfInfo::SpoofCheck(VfInfoSpoofCheck::new(vf, on)),
        Setting::Trust(on) => VfInfo::Trust(VfInfoTrust::new(vf, on)),
        Setting::Link(link) => VfInfo::LinkState(VfInfoLinkState::new(
            vf,
            match link {
                VfLink::Auto => VfLinkState::Auto,
                VfLink::Enable => VfLinkState::Enable,
                VfLink::Disable => VfLinkState::Disable,
            },
        )),
    };
    let mut link = LinkMessage::default();
    link.header.index = interface_index;
    link.attributes = vec![LinkAttribute::VfInfoList(vec![LinkVfInfo(vec![attribute])])];
    bytes(
        RouteNetlinkMessage::NewLink(link),
        NLM_F_REQUEST | NLM_F_ACK,
        sequence,
    )
}

/// The message that takes an interface up.
pub fn set_up_message(interface_index: u32, sequence: u32) -> Vec<u8> {
    let mut link = LinkMessage::default();
    link.header.index = interface_index;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    bytes(
        RouteNetlinkMessage::NewLink(link),
        NLM_F_REQUEST | NLM_F_ACK,
        sequence,
    )
}

/// The message that asks for an interface with its VFs.
pub fn get_vfs_message(interface_index: u32, sequence: u32) -> Vec<u8> {
    let mut link = LinkMessage::default();
    link.header.index = interface_index;
    link.attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::Vf])];
    bytes(RouteNetlinkMessage::GetLink(link), NLM_F_REQUEST, sequence)
}

fn bytes(message: RouteNetlinkMessage, flags: u16, sequence: u32) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// A VF as rtnetlink tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VfReport {
    /// Its number.
    pub index: u16,
    /// Its settings.
    pub settings: Settings,
    /// Its counters, if the driver keeps them.
    pub counters: Option<Counters>,
}

/// The VFs in an answer to [`get_vfs_message`]; anything else in it is passed over.
pub fn parse_vfs(answer: &[u8]) -> Result<Vec<VfReport>, String> {
    let broken = |error: &dyn std::fmt::Display| format!("an rtnetlink answer that cannot be read: {error}");
    let header = NetlinkBuffer::new_checked(answer).map_err(|error| broken(&error))?;
    let end = usize::try_from(header.length())
        .unwrap_or(usize::MAX)
        .min(answer.len());
    let attributes = answer
        .get(NLMSGHDR_BYTES + IFINFOMSG_BYTES..end)
        .unwrap_or_default();
    let mut vfs = Vec::new();
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute.map_err(|error| broken(&error))?;
        if attribute.kind() != IFLA_VFINFO_LIST {
            continue;
        }
        for vf in NlasIterator::new(attribute.value()) {
            let vf = vf.map_err(|error| broken(&error))?;
            let mut report = VfReport::default();
            for part in NlasIterator::new(vf.value()) {
                let part = part.map_err(|error| broken(&error))?;
                // What a newer kernel adds is not an error.
                if let Ok(part) =
                    <VfInfo as Parseable<NlaBuffer<&[u8]>>>::parse(&NlaBuffer::new(part.into_inner()))
                {
                    take(&mut report, part);
                }
            }
            vfs.push(report);
        }
    }
    vfs.sort_by_key(|vf| vf.index);
    Ok(vfs)
}

fn take(report: &mut VfReport, part: VfInfo) {
    match part {
        VfInfo::Mac(mac) => {
            report.index = u16::try_from(mac.vf_id).unwrap_or(u16::MAX);
            // The field has room for other hardware; Ethernet's address is the first six.
            report.settings.mac = mac.mac.first_chunk().map(|octets| MacAddress(*octets));
        }
        VfInfo::Vlan(vlan) if report.settings.vlan.is_none() => {
            report.settings.vlan = vlan_of(vlan.vlan_id, vlan.qos, VlanProtocol::Dot1Q);
        }
        VfInfo::VlanList(list) => {
            if let Some(VfVlan::Info(vlan)) = list.first() {
                let protocol = match vlan.protocol {
                    WireVlanProtocol::Ieee8021Ad => VlanProtocol::Dot1Ad,
                    _ => VlanProtocol::Dot1Q,
                };
                report.settings.vlan = vlan_of(vlan.vlan_id, vlan.qos, protocol);
            }
        }
        VfInfo::Rate(rate) => report.settings.rate_mbps = Some((rate.min_tx_rate, rate.max_tx_rate)),
        VfInfo::SpoofCheck(spoofchk) => report.settings.spoofchk = Some(spoofchk.enabled),
        VfInfo::Trust(trust) => report.settings.trust = Some(trust.enabled),
        VfInfo::LinkState(link) => {
            report.settings.link = match link.state {
                VfLinkState::Auto => Some(VfLink::Auto),
                VfLinkState::Enable => Some(VfLink::Enable),
                VfLinkState::Disable => Some(VfLink::Disable),
                _ => None,
            };
        }
        VfInfo::Stats(stats) => report.counters = Some(counters(&stats)),
        _ => {}
    }
}

fn vlan_of(id: u32, qos: u32, protocol: VlanProtocol) -> Option<(u16, u8, VlanProtocol)> {
    Some((u16::try_from(id).ok()?, u8::try_from(qos).ok()?, protocol))
}

fn counters(stats: &[VfStats]) -> Counters {
    let mut counters = Counters::default();
    for stat in stats {
        match stat {
            VfStats::RxPackets(count) => counters.rx_packets = *count,
            VfStats::TxPackets(count) => counters.tx_packets = *count,
            VfStats::RxBytes(count) => counters.rx_bytes = *count,
            VfStats::TxBytes(count) => counters.tx_bytes = *count,
            _ => {}
        }
    }
    counters
}

/// A conversation with the kernel: one request, one answer.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens it.
    pub fn open() -> Result<Self, HostError> {
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            // NETLINK_ROUTE is protocol 0, the default.
            None,
        )?;
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(ANSWER_TIMEOUT))?;
        Ok(Self {
            fd,
            sequence: 0,
            buffer: vec![0; ANSWER_BYTES_MAX],
        })
    }

    /// Sets one thing of one VF.
    pub fn set_vf(&mut self, interface_index: u32, vf: u16, setting: Setting) -> Result<(), HostError> {
        let sequence = self.next_sequence();
        self.ask(&set_vf_message(interface_index, vf, setting, sequence), sequence)
            .map(drop)
    }

    /// Takes an interface up.
    pub fn set_up(&mut self, interface_index: u32) -> Result<(), HostError> {
        let sequence = self.next_sequence();
        self.ask(&set_up_message(interface_index, sequence), sequence)
            .map(drop)
    }

    /// The VFs of an interface.
    pub fn vfs(&mut self, interface_index: u32) -> Result<Vec<VfReport>, HostError> {
        let sequence = self.next_sequence();
        let length = self.ask(&get_vfs_message(interface_index, sequence), sequence)?;
        parse_vfs(&self.buffer[..length]).map_err(|error| HostError::System(std::io::Error::other(error)))
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Sends a request and waits for the answer of that number: its length in the buffer.
    fn ask(&mut self, request: &[u8], sequence: u32) -> Result<usize, HostError> {
        rustix::net::send(&self.fd, request, SendFlags::empty())?;
        loop {
            let (length, _) =
                match rustix::net::recv(&self.fd, self.buffer.as_mut_slice(), RecvFlags::empty()) {
                    Err(rustix::io::Errno::INTR) => continue,
                    Err(rustix::io::Errno::AGAIN) => {
                        return Err(HostError::TimedOut {
                            seconds: ANSWER_TIMEOUT.as_secs(),
                        });
                    }
                    other => other?,
                };
            let answer = NetlinkBuffer::new_checked(&self.buffer[..length])
                .map_err(|error| HostError::System(std::io::Error::other(error.to_string())))?;
            if answer.sequence_number() != sequence {
                continue;
            }
            if answer.message_type() == RTM_NEWLINK {
                return Ok(length);
            }
            // NLMSG_ERROR: a signed errno comes first, 0 for an acknowledgement.
            let code = answer
                .payload()
                .first_chunk()
                .map_or(0, |bytes| i32::from_ne_bytes(*bytes));
            return match code {
                0 => Ok(length),
                code if -code == rustix::io::Errno::NODEV.raw_os_error() => Err(HostError::Vanished),
                code => Err(HostError::System(std::io::Error::from_raw_os_error(-code))),
            };
        }
    }
}

#[cfg(test)]
mod tests;
