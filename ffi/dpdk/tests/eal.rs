//! The EAL itself: once a process, errors that help, the caller's CPU mask untouched.

mod support;

use weir_dpdk::{Eal, Error, LcoreId, Mempool, MempoolConfig, Port, dpdk_version, tsc, tsc_hz};

#[test]
fn second_init_is_refused() {
    let stage = support::stage(&[]);
    let error = Eal::init(["--no-huge"]).unwrap_err();
    assert!(matches!(error, Error::AlreadyInitialized), "{error}");
    drop(stage);
    let error = Eal::init(["--no-huge"]).unwrap_err();
    assert!(matches!(error, Error::AlreadyInitialized), "{error}");
}

#[test]
fn init_puts_the_cpu_mask_back() {
    let before = rustix::thread::sched_getaffinity(None).unwrap();
    let _stage = support::stage(&[]);
    let after = rustix::thread::sched_getaffinity(None).unwrap();
    assert_eq!(before, after);
}

#[test]
fn unusable_arguments_are_an_error_that_names_them() {
    let error = Eal::init(["--no-huge", "--no-such-option"]).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("--no-such-option") && text.contains("hugepages"),
        "{text}"
    );
}

#[test]
fn a_zero_byte_is_an_error_and_uses_up_nothing() {
    assert!(matches!(Eal::init(["--no-\0huge"]), Err(Error::ZeroByte { .. })));
    support::stage(&[]);
}

#[test]
fn ports_are_found_by_name_and_owned_once() {
    let stage = support::stage(&["net_null0"]);
    assert_eq!(stage.eal.port_names(), ["net_null0"]);
    let text = Port::open(&stage.eal, "net_null7").unwrap_err().to_string();
    assert!(text.contains("net_null7") && text.contains("net_null0"), "{text}");

    let port = Port::open(&stage.eal, "net_null0").unwrap();
    assert!(matches!(
        Port::open(&stage.eal, "net_null0"),
        Err(Error::PortOpen(_))
    ));
    drop(port);
    // Closing a virtual device removes it; another can be added while running.
    assert!(stage.eal.port_names().is_empty());
    stage.eal.probe("net_null1").unwrap();
    Port::open(&stage.eal, "net_null1").unwrap();
    assert!(matches!(
        stage.eal.probe("net_no_such_driver0"),
        Err(Error::Probe { .. })
    ));
}

#[test]
fn facts_about_the_machine() {
    let stage = support::stage(&[]);
    assert!(dpdk_version().starts_with("DPDK "));
    assert!(!stage.eal.has_hugepages());
    assert_eq!(stage.eal.main_lcore(), LcoreId(0));
    assert_eq!(LcoreId::current(), Some(LcoreId(0)));
    assert_eq!(stage.eal.workers(), [LcoreId(1), LcoreId(2)]);
    assert!(LcoreId(1).cpu().is_some());
    assert_eq!(LcoreId(u32::MAX).cpu(), None);
    assert_eq!(std::thread::spawn(LcoreId::current).join().unwrap(), None);
    assert!(tsc_hz() > 0);
    let earlier = tsc();
    assert!(tsc() > earlier);
}

#[test]
fn a_pool_that_cannot_be_made_says_why() {
    let stage = support::stage(&[]);
    let config = MempoolConfig {
        mbufs: 10_000_000,
        ..MempoolConfig::default()
    };
    let text = Mempool::new(&stage.eal, "huge", config).unwrap_err().to_string();
    assert!(text.contains("huge") && text.contains("-m <MiB>"), "{text}");
    let config = MempoolConfig {
        cache: 100_000,
        ..MempoolConfig::default()
    };
    let text = Mempool::new(&stage.eal, "cached", config)
        .unwrap_err()
        .to_string();
    assert!(text.contains("cache must be"), "{text}");
    let _pool = support::pool(&stage.eal);
    let text = Mempool::new(&stage.eal, "packets", MempoolConfig::default())
        .unwrap_err()
        .to_string();
    assert!(text.contains("not taken"), "{text}");
}

#[test]
fn nothing_is_left_behind() {
    let stage = support::stage(&["net_null0", "net_ring0"]);
    let folder = std::path::PathBuf::from(stage.eal.runtime_dir());
    assert!(folder.is_dir());
    let pool = support::pool(&stage.eal);
    let packet = pool.alloc().unwrap();
    let port = Port::open(&stage.eal, "net_null0").unwrap();
    drop(stage.eal);
    drop((packet, pool));
    assert!(folder.is_dir(), "the port still holds the EAL");
    drop(port);
    assert!(!folder.exists());
}

#[test]
fn cleanup_waits_for_the_last_packet() {
    // The packet outlives every handle, so its memory must outlive them too.
    let stage = support::stage(&[]);
    let folder = std::path::PathBuf::from(stage.eal.runtime_dir());
    let pool = support::pool(&stage.eal);
    let mut packet = pool.alloc().unwrap();
    packet.append(64).unwrap().fill(7);
    drop(pool);
    drop(stage.eal);
    assert!(!folder.exists(), "an empty folder is of no use to a packet");
    assert_eq!(packet.data(), [7; 64]);
    assert!(packet.prepend(16).is_some());
}
