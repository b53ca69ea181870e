//! The fate of a packet, with a name, a counter and a hint for every way it can end.
//!
//! Per worker, at every burst boundary: `rx + steered in == tx + punted + steered out + Σ drops`.
//! Summed over the workers, with nothing in flight between them, the two steered terms cancel.

pub use weir_rings::message::PortId;

/// A worker, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WorkerId(pub u8);

/// What becomes of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Leaves by this port.
    Tx(PortId),
    /// Goes to the host: to the kernel interface of the port it came by, or to the neighbour machine.
    Punt(PuntReason),
    /// Ends here.
    Drop(DropReason),
    /// Belongs to another worker, unchanged.
    Steer(WorkerId),
}

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal, $hint:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every reason, in the order of their counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name counters, listings and metrics use.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// One line: what it means and what to do.
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$variant => $hint,)+ }
            }

            /// Place in [`ALL`](Self::ALL).
            #[inline]
            pub const fn index(self) -> usize {
                self as usize
            }
        }
    };
}

reasons! {
    /// Why a packet ends here.
    DropReason {
        /// Shorter than its headers say.
        Truncated = "truncated", "the frame ends inside its headers; look for a broken sender, or a tunnel that cuts frames";
        /// The IP header contradicts itself.
        BadIpHeader = "bad_ip_header", "wrong version or header length; look for a broken sender, capture the frame";
        /// The TCP, UDP or ICMP header contradicts the IP header.
        BadTransport = "bad_transport_header", "TCP, UDP or ICMP lengths contradict the packet; look for a broken or hostile sender";
        /// A source address nobody can have.
        BadSource = "bad_source_address", "source is a group, loopback or one of our own addresses: spoofed, or a loop on the segment";
        /// For another station.
        OtherMac = "other_mac", "unicast to a MAC that is not ours: the switch floods, or the port is promiscuous without need";
        /// Tagged otherwise than the port.
        OtherVlan = "other_vlan", "802.1Q tag differs from the port's vlan; set the port's vlan or the switch's";
        /// An ARP request for an address that is not ours.
        ArpNotOurs = "arp_not_ours", "ARP for an address held elsewhere; normal on a shared segment";
        /// An ARP packet that contradicts itself.
        BadArp = "bad_arp", "not an Ethernet/IPv4 ARP packet, or a sender address nobody can have";
        /// A neighbour solicitation for an address that is not ours.
        NdNotOurs = "nd_not_ours", "neighbour solicitation for an address held elsewhere; normal on a shared segment";
        /// A neighbour discovery packet that RFC 4861 tells us to discard.
        BadNd = "bad_nd", "neighbour discovery with hop limit below 255, bad checksum or length: broken or from off-link";
        /// An ICMP packet with a wrong checksum that we would have answered.
        BadChecksum = "bad_checksum", "checksum of a packet addressed to us is wrong; turn transmit offload off on a veth peer";
        /// For nobody here.
        NotOurs = "not_ours", "neither a virtual address, an own address nor a known flow; weir is not a router: check the sender's route";
        /// The VIP is configured but another node holds it.
        VipNotOwned = "vip_not_owned", "the virtual address is held by another node now; check VRRP state and the sender's ARP entry";
        /// Virtual address without such a service.
        NoService = "no_service", "nothing is configured for this protocol and port of the virtual address; add a service or fix the client";
        /// No server can take a new flow.
        NoServer = "no_server", "every server of the service is down, at weight 0 or overloaded; see weirctl backend";
        /// Not a SYN, and no flow is known.
        NoFlow = "no_flow", "TCP without a known flow: it timed out, or began on another node; sloppy_tcp = true schedules it anyway";
        /// The flow's server is no longer configured.
        ServerGone = "server_gone", "the flow's server was removed; expire_nodest_conn = true resets such connections or schedules them anew, no_server = \"reject\" resets them";
        /// A fragment that cannot be assigned to a flow.
        Fragment = "fragment", "IP fragments carry no ports; avoid them: lower the sender's MTU, or use an address-only scheduler";
        /// An ICMP error that quotes no flow of ours.
        IcmpNoFlow = "icmp_no_flow", "ICMP error that quotes no known flow; usually late";
        /// An ICMP error about a tunnel's outer packet that cannot be told to the client.
        IcmpTunnel = "icmp_tunnel", "ICMP error about a tunnel's outer packet that is not for the client: the server has no such tunnel, or a router quoted too little of the client's packet";
        /// The replies of a new NAT flow could not be told from another flow's.
        ReplyAmbiguous = "reply_ambiguous", "the client's port has a flow to this server's port by another virtual address, and replies could not be told apart; give the server a port for each address, or use fullnat";
        /// The hop limit ran out here.
        TtlExceeded = "ttl_exceeded", "TTL or hop limit reached 0 here: a traceroute, or a forwarding loop between two balancers";
        /// Does not fit the path to the server.
        TooBig = "too_big", "bigger than the tunnel's MTU with fragmentation forbidden, which its sender was told; let the servers announce a smaller MSS (advmss of their routes), or raise the MTU towards them";
        /// No space in front for the outer header.
        NoHeadroom = "no_headroom", "no room for the tunnel header in front of the packet; raise the mempool's headroom";
        /// No local address and port left for a FULLNAT flow.
        NoLocalPort = "no_local_port", "all local ports towards this server are taken; add local addresses to the pool";
        /// The flow table is full and the mode cannot forward without state.
        FlowTableFull = "flow_table_full", "flow table full and NAT needs an entry; raise flows_max or shorten timeouts";
        /// Nothing known about the way to the destination.
        NoRoute = "no_route", "no route to the destination; add [[route]]";
        /// More would have gone to the host than its bucket allows.
        PuntLimited = "punt_limited", "packets for the host exceeded their rate limit; a flood, or raise the limit of that reason";
        /// An answer (RST, ICMP error) was due but the rate limit is reached.
        AnswerLimited = "answer_limited", "ICMP errors and resets exceeded their rate limit; a scan or a flood";
        /// A protocol of a virtual address that is not balanced.
        OtherProtocol = "other_protocol", "a protocol the virtual address does not balance";
        /// The port number of the burst is not configured.
        UnknownPort = "unknown_port", "received on a port that the tables do not know yet; it clears once the first configuration is in";
        /// The transmit queue did not take it.
        TxFull = "tx_full", "the transmit queue is full: the egress link is slower than what arrives, or its peer stopped reading";
        /// The queue to the host did not take it.
        PuntQueueFull = "punt_queue_full", "the queue to the host is full: the kernel interface or the main thread is too slow";
        /// For the host, on a port without a kernel interface.
        NoHostInterface = "no_host_interface", "for the box itself, but the port has no kernel interface; set host_interface in [[port]]";
        /// The queue to another worker did not take it.
        SteerFull = "steer_full", "the queue to another worker is full: that worker cannot keep up";
        /// Back from the director it would be relayed to.
        RelayLoop = "relay_loop", "came from the director it would be relayed to: two directors both hold the address; see weirctl vrrp";
        /// A worker stopped while packets waited for it.
        WorkerGone = "worker_gone", "the worker the packet waited for has stopped; see the log for its panic";
    }
}

