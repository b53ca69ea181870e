//! Drives the neighbour machine: frames in, solicitations out, and what it learns into the egress records.
//!
//! The machine knows a neighbour by a number and an address; the number here is that of a link, which is a port together
//! with a VLAN. Frames of the machine are untagged: the tag is taken off and put on here.

use core::net::{IpAddr, Ipv4Addr};
use std::collections::BTreeMap;

use weir_proto::neighbor::{Action, Cache, Config, Input, Key, Neighbor, frame};
use weir_proto::time::Instant;
use weir_rings::message::PortId;
use weir_wire::{EtherType, MacAddr, ethernet, vlan};

use crate::answer::nd::link_local;
use crate::tables::{HopKey, HopWish, PortSpec};

/// A port and a VLAN on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Link {
    port: PortId,
    /// VLAN id, 0 for untagged.
    vlan: u16,
}

/// What the driver asks of the main thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send this frame.
    Send(PortId, Vec<u8>),
    /// The next hop is at this MAC, or nobody knows where.
    Learned(HopKey, Option<MacAddr>),
    /// Somebody else claims an address of ours.
    Conflict(HopKey, MacAddr),
}

/// The machine with its links.
#[derive(Debug)]
pub struct Neighbors {
    cache: Cache,
    ports: Vec<PortSpec>,
    links: Vec<Link>,
    /// Addresses we hold, with the MAC we answer with.
    own: BTreeMap<Key, MacAddr>,
}

impl Neighbors {
    /// For these ports. `seed` spreads the probes.
    pub fn new(ports: &[PortSpec], seed: u64) -> Self {
        let links = (0u16..)
            .zip(ports)
            .map(|(id, port)| Link {
                port: PortId(id),
                vlan: port.vlan.map_or(0, |vlan| vlan.get()),
            })
            .collect();
        Self {
            cache: Cache::new(Config::default(), seed),
            ports: ports.to_vec(),
            links,
            own: BTreeMap::new(),
        }
    }

    /// Next hops that are needed from now on, or no longer.
    pub fn wish(&mut self, now: Instant, wish: HopWish) {
        match wish {
            HopWish::Resolve(hop) => {
                let key = self.key(&hop);
                self.cache.handle(now, Input::Pin(key));
            }
            HopWish::Forget(hop) => {
                let key = self.key(&hop);
                self.cache.handle(now, Input::Unpin(key));
            }
        }
    }

    /// A packet waits for this next hop.
    pub fn wanted(&mut self, now: Instant, hop: &HopKey) {
        let key = self.key(hop);
        self.cache.handle(now, Input::Wanted(key));
    }

    /// The addresses we hold, on which port, and the MAC they are at. Others who claim one are reported.
    pub fn set_own(&mut self, now: Instant, addresses: impl Iterator<Item = (PortId, IpAddr, MacAddr)>) {
        let wanted: BTreeMap<Key, MacAddr> = addresses
            .map(|(port, ip, mac)| (Key { port: port.0, ip }, mac))
            .collect();
        let gone: Vec<Key> = self
            .own
            .keys()
            .filter(|key| !wanted.contains_key(key))
            .copied()
            .collect();
        for key in gone {
            self.cache.handle(now, Input::Disown(key));
        }
        for (key, mac) in &wanted {
            if self.own.get(key) != Some(mac) {
                self.cache.handle(now, Input::Own { key: *key, mac: *mac });
            }
        }
        self.own = wanted;
    }

    /// A frame that may teach something. What is malformed teaches nothing: it was counted where it was punted.
    pub fn received(&mut self, now: Instant, port: PortId, bytes: &[u8]) {
        let Some((vlan, untagged)) = untag(bytes) else {
            return;
        };
        let link = self.link(port, vlan);
        if let Ok(Some(input)) = frame::input(link, &untagged) {
            self.cache.handle(now, input);
        }
    }

    /// A port's link changed.
    pub fn link_changed(&mut self, now: Instant, port: PortId, up: bool) {
        for (link, _) in (0u16..).zip(&self.links).filter(|(_, link)| link.port == port) {
            let input = if up {
                Input::LinkUp { port: link }
            } else {
                Input::LinkDown { port: link }
            };
            self.cache.handle(now, input);
        }
    }

