//! Every example loads, and written out with all defaults it loads as the same configuration.

use std::path::{Path, PathBuf};

use weir_configs::{Config, Device, Forward, MacAddress, MssClamp, Scheduler, Timeouts, Tunnel};

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let entries = std::fs::read_dir(folder).expect("examples");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    files
}

fn example(name: &str) -> Config {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    weir_configs::load(file).unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn examples_load_and_survive_being_written_out() {
    for file in examples() {
        let config = weir_configs::load(&file).unwrap_or_else(|report| panic!("{report}"));
        let text = config.to_toml();
        let again =
            weir_configs::parse(&text, "written.toml").unwrap_or_else(|report| panic!("{text}\n{report}"));
        assert_eq!(again, config, "{}", file.display());
        assert!(weir_configs::diff(&config, &again).is_empty());
    }
}

#[test]
fn an_empty_file_is_the_defaults() {
    let config = weir_configs::parse("", "empty.toml").expect("valid");
    assert_eq!(config, Config::default());
    assert_eq!(config.timeouts, Timeouts::IPVS);
}

#[test]
fn what_a_service_says_is_inherited() {
    let config = example("nat.toml");
    let web = config.service("web").expect("web");
    assert_eq!(web.timeouts.tcp_established_s, 600, "from [timeouts]");
    assert_eq!(web.timeouts.tcp_fin_wait_s, 30, "its own");
    assert!(web.ipvs.expire_nodest_conn && !config.ipvs.expire_nodest_conn);
    assert_eq!(web.persistence_prefix, 24);
    assert_eq!(web.backends[0].check, web.check);
    assert_ne!(web.backends[2].check, web.check);
    assert_eq!(web.backends[2].weight_configured(), 0, "it drains");
    assert_eq!(config.neighbors[0].port, "lan", "found by subnet");
    assert_eq!(config.routes[0].next_hops[0].port, "wan", "found by subnet");
}

#[test]
fn tunnels_are_resolved_per_backend() {
    let config = example("tunnel.toml");
    let web = config.service("web").expect("web");
    assert_eq!(web.scheduler, Scheduler::Maglev);
    assert_eq!(
        web.backends[0].tunnel,
        Some(Tunnel::Gue {
            port: 6080,
            checksum: false
        })
    );
    assert_eq!(
        web.backends[2].tunnel,
        Some(Tunnel::Vxlan {
            port: 4789,
            vni: 100,
            inner_mac: MacAddress([2, 0, 0, 0, 0, 0x64])
        })
    );
    assert!(
        web.backends
            .iter()
            .all(|backend| backend.forward == Forward::Tunnel)
    );
    assert_eq!(
        (web.maglev_slots, web.mss_clamp_bytes),
        (Some(655_373), Some(MssClamp::Auto))
    );
    assert_eq!(config.routes[0].next_hops.len(), 2);
}

#[test]
fn a_backend_without_port_has_the_services() {
    let text = "[[port]]\nname = 'lan'\ndevice = 'null'\naddresses = ['192.0.2.2/24']\n[[service]]\nname = 'a'\n\
                address = '192.0.2.100:80'\n[[service.backend]]\naddress = '192.0.2.11'\n";
    let config = weir_configs::parse(text, "text").expect("valid");
    assert_eq!(
        config.services[0].backends[0].address.to_string(),
        "192.0.2.11:80"
    );
    let any = example("lab.toml");
    assert_eq!(any.services[0].backends[0].address.to_string(), "198.18.0.11:0");
}

#[test]
fn devices_have_eal_names() {
    let table = [
        ("pci:41:00.0", "pci:0000:41:00.0", "0000:41:00.0", ""),
        (
            "pci:0000:41:00.1,promisc=1",
            "pci:0000:41:00.1,promisc=1",
            "0000:41:00.1",
            "promisc=1",
        ),
        ("af_xdp:veth1", "af_xdp:veth1", "net_af_xdp3", "iface=veth1"),
        (
            "af_xdp:veth1,queue_count=2",
            "af_xdp:veth1,queue_count=2",
            "net_af_xdp3",
            "iface=veth1,queue_count=2",
        ),
        (
            "af_packet:veth1",
            "af_packet:veth1",
            "net_af_packet3",
            "iface=veth1",
        ),
        ("tap:dtap0", "tap:dtap0", "net_tap3", "iface=dtap0"),
        (
            "memif:role=client,id=0",
            "memif:role=client,id=0",
            "net_memif3",
            "role=client,id=0",
        ),
        (
            "pcap:in=a.pcap,out=b.pcap",
            "pcap:in=a.pcap,out=b.pcap",
            "net_pcap3",
            "rx_pcap=a.pcap,tx_pcap=b.pcap",
        ),
        (
            "pcap:out=b.pcap",
            "pcap:out=b.pcap",
            "net_pcap3",
            "tx_pcap=b.pcap",
        ),
        ("null", "null", "net_null3", ""),
        ("ring", "ring", "net_ring3", ""),
        (
            "vdev:net_null7,size=64",
            "vdev:net_null7,size=64",
            "net_null7",
            "size=64",
        ),
    ];
    for (written, shown, name, arguments) in table {
        let text = format!("[[port]]\nname = 'a'\ndevice = '{written}'\n");
        let config = weir_configs::parse(&text, "text").unwrap_or_else(|report| panic!("{report}"));
        let device: &Device = &config.ports[0].device;
        assert_eq!(device.to_string(), shown);
        assert_eq!(
            device.eal(3),
            (name.to_owned(), arguments.to_owned()),
            "{written}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let report = weir_configs::load("/does/not/exist.toml").expect_err("missing");
    assert!(report.to_string().contains("/does/not/exist.toml"), "{report}");
    let report = weir_configs::load(env!("CARGO_MANIFEST_DIR")).expect_err("a directory");
    assert!(report.to_string().contains("directory"), "{report}");
}

/// 10,000 services with ten backends each: the checks must not grow with the square of the file.
#[test]
fn a_large_file_loads_in_seconds() {
    let mut text = String::from(
        "[dataplane]\nservices_max = 10_000\nbackends_max = 100_000\n\
         [[port]]\nname = 'lan'\ndevice = 'null'\naddresses = ['198.18.0.1/15']\n",
    );
    for service in 0..10_000_u32 {
        let (high, low) = (service / 250, service % 250 + 1);
        text += &format!(
            "[[service]]\nname = 's{service}'\naddress = '203.0.113.{low}:{}'\n",
            1000 + high
        );
        for backend in 0..10 {
            text += &format!(
                "[[service.backend]]\naddress = '198.18.{}.{low}:{}'\n",
                backend + 1,
                1000 + high
            );
        }
    }
    let start = std::time::Instant::now();
    let config = weir_configs::parse(&text, "large.toml").unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(
        config
            .services
            .iter()
            .map(|service| service.backends.len())
            .sum::<usize>(),
        100_000
    );
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
    println!("{:?} for {} bytes", start.elapsed(), text.len());
}
