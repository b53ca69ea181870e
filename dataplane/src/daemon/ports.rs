//! Opens and starts the ports: queues, MACs, RSS facts, and the kernel tap behind a port.

use std::os::fd::OwnedFd;

use tracing::{info, warn};
use weir_configs::Port as PortSettings;
use weir_dpdk::{Eal, Mempool, Port, PortConfig, RssConfig, RssFunctions, RxQueue, TxQueue};

use super::eal::{holds_frame, host_device};
use super::failure::Failure;
use super::host;
use super::wakeup::{open_descriptors, packet_descriptors_since};

/// Toeplitz key wished for where the device takes one: the repeated 16 bits make the hash symmetric, so that both
/// directions of a connection reach the same queue (Woo and Park, "Scalable TCP Session Monitoring with Symmetric
/// Receive-side Scaling", 2012).
const SYMMETRIC_KEY_BYTE: [u8; 2] = [0x6d, 0x5a];

/// A started device with its queues.
#[derive(Debug)]
pub struct OpenPort {
    /// As configured.
    pub settings: PortSettings,
    /// The device.
    pub device: Port,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Queue pairs it was started with.
    pub queues: usize,
    /// Receive queues that no worker has taken yet.
    pub rx: Vec<RxQueue>,
    /// Transmit queues that no worker has taken yet.
    pub tx: Vec<TxQueue>,
    /// Descriptors that announce received packets, of all queues.
    pub announcers: Vec<OwnedFd>,
    /// The tap to the kernel, if configured.
    pub host: Option<HostPort>,
}

/// The tap through which a port's own traffic reaches the kernel.
#[derive(Debug)]
pub struct HostPort {
    /// The tap as a DPDK port.
    pub device: Port,
    /// From the kernel and to it, until a worker takes them.
    pub queues: Option<(RxQueue, TxQueue)>,
    /// Announces packets from the kernel.
    pub announcers: Vec<OwnedFd>,
}

/// Starts every configured port. Ports of one pool only, so that drivers may free in bulk.
pub fn open_all(
    eal: &Eal,
    pool: &Mempool,
    settings: &[PortSettings],
    workers: u16,
) -> Result<Vec<OpenPort>, Failure> {
    settings
        .iter()
        .enumerate()
        .map(|(index, port)| open(eal, pool, index, port, workers))
        .collect()
}

/// Starts port number `index`.
pub fn open(
    eal: &Eal,
    pool: &Mempool,
    index: usize,
    settings: &PortSettings,
    workers: u16,
) -> Result<OpenPort, Failure> {
    let before = open_descriptors().map_err(Failure::system("reading /proc/self/fd"))?;
    let (name, _) = settings.device.eal(index);
    let mut device = Port::open(eal, &name)?;
    let queues = queue_count(settings, &device, workers)?;
    let (rx, tx) = device.start(&port_config(settings, &device, queues, pool)?, pool)?;
    let announcers =
        packet_descriptors_since(&before).map_err(Failure::system("finding the device's sockets"))?;
    let mac = device.mac()?;
    let host = match &settings.host_interface {
        Some(interface) => Some(open_host(eal, pool, index, settings, interface, mac)?),
        None => None,
    };
    describe(settings, &device, mac)?;
    Ok(OpenPort {
        settings: settings.clone(),
        device,
        mac,
        queues: rx.len(),
        rx,
        tx,
        announcers,
        host,
    })
}

/// One queue pair a worker where the device has as many and spreads over them by itself.
fn queue_count(settings: &PortSettings, device: &Port, workers: u16) -> Result<u16, Failure> {
    let info = device.info()?;
    let possible = info.max_rx_queues.min(info.max_tx_queues).max(1);
    match settings.queues {
        Some(wish) if wish > possible => Err(Failure::Port {
            port: settings.name.clone(),
            what: format!(
                "queues = {wish}, but {} has {possible}; lower queues in [[port]]",
                settings.device
            ),
        }),
        Some(wish) => Ok(wish),
        None if info.rss_functions.is_empty() => Ok(1),
        None => Ok(workers.min(possible)),
    }
}

fn port_config(
    settings: &PortSettings,
    device: &Port,
    queues: u16,
    pool: &Mempool,
) -> Result<PortConfig, Failure> {
    let info = device.info()?;
    let rss = (queues > 1 && !info.rss_functions.is_empty()).then(|| RssConfig {
        functions: RssFunctions::LAYER4,
        key: Some(SYMMETRIC_KEY_BYTE.repeat(usize::from(info.rss_key_bytes.max(40)) / 2)),
    });
    Ok(PortConfig {
        rx_queues: queues,
        tx_queues: queues,
        rx_descriptors: settings.rx_descriptors,
        tx_descriptors: settings.tx_descriptors,
        // Buffers may be wished smaller (mbuf_bytes) than the device's largest packet, which then stays its own.
        mtu: holds_frame(pool.buffer_bytes(), settings.mtu).then_some(settings.mtu),
        promiscuous: settings.promiscuous,
        // VRRP adverts and neighbour solicitations come to groups.
        all_multicast: true,
        rss,
        ..PortConfig::default()
    })
}

fn open_host(
    eal: &Eal,
    pool: &Mempool,
    index: usize,
    settings: &PortSettings,
    interface: &str,
    mac: [u8; 6],
) -> Result<HostPort, Failure> {
    let before = open_descriptors().map_err(Failure::system("reading /proc/self/fd"))?;
    let mut device = Port::open(eal, &host_device(index))?;
    let config = PortConfig {
        mtu: Some(settings.mtu),
        ..PortConfig::default()
    };
    let (rx, tx) = device.start(&config, pool)?;
    // The segment knows one MAC for the box: the kernel's side of the tap has the port's.
    device.set_mac(mac)?;
    host::configure(interface, &settings.addresses, mac, settings.mtu)?;
    let announcers =
        packet_descriptors_since(&before).map_err(Failure::system("finding the tap's descriptor"))?;
    let (Some(rx), Some(tx)) = (rx.into_iter().next(), tx.into_iter().next()) else {
        return Err(Failure::Port {
            port: settings.name.clone(),
            what: format!("the tap {interface} came up without a queue; see DPDK's messages above"),
        });
    };
    Ok(HostPort {
        device,
        queues: Some((rx, tx)),
        announcers,
    })
}

/// What the driver made of it, for the log: a silent fall-back from a vector path costs more than any code of ours.
fn describe(settings: &PortSettings, device: &Port, mac: [u8; 6]) -> Result<(), Failure> {
    let Some(started) = device.started() else {
        return Ok(());
    };
    info!(
        port = settings.name,
        device = %settings.device,
        driver = device.driver_name()?,
        mac = %weir_wire::MacAddr(mac),
        queues = started.rx_queues,
        mtu = started.mtu,
        rx_path = device.rx_burst_mode().as_deref().unwrap_or("not told by the driver"),
        tx_path = device.tx_burst_mode().as_deref().unwrap_or("not told by the driver"),
        rss = if started.rss.functions.is_empty() { "none" } else if started.rss.key.is_some() { "known key" } else { "unknown key" },
        fast_free = started.fast_free,
        "port started"
    );
    if !started.mtu_applied && settings.mtu != started.mtu {
        warn!(
            port = settings.name,
            wanted = settings.mtu,
            mtu = started.mtu,
            "the driver kept its own MTU; set it on the interface below"
        );
    }
    Ok(())
}
