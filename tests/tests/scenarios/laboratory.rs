//! The laboratory itself, on plain kernel networking: what the other scenarios take for granted.

use std::fs;
use std::time::Duration;

use weir_tests::lab::{Client, Injector, Lab, LabError, WebServer};
use weir_tests::scenario::scenario;

const VIP_URL: &str = "http://192.0.2.100/";

/// A client and one server that holds the virtual address on its loopback and keeps quiet about it.
fn client_and_server(lab: &mut Lab) -> Result<(Client, WebServer), LabError> {
    let client = lab.add_node("client", "eth0")?;
    client.ip("address add 192.0.2.10/24 dev eth0")?;
    let server = lab.add_node("rs1", "eth0")?;
    weir_tests::stage::hold_quietly(&server, "192.0.2.100")?;
    server.ip("address add 192.0.2.11/24 dev eth0")?;
    let web = WebServer::start(&server, lab.dir(), 80)?;
    Ok((Client::new(&client, lab.dir()), web))
}

#[test]
fn a_server_answers_on_its_own_address_and_stops_and_starts() {
    scenario("laboratory: server", |lab| {
        let (client, mut web) = client_and_server(lab)?;
        let replies = client.get_many("http://192.0.2.11/", 5)?;
        assert!(
            replies.iter().all(|r| r.is_good() && r.server == "rs1"),
            "{replies:?}"
        );
        assert_eq!(
            client
                .body("http://192.0.2.11/client")?
                .split(|b| *b == b' ')
                .next(),
            Some(&b"192.0.2.10"[..])
        );
        web.pause()?;
        assert_eq!(
            client.get("http://192.0.2.11/")?.curl_exit,
            7,
            "connection refused"
        );
        web.resume()?;
        assert!(client.get("http://192.0.2.11/")?.is_good());
        Ok(())
    });
}

#[test]
fn a_server_is_silent_about_the_virtual_address_and_yet_serves_it() {
    scenario("laboratory: virtual address", |lab| {
        let (client, web) = client_and_server(lab)?;
        let mut wire = Injector::open(client.node(), "eth0")?;
        // Nobody answers ARP for the virtual address.
        client
            .node()
            .run("ping", "-c 1 -W 1 192.0.2.100")
            .expect_err("nobody holds the address");
        let reply = wire.receive(Duration::from_millis(500), |f| {
            f[12..14] == [8, 6] && f[20..22] == [0, 2]
        });
        assert_eq!(reply, None, "an ARP reply");
        // What a load balancer in DR mode does, by hand: the server's hardware address under the virtual one.
        let mac = web
            .node()
            .mac("eth0")?
            .map(|byte| format!("{byte:02x}"))
            .join(":");
        client
            .node()
            .ip(&format!("neighbor replace 192.0.2.100 lladdr {mac} dev eth0"))?;
        assert!(client.get(VIP_URL)?.is_good());
        assert_eq!(client.body(&format!("{VIP_URL}1MiB"))?, WebServer::file());
        Ok(())
    });
}

#[test]
fn a_stream_keeps_its_rate_and_counts_failures() {
    scenario("laboratory: stream", |lab| {
        let (client, mut web) = client_and_server(lab)?;
        let start = std::time::Instant::now();
        let stream = client.stream("http://192.0.2.11/", 60, Some(50))?;
        std::thread::sleep(Duration::from_millis(400));
        web.pause()?;
        std::thread::sleep(Duration::from_millis(200));
        web.resume()?;
        let replies = stream.finish()?;
        let bad = replies.iter().filter(|r| !r.is_good()).count();
        assert!((1..59).contains(&bad), "{bad} of {} failed", replies.len());
        assert!(
            start.elapsed() >= Duration::from_millis(1_100),
            "60 requests at 50/s took {:?}",
            start.elapsed()
        );
        Ok(())
    });
}

#[test]
fn a_lab_leaves_nothing_behind() {
    scenario("laboratory: removal", |outer| {
        let namespaces =
            || fs::read_dir("/run/netns").map_or(0, |entries| entries.flatten().filter(ours).count());
        let ours_before = namespaces();
        let dir = {
            let mut lab = Lab::new()?;
            let (_client, web) = client_and_server(&mut lab)?;
            // Even a process whose handle is gone ends with the lab.
            web.leave_running();
            assert_eq!(namespaces(), ours_before + 3);
            lab.dir().to_owned()
        };
        assert_eq!(namespaces(), ours_before);
        assert!(!dir.exists() && outer.dir().exists());
        Ok(())
    });
}

fn ours(entry: &fs::DirEntry) -> bool {
    entry
        .file_name()
        .to_string_lossy()
        .starts_with(&format!("weir-{}-", std::process::id()))
}
