//! keepalived itself beside weir: the defaults that its own dump tells are those of `defaults = "keepalived"`, and the same
//! program that fails so many times in a row takes a server down in both, or in neither.
//!
//! keepalived's checks do not run on a kernel without ip_vs, which laboratories have; a library put before its calls
//! (`no_ipvs.c`) answers those of IPVS. Nothing else of keepalived is touched.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use weir_configs::{Check, CheckKind};
use weir_tests::lab::{Lab, LabError, Node, Process, wait_until};
use weir_tests::scenario::{binary, scenario};

use super::servers::{failed, weirctl};
use crate::vrrp::keepalived_is_here;

const PATIENCE: Duration = Duration::from_secs(60);

/// A keepalived whose checks run, whatever the kernel has.
fn keepalived(lab: &Lab, node: &Node, config: &str) -> Result<Process, LabError> {
    let dir = lab.dir();
    let (source, library) = (dir.join("no_ipvs.c"), dir.join("no_ipvs.so"));
    fs::write(&source, include_str!("no_ipvs.c")).map_err(failed("write no_ipvs.c"))?;
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .output()
        .map_err(failed("cc"))?;
    if !built.status.success() {
        let said = String::from_utf8_lossy(&built.stderr);
        return Err(LabError::unexpected(format!("cc: {said}")));
    }
    let file = dir.join("keepalived.conf");
    fs::write(&file, config).map_err(failed("write keepalived.conf"))?;
    let mut command = node.command("env");
    command
        .arg(format!("LD_PRELOAD={}", library.display()))
        .args(["keepalived", "-C", "-n", "-l", "-D", "-d", "-f"])
        .arg(file)
        .arg("-p")
        .arg(dir.join("keepalived.pid"))
        .arg("-c")
        .arg(dir.join("checkers.pid"));
    Process::start("keepalived", &mut command, &dir.join("keepalived.log"))
}

/// What keepalived says of its checkers when nothing is said to it, one after the other: the lines of each.
fn dumped(log: &str) -> Vec<Vec<&str>> {
    let lines = log
        .lines()
        .map(|line| line.split_once(": ").map_or(line, |(_, text)| text));
    let mut checkers: Vec<Vec<&str>> = Vec::new();
    for line in lines.skip_while(|line| !line.contains("< Health checkers >")) {
        match line {
            line if line.contains("] -> [") || line.contains(" -> [") => checkers.push(Vec::new()),
            line if line.starts_with("---") => {}
            line => checkers
                .iter_mut()
                .next_back()
                .into_iter()
                .for_each(|last| last.push(line.trim())),
        }
    }
    checkers
}

/// The number after `name = ` in a checker's lines, in units of `unit`.
fn number(lines: &[&str], name: &str, unit: f64) -> Option<f64> {
    let line = lines
        .iter()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))?;
    let number: f64 = line.trim_end_matches(" us").parse().ok()?;
    Some(number * unit)
}

/// What keepalived calls a checker, and weir a check.
const KINDS: [(&str, &str, &str); 8] = [
    ("TCP_CHECK", "TCP_CHECK {\n}", "tcp = {}"),
    ("HTTP_GET", "HTTP_GET {\nurl {\npath /\n}\n}", "http = {}"),
    ("SSL_GET", "SSL_GET {\nurl {\npath /\n}\n}", "http = {}, tls = {}"),
    ("SMTP_CHECK", "SMTP_CHECK {\n}", "smtp = {}"),
    ("DNS_CHECK", "DNS_CHECK {\n}", "dns = {}"),
    ("PING_CHECK", "PING_CHECK {\n}", "ping = {}"),
    ("UDP_CHECK", "UDP_CHECK {\n}", "udp = {}"),
    (
        "MISC_CHECK",
        "MISC_CHECK {\nmisc_path /usr/bin/true\n}",
        "script = { path = '/usr/bin/true' }",
    ),
];

const GLOBALS: &str = "global_defs {\nenable_script_security\nscript_user nobody\n}\n";

fn weir(check: &str) -> Check {
    let text = format!(
        "[health]\ndefaults = 'keepalived'\n[[port]]\nname = 'lan'\ndevice = 'null'\naddresses = ['192.0.2.2/24']\n\
         [[service]]\nname = 'a'\naddress = '192.0.2.100:80'\ncheck = {{ {check} }}\n"
    );
    let config = weir_configs::parse(&text, "defaults.toml").unwrap_or_else(|report| panic!("{report}"));
    config.services[0].check.clone().expect("a check")
}

