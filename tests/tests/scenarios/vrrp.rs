//! VRRP of `weir-control` on kernel interfaces, without a data plane, against Debian's keepalived and against itself.
//!
//! Times are upper bounds that hold on a busy machine; how long it takes when the machine is quiet is a benchmark's
//! business.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use weir_tests::lab::{Lab, LabError, Node, Process, run, wait_until};
use weir_tests::scenario::{binary, scenario};

mod accept;
mod beside;
mod bfd;
mod clock;
mod group;
mod hmac;
mod programs;
mod starved;
mod takeover;
mod told;
mod tracks;
mod wire;

const V4: &str = "192.0.2.100";
const V6: &str = "2001:db8::100";
const PATIENCE: Duration = Duration::from_secs(15);

/// One way of speaking VRRP, in the words of both.
struct Flavour {
    name: &'static str,
    /// SECRET stands for the file with the password, PEER for the address of the other director.
    weir: &'static str,
    keepalived: &'static str,
    vip: &'static str,
    /// Silence after which priority 50 takes over.
    down: Duration,
}

/// The first password of both programs.
const PASSWORD: Flavour = Flavour {
    name: "v2 password",
    weir: "auth = 'password'\nauth_file = 'SECRET'\n",
    keepalived: "advert_int 1\nauthentication {\nauth_type PASS\nauth_pass 1111\n}\n",
    vip: V4,
    down: Duration::from_millis(3_805),
};

/// Two directors and where their files lie.
struct Directors {
    weir: Node,
    peer: Node,
    dir: PathBuf,
}

impl Directors {
    fn new(lab: &mut Lab) -> Result<Self, LabError> {
        let (weir, peer) = (lab.add_node("weir", "eth0")?, lab.add_node("peer", "eth0")?);
        for (node, host) in [(&weir, 1), (&peer, 2)] {
            for key in ["all", "default", "eth0"] {
                node.sysctl(&format!("net.ipv6.conf.{key}.accept_dad"), "0")?;
                node.sysctl(&format!("net.ipv6.conf.{key}.disable_ipv6"), "0")?;
            }
            node.ip("link set eth0 down")?;
            node.ip("link set eth0 up")?;
            node.ip(&format!("address add 192.0.2.{host}/24 dev eth0"))?;
        }
        let dir = lab.dir().to_path_buf();
        write(&dir.join("secret"), "1111\n", 0o600)?;
        Ok(Self { weir, peer, dir })
    }

    fn weir_on(&self, node: &Node, priority: u8, flavour: &Flavour, tag: &str) -> Result<Process, LabError> {
        let text = self
            .text(priority, flavour, tag)
            .replace("PEER", self.other(node));
        self.start_weir(node, tag, &text)
    }

    /// The file of a weir with one virtual router; more keys of it may follow.
    fn text(&self, priority: u8, flavour: &Flavour, tag: &str) -> String {
        let dir = self.dir.display();
        let addresses = match flavour.vip {
            V6 => format!("'fe80::100/64', '{V6}/64'"),
            vip => format!("'{vip}/24'"),
        };
        format!(
            "{}[[vrrp]]\nname = 'VI_1'\ninterface = 'eth0'\nvirtual_router_id = 51\npriority = {priority}\n\
             addresses = [{addresses}]\n{}",
            self.head(tag),
            flavour.weir.replace("SECRET", &format!("{dir}/secret")),
        )
    }

    fn head(&self, tag: &str) -> String {
        let dir = self.dir.display();
        format!("[control]\nsocket = '{dir}/{tag}.sock'\n[dataplane]\nsocket = '{dir}/{tag}-none.sock'\n")
    }

    fn start_weir(&self, node: &Node, tag: &str, text: &str) -> Result<Process, LabError> {
        let mut command = self.weir_command(node, tag, text)?;
        Process::start(tag, &mut command, &self.log(tag))
    }

    fn weir_command(&self, node: &Node, tag: &str, text: &str) -> Result<Command, LabError> {
        let file = self.file(tag);
        write(&file, text, 0o600)?;
        let program = binary("weir-control")?;
        let mut command = node.command(&program.to_string_lossy());
        command.arg("--config").arg(&file).args(["--node", tag]);
        Ok(command)
    }

    fn log(&self, tag: &str) -> PathBuf {
        self.dir.join(format!("{tag}.log"))
    }

