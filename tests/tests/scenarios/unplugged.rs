//! A device that is deleted below a running dataplane, and comes back.

use std::time::Duration;

use weir_tests::lab::{Lab, LabError, wait_until};
use weir_tests::stage::{Config, Device, Stage, URL};

use crate::{assert_all_good, on_stage};

/// A lost device is looked for once a second, and every five after an attempt that failed.
const COMING_BACK: Duration = Duration::from_secs(60);

fn wait_for_link(stage: &Stage, up: bool) -> Result<(), LabError> {
    wait_until(&format!("link up: {up}"), COMING_BACK, || {
        let ports = stage
            .director
            .ctl_json("port")
            .map_err(|error| error.to_string())?;
        match ports["ports"][0]["link_up"].as_bool() {
            Some(is) if is == up => Ok(()),
            _ => Err(ports.to_string()),
        }
    })
}

/// The same name and the same address; the kernel's number is another one.
fn put_back(lab: &Lab, stage: &Stage, mac: [u8; 6]) -> Result<(), LabError> {
    let node = stage.director.node();
    lab.add_cable(node, "veth-lb", "lb", "br0")?;
    let mac: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    node.ip(&format!("link set veth-lb address {}", mac.join(":")))
}

fn comes_back(lab: &Lab, stage: &mut Stage) -> Result<(), LabError> {
    let pid = stage.director.dataplane()?.pid();
    for _ in 0..2 {
        assert_all_good(&stage.client.get_many(URL, 10)?);
        let mac = stage.director.node().mac("veth-lb")?;
        stage.director.node().ip("link delete veth-lb")?;
        wait_for_link(stage, false)?;
        put_back(lab, stage, mac)?;
        wait_for_link(stage, true)?;
        stage.wait_in_service(2)?;
        stage.wait_serving()?;
    }
    let dataplane = stage.director.dataplane()?;
    assert_eq!(dataplane.pid(), pid);
    assert!(
        dataplane.ended()?.is_none(),
        "it is the same process that goes on"
    );
    Ok(())
}

/// Its driver keeps buffers, so that it comes back by a restart only.
#[test]
fn an_af_xdp_port_goes_without_a_crash_and_comes_back_by_a_restart() {
    on_stage("unplugged, af_xdp", 2, Config::new(2), |lab, stage| {
        assert_all_good(&stage.client.get_many(URL, 10)?);
        let mac = stage.director.node().mac("veth-lb")?;
        stage.director.node().ip("link delete veth-lb")?;
        wait_for_link(stage, false)?;
        put_back(lab, stage, mac)?;
        let dataplane = stage.director.dataplane()?;
        assert!(dataplane.ended()?.is_none(), "it lives on");
        stage.director.stop_dataplane()?;
        stage.director.start_dataplane()?;
        stage.wait_in_service(2)?;
        stage.wait_serving()?;
        assert_all_good(&stage.client.get_many(URL, 10)?);
        Ok(())
    });
}

#[test]
fn an_af_packet_port_survives_its_interface() {
    let config = Config {
        device: Device::AfPacket,
        ..Config::new(2)
    };
    on_stage("unplugged, af_packet", 2, config, comes_back);
}