#[test]
fn keepalived_tells_the_defaults_that_weir_takes_from_it() {
    if !keepalived_is_here() {
        return;
    }
    scenario("keepalived-defaults", |lab| {
        let node = lab.add_node("lb", "eth0")?;
        let checkers: String = KINDS.map(|(_, written, _)| format!("{written}\n")).concat();
        let config = format!(
            "{GLOBALS}vrrp_track_file load {{\nfile {}/load\n}}\nvirtual_server 192.0.2.100 80 {{\nlvs_sched rr\nlvs_method NAT\n\
             protocol TCP\nreal_server 192.0.2.11 80 {{\n{checkers}FILE_CHECK {{\ntrack_file load\n}}\n}}\n}}\n",
            lab.dir().display()
        );
        let mut process = keepalived(lab, &node, &config)?;
        process.wait_for_log("Activating healthchecker", PATIENCE)?;
        let log = process.log();
        process.stop()?;
        let checkers = dumped(&log);
        for (name, _, check) in KINDS {
            let method = format!("Keepalive method = {name}");
            let lines = checkers.iter().find(|lines| {
                let mut methods = lines.iter();
                methods.any(|line| *line == method || line.starts_with(&format!("{method},")))
            });
            let lines =
                lines.ok_or_else(|| LabError::unexpected(format!("{name} is not in the dump: {log}")))?;
            let ours = weir(check);
            let same = |what: &str, theirs: Option<f64>, ours: u32| {
                assert_eq!(theirs, Some(f64::from(ours)), "{name}: {what}: {lines:?}");
            };
            let warmup = ours.warmup_ms.unwrap_or(ours.interval_ms);
            same("delay_loop", number(lines, "Delay loop", 0.001), ours.interval_ms);
            same("warmup", number(lines, "Warmup", 0.001), warmup);
            same("retry", number(lines, "Retries", 1.0), ours.fall - 1);
            if ours.fall > 1 {
                let delay = ours.delay_before_retry_ms.unwrap_or(ours.interval_ms);
                same(
                    "delay_before_retry",
                    number(lines, "Delay before retry", 0.001),
                    delay,
                );
            }
            // A program may take until the next is due, which is said by 0.
            match number(lines, "Timeout", 1_000.0) {
                Some(timeout) => same("connect_timeout", Some(timeout), ours.timeout_ms),
                None => assert_eq!(ours.timeout_ms, ours.interval_ms, "{name}"),
            }
            assert!(lines.contains(&"Alpha = no") && ours.alpha.is_none(), "{name}");
            assert!(lines.contains(&"Log all failures = no") && !ours.log_all_failures);
        }
        let said = |text: &str| assert!(log.contains(text), "{text}");
        said("helo = smtpchecker.keepalived.org");
        said("HTTP_GET, http protocol 1.0");
        said("Enable SNI unset");
        said("200-299");
        said("quorum = 1, hysteresis = 0");
        said("omega is OFF");
        said("Inhibit on failure is OFF");
        said("load, weight 1");
        let ours = weir("file = { path = '/run/load' }").kind;
        assert!(matches!(ours, CheckKind::File(file) if file.multiplier == Some(1) && !file.reverse));
        Ok(())
    });
}

/// A program's counter: so many of its next runs fail. Without failures left it writes nothing, so that none is lost.
const PROGRAM: &str = "read left < \"$1.left\"\necho >> \"$1.runs\"\nif [ \"$left\" -gt 0 ]; then\n\
    echo $((left - 1)) > \"$1.left\"\nexit 1\nfi\n";

/// What one of the two is told by its program, and how often it took its server down.
struct Watcher<'a> {
    name: &'static str,
    prefix: PathBuf,
    falls: &'a dyn Fn() -> Result<usize, LabError>,
}