reasons! {
    /// Why a packet goes to the host.
    PuntReason {
        /// To one of the port's own addresses.
        Host = "host", "traffic to the box's own addresses, for the kernel interface";
        /// ARP replies and neighbour advertisements, and what else teaches neighbours.
        Neighbor = "neighbor", "ARP replies and neighbour advertisements, for the neighbour machine and the kernel";
        /// Somebody else claims an address we hold.
        AddressConflict = "address_conflict", "another station claims an address we hold; see the event for its MAC";
        /// VRRP adverts.
        Vrrp = "vrrp", "VRRP adverts, for control through the kernel interface";
        /// Groups and broadcast.
        Multicast = "multicast", "multicast and broadcast, for the kernel interface";
        /// Frames that are neither IP nor ARP.
        OtherEthertype = "other_ethertype", "frames that are neither IP nor ARP (LLDP, LACP, ...), for the kernel interface";
        /// The next hop's MAC is not known yet: the packet waits, unchanged, and is processed again.
        NeighborWanted = "neighbor_wanted", "the next hop's MAC address is being resolved; lasting counts mean it does not answer ARP or ND";
    }
}

reasons! {
    /// What is worth counting of packets that are sent.
    TxReason {
        /// To another director, which knows the connection.
        Relayed = "relayed", "sent to the director that held the address before, which knows the connection; relay_ms in [[vrrp]] says for how long";
    }
}

impl TxReason {
    /// Its counter, behind those of the others.
    pub const fn counter(self) -> usize {
        DropReason::COUNT + PuntReason::COUNT + self.index()
    }
}

impl Verdict {
    /// The reason's name, for listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tx(_) => "tx",
            Self::Punt(reason) => reason.name(),
            Self::Drop(reason) => reason.name(),
            Self::Steer(_) => "steered",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DropReason, PuntReason};
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_every_hint_says_something() {
        let drops = DropReason::ALL
            .iter()
            .map(|reason| (reason.name(), reason.hint()));
        let punts = PuntReason::ALL
            .iter()
            .map(|reason| (reason.name(), reason.hint()));
        let all: Vec<_> = drops.chain(punts).collect();
        let names: HashSet<_> = all.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), DropReason::COUNT + PuntReason::COUNT);
        for (name, hint) in all {
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{name}"
            );
            assert!(hint.len() > 20, "{name}: {hint}");
        }
    }

    #[test]
    fn a_reason_is_found_by_its_index() {
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
        for (index, reason) in PuntReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
    }
}