    fn file(&self, tag: &str) -> PathBuf {
        self.dir.join(format!("{tag}.toml"))
    }

    /// `weirctl <words>` of the weir of this tag.
    fn ctl(&self, tag: &str, words: &str) -> Result<String, LabError> {
        let weirctl = binary("weirctl")?.to_string_lossy().into_owned();
        let socket = self.dir.join(format!("{tag}.sock"));
        self.weir
            .run(&weirctl, &format!("--socket {} {words}", socket.display()))
    }

    /// What `weirctl vrrp --json` says.
    fn shown(&self, tag: &str) -> Result<Vec<Value>, LabError> {
        let text = self.ctl(tag, "vrrp --json")?;
        let answer: Value = serde_json::from_str(&text).map_err(|error| {
            LabError::unexpected(format!("weirctl vrrp --json is no JSON: {error}: {text}"))
        })?;
        Ok(answer["vrrp"].as_array().cloned().unwrap_or_default())
    }

    /// A second weir of lower priority that has heard the first: one that starts and hears nothing takes over for
    /// another reason than one that hears an active router fall silent.
    fn waiting(&self) -> Result<Process, LabError> {
        let mut low = self.weir_on(&self.peer, 100, &FAST, "low")?;
        low.wait_for_log("started", PATIENCE)?;
        std::thread::sleep(FAST.down * 2);
        self.only(&self.weir, V4)?;
        Ok(low)
    }

    /// keepalived in a director's namespace; more words of its `global_defs` may come first.
    fn keepalived(
        &self,
        node: &Node,
        priority: u8,
        flavour: &Flavour,
        tag: &str,
        globals: &str,
    ) -> Result<Process, LabError> {
        let addresses = match flavour.vip {
            V6 => format!("fe80::100/64\n{V6}/64"),
            vip => format!("{vip}/24"),
        };
        // The owner is active from the start.
        let state = if priority == 255 { "MASTER" } else { "BACKUP" };
        let text = format!(
            "global_defs {{\n{globals}}}\nvrrp_instance VI_1 {{\nstate {state}\ninterface eth0\nvirtual_router_id 51\n\
             priority {priority}\n{}virtual_ipaddress {{\n{addresses}\n}}\n}}\n",
            flavour.keepalived.replace("PEER", self.other(node)),
        );
        self.start_keepalived(node, tag, &text)
    }

    fn start_keepalived(&self, node: &Node, tag: &str, text: &str) -> Result<Process, LabError> {
        let (file, dir) = (self.dir.join(format!("{tag}.conf")), self.dir.display());
        write(&file, text, 0o600)?;
        let mut command = node.command("keepalived");
        command
            .args([
                "--dont-fork",
                "--log-console",
                "--log-detail",
                "--vrrp",
                "--use-file",
            ])
            .arg(&file);
        command.args([
            "--pid",
            &format!("{dir}/{tag}.pid"),
            "--vrrp_pid",
            &format!("{dir}/{tag}-vrrp.pid"),
        ]);
        Process::start(tag, &mut command, &self.dir.join(format!("{tag}.log")))
    }

    /// Where the director in the other namespace is.
    fn other(&self, node: &Node) -> &'static str {
        if node.short_name() == self.weir.short_name() {
            "192.0.2.2"
        } else {
            "192.0.2.1"
        }
    }

    /// Waits until exactly this director holds the address; how long that took.
    fn only(&self, node: &Node, vip: &str) -> Result<Duration, LabError> {
        let start = Instant::now();
        wait_until(&format!("{vip} on {} only", node.short_name()), PATIENCE, || {
            let holds = |node: &Node| {
                node.run("ip", "address show dev eth0")
                    .is_ok_and(|text| text.contains(vip))
            };
            let holders: Vec<&str> = [&self.weir, &self.peer]
                .into_iter()
                .filter(|node| holds(node))
                .map(|node| node.short_name())
                .collect();
            if holders == [node.short_name()] {
                Ok(())
            } else {
                Err(format!("{holders:?}"))
            }
        })?;
        Ok(start.elapsed())
    }
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), LabError> {
    let written =
        fs::write(path, text).and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)));
    written.map_err(|error| LabError::unexpected(format!("{}: {error}", path.display())))
}

/// A pipe a director tells its changes to, and all that was told.
struct Pipe {
    end: fs::File,
    told: String,
}

