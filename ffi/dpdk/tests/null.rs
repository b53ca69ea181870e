//! net_null: a port that receives without end and swallows what is sent.

mod support;

use weir_dpdk::{Burst, Error, Mempool, MempoolConfig, Port, PortConfig, RssConfig};

const ROUNDS: u64 = 1000;

#[test]
fn the_pool_is_full_again_after_traffic_and_stop() {
    let stage = support::stage(&["net_null0,size=128"]);
    let pool = support::pool(&stage.eal);
    let mut port = Port::open(&stage.eal, "net_null0").unwrap();
    let (mut rx, mut tx) = support::start(&mut port, &PortConfig::default(), &pool);
    let mut burst = Burst::new();
    for _ in 0..ROUNDS {
        assert_eq!(rx.burst(&mut burst), Burst::CAPACITY);
        assert_eq!(rx.burst(&mut burst), 0, "no room, no packet");
        assert!(
            burst
                .iter()
                .all(|packet| packet.data().len() == 128 && packet.port() == port.id())
        );
        drop(burst.pop());
        assert_eq!(tx.burst(&mut burst), 63);
        assert!(burst.is_empty());
    }
    let stats = port.stats().unwrap();
    assert_eq!((stats.rx_packets, stats.tx_packets), (ROUNDS * 64, ROUNDS * 63));
    drop((rx, tx));
    port.stop().unwrap();
    assert_eq!(pool.available(), pool.size());
}

#[test]
fn stop_waits_for_the_queues_and_start_works_again() {
    let stage = support::stage(&["net_null0"]);
    let pool = support::pool(&stage.eal);
    let mut port = Port::open(&stage.eal, "net_null0").unwrap();
    for round in 0..5 {
        let (mut rx, tx) = support::start(&mut port, &PortConfig::default(), &pool);
        assert!(matches!(
            port.start(&PortConfig::default(), &pool),
            Err(Error::Started(_))
        ));
        assert!(matches!(port.stop(), Err(Error::QueuesInUse(_))));
        let mut burst = Burst::new();
        assert_eq!(rx.burst_up_to(&mut burst, 8), 8, "round {round}");
        drop(tx);
        assert!(matches!(port.stop(), Err(Error::QueuesInUse(_))));
        drop(rx);
        port.stop().unwrap();
        assert_eq!(port.started(), None);
        port.stop().unwrap();
    }
    assert_eq!(pool.available(), pool.size());
}

#[test]
fn queues_outlive_the_port_handle() {
    let stage = support::stage(&["net_null0"]);
    let pool = support::pool(&stage.eal);
    let mut port = Port::open(&stage.eal, "net_null0").unwrap();
    let (mut rx, mut tx) = support::start(&mut port, &PortConfig::default(), &pool);
    drop(port);
    let mut burst = Burst::new();
    assert_eq!(rx.burst(&mut burst), 64);
    assert_eq!(tx.burst(&mut burst), 64);
    assert!(matches!(
        Port::open(&stage.eal, "net_null0"),
        Err(Error::PortOpen(_))
    ));
    drop((rx, tx));
    assert!(stage.eal.port_names().is_empty(), "closed with the last queue");
    assert_eq!(pool.available(), pool.size());
}

#[test]
fn counters_have_names_and_values() {
    let stage = support::stage(&["net_null0,size=64"]);
    let pool = support::pool(&stage.eal);
    let mut port = Port::open(&stage.eal, "net_null0").unwrap();
    let (mut rx, _tx) = support::start(&mut port, &PortConfig::default(), &pool);
    let mut burst = Burst::new();
    rx.burst(&mut burst);
    let xstats = port.xstats().unwrap();
    let value = |name: &str| {
        xstats
            .iter()
            .find(|xstat| xstat.name == name)
            .map(|xstat| xstat.value)
    };
    assert_eq!(value("rx_good_packets"), Some(64), "{xstats:?}");
    assert_eq!(value("tx_good_packets"), Some(0));
}

