//! Two directors with data planes, two servers and a client on one segment.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use weir_tests::lab::{Decapsulator, Lab, LabError, Node, WebServer};
use weir_tests::stage::{Config, Director, hold_quietly, server_address};

use super::watch::{Losses, Owners, Prober};

pub(super) const VIP: [u8; 4] = [192, 0, 2, 100];
/// The shared address behind which servers are reached through a tunnel.
pub(super) const TUNNEL_VIP: [u8; 4] = [192, 0, 2, 101];
pub(super) const CLIENT: [u8; 4] = [192, 0, 2, 10];
/// Advertisement interval: a backup of priority 100 waits for 1.08 s.
pub(super) const INTERVAL: Duration = Duration::from_millis(300);
/// A take-over on a machine that is busy with other things.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Nobody else may answer for this long.
const QUIET: Duration = Duration::from_millis(400);
/// Two owners may answer for an interval, and for the half second that a data plane gives to its control. The rest is
/// for a busy machine; a data plane that does not let go answers until control is back.
const OVERLAP_MAX: Duration = Duration::from_secs(3);

/// The scene.
pub(super) struct Pair {
    /// High priority, low priority.
    pub(super) directors: [Director; 2],
    macs: [[u8; 6]; 2],
    pub(super) client: Node,
    owners: Owners,
    prober: Prober,
    _servers: Vec<WebServer>,
    _tunnels: Vec<Decapsulator>,
}

/// What a change of owner cost.
#[derive(Debug)]
pub(super) struct Cost {
    pub(super) overlap: Duration,
    pub(super) losses: Losses,
}

impl Pair {
    pub(super) fn start(lab: &mut Lab, scheduler: &str) -> Result<Self, LabError> {
        let client = lab.add_node("client", "eth0")?;
        client.ip("address add 192.0.2.10/24 dev eth0")?;
        let (mut servers, mut tunnels) = (Vec::new(), Vec::new());
        for number in 1..=2 {
            let node = lab.add_node(&format!("rs{number}"), "eth0")?;
            node.sysctl("net.ipv4.conf.all.rp_filter", "0")?;
            node.sysctl("net.ipv4.conf.default.rp_filter", "0")?;
            for vip in ["192.0.2.100", "192.0.2.101"] {
                hold_quietly(&node, vip)?;
            }
            node.ip(&format!("address add {}/24 dev eth0", server_address(number)))?;
            tunnels.push(Decapsulator::start(&node, "eth0")?);
            servers.push(WebServer::start(&node, lab.dir(), 80)?);
        }
        let (mut directors, mut macs) = (Vec::new(), Vec::new());
        for (number, priority) in [(1, 150), (2, 100)] {
            let node = lab.add_node(&format!("lb{number}"), "veth-lb")?;
            macs.push(node.mac("veth-lb")?);
            let config = Config {
                other: Some(config(scheduler, number, priority)),
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
            prober: Prober::start(&client, (VIP, 80).into()),
            client,
            owners,
            _servers: servers,
            _tunnels: tunnels,
        };
        for director in &mut pair.directors {
            director.start_control()?;
        }
        pair.settle()?;
        Ok(pair)
    }

    /// Waits until the first director holds the addresses, the second one knows it, and the client is served.
    pub(super) fn settle(&self) -> Result<(), LabError> {
        self.owners.wait_for(self.macs[0], QUIET, PATIENCE)?;
        self.wait_state(0, "active")?;
        self.wait_state(1, "backup")?;
        self.prober.wait_served(PATIENCE)
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

    /// Does something that makes the addresses move to director `to`, and tells what that cost.
    pub(super) fn moves(
        &mut self,
        what: &str,
        to: usize,
        cause: impl FnOnce(&mut Self) -> Result<(), LabError>,
    ) -> Result<Cost, LabError> {
        self.prober.take();
        let start = Instant::now();
        cause(self)?;
        self.owners.wait_for(self.macs[to], QUIET, PATIENCE)?;
        self.prober.wait_served(PATIENCE)?;
        let cost = Cost {
            overlap: self.owners.overlap(start, self.macs[to]),
            losses: self.prober.take(),
        };
        eprintln!("{what}: {cost:?}");
        assert!(
            cost.overlap < OVERLAP_MAX,
            "{what}: two directors answered ARP for {:?}",
            cost.overlap
        );
        Ok(cost)
    }

    pub(super) fn signal_control(&self, director: usize, signal: Signal) -> Result<(), LabError> {
        self.directors[director].control()?.signal(signal)
    }
}

pub(super) fn config(scheduler: &str, number: u8, priority: u8) -> String {
    let interval = INTERVAL.as_millis();
    let mut text = format!(
        "[dataplane]\nworkers = [0]\nflows_max = 65_536\nidle = 'adaptive'\nsocket = '{{dir}}/dataplane.sock'\n\
         [control]\nsocket = '{{dir}}/control.sock'\n[ipvs]\nsloppy_tcp = true\n\
         [[port]]\nname = 'lan'\ndevice = 'af_xdp:veth-lb'\nhost_interface = 'weir0'\naddresses = ['192.0.2.{number}/24']\n\
         [[vrrp]]\nname = 'VI_1'\nport = 'lan'\nvirtual_router_id = 51\nversion = 3\nadvert_interval_ms = {interval}\n\
         priority = {priority}\naddresses = ['192.0.2.100/24', '192.0.2.101/24']\n"
    );
    for (name, vip, forward) in [("dr", 100, "dr"), ("tunnel", 101, "tunnel")] {
        text += &format!(
            "[[service]]\nname = '{name}'\naddress = '192.0.2.{vip}:80'\nscheduler = '{scheduler}'\nforward = '{forward}'\n"
        );
        for number in 1..=2 {
            text += &format!("[[service.backend]]\naddress = '{}:80'\n", server_address(number));
        }
    }
    text
}
