//! Every kind of device that needs neither a NIC nor privileges starts, serves control, and ends cleanly.

use super::{Dataplane, write_capture};

#[test]
fn every_unprivileged_device_starts_and_ends() {
    let devices = [
        "null",
        "ring",
        "memif:role=server,id=0,socket={dir}/memif.sock,socket-abstract=no",
        "pcap:in={dir}/in.pcap,out={dir}/out.pcap",
        "vdev:net_null7,size=64",
    ];
    for device in devices {
        let dataplane = Dataplane::start(device, "[0]", |directory| {
            write_capture(&directory.join("in.pcap"), 4)
        });
        let end = dataplane.connect();
        assert_eq!(end.hello().about.ports.len(), 1, "{device}");
        drop(end);
        let output = dataplane.stop();
        assert!(
            output.status.success(),
            "{device}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