#[test]
fn what_the_device_is_and_became() {
    let stage = support::stage(&["net_null0"]);
    let pool = support::pool(&stage.eal);
    let mut port = Port::open(&stage.eal, "net_null0").unwrap();
    let info = port.info().unwrap();
    assert_eq!(info.driver, "net_null");
    assert_eq!(port.driver_name().unwrap(), "net_null");
    let (max_rx, max_tx) = port.max_queues().unwrap();
    assert!(max_rx >= 2 && max_tx >= 2);
    assert_ne!(port.mac().unwrap(), [0; 6]);

    let config = PortConfig {
        rx_queues: 2,
        tx_queues: 2,
        rss: Some(RssConfig::default()),
        promiscuous: true,
        ..PortConfig::default()
    };
    let (rx, tx) = port.start(&config, &pool).unwrap();
    assert_eq!((rx.len(), tx.len()), (2, 2));
    assert_eq!((rx[1].id(), tx[1].id(), rx[1].port()), (1, 1, port.id()));
    assert!(port.link().unwrap().up);
    let started = port.started().unwrap();
    assert!(info.rss_functions.contains(started.rss.functions));
    assert!(!started.rss.functions.is_empty(), "net_null offers RSS");
    let reta = started.rss.reta.as_ref().unwrap();
    assert_eq!(reta.len(), usize::from(info.reta_size));
    assert_eq!(
        started.rss.key.as_ref().unwrap().len(),
        usize::from(info.rss_key_bytes)
    );
    assert_eq!(started.promiscuous, port.is_promiscuous());
}

#[test]
fn an_rss_key_given_is_the_key_read_back() {
    let stage = support::stage(&["net_null0"]);
    let pool = support::pool(&stage.eal);
    let mut port = Port::open(&stage.eal, "net_null0").unwrap();
    let key: Vec<u8> = (0..port.info().unwrap().rss_key_bytes)
        .map(|byte| byte as u8 ^ 0x5a)
        .collect();
    assert_eq!(key.len(), 40);
    let rss = RssConfig {
        key: Some(key.clone()),
        ..RssConfig::default()
    };
    let config = PortConfig {
        rss: Some(rss),
        ..PortConfig::default()
    };
    let queues = port.start(&config, &pool).unwrap();
    assert_eq!(port.rss_key().unwrap(), Some(key));
    drop(queues);
}

#[test]
fn what_the_device_cannot_do_is_an_error_that_says_the_bounds() {
    let stage = support::stage(&["net_null0"]);
    let pool = support::pool(&stage.eal);
    let mut port = Port::open(&stage.eal, "net_null0").unwrap();
    let too_many = PortConfig {
        rx_queues: u16::MAX,
        ..PortConfig::default()
    };
    let none = PortConfig {
        tx_queues: 0,
        ..PortConfig::default()
    };
    let no_room = PortConfig {
        mtu: Some(9000),
        ..PortConfig::default()
    };
    for config in [too_many, none, no_room] {
        let error = port.start(&config, &pool).unwrap_err();
        assert!(matches!(error, Error::Range { .. }), "{error}");
        assert!(error.to_string().contains("allows"), "{error}");
    }
    // And the port is none the worse.
    support::start(&mut port, &PortConfig::default(), &pool);
}

#[test]
fn fast_free_only_while_there_is_one_pool() {
    let stage = support::stage(&["net_null0", "net_null1"]);
    let pool = support::pool(&stage.eal);
    let small = || MempoolConfig {
        mbufs: 127,
        cache: 0,
        ..MempoolConfig::default()
    };
    let mut port = Port::open(&stage.eal, "net_null0").unwrap();
    let offered = port.info().unwrap().tx_offloads & weir_dpdk_sys::WEIR_TX_OFFLOAD_FAST_FREE != 0;
    let queues = support::start(&mut port, &PortConfig::default(), &pool);
    assert_eq!(port.started().unwrap().fast_free, offered);
    let second = Mempool::new(&stage.eal, "second", small());
    assert_eq!(matches!(second, Err(Error::FastFree { .. })), offered);
    drop(queues);
}

#[test]
fn no_fast_free_with_two_pools() {
    let stage = support::stage(&["net_null0"]);
    let pool = support::pool(&stage.eal);
    let config = MempoolConfig {
        mbufs: 127,
        cache: 0,
        ..MempoolConfig::default()
    };
    let _second = Mempool::new(&stage.eal, "second", config.clone()).unwrap();
    let mut port = Port::open(&stage.eal, "net_null0").unwrap();
    let _queues = support::start(&mut port, &PortConfig::default(), &pool);
    assert!(!port.started().unwrap().fast_free);
    Mempool::new(&stage.eal, "third", config).unwrap();
}