impl Pipe {
    fn make(path: &Path) -> Result<Self, LabError> {
        run("mkfifo", &path.to_string_lossy())?;
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
        let opened = fs::File::options()
            .read(true)
            .custom_flags(nonblocking)
            .open(path);
        let end = opened.map_err(|source| LabError::Io {
            what: "open the pipe".to_owned(),
            source,
        })?;
        Ok(Self {
            end,
            told: String::new(),
        })
    }

    fn read(&mut self) -> &str {
        // An error is that there is nothing more yet.
        let _ = self.end.read_to_string(&mut self.told);
        &self.told
    }
}

/// Without keepalived on the machine there is nothing to compare with.
pub(crate) fn keepalived_is_here() -> bool {
    let here = ["/usr/sbin/keepalived", "/usr/bin/keepalived"]
        .iter()
        .any(|path| Path::new(path).exists());
    if !here {
        assert!(
            std::env::var("WEIR_REQUIRE_PRIVILEGED").as_deref() != Ok("1"),
            "needs the program keepalived; scripts/install-deps installs it"
        );
        eprintln!("NOT RUN: needs the program keepalived; scripts/install-deps installs it");
    }
    here
}

const FAST: Flavour = Flavour {
    name: "v3, 100 ms",
    weir: "version = 3\nadvert_interval_ms = 100\n",
    keepalived: "",
    vip: V4,
    down: Duration::from_millis(400),
};

#[test]
fn a_director_that_was_stopped_yields_when_it_goes_on() {
    scenario("vrrp: SIGSTOP", |lab| {
        let directors = Directors::new(lab)?;
        let mut high = directors.weir_on(&directors.weir, 150, &FAST, "high")?;
        directors.only(&directors.weir, V4)?;
        let mut low = directors.waiting()?;
        high.signal(Signal::STOP)?;
        low.wait_for_log("has been silent for", PATIENCE)?;
        std::thread::sleep(Duration::from_secs(2));
        high.signal(Signal::CONT)?;
        high.wait_for_log("we did not run for", PATIENCE)?;
        directors.only(&directors.weir, V4).map(drop)
    });
}

#[test]
fn a_hand_over_moves_the_addresses_and_leaves_them_there() {
    scenario("vrrp: hand-over", |lab| {
        let directors = Directors::new(lab)?;
        let _high = directors.weir_on(&directors.weir, 150, &FAST, "high")?;
        directors.only(&directors.weir, V4)?;
        let _low = directors.waiting()?;
        let ask = |words: &str| directors.ctl("high", words);
        let dump: Value = serde_json::from_str(&ask("vrrp --keepalived-json")?).unwrap_or_default();
        assert_eq!(
            (&dump[0]["data"]["iname"], &dump[0]["data"]["state"]),
            (&"VI_1".into(), &2.into()),
            "{dump}"
        );
        assert_eq!(dump[0]["stats"]["become_master"], 1, "{dump}");
        ask("failover")?;
        directors.only(&directors.peer, V4)?;
        std::thread::sleep(FAST.down * 2);
        directors.only(&directors.peer, V4)?;
        let shown = ask("vrrp VI_1")?;
        assert!(shown.contains("handed over to 192.0.2.2 as asked"), "{shown}");
        ask("failover --resume")?;
        directors.only(&directors.weir, V4)?;
        let events = ask("events")?;
        assert!(
            events.contains("has priority 100, lower than our 150"),
            "{events}"
        );
        Ok(())
    });
}

#[test]
fn a_partition_gives_two_actives_and_its_end_one() {
    scenario("vrrp: partition", |lab| {
        let directors = Directors::new(lab)?;
        let _high = directors.weir_on(&directors.weir, 150, &FAST, "high")?;
        directors.only(&directors.weir, V4)?;
        let mut low = directors.waiting()?;
        // There is still a carrier, but nothing gets through.
        directors.peer.run("nft", "add table ip cut")?;
        for way in ["input", "output"] {
            let chain =
                format!("add chain ip cut {way} {{ type filter hook {way} priority 0 ; policy drop ; }}");
            directors.peer.run("nft", &chain)?;
        }
        low.wait_for_log("kind=\"active\"", PATIENCE)?;
        directors.peer.run("nft", "delete table ip cut")?;
        low.wait_for_log("higher than our 100", PATIENCE)?;
        directors.only(&directors.weir, V4).map(drop)
    });
}
