//! Two directors with data planes, two servers and a client on one segment.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use weir_tests::lab::{Decapsulator, Lab, LabError, Node, WebServer};
use weir_tests::stage::{Config, Director, hold_quietly, server_address};

use super::held::{self, Held};
use super::watch::{LongFlows, Losses, Owners, Prober, Stalls};

pub(super) const VIP: [u8; 4] = [192, 0, 2, 100];
/// Every shared address, with its scheduler and the way to the servers.
const SERVICES: [([u8; 4], &str, &str); 4] = [
    (VIP, "wlc", "dr"),
    ([192, 0, 2, 101], "maglev", "dr"),
    ([192, 0, 2, 102], "maglev", "tunnel"),
    ([192, 0, 2, 103], "wlc", "tunnel"),
];
/// However slow the machine is, it is not over before the last request is.
pub(super) const RELAY_MS: u32 = 600_000;
/// Requests that are under way while the addresses move, by each of wlc's services.
const HELD: usize = 60;
pub(super) const CLIENT: [u8; 4] = [192, 0, 2, 10];
/// Advertisement interval: a backup of priority 100 waits for 1.08 s.
pub(super) const INTERVAL: Duration = Duration::from_millis(300);
/// A take-over on a machine that is busy with other things.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Nobody else may answer for this long.
const QUIET: Duration = Duration::from_millis(400);
/// Two owners may answer for an interval: until the one that is to let go has heard the other. What a machine that is busy
/// adds is seen by how late it is with something else ([`Stalls`]); what follows from a word that was heard takes so
/// long at most.
const LET_GO_MAX: Duration = Duration::from_millis(200);
/// Connections through each of maglev's services.
const LONG_FLOWS: usize = 500;
/// Of a thousand long connections so many survive.
const SURVIVE_PER_MILLE: usize = 999;

/// The scene.
pub(super) struct Pair {
    /// High priority, low priority.
    pub(super) directors: [Director; 2],
    macs: [[u8; 6]; 2],
    client: Node,
    owners: Owners,
    stalls: Stalls,
    /// As [`SERVICES`].
    probers: [Prober; 4],
    flows: Vec<LongFlows>,
    _servers: Vec<WebServer>,
    _tunnels: Vec<Decapsulator>,
}

/// What a change of owner cost.
#[derive(Debug)]
pub(super) struct Cost {
    pub(super) overlap: Duration,
    /// Of the clients, as [`SERVICES`].
    pub(super) losses: [Losses; 4],
}

impl Pair {
    pub(super) fn start(lab: &mut Lab) -> Result<Self, LabError> {
        let client = lab.add_node("client", "eth0")?;
        client.ip("address add 192.0.2.10/24 dev eth0")?;
        let (mut servers, mut tunnels) = (Vec::new(), Vec::new());
        for number in 1..=2 {
            let node = lab.add_node(&format!("rs{number}"), "eth0")?;
            node.sysctl("net.ipv4.conf.all.rp_filter", "0")?;
            node.sysctl("net.ipv4.conf.default.rp_filter", "0")?;
            for (vip, _, _) in SERVICES {
                hold_quietly(&node, &Ipv4Addr::from(vip).to_string())?;
            }
            node.ip(&format!("address add {}/24 dev eth0", server_address(number)))?;
            tunnels.push(Decapsulator::start(&node, "eth0")?);
            servers.push(WebServer::start(&node, lab.dir(), 80)?);
            held::serve(&node)?;
        }
        let (mut directors, mut macs) = (Vec::new(), Vec::new());
        for number in 1..=2 {
            let node = lab.add_node(&format!("lb{number}"), "veth-lb")?;
            macs.push(node.mac("veth-lb")?);
            let config = Config {
                other: Some(config(&SERVICES)),
                ..Config::new(2)
            };
            let mut director = Director::new(&node, lab.dir(), config)?;
            director.start_dataplane()?;
            directors.push(director);
        }
        let owners = Owners::watch(&client, "eth0", CLIENT, VIP)?;
        let both = |error: Vec<_>| LabError::unexpected(format!("{} directors", error.len()));
        let mut pair = Self {
            directors: directors
                .try_into()
                .map_err(|found: Vec<Director>| LabError::unexpected(format!("{} directors", found.len())))?,
            macs: macs.try_into().map_err(both)?,
            probers: SERVICES.map(|(vip, _, _)| Prober::start(&client, (vip, 80).into())),
            client,
            owners,
            stalls: Stalls::watch(),
            flows: Vec::new(),
            _servers: servers,
            _tunnels: tunnels,
        };
        for director in &mut pair.directors {
            director.start_control()?;
        }
        pair.settle()?;
        for (vip, _, _) in SERVICES.iter().filter(|(_, scheduler, _)| *scheduler == "maglev") {
            pair.flows
                .push(LongFlows::open(&pair.client, (*vip, 80).into(), LONG_FLOWS)?);
        }
        Ok(pair)
    }

    /// Waits until the first director holds the addresses, the second one knows it, and the client is served.
    pub(super) fn settle(&self) -> Result<(), LabError> {
        self.owners.wait_for(self.macs[0], QUIET, PATIENCE)?;
        self.wait_state(0, "active")?;
        self.wait_state(1, "backup")?;
        self.wait_served()
    }

    fn wait_served(&self) -> Result<(), LabError> {
        self.probers
            .iter()
            .try_for_each(|prober| prober.wait_served(PATIENCE))
    }

