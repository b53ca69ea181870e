//! From the configuration to the argument list EAL starts with, and how much memory it needs.
//!
//! Everything here is a pure function, so that what EAL will be told is tested without starting it. Sources of the
//! options: the DPDK programmer's and Linux guides ("EAL parameters").

use std::path::Path;

use weir_configs::{Dataplane, Device, HugePages, Port};

use super::failure::Failure;

/// Lcore id of the main thread; worker `i` is lcore `i + 1`, whatever CPU it is pinned to.
pub const MAIN_LCORE: u32 = 0;

/// Bytes of one packet buffer besides its data room: the mbuf itself and the pool's header of each element.
const MBUF_HEADER_BYTES: u64 = 128 + 64;
/// Room in front of a packet for an outer header, and behind it.
const HEADROOM_BYTES: u16 = 128;
/// Data room of a pool for ordinary frames: DPDK's own default.
const DATA_ROOM_BYTES: u16 = 2048 + HEADROOM_BYTES;
/// Ethernet header, two tags and the frame check sequence.
const FRAME_OVERHEAD_BYTES: u16 = 14 + 2 * 4 + 4;
/// What EAL, the drivers and the rings take besides the pool.
const EAL_OVERHEAD_MB: u64 = 64;
/// Buffers a worker holds beyond the descriptors: bursts, hand-over rings, the pool's per-core cache.
const MBUFS_PER_WORKER: u32 = 4096;

/// What the machine has, read once at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Free huge pages of any size, in MiB.
    pub huge_pages_free_mb: u64,
    /// Whether a process gets transparent huge pages when it asks for them.
    pub transparent_huge_pages: bool,
    /// One above the highest CPU that is online.
    pub cpus_online: u16,
}

impl Machine {
    /// Reads `/sys/kernel/mm/hugepages` and the CPU count.
    pub fn read() -> Self {
        Self {
            huge_pages_free_mb: huge_pages_free_mb(Path::new("/sys/kernel/mm/hugepages")),
            transparent_huge_pages: transparent(Path::new("/sys/kernel/mm/transparent_hugepage/enabled")),
            cpus_online: cpus_online(Path::new("/sys/devices/system/cpu/online")),
        }
    }
}

/// The choice in brackets of `always [madvise] never`; a kernel without the file has none.
fn transparent(choice: &Path) -> bool {
    std::fs::read_to_string(choice).is_ok_and(|text| !text.contains("[never]"))
}

/// One above the highest CPU of a list such as `0-3,8`.
fn cpus_online(list: &Path) -> u16 {
    let text = std::fs::read_to_string(list).unwrap_or_default();
    let highest = text
        .trim()
        .split([',', '-'])
        .filter_map(|cpu| cpu.parse::<u16>().ok())
        .max();
    highest.unwrap_or(0) + 1
}

fn huge_pages_free_mb(root: &Path) -> u64 {
    let Ok(sizes) = root.read_dir() else { return 0 };
    sizes
        .flatten()
        .filter_map(|size| {
            let name = size.file_name();
            let page_kb: u64 = name
                .to_str()?
                .strip_prefix("hugepages-")?
                .strip_suffix("kB")?
                .parse()
                .ok()?;
            let free: u64 = std::fs::read_to_string(size.path().join("free_hugepages"))
                .ok()?
                .trim()
                .parse()
                .ok()?;
            Some(page_kb * free / 1024)
        })
        .sum()
}

/// Where EAL's memory comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Huge pages: `--in-memory`, so that no file is left behind even by a kill.
    HugePages,
    /// Ordinary pages: `--no-huge`.
    OrdinaryPages,
}

/// Everything decided before EAL starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// EAL's argument list, program name not included.
    pub arguments: Vec<String>,
    /// Where the memory comes from.
    pub memory: Memory,
    /// MiB EAL takes.
    pub memory_mb: u64,
    /// Packet buffers in the pool.
    pub mbufs: u32,
    /// Bytes of data room of each, headroom included: the largest frame of any port in one segment.
    pub data_room_bytes: u16,
}

