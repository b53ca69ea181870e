//! Passive detection: what the traffic of a service shows about one of its servers, as a pure function of counts.
//!
//! DPVS (`doc/dest-check.md`) takes a half-open connection that ends for a bad sign. Then a flood of SYNs from sources that
//! do not exist takes every server out. Here silence speaks against a server only in comparison: it left unanswered what
//! the other servers of the service answered in the same time, and so much of it that chance is no explanation. When all
//! are silent alike, it is the clients, or the way to all of them.
//!
//! What an answer is depends on what passes the load balancer ([`View`]). A refusal is said by the server itself and needs
//! no comparison.

/// What of a server's answers can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// TCP whose replies pass (NAT): a server that lives answers every SYN, whoever sent it.
    Replies,
    /// TCP whose replies take another way (DR, tunnel): only a client that is there goes on with the handshake.
    Handshakes,
    /// UDP whose replies pass: a server that lives need not answer everything.
    Datagrams,
}

/// What was counted of a server, or of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Flows given to it.
    pub opened: u64,
    /// Of those, how many are known to be answered.
    pub answered: u64,
    /// Of those, how many it has refused.
    pub refused: u64,
    /// Packets from it.
    pub packets: u64,
}

/// What the counts say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It answers.
    Good,
    /// It does not.
    Bad,
}

/// Fewer refusals than this may be a moody server's.
const REFUSED_MIN: u64 = 3;

impl View {
    /// From so many answers on that a living server would have given, their absence is no chance. Who answers every SYN
    /// would have to lose them all. Where genuine clients hide among others, all ten of them have gone to the other one of
    /// two servers once in 1,024 times, and to the others of many once in 22,000; and several such signs in a row are wanted.
    const fn expected_min(self) -> u64 {
        match self {
            Self::Replies => 3,
            Self::Handshakes | Self::Datagrams => 10,
        }
    }
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            opened: self.opened.saturating_add(other.opened),
            answered: self.answered.saturating_add(other.answered),
            refused: self.refused.saturating_add(other.refused),
            packets: self.packets.saturating_add(other.packets),
        }
    }

    /// What was added since `before`; nothing when the counts began anew.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        let difference = || {
            Some(Self {
                opened: self.opened.checked_sub(before.opened)?,
                answered: self.answered.checked_sub(before.answered)?,
                refused: self.refused.checked_sub(before.refused)?,
                packets: self.packets.checked_sub(before.packets)?,
            })
        };
        difference().unwrap_or_default()
    }

    /// How many of `opened` flows would be answered as these were. An answer to an earlier flow counts for none of these.
    fn expected(self, opened: u64) -> u64 {
        let answered = u128::from(self.answered.min(self.opened));
        let expected = answered * u128::from(opened) / u128::from(self.opened.max(1));
        u64::try_from(expected).unwrap_or(u64::MAX)
    }
}

/// What `server` has shown while the `others` of its service showed what they did; `None`: nothing yet.
///
/// The comparison holds where the scheduler gives a flow to a server without a look at its client.
#[must_use]
pub fn sign(view: View, server: &Tally, others: &Tally) -> Option<Sign> {
    let talks = match view {
        View::Replies | View::Handshakes => false,
        View::Datagrams => server.packets > 0,
    };
    if server.answered > 0 || talks {
        return Some(Sign::Good);
    }
    let refuses = server.refused >= REFUSED_MIN && server.opened >= REFUSED_MIN;
    let silent = others.expected(server.opened) >= view.expected_min();
    (refuses || silent).then_some(Sign::Bad)
}

#[cfg(test)]
mod tests;
