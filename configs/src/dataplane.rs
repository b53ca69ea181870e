//! `[dataplane]`: workers, table sizes, memory and what the workers do when there is nothing to do.

use std::path::PathBuf;

use serde::Serialize;

use crate::reader::Fields;
use crate::section::{Key, Section};
use crate::text;

/// The settings of `weir-dataplane` as a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dataplane {
    /// CPU ids, one poll-mode worker each. Never empty, no id twice.
    pub workers: Vec<u16>,
    /// Flows that fit in the tables of all workers together.
    pub flows_max: u64,
    /// Service addresses (an address, port and protocol each) that fit.
    pub services_max: u32,
    /// Backends of all service addresses that fit.
    pub backends_max: u32,
    /// Packet buffers in the pool; `None`: computed from ports, queues and descriptors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mbufs: Option<u32>,
    /// Bytes of room in each packet buffer, headroom included; `None`: the largest frame of any port fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mbuf_bytes: Option<u16>,
    /// What a worker does when no packet comes.
    pub idle: Idle,
    /// The longest sleep of an idle worker in adaptive mode, in microseconds.
    pub idle_sleep_max_us: u32,
    /// Whether memory comes from huge pages.
    pub huge_pages: HugePages,
    /// Memory for EAL in MiB; `None`: computed from the pool and the tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u32>,
    /// Where control meets the data plane.
    pub socket: PathBuf,
    /// Further arguments for EAL, as they are.
    pub eal_args: Vec<String>,
    /// Seed of every random choice, for a run that can be repeated; `None`: from the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// What a worker does when no packet comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Idle {
    /// Polls for ever: the lowest latency, one whole CPU per worker.
    Busy,
    /// Yields, then sleeps for a bounded time after a run of empty polls.
    Adaptive,
}

/// Whether memory comes from huge pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HugePages {
    /// Where the machine has some free, else ordinary pages, which is said in the log.
    Auto,
    /// Required: start-up fails without.
    On,
    /// Never.
    Off,
}

impl Default for Dataplane {
    fn default() -> Self {
        Self {
            workers: vec![0],
            flows_max: 1_000_000,
            services_max: 4096,
            backends_max: 16_384,
            mbufs: None,
            mbuf_bytes: None,
            idle: Idle::Adaptive,
            idle_sleep_max_us: 100,
            huge_pages: HugePages::Auto,
            memory_mb: None,
            socket: PathBuf::from("/run/weir/dataplane.sock"),
            eal_args: Vec::new(),
            seed: None,
        }
    }
}

pub(crate) static SECTION: Section = Section {
    header: "[dataplane]",
    meaning: "The packet process: CPUs, table sizes, memory.",
    keys: &[
        Key {
            name: "workers",
            kind: "a list of CPU ids from 0 to 1023",
            default: Some("[0]"),
            meaning: "one poll-mode worker is pinned to each CPU; at most 64",
        },
        Key {
            name: "flows_max",
            kind: "a whole number from 1024 to 1073741824",
            default: Some("1_000_000"),
            meaning: "flows that fit in the tables of all workers together; the memory is taken at start",
        },
        Key {
            name: "services_max",
            kind: "a whole number from 1 to 1000000",
            default: Some("4096"),
            meaning: "service addresses that fit",
        },
        Key {
            name: "backends_max",
            kind: "a whole number from 1 to 4000000",
            default: Some("16_384"),
            meaning: "backends of all service addresses that fit",
        },
        Key {
            name: "mbufs",
            kind: "a whole number from 1024 to 16777216",
            default: None,
            meaning: "packet buffers in the pool; left out: computed from ports, queues and descriptors",
        },
        Key {
            name: "mbuf_bytes",
            kind: "a whole number of bytes from 192 to 65535",
            default: None,
            meaning: "room in each packet buffer, the 128 bytes in front of the packet included; longer packets are lost; left out: the largest frame of any port fits",
        },
        Key {
            name: "idle",
            kind: "\"busy\" or \"adaptive\"",
            default: Some("\"adaptive\""),
            meaning: "busy polls for ever; adaptive yields, then sleeps after a run of empty polls",
        },
        Key {
            name: "idle_sleep_max_us",
            kind: "a whole number of microseconds from 1 to 10000",
            default: Some("100"),
            meaning: "the longest sleep of an idle worker in adaptive mode",
        },
        Key {
            name: "huge_pages",
            kind: "\"auto\", \"on\" or \"off\"",
            default: Some("\"auto\""),
            meaning: "auto takes huge pages where there are any; on refuses to start without",
        },
        Key {
            name: "memory_mb",
            kind: "a whole number of MiB from 16 to 1048576",
            default: None,
            meaning: "memory for EAL; left out: computed from the pool and the tables",
        },
        Key {
            name: "socket",
            kind: "an absolute path",
            default: Some("\"/run/weir/dataplane.sock\""),
            meaning: "Unix socket where control meets the data plane",
        },
        Key {
            name: "eal_args",
            kind: "a list of texts",
            default: Some("[]"),
            meaning: "further arguments for EAL, as they are",
        },
        Key {
            name: "seed",
            kind: "a whole number from 0 to 9223372036854775807",
            default: None,
            meaning: "seed of every random choice, for a run that can be repeated; left out: from the system",
        },
    ],
};

