//! The thread: it waits for sockets, orders and deadlines, feeds the machines and carries out what they ask. It holds
//! no opinion about the protocol.

use super::around::Surroundings;
use super::instance::Instance;
use super::kernel::{Announcer, Netlink};
use super::notify::{Job, Word};
use super::status::Status;
use super::{ANNOUNCEMENTS_MAX, Holdings, Shared, Wanted, locked};
use crate::clock::Clock;
use std::cell::RefCell;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use weir_proto::time::Instant;
use weir_proto::vrrp::{Action, Group, GroupEvent, Input};
use weir_wire::MacAddr;

/// Interfaces are looked at this often even without news, and the status is refreshed.
const LOOK: Duration = Duration::from_secs(1);
/// Counters are shown this often at most: with many virtual routers each advertisement would else cost as much as all.
const SHOW: Duration = Duration::from_millis(100);
/// Datagrams read from one socket before the others have a turn: more than a buffer holds.
const DATAGRAMS_MAX: usize = 8192;

/// Orders to the thread.
#[derive(Debug)]
pub(super) enum Command {
    /// Run exactly these.
    Configure(Vec<Wanted>),
    /// Something tracked is up or down.
    Track { name: String, up: bool },
    /// Another station claims an address.
    AddressClaimed { address: IpAddr, mac: MacAddr },
    /// Hand over, or take part again.
    HandOver { name: Option<String>, resume: bool },
    /// Let everything go and end.
    Stop,
}

/// Wakes the thread.
pub(super) fn wake(event: &OwnedFd) {
    // Full means that it is awake.
    let _ = rustix::io::write(event, &1u64.to_ne_bytes());
}

/// Virtual routers that move together: the machine, and which instances its members are.
#[derive(Debug)]
struct Together {
    names: Vec<String>,
    group: Group,
    /// The state that was last told of the group as a whole.
    told: Option<Word>,
}

/// The thread's state.
pub(super) struct Runtime {
    around: Surroundings,
    commands: Receiver<Command>,
    wake: Arc<OwnedFd>,
    held: watch::Sender<Holdings>,
    news: Option<Netlink>,
    instances: Vec<Instance>,
    groups: Vec<Together>,
    look_at: Instant,
    /// When the status is shown again without news.
    show_at: Instant,
    /// Something changed that must be seen at once.
    news_to_show: bool,
    /// What is known of tracked things, for instances that come later.
    known: Vec<(String, bool)>,
}

impl Runtime {
    pub(super) fn new(
        clock: Clock,
        commands: Receiver<Command>,
        wake: Arc<OwnedFd>,
        held: watch::Sender<Holdings>,
        jobs: mpsc::Sender<Job>,
        shared: Arc<Mutex<Shared>>,
    ) -> Self {
        let open = |news| {
            let netlink = Netlink::open(news);
            netlink
                .inspect_err(
                    |error| tracing::error!(%error, "no netlink socket: VRRP does not see links change"),
                )
                .ok()
        };
        Self {
            around: Surroundings {
                clock,
                netlink: open(false),
                announcer: Announcer::open()
                    .inspect_err(|error| tracing::error!(%error, "no packet socket: addresses on kernel interfaces are not announced"))
                    .ok()
                    .map(RefCell::new),
                jobs,
                shared,
            },
            news: open(true),
            commands,
            wake,
            held,
            instances: Vec::new(),
            groups: Vec::new(),
            look_at: clock.now(),
            show_at: clock.now(),
            news_to_show: true,
            known: Vec::new(),
        }
    }

    /// Runs until it is told to stop.
    pub(super) fn run(mut self) {
        // Adverts are few and late ones dear. Without the right to it, the thread runs as it is.
        if let Err(error) = rustix::process::setpriority_process(None, -20) {
            tracing::debug!(%error, "the VRRP thread keeps its priority");
        }
        let mut buffer = vec![0; super::socket::DATAGRAM_BYTES_MAX];
        loop {
            self.wait();
            self.receive(&mut buffer);
            let news = self.news.as_ref().is_some_and(Netlink::drain);
            let now = self.around.clock.now();
            if news || now >= self.look_at {
                self.look_at_links(now);
            }
            if !self.take_commands() {
                return self.stop();
            }
            let now = self.around.clock.now();
            for index in 0..self.instances.len() {
                self.instances[index].fire(now, &self.around);
                self.act(now, index);
            }
            self.publish_held();
            if self.news_to_show || now >= self.show_at {
                self.tell_of_groups();
                self.news_to_show = false;
                self.show_at = now + SHOW;
                self.show(now);
            }
        }
    }

