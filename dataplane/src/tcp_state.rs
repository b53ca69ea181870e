//! The TCP states a flow goes through, and how long each may stay idle: IPVS's tables.
//!
//! A load balancer sees at most half of what the two ends know (in DR and tunnel mode only the client's packets), so
//! these are not RFC 9293's states but what can be told from flags alone. Timeouts are in seconds.
//!
//! Two sets of timeouts are built in: [`Timeouts::IPVS`] and [`Timeouts::DPVS`], which gives up a quiet connection
//! after 90 s where IPVS waits 900.
//!
//! Read first: `net/netfilter/ipvs/ip_vs_proto_tcp.c` of Linux.

#[cfg(test)]
mod tests;

/// State of a TCP flow, by IPVS's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// New entry, nothing seen yet.
    #[default]
    None,
    /// Both ends are talking, as far as can be seen.
    Established,
    /// The server's side opened the connection.
    SynSent,
    /// The client sent a SYN.
    SynRecv,
    /// The server closed its side; or, where replies are unseen, the client did.
    FinWait,
    /// Both sides closed.
    TimeWait,
    /// Reset, or an unexpected end.
    Close,
    /// The client closed its side.
    CloseWait,
    /// The last acknowledgement is awaited.
    LastAck,
    /// The server's side listens (active FTP).
    Listen,
    /// A SYN under `secure_tcp`, not yet trusted.
    SynAck,
}

impl State {
    /// All states, each at the index of its number.
    pub const ALL: [Self; 11] = [
        Self::None,
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::SynAck,
    ];

    /// The state with this number, which is [`State as u8`](State).
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        if (number as usize) < Self::ALL.len() {
            Some(Self::ALL[number as usize])
        } else {
            None
        }
    }

    /// Does a flow in this state count as an active connection of its server? All others count as inactive.
    #[must_use]
    pub const fn is_active(self) -> bool {
        match self {
            Self::Established | Self::SynSent | Self::SynRecv | Self::SynAck => true,
            Self::None
            | Self::FinWait
            | Self::TimeWait
            | Self::Close
            | Self::CloseWait
            | Self::LastAck
            | Self::Listen => false,
        }
    }

    /// As `ipvsadm -Lc` prints it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait => "FIN_WAIT",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::SynAck => "SYNACK",
        }
    }
}

/// What a segment's flags mean to the table. Of several, the first in this order counts: rst, syn, fin, ack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Event {
    /// SYN, with or without ACK.
    Syn,
    /// FIN.
    Fin,
    /// Plain ACK.
    Ack,
    /// RST.
    Rst,
    /// None of the four. IPVS closes the flow, from any state.
    Other,
}

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

impl Event {
    /// From byte 13 of the TCP header.
    #[must_use]
    pub const fn from_flags(flags: u8) -> Self {
        if flags & RST != 0 {
            Self::Rst
        } else if flags & SYN != 0 {
            Self::Syn
        } else if flags & FIN != 0 {
            Self::Fin
        } else if flags & ACK != 0 {
            Self::Ack
        } else {
            Self::Other
        }
    }
}

/// Which way a segment goes, and whether the other way is seen at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Direction {
    /// Client to server, replies pass through here too.
    Input,
    /// Server to client.
    Output,
    /// Client to server, replies take another way (DR, tunnel).
    InputOnly,
}

/// Which tables are in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Policy {
    /// The normal ones.
    #[default]
    Normal,
    /// `secure_tcp`: under attack a SYN earns no trust until the handshake is complete.
    Secure,
}

/// Next states by state, in the order of [`State::ALL`].
type Row = [State; 11];
/// A row for each of syn, fin, ack, rst.
type Table = [Row; 4];

use State::{
    Close as CL, CloseWait as CW, Established as ES, FinWait as FW, LastAck as LA, Listen as LI,
    SynAck as SA, SynRecv as SR, SynSent as SS, TimeWait as TW,
};

#[rustfmt::skip]
const NORMAL: [Table; 3] = [
    [ // INPUT
        //NO ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        [SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR],
        [CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW],
        [CL, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES],
        [CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR],
    ],
    [ // OUTPUT
        [SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR],
        [TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW],
        [ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES],
        [CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL],
    ],
    [ // INPUT_ONLY
        [SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR],
        [CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW],
        [CL, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES],
        [CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL],
    ],
];

#[rustfmt::skip]
const SECURE: [Table; 3] = [
    [ // INPUT
        //NO ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        [SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SA],
        [CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, SA],
        [CL, ES, SS, SR, FW, TW, CL, CW, CL, LI, SA],
        [CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL],
    ],
    [ // OUTPUT
        [SS, ES, SS, SA, SS, SS, SS, SS, SS, LI, SA],
        [TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW],
        [ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES],
        [CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL],
    ],
    [ // INPUT_ONLY
        [SA, ES, ES, SR, SA, SA, SA, SA, SA, SA, SA],
        [CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW],
        [CL, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES],
        [CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL],
    ],
];

/// The state after a segment.
#[must_use]
pub const fn next(policy: Policy, direction: Direction, event: Event, state: State) -> State {
    let tables = match policy {
        Policy::Normal => &NORMAL,
        Policy::Secure => &SECURE,
    };
    let row = match event {
        Event::Syn => 0,
        Event::Fin => 1,
        Event::Ack => 2,
        Event::Rst => 3,
        Event::Other => return State::Close,
    };
    tables[direction as usize][row][state as usize]
}

/// A flow's place in the tables: its state, and whether replies are still unseen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tracker {
    /// Where the flow is.
    pub state: State,
    /// IPVS's `NOOUTPUT`: set for DR and tunnel, dropped for good by the first reply that is seen.
    pub no_output: bool,
}

impl Tracker {
    /// A new flow; `no_output` where replies are not expected to pass.
    #[must_use]
    pub const fn new(no_output: bool) -> Self {
        Self {
            state: State::None,
            no_output,
        }
    }

    /// The flow after a segment with these flags, from the server if `is_reply`.
    #[must_use]
    pub const fn after(self, policy: Policy, is_reply: bool, flags: u8) -> Self {
        let no_output = self.no_output && !is_reply;
        let direction = if is_reply {
            Direction::Output
        } else if no_output {
            Direction::InputOnly
        } else {
            Direction::Input
        };
        Self {
            state: next(policy, direction, Event::from_flags(flags), self.state),
            no_output,
        }
    }
}

/// How long a flow may stay without a packet, by state. Every packet starts the time anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timeouts {
    /// TCP, in the order of [`State::ALL`].
    pub tcp_s: [u32; 11],
    /// UDP and every other protocol, which have one state.
    pub udp_s: u32,
    /// A new entry, until its first change of state.
    pub new_s: u32,
}

impl Timeouts {
    /// Those of the Linux kernel, which weir takes unless told otherwise.
    pub const IPVS: Self = Self {
        tcp_s: [2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120],
        udp_s: 300,
        new_s: 3,
    };

    /// Those of DPVS.
    pub const DPVS: Self = Self {
        tcp_s: [2, 90, 3, 30, 7, 7, 3, 7, 7, 120, 30],
        udp_s: 300,
        new_s: 3,
    };

    /// Of a TCP flow in this state.
    #[must_use]
    pub const fn tcp_s(&self, state: State) -> u32 {
        self.tcp_s[state as usize]
    }

    /// The same with one state changed.
    #[must_use]
    pub const fn with_tcp_s(mut self, state: State, timeout_s: u32) -> Self {
        self.tcp_s[state as usize] = timeout_s;
        self
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::IPVS
    }
}