impl Watcher<'_> {
    fn fail(&self, times: u32) -> Result<(), LabError> {
        fs::write(self.file("left"), format!("{times}\n")).map_err(failed("write a counter"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.prefix.with_extension(name)
    }

    fn runs(&self) -> usize {
        fs::read_to_string(self.file("runs")).unwrap_or_default().len()
    }

    /// Waits until all failures and two runs after them have been.
    fn settle(&self) -> Result<(), LabError> {
        wait_until(
            &format!("{}'s failures", self.name),
            PATIENCE,
            || match fs::read_to_string(self.file("left")).unwrap_or_default().trim() {
                "0" => Ok(()),
                left => Err(format!("left: {left}")),
            },
        )?;
        let before = self.runs();
        wait_until(&format!("{}'s passes", self.name), PATIENCE, || {
            match self.runs() - before {
                0..=1 => Err("too few runs"),
                _ => Ok(()),
            }
        })
    }

    fn has_fallen(&self, times: usize) -> Result<(), LabError> {
        wait_until(
            &format!("{} to fall {times} times", self.name),
            PATIENCE,
            || match (self.falls)() {
                Ok(falls) if falls == times => Ok(()),
                Ok(falls) => Err(format!("{falls}")),
                Err(error) => Err(error.to_string()),
            },
        )
    }
}

/// Failures in a row, and whether they take the server down with `retry 2`. The first one comes before any pass.
const FAILURES: [(u32, bool); 4] = [(1, true), (2, false), (3, true), (1, false)];

#[test]
fn the_same_failures_take_a_server_down_in_keepalived_and_in_weir() {
    if !keepalived_is_here() {
        return;
    }
    scenario("keepalived-retries", |lab| {
        let node = lab.add_node("lb", "eth0")?;
        let dir = lab.dir().to_owned();
        let program = dir.join("program.sh");
        fs::write(&program, PROGRAM).map_err(failed("write a program"))?;
        let prefix = |name: &str| -> Result<PathBuf, LabError> {
            for (ending, text) in [("left", "1\n"), ("runs", "")] {
                let path = dir.join(name).with_extension(ending);
                fs::write(&path, text)
                    .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o666)))
                    .map_err(failed("write a counter"))?;
            }
            Ok(dir.join(name))
        };
        let (theirs, ours) = (prefix("theirs")?, prefix("ours")?);
        let config = format!(
            "{GLOBALS}virtual_server 192.0.2.100 80 {{\nlvs_sched rr\nlvs_method NAT\nprotocol TCP\nreal_server 192.0.2.11 80 {{\n\
             MISC_CHECK {{\nmisc_path \"/usr/bin/bash {} {}\"\ndelay_loop 0.3\nretry 2\ndelay_before_retry 0.1\nwarmup 0\n}}\n}}\n}}\n",
            program.display(),
            theirs.display()
        );
        let keepalived = keepalived(lab, &node, &config)?;
        let control = control(&node, &dir, &program, &ours)?;
        let watchers = [
            Watcher {
                name: "keepalived",
                prefix: theirs,
                falls: &|| Ok(keepalived.log().matches("Removing service [192.0.2.11]").count()),
            },
            Watcher {
                name: "weir",
                prefix: ours,
                falls: &|| falls(&dir),
            },
        ];
        let mut wanted = 0;
        for (number, (failures, falls)) in FAILURES.into_iter().enumerate() {
            wanted += usize::from(falls);
            // The first was there before they started.
            if number > 0 {
                watchers.iter().try_for_each(|watcher| watcher.fail(failures))?;
            }
            watchers.iter().try_for_each(Watcher::settle)?;
            watchers
                .iter()
                .try_for_each(|watcher| watcher.has_fallen(wanted))?;
        }
        // weir was told to log what keepalived leaves to `log_all_failures`.
        let log = control.log();
        assert!(
            log.contains("a check has failed, 2 of 3 in a row: exit status 1"),
            "{log}"
        );
        control.stop()?;
        keepalived.stop().map(drop)
    });
}

fn control(node: &Node, dir: &Path, program: &Path, prefix: &Path) -> Result<Process, LabError> {
    let shown = dir.display();
    let text = format!(
        "[health]\ndefaults = 'keepalived'\nlog_all_failures = true\n\
         [dataplane]\nsocket = '{shown}/dataplane.sock'\n[control]\nsocket = '{shown}/control.sock'\n\
         [[port]]\nname = 'lan'\ndevice = 'null'\naddresses = ['192.0.2.2/24']\n\
         [[service]]\nname = 'web'\naddress = '192.0.2.100:80'\nforward = 'nat'\n\
         check = {{ script = {{ path = '/usr/bin/bash', arguments = ['{}', '{}'] }}, interval_ms = 300, fall = 3, \
         delay_before_retry_ms = 100, warmup_ms = 0 }}\n[[service.backend]]\naddress = '192.0.2.11:80'\n",
        program.display(),
        prefix.display(),
    );
    let file = dir.join("weir.toml");
    fs::write(&file, text).map_err(failed("write weir.toml"))?;
    let mut command = node.command(&binary("weir-control")?.to_string_lossy());
    command.arg("--config").arg(&file);
    Process::start("weir-control", &mut command, &dir.join("control.log"))
}

/// How often weir's check took its server down.
fn falls(dir: &Path) -> Result<usize, LabError> {
    let text = weirctl(&dir.join("control.sock"), "check --json")?;
    let view: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| LabError::unexpected(format!("{error}: {text}")))?;
    let history = view["checks"][0]["history"].as_array();
    let history = history.ok_or_else(|| LabError::unexpected(format!("no history: {text}")))?;
    Ok(history.iter().filter(|run| run["state"] == "down").count())
}
