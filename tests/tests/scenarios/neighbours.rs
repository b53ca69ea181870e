//! What weir says on the wire for the addresses it holds.

use std::time::Duration;

use weir_tests::lab::Injector;
use weir_tests::stage::{Config, URL, VIP};

use crate::on_stage;

#[test]
fn only_weir_answers_for_the_virtual_address() {
    on_stage("ARP", 2, Config::new(2), |_, stage| {
        let lb = stage.director.node().mac("veth-lb")?;
        let mut wire = Injector::open(stage.client.node(), "eth0")?;
        for _ in 0..5 {
            stage.client.node().ip("neighbor flush all")?;
            assert!(stage.client.get(URL)?.is_good());
        }
        let mut answers = 0;
        // Every ARP reply about the address (RFC 826: operation at 20, sender's MAC at 22, sender's IP at 28).
        while let Some(reply) = wire.receive(Duration::from_millis(300), is_reply_about_vip) {
            assert_eq!(reply[22..28], lb, "somebody else answered for {VIP}");
            answers += 1;
        }
        assert!(answers >= 5, "{answers} ARP replies seen");
        Ok(())
    });
}

fn is_reply_about_vip(frame: &[u8]) -> bool {
    frame.len() >= 42
        && frame[12..14] == [8, 6]
        && frame[20..22] == [0, 2]
        && frame[28..32] == [192, 0, 2, 100]
}

#[test]
fn the_virtual_address_and_weirs_own_answer_ping() {
    on_stage("ping", 1, Config::new(1), |_, stage| {
        for address in [VIP, "192.0.2.2"] {
            stage
                .client
                .node()
                .run("ping", &format!("-c 3 -i 0.2 -W 2 {address}"))?;
        }
        Ok(())
    });
}
