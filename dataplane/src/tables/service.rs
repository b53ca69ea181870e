//! A service as the workers see it.

use std::sync::Arc;

use weir_rings::message::{self, ServiceKey};

use crate::flow::Tick;
use crate::scheduler;
use crate::tcp_state;

/// Time-outs in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeoutTicks {
    /// TCP, in the order of [`tcp_state::State::ALL`].
    pub tcp: [u32; 11],
    /// UDP and other protocols.
    pub udp: u32,
    /// A flow that has not changed state yet.
    pub fresh: u32,
}

impl From<&message::Timeouts> for TimeoutTicks {
    fn from(timeouts: &message::Timeouts) -> Self {
        let of = |state: tcp_state::State| {
            use tcp_state::State;
            Tick::from_secs(match state {
                State::None => timeouts.none_s,
                State::Established => timeouts.established_s,
                State::SynSent => timeouts.syn_sent_s,
                State::SynRecv => timeouts.syn_recv_s,
                State::FinWait => timeouts.fin_wait_s,
                State::TimeWait => timeouts.time_wait_s,
                State::Close => timeouts.close_s,
                State::CloseWait => timeouts.close_wait_s,
                State::LastAck => timeouts.last_ack_s,
                State::Listen => timeouts.listen_s,
                State::SynAck => timeouts.synack_s,
            })
        };
        Self {
            tcp: tcp_state::State::ALL.map(of),
            udp: Tick::from_secs(timeouts.udp_s),
            fresh: Tick::from_secs(timeouts.new_s),
        }
    }
}

/// How a service's packets reach its servers, as far as the fast lane has to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ways {
    /// By DR or in tunnels: replies do not pass here, and flows can go on without an entry.
    Direct,
    /// All by NAT.
    Nat,
    /// By FULLNAT, or in ways of both kinds.
    Other,
}

impl Ways {
    /// Of these servers together.
    pub(super) fn of<'a>(backends: impl IntoIterator<Item = &'a message::Backend>) -> Self {
        let way = |backend: &message::Backend| match backend.forward {
            message::Forward::Dr | message::Forward::Tunnel(_) => Self::Direct,
            message::Forward::Nat => Self::Nat,
            message::Forward::FullNat => Self::Other,
        };
        let both = |one, other| if one == other { one } else { Self::Other };
        backends.into_iter().map(way).reduce(both).unwrap_or(Self::Other)
    }
}

/// One service with everything a new flow needs.
#[derive(Debug)]
pub struct Service {
    /// Its slot.
    pub slot: u32,
    /// Its configuration; of a group, that of the first member.
    pub spec: message::Service,
    /// The addresses and ports it is reached at: one, or those of a group.
    pub keys: Vec<ServiceKey>,
    /// Its servers, in the order of [`scheduler::State::servers`].
    pub backends: Vec<(u32, message::Backend)>,
    /// How packets reach them.
    pub ways: Ways,
    /// Chooses among them.
    pub scheduler: scheduler::State,
    /// Time-outs of its own, if it has any.
    pub timeouts: Option<TimeoutTicks>,
    /// Local addresses of FULLNAT it may use, by their place in the snapshot's list.
    pub locals: Arc<[u16]>,
}

impl Service {
    /// The configuration of a server by its slot.
    pub fn backend(&self, slot: u32) -> Option<&message::Backend> {
        self.backends
            .iter()
            .find(|(own, _)| *own == slot)
            .map(|(_, backend)| backend)
    }
}
