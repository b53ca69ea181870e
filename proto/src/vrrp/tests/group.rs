//! Members of a group move together.

use super::*;

/// Two members and their group, with the actions of both since the last look.
struct Pair {
    members: [Bench; 2],
    group: Group,
}

impl Pair {
    fn new() -> Self {
        let member = || {
            Bench::new(Config {
                grouped: true,
                ..config()
            })
        };
        let mut pair = Self {
            members: [member(), member()],
            group: Group::new(["inside".to_owned(), "outside".to_owned()]),
        };
        for at in 0..2 {
            pair.input(at, Input::Startup);
        }
        pair
    }

    fn states(&self) -> [State; 2] {
        [self.members[0].machine.state(), self.members[1].machine.state()]
    }

    fn input(&mut self, at: usize, input: Input) {
        let fault = match &input {
            Input::Tracked(tracked) => Some(tracked.fault.is_some()),
            _ => None,
        };
        let actions = self.members[at].input(input);
        self.tell(at, actions);
        if let Some(fault) = fault {
            self.group.handle(at, GroupEvent::Fault(fault));
            self.carry();
        }
    }

    fn fire(&mut self, at: usize) {
        let actions = self.members[at].fire();
        self.tell(at, actions);
    }

    fn tell(&mut self, at: usize, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Became { state, .. } => self.group.handle(at, GroupEvent::Became(state)),
                Action::Ready(ready) => self.group.handle(at, GroupEvent::Ready(ready)),
                _ => {}
            }
        }
        self.carry();
    }

    fn carry(&mut self) {
        while let Some((to, order)) = self.group.poll_order() {
            self.input(to, Input::Order(order));
        }
    }
}

#[test]
fn nobody_becomes_active_before_all_would() {
    let mut pair = Pair::new();
    pair.fire(0);
    assert_eq!(pair.states(), [State::Backup; 2]);
    assert_eq!(pair.members[0].next(), None, "it holds");
    pair.fire(1);
    assert_eq!(pair.states(), [State::Active; 2]);
}

#[test]
fn a_member_whose_peer_comes_back_is_no_longer_ready() {
    let mut pair = Pair::new();
    pair.fire(0);
    pair.input(0, advert(HIGHER, 200));
    pair.fire(1);
    assert_eq!(pair.states(), [State::Backup; 2]);
    pair.fire(0);
    assert_eq!(pair.states(), [State::Active; 2]);
}

#[test]
fn one_that_yields_takes_the_others_along() {
    let mut pair = Pair::new();
    pair.fire(0);
    pair.fire(1);
    pair.input(1, advert(HIGHER, 200));
    assert_eq!(pair.states(), [State::Backup; 2]);
    let why = pair.members[0]
        .machine
        .transitions()
        .last()
        .unwrap()
        .why
        .to_string();
    assert_eq!(why, "the group follows outside");
    assert_eq!(pair.members[0].machine.stats().pri_zero_sent, 1);
}

#[test]
fn a_fault_of_one_is_the_fault_of_all() {
    let fault = |what: Option<&str>| {
        Input::Tracked(Tracked {
            delta: 0,
            fault: what.map(str::to_owned),
        })
    };
    let mut pair = Pair::new();
    pair.fire(0);
    pair.fire(1);
    pair.input(0, fault(Some("eth0 is down")));
    assert_eq!(pair.states(), [State::Initialize; 2]);
    assert_eq!(
        pair.members[1].machine.fault(),
        Some("inside of the group is at fault")
    );
    pair.input(0, fault(None));
    assert_eq!(pair.states(), [State::Backup; 2]);
}

#[test]
fn strangers_are_ignored() {
    let mut group = Group::new(["one".to_owned()]);
    group.handle(5, GroupEvent::Ready(true));
    assert_eq!(group.poll_order(), None);
}