const WORKERS_MAX: usize = 64;

pub(crate) fn read(fields: &Fields<'_, '_>) -> Dataplane {
    let default = Dataplane::default();
    Dataplane {
        workers: read_workers(fields).unwrap_or(default.workers),
        flows_max: fields
            .integer("flows_max", 1024..=1 << 30)
            .unwrap_or(default.flows_max),
        services_max: fields
            .integer("services_max", 1..=1_000_000)
            .unwrap_or(default.services_max),
        backends_max: fields
            .integer("backends_max", 1..=4_000_000)
            .unwrap_or(default.backends_max),
        mbufs: fields.integer("mbufs", 1024..=1 << 24),
        mbuf_bytes: fields.integer("mbuf_bytes", 192..=65_535),
        idle: fields
            .word("idle", &[("busy", Idle::Busy), ("adaptive", Idle::Adaptive)])
            .unwrap_or(default.idle),
        idle_sleep_max_us: fields
            .integer("idle_sleep_max_us", 1..=10_000)
            .unwrap_or(default.idle_sleep_max_us),
        huge_pages: fields
            .word(
                "huge_pages",
                &[
                    ("auto", HugePages::Auto),
                    ("on", HugePages::On),
                    ("off", HugePages::Off),
                ],
            )
            .unwrap_or(default.huge_pages),
        memory_mb: fields.integer("memory_mb", 16..=1 << 20),
        socket: fields
            .parsed("socket", text::socket_path)
            .map_or(default.socket, |at| at.value),
        eal_args: read_eal_args(fields),
        seed: fields.integer("seed", 0..=i64::MAX.unsigned_abs()),
    }
}

fn read_workers(fields: &Fields<'_, '_>) -> Option<Vec<u16>> {
    let workers = fields.integers::<u16>("workers", 0..=1023)?;
    let count = fields.items("workers").map_or(0, <[_]>::len);
    if count == 0 || count > WORKERS_MAX {
        let message = format!("`workers` lists {count} CPUs");
        fields.context.error(
            fields.span_of("workers"),
            message,
            format!("name 1 to {WORKERS_MAX} CPU ids, for example workers = [1]"),
        );
    }
    for (index, worker) in workers.iter().enumerate() {
        if workers[..index]
            .iter()
            .any(|earlier| earlier.value == worker.value)
        {
            let message = format!("CPU {} has two workers", worker.value);
            fields
                .context
                .error(worker.span.clone(), message, "name each CPU once");
        }
    }
    Some(workers.into_iter().map(|worker| worker.value).collect())
}

/// EAL arguments that would contradict what weir derives from its own keys, and those keys.
const EAL_DERIVED: &[(&str, &str)] = &[
    ("-l", "workers"),
    ("-c", "workers"),
    ("--lcores", "workers"),
    ("--main-lcore", "workers"),
    ("-m", "memory_mb"),
    ("--no-huge", "huge_pages"),
    ("--", "[[port]]"),
];

fn read_eal_args(fields: &Fields<'_, '_>) -> Vec<String> {
    let arguments = fields
        .list("eal_args", |text| Ok(text.to_owned()))
        .unwrap_or_default();
    for argument in &arguments {
        let option = argument.value.split('=').next().unwrap_or_default();
        if let Some((_, ours)) = EAL_DERIVED.iter().find(|(derived, _)| *derived == option) {
            let message = format!("the EAL argument {option} is derived from `{ours}`");
            fields.context.error(
                argument.span.clone(),
                message,
                format!("leave it out and set `{ours}`"),
            );
        }
    }
    arguments.into_iter().map(|argument| argument.value).collect()
}