impl core::fmt::Display for Plan {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        writeln!(f, "EAL arguments: {}", self.arguments.join(" "))?;
        let pages = match self.memory {
            Memory::HugePages => "huge pages",
            Memory::OrdinaryPages => "ordinary pages",
        };
        write!(
            f,
            "memory: {} MiB of {pages}, {} packet buffers of {} bytes",
            self.memory_mb, self.mbufs, self.data_room_bytes
        )
    }
}

/// Decides what EAL is told. `extra` are the arguments given after `--` on the command line.
pub fn plan(
    dataplane: &Dataplane,
    ports: &[Port],
    machine: Machine,
    extra: &[String],
) -> Result<Plan, Failure> {
    let mbufs = dataplane.mbufs.unwrap_or_else(|| mbufs_needed(dataplane, ports));
    let data_room_bytes = dataplane.mbuf_bytes.unwrap_or_else(|| data_room_bytes(ports));
    let pool_mb = u64::from(mbufs) * (MBUF_HEADER_BYTES + u64::from(data_room_bytes)) / (1 << 20) + 1;
    let memory_mb = dataplane.memory_mb.map_or(pool_mb + EAL_OVERHEAD_MB, u64::from);
    if memory_mb < pool_mb {
        return Err(Failure::MemoryBelowPool {
            memory_mb,
            pool_mb,
            mbufs,
        });
    }
    let memory = choose_memory(dataplane.huge_pages, memory_mb, machine)?;
    check_workers(&dataplane.workers, machine)?;

    let mut arguments = vec![format!("--lcores={}", lcores(&dataplane.workers, machine))];
    arguments.push(format!("--main-lcore={MAIN_LCORE}"));
    arguments.extend(["-m".to_owned(), memory_mb.to_string()]);
    arguments.extend(match memory {
        Memory::HugePages => ["--in-memory".to_owned()].to_vec(),
        Memory::OrdinaryPages => ["--no-huge".to_owned(), "--no-shconf".to_owned()].to_vec(),
    });
    // Two instances would fight over one telemetry socket, and it would outlive a kill.
    arguments.push("--no-telemetry".to_owned());
    arguments.extend(devices(ports));
    arguments.extend(dataplane.eal_args.iter().cloned());
    arguments.extend(extra.iter().cloned());
    Ok(Plan {
        arguments,
        memory,
        memory_mb,
        mbufs,
        data_room_bytes,
    })
}

fn mbufs_needed(dataplane: &Dataplane, ports: &[Port]) -> u32 {
    let workers = u32::try_from(dataplane.workers.len()).unwrap_or(u32::MAX);
    let descriptors: u32 = ports
        .iter()
        .map(|port| {
            let queues = port.queues.map_or(workers, u32::from);
            let tap = if port.host_interface.is_some() { 1024 } else { 0 };
            queues * (u32::from(port.rx_descriptors) + u32::from(port.tx_descriptors)) + tap
        })
        .sum();
    // 2^n - 1 fills rte_mempool's ring exactly.
    (descriptors + workers * MBUFS_PER_WORKER).next_power_of_two() - 1
}

/// One segment holds any frame, so that vector receive paths stay possible with jumbo frames too.
fn data_room_bytes(ports: &[Port]) -> u16 {
    let frame_max = ports
        .iter()
        .map(|port| port.mtu + FRAME_OVERHEAD_BYTES)
        .max()
        .unwrap_or_default();
    // Drivers round their buffer length down to whole KiB.
    DATA_ROOM_BYTES.max(HEADROOM_BYTES + frame_max.next_multiple_of(1024))
}

/// Whether a buffer of so many bytes, headroom included, takes the largest frame of this MTU.
pub fn holds_frame(buffer_bytes: u16, mtu: u16) -> bool {
    buffer_bytes >= HEADROOM_BYTES + mtu + FRAME_OVERHEAD_BYTES
}