    /// Waits until a director says that it is in this state, and as a backup that it hears the other.
    pub(super) fn wait_state(&self, director: usize, state: &str) -> Result<(), LabError> {
        let what = format!("lb{} to be {state}", director + 1);
        weir_tests::lab::wait_until(&what, PATIENCE, || {
            let shown = self.directors[director]
                .ctl_json("vrrp")
                .map_err(|error| error.to_string())?;
            let vrrp = &shown["vrrp"][0];
            if vrrp["state"] == state && (state != "backup" || vrrp["active"].is_object()) {
                Ok(())
            } else {
                Err(vrrp.to_string())
            }
        })
    }

    /// Does something that makes the addresses move to director `to`, and tells what that cost. The long connections of
    /// maglev's clients survive it.
    pub(super) fn moves(
        &mut self,
        what: &str,
        to: usize,
        cause: impl FnOnce(&mut Self) -> Result<(), LabError>,
    ) -> Result<Cost, LabError> {
        // What was lost before is of no interest.
        let _ = self.probers.each_ref().map(Prober::take);
        self.stalls.take();
        let start = Instant::now();
        cause(self)?;
        self.owners.wait_for(self.macs[to], QUIET, PATIENCE)?;
        self.wait_served()?;
        let cost = Cost {
            overlap: self.owners.overlap(start),
            losses: self.probers.each_ref().map(Prober::take),
        };
        let (stalled, alive) = (self.stalls.take(), self.alive());
        eprintln!("{what}: {cost:?}, {alive} long connections live; the machine was {stalled:?} late");
        // What follows is several steps, each of which may be late.
        let overlap_max = INTERVAL + LET_GO_MAX + 10 * stalled;
        assert!(
            cost.overlap < overlap_max,
            "{what}: two directors answered ARP for {:?}, longer than {overlap_max:?}",
            cost.overlap
        );
        let opened = self.flows.len() * LONG_FLOWS;
        assert!(
            alive * 1000 >= opened * SURVIVE_PER_MILLE,
            "{what}: only {alive} of {opened} long connections live"
        );
        Ok(cost)
    }

    /// Requests under way through each of wlc's services, by both servers.
    pub(super) fn hold(&self) -> Result<Vec<Held>, LabError> {
        let wlc = SERVICES.iter().filter(|(_, scheduler, _)| *scheduler == "wlc");
        wlc.map(|(vip, _, _)| {
            let held = Held::begin(&self.client, (*vip).into(), HELD)?;
            assert_eq!(held.servers(), 2, "wlc uses both servers");
            Ok(held)
        })
        .collect()
    }

    /// Waits until a director that does not hold the addresses knows where the one is that does.
    pub(super) fn wait_peer_known(&self, director: usize) -> Result<(), LabError> {
        let peer = format!("192.0.2.{}", 2 - director);
        weir_tests::lab::wait_until("the other director's MAC address", PATIENCE, || {
            let shown = self.directors[director]
                .ctl_json("neighbor")
                .map_err(|error| error.to_string())?;
            let known = |row: &&serde_json::Value| row["address"] == *peer && row["mac"].is_string();
            let mut rows = shown["neighbors"].as_array().into_iter().flatten();
            rows.find(known).map(drop).ok_or_else(|| shown.to_string())
        })
    }

    /// Packets a director has relayed to the other so far.
    pub(super) fn relayed(&self, director: usize) -> Result<u64, LabError> {
        held::relayed(&self.directors[director])
    }

    /// Ends the traffic, and asserts that every packet either director received is accounted for.
    pub(super) fn assert_accounts(self) -> Result<(), LabError> {
        let Self {
            directors,
            probers,
            flows,
            owners,
            ..
        } = self;
        drop((probers, flows, owners));
        for director in &directors {
            let balance = director.settled_balance()?;
            assert!(balance.is_even(), "{balance:?}");
        }
        Ok(())
    }

    fn alive(&mut self) -> usize {
        self.flows.iter_mut().map(LongFlows::alive).sum()
    }
}

/// Directors that hold these addresses, each a service with two servers: one file for lb1, which has the higher priority, and
/// lb2.
pub(super) fn config(services: &[([u8; 4], &str, &str)]) -> String {
    let interval = INTERVAL.as_millis();
    let addresses: Vec<String> = services
        .iter()
        .map(|(vip, _, _)| format!("'{}/24'", Ipv4Addr::from(*vip)))
        .collect();
    let mut text = format!(
        "[dataplane]\nworkers = [0]\nflows_max = 65_536\nidle = 'adaptive'\nsocket = '{{dir}}/dataplane.sock'\n\
         [control]\nsocket = '{{dir}}/control.sock'\n[ipvs]\nsloppy_tcp = true\n\
         [[port]]\nname = 'lan'\ndevice = 'af_xdp:veth-lb'\nhost_interface = 'weir0'\n\
         [[port.node]]\nname = 'lb1'\naddresses = ['192.0.2.1/24']\n\
         [[port.node]]\nname = 'lb2'\naddresses = ['192.0.2.2/24']\n\
         [[vrrp]]\nname = 'VI_1'\nport = 'lan'\nvirtual_router_id = 51\nversion = 3\nadvert_interval_ms = {interval}\n\
         relay_ms = {RELAY_MS}\npriority = 100\naddresses = [{}]\n\
         [[vrrp.node]]\nname = 'lb1'\npriority = 150\n",
        addresses.join(", ")
    );
    for (vip, scheduler, forward) in services {
        for (name, port) in [("", 80), ("held-", held::PORT)] {
            text += &format!(
                "[[service]]\nname = '{name}{scheduler}-{forward}'\naddress = '{}:{port}'\nscheduler = '{scheduler}'\nforward = '{forward}'\n",
                Ipv4Addr::from(*vip)
            );
            for number in 1..=2 {
                text += &format!(
                    "[[service.backend]]\naddress = '{}:{port}'\n",
                    server_address(number)
                );
            }
        }
    }
    text
}