    fn wait(&self) {
        let now = self.around.clock.now();
        let deadlines = self.instances.iter().filter_map(Instance::deadline);
        let next = deadlines
            .min()
            .map_or(self.look_at, |deadline| deadline.min(self.look_at));
        let left = next - now;
        let sockets = self
            .instances
            .iter()
            .filter_map(|instance| instance.endpoint())
            .map(AsFd::as_fd);
        let news = self.news.iter().map(AsFd::as_fd);
        crate::wait::wait(&self.wake, news.chain(sockets), left);
    }

    /// Reads everything there is, before any timer fires.
    fn receive(&mut self, buffer: &mut [u8]) {
        for index in 0..self.instances.len() {
            for _ in 0..DATAGRAMS_MAX {
                let now = self.around.clock.now();
                if !self.instances[index].receive(now, buffer, &self.around) {
                    break;
                }
                self.act(now, index);
            }
        }
    }

    fn look_at_links(&mut self, now: Instant) {
        self.look_at = now + LOOK;
        for index in 0..self.instances.len() {
            self.instances[index].look(now, &self.around);
            self.tell_fault(now, index);
            self.act(now, index);
        }
    }

    /// False when it is time to stop.
    fn take_commands(&mut self) -> bool {
        loop {
            let command = match self.commands.try_recv() {
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
                Ok(command) => command,
            };
            let now = self.around.clock.now();
            self.news_to_show = true;
            match command {
                Command::Configure(wanted) => self.configure(now, wanted),
                Command::Track { name, up } => self.track(now, &name, up),
                Command::AddressClaimed { address, mac } => {
                    self.each(now, |instance| {
                        if instance.holds(address) {
                            instance.input(now, Input::AddressClaimed { address, mac });
                        }
                    });
                }
                Command::HandOver { name, resume } => self.each(now, |instance| {
                    if name.as_deref().is_none_or(|name| name == instance.name()) {
                        instance.input(now, if resume { Input::Resume } else { Input::HandOver });
                    }
                }),
                Command::Stop => return false,
            }
        }
    }

    fn each(&mut self, now: Instant, mut what: impl FnMut(&mut Instance)) {
        for index in 0..self.instances.len() {
            what(&mut self.instances[index]);
            self.act(now, index);
        }
    }

    fn track(&mut self, now: Instant, name: &str, up: bool) {
        self.known.retain(|(known, _)| known != name);
        self.known.push((name.to_owned(), up));
        for index in 0..self.instances.len() {
            self.instances[index].track(now, name, up);
            self.tell_fault(now, index);
            self.act(now, index);
        }
    }

    // ===== configuration =====

    fn configure(&mut self, now: Instant, wanted: Vec<Wanted>) {
        let (mut kept, mut order) = (std::mem::take(&mut self.instances), Vec::new());
        for wanted in wanted {
            let at = kept.iter().position(|instance| instance.is_same_router(&wanted));
            let mut instance = match at {
                Some(at) => kept.swap_remove(at),
                None => Instance::new(&wanted),
            };
            instance.reconfigure(now, wanted, &self.around);
            for (name, up) in &self.known {
                instance.track(now, name, *up);
            }
            order.push(instance);
        }
        for mut gone in kept {
            gone.remove(now, &self.around);
        }
        self.instances = order;
        self.regroup(now);
        for index in 0..self.instances.len() {
            self.instances[index].look(now, &self.around);
            self.tell_fault(now, index);
            self.act(now, index);
        }
    }

    /// Groups whose members are the same go on as they are; others begin with what their members are now.
    fn regroup(&mut self, now: Instant) {
        let mut words: Vec<String> = self
            .instances
            .iter()
            .filter_map(|instance| instance.group().map(str::to_owned))
            .collect();
        words.sort();
        words.dedup();
        let mut before = std::mem::take(&mut self.groups);
        for word in words {
            let members = self
                .instances
                .iter()
                .filter(|instance| instance.group() == Some(word.as_str()));
            let names: Vec<String> = members.map(|instance| instance.name().to_owned()).collect();
            match before.iter().position(|together| together.names == names) {
                Some(at) => self.groups.push(before.swap_remove(at)),
                None => {
                    let mut group = Group::new(names.clone());
                    for (member, name) in names.iter().enumerate() {
                        let Some(instance) = self.instances.iter().find(|instance| instance.name() == name)
                        else {
                            continue;
                        };
                        group.handle(member, GroupEvent::Became(instance.state()));
                        group.handle(member, GroupEvent::Ready(instance.is_ready()));
                    }
                    self.groups.push(Together {
                        names,
                        group,
                        told: None,
                    });
                }
            }
        }
        self.carry_orders(now);
    }