fn choose_memory(wish: HugePages, memory_mb: u64, machine: Machine) -> Result<Memory, Failure> {
    let enough = machine.huge_pages_free_mb >= memory_mb;
    match wish {
        HugePages::Off => Ok(Memory::OrdinaryPages),
        HugePages::Auto if enough => Ok(Memory::HugePages),
        HugePages::Auto => Ok(Memory::OrdinaryPages),
        HugePages::On if enough => Ok(Memory::HugePages),
        HugePages::On => Err(Failure::TooFewHugePages {
            need_mb: memory_mb,
            free_mb: machine.huge_pages_free_mb,
        }),
    }
}

fn check_workers(workers: &[u16], machine: Machine) -> Result<(), Failure> {
    match workers.iter().find(|cpu| **cpu >= machine.cpus_online) {
        Some(cpu) => Err(Failure::NoSuchCpu {
            cpu: *cpu,
            online: machine.cpus_online,
        }),
        None => Ok(()),
    }
}

/// The main thread may run on any CPU; each worker on its own.
fn lcores(workers: &[u16], machine: Machine) -> String {
    let main = match machine.cpus_online {
        1 => format!("{MAIN_LCORE}@0"),
        count => format!("{MAIN_LCORE}@(0-{})", count - 1),
    };
    workers
        .iter()
        .zip(MAIN_LCORE + 1..)
        .fold(main, |list, (cpu, lcore)| format!("{list},{lcore}@{cpu}"))
}

fn devices(ports: &[Port]) -> Vec<String> {
    let mut arguments = Vec::new();
    if !ports.iter().any(|port| matches!(port.device, Device::Pci { .. })) {
        arguments.push("--no-pci".to_owned());
    }
    for (index, port) in ports.iter().enumerate() {
        let (name, driver_arguments) = port.device.eal(index);
        let text = if driver_arguments.is_empty() {
            name
        } else {
            format!("{name},{driver_arguments}")
        };
        match port.device {
            Device::Pci { .. } => arguments.extend(["-a".to_owned(), text]),
            Device::Vf { .. }
            | Device::AfXdp { .. }
            | Device::AfPacket { .. }
            | Device::Tap { .. }
            | Device::Memif { .. }
            | Device::Pcap { .. }
            | Device::Null
            | Device::Ring
            | Device::Vdev { .. } => arguments.push(format!("--vdev={text}")),
        }
        if let Some(interface) = &port.host_interface {
            arguments.push(format!("--vdev={},iface={interface}", host_device(index)));
        }
    }
    arguments
}

