//! What packets from others say: reading ARP and ND into events, and watching for claims of our own addresses.

use core::net::IpAddr;

use weir_wire::{MacAddr, arp, ndp};

use super::super::Key;
use super::super::entry::{Advert, Entry, Event};
use super::{CONFLICTS_MAX, Cache, Claimant};
use crate::time::Instant;

impl Cache {
    pub(super) fn arp(&mut self, now: Instant, port: u16, packet: &arp::Repr) {
        let mac = packet.sender_hardware_addr;
        let ip = packet.sender_protocol_addr;
        let key = Key {
            port,
            ip: IpAddr::V4(ip),
        };
        // A probe (RFC 5227 §2.1.1) comes from nowhere and claims nothing yet.
        if ip.is_unspecified() || !self.is_station(mac) || self.is_own(key, mac) {
            return;
        }
        match packet.operation {
            arp::Operation::Request if !packet.is_gratuitous() => {
                let target = Key {
                    port,
                    ip: IpAddr::V4(packet.target_protocol_addr),
                };
                self.claim(now, key, mac, self.own.contains_key(&target));
            }
            arp::Operation::Request | arp::Operation::Reply => {
                let solicited =
                    !packet.is_gratuitous() && self.entries.get(&key).is_some_and(Entry::is_asking);
                let advert = Advert {
                    mac: Some(mac),
                    solicited,
                    override_: true,
                };
                self.event(now, key, Event::Advert(advert));
            }
        }
    }

    pub(super) fn nd(&mut self, now: Instant, port: u16, src: IpAddr, message: &ndp::Repr) {
        let sender = Key { port, ip: src };
        match *message {
            ndp::Repr::NeighborSolicit { target_addr, lladdr } => {
                let for_us = self.own.contains_key(&Key {
                    port,
                    ip: IpAddr::V6(target_addr),
                });
                self.heard(now, sender, lladdr, for_us);
            }
            ndp::Repr::RouterSolicit { lladdr } => {
                self.heard(now, sender, lladdr, false);
                self.update(now, sender, |entry, _| entry.router = false);
            }
            ndp::Repr::RouterAdvert { lladdr, .. } => {
                self.heard(now, sender, lladdr, false);
                self.update(now, sender, |entry, _| entry.router = true);
            }
            ndp::Repr::NeighborAdvert {
                router,
                solicited,
                override_,
                target_addr,
                lladdr,
            } => {
                let key = Key {
                    port,
                    ip: IpAddr::V6(target_addr),
                };
                let valid = lladdr.is_none_or(|mac| self.is_station(mac) && !self.is_own(key, mac));
                if valid && !self.own.contains_key(&key) {
                    self.event(
                        now,
                        key,
                        Event::Advert(Advert {
                            mac: lladdr,
                            solicited,
                            override_,
                        }),
                    );
                    self.update(now, key, |entry, _| entry.router = router);
                }
            }
        }
    }

    /// An ND message other than an advertisement: its source and the link-layer address it names.
    fn heard(&mut self, now: Instant, key: Key, lladdr: Option<MacAddr>, may_enter: bool) {
        if let Some(mac) = lladdr
            && !key.ip.is_unspecified()
            && self.is_station(mac)
            && !self.is_own(key, mac)
        {
            self.claim(now, key, mac, may_enter);
        }
    }

    /// Somebody who is not us names its MAC address. Strangers are entered only if they talk to us (RFC 826).
    fn claim(&mut self, now: Instant, key: Key, mac: MacAddr, may_enter: bool) {
        if self.entries.contains_key(&key) {
            self.event(now, key, Event::Claim(mac));
        } else if may_enter {
            if self.make_room(Claimant::Passer) {
                self.insert(now, key, |cx| Entry::learnt(cx, mac));
            } else {
                self.stats.refused += 1;
            }
        }
    }

    /// Whether `mac` can be one station's address; counts those that cannot.
    fn is_station(&mut self, mac: MacAddr) -> bool {
        let valid = mac.is_unicast();
        self.stats.invalid += u64::from(!valid);
        valid
    }

    /// Whether the address is ours; if `mac` is not, that is a conflict.
    fn is_own(&mut self, key: Key, mac: MacAddr) -> bool {
        let Some(&ours) = self.own.get(&key) else {
            return false;
        };
        // Directors that share a virtual MAC all claim with it; what we sent ourselves does not come back to us.
        if ours != mac || mac.is_virtual_router() {
            self.stats.conflicts += 1;
            if self.conflicts.len() < CONFLICTS_MAX && !self.conflicts.contains(&(key, mac)) {
                self.conflicts.push_back((key, mac));
            }
        }
        true
    }
}