    /// Lets the machine's timers run.
    pub fn tick(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.cache.handle_timeout(now);
        }
    }

    /// When [`Neighbors::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.cache.poll_timeout().map(|(deadline, _)| deadline)
    }

    /// The next thing to do. Call until there is none.
    pub fn poll(&mut self) -> Option<Effect> {
        loop {
            let effect = match self.cache.poll_action()? {
                Action::Solicit { key, unicast_to } => self.solicit(key, unicast_to),
                Action::Update { key, mac } => Some(Effect::Learned(self.hop(key), Some(mac))),
                Action::Fail(key) => Some(Effect::Learned(self.hop(key), None)),
                Action::Conflict { key, mac } => Some(Effect::Conflict(self.hop(key), mac)),
            };
            if effect.is_some() {
                return effect;
            }
        }
    }

    /// Every neighbour, with its next hop's name.
    pub fn list(&self) -> impl Iterator<Item = (HopKey, Neighbor)> + '_ {
        self.cache
            .neighbors()
            .map(|neighbor| (self.hop(neighbor.key), neighbor))
    }

    /// The frame that tells the segment where `address` is now.
    pub fn announcement(&self, port: PortId, vlan: u16, address: IpAddr, mac: MacAddr) -> Effect {
        Effect::Send(port, tag(frame::announce(address, mac, false).bytes(), vlan))
    }

    fn solicit(&self, key: Key, unicast_to: Option<MacAddr>) -> Option<Effect> {
        let link = self.links[usize::from(key.port)];
        let port = self.ports.get(usize::from(link.port.0))?;
        let source = source_address(port, key.ip);
        let frame = frame::solicit(key.ip, unicast_to, port.mac, source)?;
        Some(Effect::Send(link.port, tag(frame.bytes(), link.vlan)))
    }

    fn key(&mut self, hop: &HopKey) -> Key {
        Key {
            port: self.link(hop.port, hop.vlan),
            ip: hop.address,
        }
    }

    fn hop(&self, key: Key) -> HopKey {
        let link = self.links[usize::from(key.port)];
        HopKey {
            port: link.port,
            vlan: link.vlan,
            address: key.ip,
        }
    }

    /// The number of a link, which it keeps. There are no more links than ports times VLANs.
    fn link(&mut self, port: PortId, vlan: u16) -> u16 {
        let wanted = Link { port, vlan };
        let at = self
            .links
            .iter()
            .position(|link| *link == wanted)
            .unwrap_or_else(|| {
                self.links.push(wanted);
                self.links.len() - 1
            });
        u16::try_from(at).unwrap_or(u16::MAX)
    }
}

/// One of the port's own addresses in the target's subnet, or any of the family; without one ARP sends a probe (RFC 5227
/// §1.1) and ND asks from the link-local address.
fn source_address(port: &PortSpec, target: IpAddr) -> IpAddr {
    let same_family = || {
        port.addresses
            .iter()
            .filter(|(own, _)| own.is_ipv4() == target.is_ipv4())
    };
    let near = same_family().find(|(own, prefix_len)| shares_prefix(*own, target, *prefix_len));
    match near.or_else(|| same_family().next()) {
        Some((own, _)) => *own,
        None if target.is_ipv4() => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        None => IpAddr::V6(link_local(port.mac)),
    }
}

fn shares_prefix(a: IpAddr, b: IpAddr, prefix_len: u8) -> bool {
    ipnet::IpNet::new(a, prefix_len).is_ok_and(|net| net.contains(&b))
}

const TAG_AT: usize = 2 * 6;

/// The VLAN id (0 for none) and the frame without its tag.
fn untag(bytes: &[u8]) -> Option<(u16, Vec<u8>)> {
    let frame = ethernet::Frame::new_checked(bytes).ok()?;
    if frame.ethertype() != EtherType::VLAN {
        return Some((0, bytes.to_vec()));
    }
    let vid = vlan::Packet::new_checked(frame.payload()).ok()?.vid();
    Some((
        vid,
        [&bytes[..TAG_AT], &bytes[TAG_AT + vlan::HEADER_LEN..]].concat(),
    ))
}

