use super::*;
use crate::vrrp::Shared;
use std::sync::{Arc, Mutex};

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

fn wanted(keys: &str) -> Wanted {
    let text = format!(
        "[[port]]\nname = 'lan'\ndevice = 'null'\nhost_interface = 'weir0'\naddresses = ['192.0.2.1/24']\n\
         [[vrrp]]\nname = 'VI_1'\nport = 'lan'\nvirtual_router_id = 51\naddresses = ['192.0.2.100/24']\n{keys}"
    );
    let config = weir_configs::parse(&text, "weir.toml").unwrap();
    Wanted {
        vrrp: config.vrrps[0].clone(),
        interface: "weir0".to_owned(),
    }
}

/// One that is active.
fn active(now: Instant, keys: &str) -> Instance {
    let mut instance = Instance::new(&wanted(keys));
    let addresses = vec!["192.0.2.100".parse().unwrap()];
    let mut config = Config::new(51, "192.0.2.1".parse().unwrap(), addresses);
    config.priority = 255;
    let mut machine = Machine::new(config);
    machine.handle(now, Input::Startup);
    assert_eq!(machine.state(), State::Active);
    instance.machine = Some(machine);
    instance
}

fn around() -> Surroundings {
    Surroundings {
        clock: Clock::start(),
        netlink: None,
        announcer: None,
        jobs: tokio::sync::mpsc::channel(1).0,
        shared: Arc::new(Mutex::new(Shared::default())),
    }
}

#[test]
fn connections_are_relayed_to_one_that_lives_and_for_a_time() {
    let (now, around) = (Instant::from_secs(4_000), around());
    let stopped = Why::PeerStopped { address: PEER };
    let mut instance = active(now, "relay_ms = 2000\n");
    instance.set_relay(now, State::Active, &Why::NobodyActive);
    assert_eq!(instance.peer(), None);
    instance.set_relay(now, State::Active, &stopped);
    assert_eq!(instance.peer(), Some((PEER, 2000)));
    let over = now + Duration::from_secs(2);
    assert!(instance.deadline().is_some_and(|deadline| deadline <= over));
    instance.fire(over - Duration::from_nanos(1), &around);
    assert_eq!(instance.peer(), Some((PEER, 2000)));
    instance.fire(over, &around);
    assert_eq!(instance.peer(), None, "its time is over");
    assert!(instance.deadline().is_some_and(|deadline| deadline > over));

    instance.set_relay(over, State::Active, &stopped);
    instance.set_relay(over, State::Backup, &Why::HigherAddress { address: PEER });
    assert_eq!(instance.peer(), None, "another holds the addresses now");
    instance.set_relay(over, State::Active, &stopped);
    instance.reconfigure(over, wanted("relay_ms = 0\n"), &around);
    assert_eq!(instance.peer(), None, "it is not wanted any more");
}
