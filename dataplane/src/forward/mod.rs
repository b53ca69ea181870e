//! How packets are made ready for a server: tunnel headers, local ports of FULLNAT, ICMP errors that follow a flow, and
//! the link layer all of them need. DR and NAT are a few lines in [`crate::path`]'s rewrite stage over [`crate::ip`].

pub(crate) mod fullnat;
pub(crate) mod icmp;
pub(crate) mod outer;
pub(crate) mod plain;
pub(crate) mod relay;
pub(crate) mod tunnel;

use crate::egress::Link;
use crate::packet::Packet;
use crate::parse::VLAN_LEN;
use crate::verdict::DropReason;

/// Writes MACs and 802.1Q tag. A tag that stays keeps its priority bits.
#[inline]
pub(crate) fn set_l2<P: Packet>(
    packet: &mut P,
    vlan_tci: Option<u16>,
    link: &Link,
) -> Result<(), DropReason> {
    match vlan_tci {
        None if link.vlan == 0 => {}
        None => {
            // Make room for a tag between the addresses and the EtherType.
            if !packet.prepend(VLAN_LEN) {
                return Err(DropReason::NoHeadroom);
            }
            put_tag(packet.data_mut(), link.vlan);
        }
        Some(tci) if link.vlan != 0 => {
            let tci = tci & 0xf000 | link.vlan & 0x0fff;
            packet.data_mut()[14..16].copy_from_slice(&tci.to_be_bytes());
        }
        Some(_) => {
            if !packet.trim_front(VLAN_LEN) {
                return Err(DropReason::Truncated);
            }
        }
    }
    let Some(head) = packet.data_mut().first_chunk_mut::<12>() else {
        return Err(DropReason::Truncated);
    };
    head[..6].copy_from_slice(&link.dst_mac);
    head[6..].copy_from_slice(&link.src_mac);
    Ok(())
}

/// Bytes 12 to 16: tag protocol identifier and tag control information.
fn put_tag(data: &mut [u8], vlan: u16) {
    data[12..14].copy_from_slice(&[0x81, 0x00]);
    data[14..16].copy_from_slice(&vlan.to_be_bytes());
}