/// The frame with a tag, unless the VLAN is 0.
fn tag(bytes: &[u8], vlan: u16) -> Vec<u8> {
    if vlan == 0 {
        return bytes.to_vec();
    }
    let [protocol, tci] = [EtherType::VLAN.0.to_be_bytes(), vlan.to_be_bytes()];
    [&bytes[..TAG_AT], &protocol, &tci, &bytes[TAG_AT..]].concat()
}

#[cfg(test)]
mod tests {
    use weir_rings::message::VlanId;
    use weir_wire::arp;

    use super::*;

    const US: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const SERVER: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn start(vlan: Option<u16>) -> Neighbors {
        let port = PortSpec {
            mac: US,
            addresses: vec![(ip("198.51.100.2"), 24), (ip("192.0.2.2"), 24)],
            vlan: vlan.and_then(VlanId::new),
            mtu: 1500,
        };
        Neighbors::new(&[port], 1)
    }

    fn hop(vlan: u16) -> HopKey {
        HopKey {
            port: PortId(0),
            vlan,
            address: ip("192.0.2.11"),
        }
    }

    fn reply(vlan: u16) -> Vec<u8> {
        let reply = arp::Repr {
            operation: arp::Operation::Reply,
            sender_hardware_addr: SERVER,
            sender_protocol_addr: [192, 0, 2, 11].into(),
            target_hardware_addr: US,
            target_protocol_addr: [192, 0, 2, 2].into(),
        };
        let mut bytes = vec![0; 14 + arp::PACKET_LEN];
        let head = ethernet::Repr {
            dst_addr: US,
            src_addr: SERVER,
            ethertype: EtherType::ARP,
        };
        head.emit(&mut ethernet::Frame::new_unchecked(&mut bytes[..]));
        reply.emit(&mut arp::Packet::new_unchecked(&mut bytes[14..]));
        tag(&bytes, vlan)
    }

    #[test]
    fn a_needed_next_hop_is_asked_for_and_learned() {
        for vlan in [0, 7] {
            let mut neighbors = start(Some(vlan).filter(|vlan| *vlan != 0));
            let now = Instant::from_nanos(1);
            neighbors.wish(now, HopWish::Resolve(hop(vlan)));
            let Some(Effect::Send(PortId(0), frame)) = neighbors.poll() else {
                panic!("nothing was asked")
            };
            let (tagged, untagged) = untag(&frame).unwrap();
            assert_eq!(tagged, vlan);
            let asked = arp::Repr::parse(&arp::Packet::new_checked(&untagged[14..]).unwrap()).unwrap();
            assert_eq!(
                asked,
                arp::Repr::request(US, [192, 0, 2, 2].into(), [192, 0, 2, 11].into())
            );
            assert_eq!(neighbors.poll(), None);

            neighbors.received(now, PortId(0), &reply(vlan));
            assert_eq!(neighbors.poll(), Some(Effect::Learned(hop(vlan), Some(SERVER))));
        }
    }

    #[test]
    fn an_answer_in_another_vlan_teaches_nothing_here() {
        let mut neighbors = start(None);
        let now = Instant::from_nanos(1);
        neighbors.wish(now, HopWish::Resolve(hop(0)));
        while neighbors.poll().is_some() {}
        neighbors.received(now, PortId(0), &reply(7));
        assert_eq!(neighbors.poll(), None);
    }

    #[test]
    fn garbage_is_ignored() {
        let mut neighbors = start(None);
        for len in 0..60 {
            neighbors.received(Instant::from_nanos(1), PortId(0), &reply(7)[..len.min(46)]);
            neighbors.received(Instant::from_nanos(1), PortId(0), &vec![0x81; len]);
        }
        assert_eq!(neighbors.poll(), None);
    }

    #[test]
    fn a_claim_of_our_address_is_a_conflict() {
        let mut neighbors = start(None);
        let now = Instant::from_nanos(1);
        neighbors.set_own(now, [(PortId(0), ip("192.0.2.11"), US)].into_iter());
        neighbors.received(now, PortId(0), &reply(0));
        assert_eq!(neighbors.poll(), Some(Effect::Conflict(hop(0), SERVER)));
    }
}
