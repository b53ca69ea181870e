//! Virtual routers that move together (keepalived: `vrrp_sync_group`), so that traffic never enters by one router and
//! leaves by another.
//!
//! - The group is at fault while any member is.
//! - It becomes active when every member would: one whose wait is over says so and holds until the others are there
//!   too. Otherwise a member that has lost its peer on one side would pull the others up against peers that live.
//! - It becomes backup as soon as one member does.

use std::collections::VecDeque;

use super::State;

/// What a member tells its group; made from its actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupEvent {
    /// Its state is this now.
    Became(State),
    /// It would become active, or would no longer.
    Ready(bool),
    /// It has a fault of its own, or none.
    Fault(bool),
}

/// What the group tells a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Become active.
    Promote,
    /// Become backup: this member did.
    Demote(String),
    /// Be at fault: this member is.
    Fault(String),
    /// No other member is at fault any more.
    FaultCleared,
}

#[derive(Debug, Clone)]
struct Member {
    name: String,
    state: State,
    ready: bool,
    fault: bool,
    /// It was told that another member is at fault.
    held: bool,
}

/// The members, by index, and what is to be told to them.
#[derive(Debug, Clone)]
pub struct Group {
    members: Vec<Member>,
    orders: VecDeque<(usize, Order)>,
}

impl Group {
    /// A group of members that have not started yet.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let member = |name| Member {
            name,
            state: State::Initialize,
            ready: false,
            fault: false,
            held: false,
        };
        Self {
            members: names.into_iter().map(member).collect(),
            orders: VecDeque::new(),
        }
    }

    /// A member has something to tell. An index that does not exist is ignored.
    pub fn handle(&mut self, member: usize, event: GroupEvent) {
        let Some(at) = self.members.get_mut(member) else {
            return;
        };
        match event {
            GroupEvent::Became(state) => {
                let was = core::mem::replace(&mut at.state, state);
                if state != State::Backup {
                    at.ready = false;
                }
                if was == State::Active && state == State::Backup {
                    self.demote_others(member);
                }
            }
            GroupEvent::Ready(ready) => at.ready = ready,
            GroupEvent::Fault(fault) => at.fault = fault,
        }
        self.spread_faults();
        self.promote_if_all_would();
    }

    /// What is to be told to whom. Drain it after every [`handle`](Self::handle).
    pub fn poll_order(&mut self) -> Option<(usize, Order)> {
        self.orders.pop_front()
    }

    fn demote_others(&mut self, cause: usize) {
        let name = self.members[cause].name.clone();
        for (index, member) in self.members.iter().enumerate() {
            if index != cause && member.state == State::Active {
                self.orders.push_back((index, Order::Demote(name.clone())));
            }
        }
    }

    fn spread_faults(&mut self) {
        for index in 0..self.members.len() {
            let culprit = self
                .members
                .iter()
                .enumerate()
                .find(|(other, member)| *other != index && member.fault)
                .map(|(_, member)| member.name.clone());
            let member = &mut self.members[index];
            match (culprit, member.held) {
                (Some(name), false) => {
                    member.held = true;
                    self.orders.push_back((index, Order::Fault(name)));
                }
                (None, true) => {
                    member.held = false;
                    self.orders.push_back((index, Order::FaultCleared));
                }
                (Some(_), true) | (None, false) => {}
            }
        }
    }

    fn promote_if_all_would(&mut self) {
        let would = |member: &Member| member.ready || member.state == State::Active;
        if !self.members.iter().all(would) {
            return;
        }
        for (index, member) in self.members.iter_mut().enumerate() {
            if core::mem::take(&mut member.ready) {
                self.orders.push_back((index, Order::Promote));
            }
        }
    }
}