    fn member_of(&self, index: usize) -> Option<(usize, usize)> {
        let name = self.instances[index].name();
        let position = |together: &Together| together.names.iter().position(|member| member == name);
        self.groups
            .iter()
            .enumerate()
            .find_map(|(at, together)| Some((at, position(together)?)))
    }

    fn tell_group(&mut self, now: Instant, index: usize, event: GroupEvent) {
        if let Some((at, member)) = self.member_of(index) {
            self.groups[at].group.handle(member, event);
            self.carry_orders(now);
        }
    }

    fn tell_fault(&mut self, now: Instant, index: usize) {
        let fault = self.instances[index].own_fault();
        self.tell_group(now, index, GroupEvent::Fault(fault));
    }

    fn carry_orders(&mut self, now: Instant) {
        for at in 0..self.groups.len() {
            while let Some((member, order)) = self.groups[at].group.poll_order() {
                let name = self.groups[at].names[member].clone();
                if let Some(index) = self.instances.iter().position(|instance| instance.name() == name) {
                    self.instances[index].input(now, Input::Order(order));
                    self.act(now, index);
                }
            }
        }
    }

    /// Tells once that all members of a group have the same new state, after each of them told its own. As with
    /// keepalived, a group has no priority.
    fn tell_of_groups(&mut self) {
        for together in &mut self.groups {
            let is_member = |instance: &&Instance| together.names.iter().any(|name| name == instance.name());
            let members: Vec<&Instance> = self.instances.iter().filter(is_member).collect();
            let Some(state) = common(members.iter().map(|member| member.keepalived_word())) else {
                continue;
            };
            // What has not begun yet is at fault or stopped without having told so.
            let begins = matches!(state, Word::Master | Word::Backup);
            if together.told == Some(state) || (together.told.is_none() && !begins) {
                continue;
            }
            together.told = Some(state);
            let mut jobs: Vec<Job> = Vec::new();
            for member in members {
                let job = member.job_of_group(state);
                // Members may share their program and their pipe.
                jobs.extend(job.filter(|job| !jobs.contains(job)));
            }
            for job in jobs {
                self.around.tell(Some(job));
            }
        }
    }

    // ===== actions =====

    fn act(&mut self, now: Instant, index: usize) {
        while let Some(action) = self.instances[index].poll_action() {
            let event = match &action {
                Action::Became { state, .. } => Some(GroupEvent::Became(*state)),
                Action::Ready(ready) => Some(GroupEvent::Ready(*ready)),
                _ => None,
            };
            self.news_to_show |= !matches!(action, Action::SendAdvert { .. } | Action::Announce { .. });
            self.instances[index].perform(now, action, &self.around);
            if let Some(event) = event {
                self.tell_group(now, index, event);
            }
        }
    }

    /// Tells the daemon which addresses the dataplane is to hold and to announce.
    fn publish_held(&mut self) {
        let mut holdings = Holdings::default();
        for instance in &self.instances {
            match instance.dataplane_holds() {
                Some(true) => holdings.active.extend(instance.port_addresses()),
                Some(false) => holdings.released.extend(instance.port_addresses()),
                None => {}
            }
            if let Some(peer) = instance.peer() {
                holdings
                    .peers
                    .extend(instance.port_addresses().map(|address| (address, peer)));
            }
        }
        let announce: Vec<IpAddr> = self
            .instances
            .iter_mut()
            .flat_map(Instance::take_announcements)
            .collect();
        holdings.announced = self.held.borrow().announced + announce.len() as u64;
        if !announce.is_empty() {
            let mut shared = locked(&self.around.shared);
            let room = ANNOUNCEMENTS_MAX.saturating_sub(shared.announcements.len());
            shared.announcements.extend(announce.into_iter().take(room));
        }
        self.held.send_if_modified(|before| {
            let news = *before != holdings;
            *before = holdings;
            news
        });
    }

    fn show(&self, now: Instant) {
        let status: Vec<Status> = self
            .instances
            .iter()
            .map(|instance| instance.status(now, &self.around.clock))
            .collect();
        locked(&self.around.shared).status = status;
    }

    fn stop(mut self) {
        let now = self.around.clock.now();
        for instance in &mut self.instances {
            instance.stop(now, &self.around);
        }
        self.tell_of_groups();
        self.publish_held();
    }
}

/// What all say, if they say the same.
fn common(mut all: impl Iterator<Item = Word>) -> Option<Word> {
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
}