/// EAL's name of the tap behind port number `index`. Away from the names of `tap:` ports.
pub fn host_device(index: usize) -> String {
    format!("net_tap_host{index}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Machine = Machine {
        huge_pages_free_mb: 0,
        transparent_huge_pages: false,
        cpus_online: 2,
    };

    fn port(device: Device, host_interface: Option<&str>, mtu: u16) -> Port {
        Port {
            name: "lan".into(),
            device,
            host_interface: host_interface.map(str::to_owned),
            addresses: Vec::new(),
            mtu,
            vlan: None,
            queues: None,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            promiscuous: false,
            nodes: Vec::new(),
        }
    }

    fn af_xdp() -> Device {
        Device::AfXdp {
            interface: "veth-lb".into(),
            arguments: String::new(),
        }
    }

    #[test]
    fn a_laptop_gets_ordinary_pages_no_pci_and_a_tap() {
        let dataplane = Dataplane {
            workers: vec![1],
            ..Dataplane::default()
        };
        let plan = plan(&dataplane, &[port(af_xdp(), Some("weir0"), 1500)], MACHINE, &[]).unwrap();
        assert_eq!(plan.memory, Memory::OrdinaryPages);
        assert_eq!(plan.mbufs, 8191);
        assert_eq!(plan.data_room_bytes, 2176);
        assert_eq!(
            plan.arguments.join(" "),
            "--lcores=0@(0-1),1@1 --main-lcore=0 -m 83 --no-huge --no-shconf --no-telemetry --no-pci \
             --vdev=net_af_xdp0,iface=veth-lb --vdev=net_tap_host0,iface=weir0"
        );
    }

    #[test]
    fn a_nic_gets_huge_pages_where_there_are_enough() {
        let machine = Machine {
            huge_pages_free_mb: 2048,
            ..MACHINE
        };
        let nic = port(
            Device::Pci {
                address: "0000:41:00.0".into(),
                arguments: String::new(),
            },
            None,
            1500,
        );
        let plan = plan(
            &Dataplane::default(),
            &[nic],
            machine,
            &["--log-level=8".to_owned()],
        )
        .unwrap();
        assert_eq!(plan.memory, Memory::HugePages);
        let line = plan.arguments.join(" ");
        assert!(
            line.contains("--in-memory")
                && line.contains("-a 0000:41:00.0")
                && line.ends_with("--log-level=8"),
            "{line}"
        );
        assert!(
            !line.contains("--no-pci") && !line.contains("--no-huge"),
            "{line}"
        );
    }

    #[test]
    fn jumbo_frames_fit_in_one_segment() {
        let plan = plan(&Dataplane::default(), &[port(af_xdp(), None, 9000)], MACHINE, &[]).unwrap();
        assert_eq!(plan.data_room_bytes, 128 + 9 * 1024);
    }

    #[test]
    fn smaller_buffers_take_less_memory() {
        let dataplane = Dataplane {
            mbufs: Some(1_048_575),
            mbuf_bytes: Some(192),
            ..Dataplane::default()
        };
        let plan = plan(&dataplane, &[port(af_xdp(), None, 1500)], MACHINE, &[]).unwrap();
        assert_eq!(
            (plan.data_room_bytes, plan.memory_mb),
            (192, 384 + EAL_OVERHEAD_MB)
        );
        assert!(!holds_frame(192, 1500) && holds_frame(2176, 1500));
    }

    #[test]
    fn what_cannot_work_is_refused_before_eal_starts() {
        let start =
            |dataplane: Dataplane| plan(&dataplane, &[port(af_xdp(), None, 1500)], MACHINE, &[]).unwrap_err();
        let on = Dataplane {
            huge_pages: HugePages::On,
            ..Dataplane::default()
        };
        assert!(matches!(start(on), Failure::TooFewHugePages { free_mb: 0, .. }));
        let beyond = Dataplane {
            workers: vec![2],
            ..Dataplane::default()
        };
        assert!(matches!(start(beyond), Failure::NoSuchCpu { cpu: 2, online: 2 }));
        let small = Dataplane {
            memory_mb: Some(16),
            mbufs: Some(65_535),
            ..Dataplane::default()
        };
        assert!(matches!(
            start(small),
            Failure::MemoryBelowPool { memory_mb: 16, .. }
        ));
    }

    #[test]
    fn transparent_huge_pages_are_there_unless_never() {
        let file = std::env::temp_dir().join(format!("weir-transparent-{}", std::process::id()));
        for (text, expected) in [
            ("always [madvise] never\n", true),
            ("always madvise [never]\n", false),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(transparent(&file), expected, "{text}");
        }
        std::fs::remove_file(&file).unwrap();
        assert!(!transparent(&file));
    }

    #[test]
    fn free_huge_pages_of_all_sizes_are_counted() {
        let root = std::env::temp_dir().join(format!("weir-hugepages-{}", std::process::id()));
        for (size, free) in [
            ("hugepages-2048kB", "3\n"),
            ("hugepages-1048576kB", "1\n"),
            ("other", "9\n"),
        ] {
            std::fs::create_dir_all(root.join(size)).unwrap();
            std::fs::write(root.join(size).join("free_hugepages"), free).unwrap();
        }
        assert_eq!(huge_pages_free_mb(&root), 6 + 1024);
        std::fs::remove_dir_all(root).unwrap();
    }
}
