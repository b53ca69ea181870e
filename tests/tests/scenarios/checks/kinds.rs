//! The kinds with servers of everyday use: HTTP, mail, names, databases, gRPC, bare TCP and UDP; and those that ask no port.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use weir_tests::lab::{LabError, run, wait_until};
use weir_tests::scenario::scenario;

use super::servers::{
    self, DNS, ECHO, GRPC, GRPC_SICK, HTTP, HTTPS, HTTPS_ABRUPT, HTTPS_EXPIRED, HTTPS_MUTUAL,
    HTTPS_UNTRUSTED, MUTE, POSTGRES, SMTP, Servers,
};
use super::stranger::Stranger;
use super::{
    CLOSED, Checker, NO_ANSWER, NO_CONNECTION, NOT_DONE, REFUSED, Row, UNTRUSTED, one, portless,
    servers_node, tcp, udp,
};

/// A port whose SYNs are dropped, as by a firewall.
const DROPPED: u16 = 7_004;
/// Ports that take only what comes from one port, or carries one mark: two servers that are mute, behind rules.
const FROM_PORT: u16 = 7_005;
const MARKED: u16 = 7_006;
const TOO_LONG: &str = "the answer is longer than the check reads";
/// Far more than `weir-control` takes for all of this (20 MiB), and far less than the servers would send.
const MEMORY_BYTES_MAX: u64 = 128 << 20;

fn web_rows() -> Vec<Row> {
    let not_http = "the answer is not HTTP/1";
    vec![
        tcp(
            "http",
            r#"http = { path = "/", regex = "^hello" }"#,
            HTTP,
            NO_ANSWER,
            not_http,
        ),
        tcp(
            "http-urls",
            r#"http = { path = "/", md5 = "b1946ac92492d2347c6235b4d2611184", version = "1.0", also = [
               { path = "/health", regex = "good", regex_absent = "bad" },
               { path = "/host", host = "www.example.net", status = [204] },
               { path = "/broken", status = [503] }] }"#,
            HTTP,
            NO_ANSWER,
            not_http,
        ),
        one(
            "http-status",
            r#"http = { path = "/broken" }"#,
            HTTP,
            "HTTP status 503",
        ),
        // A byte a second.
        one("http-slow", r#"http = { path = "/slow" }"#, HTTP, NO_ANSWER),
        one(
            "http-long",
            r#"http = { path = "/long", regex = "x" }"#,
            HTTP,
            TOO_LONG,
        ),
        one(
            "http-digest",
            r#"http = { sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }"#,
            HTTP,
            "the answer's body has another digest",
        ),
        one(
            "http-options",
            r#"http = { regex = "^ HELLO $ # shouted", regex_options = ["caseless", "multiline", "extended"] }"#,
            HTTP,
            "passed",
        ),
        one(
            "http-regex",
            r#"http = { regex = "llo", regex_offset_min = 3 }"#,
            HTTP,
            "the answer's body does not match",
        ),
        tcp(
            "https",
            r#"http = { host = "www.example.net", regex = "hello" }, tls = { ca = "{dir}/ca.pem" }"#,
            HTTPS,
            NO_CONNECTION,
            "the TLS handshake failed",
        ),
        one(
            "https-slow",
            r#"http = { host = "www.example.net", path = "/slow" }, tls = { ca = "{dir}/ca.pem" }"#,
            HTTPS,
            NO_ANSWER,
        ),
        one(
            "https-long",
            r#"http = { host = "www.example.net", path = "/long", regex = "x" }, tls = { ca = "{dir}/ca.pem" }"#,
            HTTPS,
            TOO_LONG,
        ),
        one(
            "https-status",
            r#"http = { host = "www.example.net", path = "/broken" }, tls = { ca = "{dir}/ca.pem" }"#,
            HTTPS,
            "HTTP status 503",
        ),
        one("https-any", "http = {}, tls = {}", HTTPS_UNTRUSTED, "passed"),
        one(
            "https-untrusted",
            r#"http = { host = "www.example.net" }, tls = { ca = "{dir}/ca.pem" }"#,
            HTTPS_UNTRUSTED,
            UNTRUSTED,
        ),
        one(
            "https-expired",
            r#"http = { host = "www.example.net" }, tls = { ca = "{dir}/ca.pem" }"#,
            HTTPS_EXPIRED,
            UNTRUSTED,
        ),
        one(
            "https-mutual",
            r#"http = { host = "www.example.net" }, tls = { ca = "{dir}/ca.pem", certificate = "{dir}/good.pem", key = "{dir}/good.key" }"#,
            HTTPS_MUTUAL,
            "passed",
        ),
        one(
            "https-locked",
            r#"http = { host = "www.example.net" }, tls = { ca = "{dir}/ca.pem", certificate = "{dir}/good.pem", key = "{dir}/locked.key", key_password = "secret" }"#,
            HTTPS_MUTUAL,
            "passed",
        ),
        one(
            "https-no-sni",
            r#"http = { host = "www.example.net" }, tls = { ca = "{dir}/ca.pem", sni = false }"#,
            HTTPS,
            UNTRUSTED,
        ),
        one(
            "https-abrupt",
            r#"http = { regex = "hello" }, tls = {}"#,
            HTTPS_ABRUPT,
            "passed",
        ),
        one(
            "https-close",
            r#"http = { regex = "hello" }, tls = { close_notify = true }"#,
            HTTPS_ABRUPT,
            "the server ended TLS without its closing alert",
        ),
        one(
            "https-unknown",
            r#"http = { host = "www.example.net" }, tls = { ca = "{dir}/ca.pem" }"#,
            HTTPS_MUTUAL,
            "HTTP status 400",
        ),
        one(
            "https-name",
            r#"http = {}, tls = { ca = "{dir}/ca.pem", name = "other.example.net" }"#,
            HTTPS,
            UNTRUSTED,
        ),
    ]
}

/// A check of a mute server behind a rule, whatever becomes of the good ones.
fn gated(name: &'static str, check: &'static str, port: u16, said: &'static str) -> Row {
    Row {
        backends: vec![(port, said, said)],
        ..one(name, check, port, said)
    }
}

fn other_rows() -> Vec<Row> {
    let other = "the answer is not what is expected";
    vec![
        tcp("tcp", "tcp = {}", HTTP, "passed", "passed"),
        Row {
            backends: vec![(DROPPED, NO_CONNECTION, NO_CONNECTION)],
            ..one("tcp-slow", "tcp = {}", DROPPED, NO_CONNECTION)
        },
        gated("tcp-any-port", "tcp = {}", FROM_PORT, NO_CONNECTION),
        gated(
            "tcp-from-port",
            "tcp = {}, source_port = 30123",
            FROM_PORT,
            "passed",
        ),
        gated("tcp-unmarked", "tcp = {}", MARKED, NO_CONNECTION),
        gated("tcp-marked", "tcp = {}, mark = 5", MARKED, "passed"),
        tcp(
            "steps",
            r#"tcp = { steps = [{ send = "GET / HTTP/1.0\r\n\r\n" }, { regex = "^HTTP/1\\.[01] 200" }, { expect = "hello" }], reply_bytes_max = 1024 }"#,
            HTTP,
            NO_ANSWER,
            NO_ANSWER,
        ),
        tcp(
            "smtp",
            "smtp = {}",
            SMTP,
            NO_ANSWER,
            "the answer is not SMTP reply",
        ),
        tcp(
            "postgres",
            r#"postgres = { user = "weir" }"#,
            POSTGRES,
            NO_ANSWER,
            "the answer is not PostgreSQL",
        ),
        tcp(
            "grpc",
            "grpc = {}",
            GRPC,
            NO_ANSWER,
            "the server does not speak the protocol of the check",
        ),
        one(
            "grpc-sick",
            r#"grpc = { service = "shop" }"#,
            GRPC_SICK,
            "gRPC health status 2",
        ),
        udp(
            "dns",
            r#"dns = { name = "www.example.net", type = "A" }"#,
            DNS,
            "the answer is not DNS",
        ),
        Row {
            protocol: "udp",
            ..one(
                "dns-refused",
                r#"dns = { name = "www.example.org", type = "A" }"#,
                DNS,
                "DNS answer code 5",
            )
        },
        udp(
            "udp",
            r#"udp = { send_hex = "01 02", expect_hex = "?1 0?" }"#,
            ECHO,
            other,
        ),
        Row {
            protocol: "udp",
            backends: vec![(MUTE, "passed", "passed"), (CLOSED, REFUSED, REFUSED)],
            ..one("udp-silence", "udp = {}", MUTE, "passed")
        },
    ]
}

fn host_rows() -> Vec<Row> {
    let fails = |name, check, said| portless(name, check, said, said);
    vec![
        portless("ping", "ping = {}", "passed", "passed"),
        fails("ping-nobody", r#"ping = {}, address = "192.0.2.99""#, NO_ANSWER),
        fails("ping-slow", r#"ping = {}, address = "192.0.2.97""#, NO_ANSWER),
        fails("ping-other", r#"ping = {}, address = "192.0.2.98""#, NO_ANSWER),
        portless(
            "file",
            r#"file = { path = "{dir}/weight" }"#,
            "passed, weight 7",
            "the answer is not a weight: write one number from 0 to 65535",
        ),
        portless(
            "file-moves",
            r#"file = { path = "{dir}/weight", multiplier = 2, reverse = true }"#,
            "passed, weight -14",
            "the answer is not a number: write one from -2147483647 to 2147483647",
        ),
        fails(
            "file-fault",
            r#"file = { path = "{dir}/fault", multiplier = 0 }"#,
            "number in the file 3",
        ),
        fails(
            "file-missing",
            r#"file = { path = "{dir}/no-such" }"#,
            "the file is missing or cannot be read",
        ),
        // A pipe without a writer, which would hold its reader for ever.
        fails(
            "file-slow",
            r#"file = { path = "{dir}/pipe" }"#,
            "the file is missing or cannot be read",
        ),
    ]
}

/// The same kinds where the server is asked over IPv6.
fn v6_rows() -> Vec<Row> {
    let v6 = |row: Row| Row {
        check: format!("{}, address = \"2001:db8::11\"", row.check),
        ..row
    };
    let nobody = r#"ping = {}, address = "2001:db8::99""#;
    let rows = [
        portless("ping6", "ping = {}", "passed", "passed"),
        one("tcp6", "tcp = {}", HTTP, "passed"),
        one("http6", r#"http = { regex = "^hello" }"#, HTTP, "passed"),
        one(
            "https6",
            r#"http = { host = "www.example.net" }, tls = { ca = "{dir}/ca.pem" }"#,
            HTTPS,
            "passed",
        ),
        Row {
            protocol: "udp",
            ..one(
                "dns6",
                r#"dns = { name = "www.example.net", type = "A" }"#,
                DNS,
                "passed",
            )
        },
        Row {
            backends: vec![(CLOSED, REFUSED, REFUSED)],
            ..one("closed6", "tcp = {}", CLOSED, REFUSED)
        },
    ];
    let mut rows: Vec<Row> = rows.map(v6).into();
    rows.push(portless("ping6-nobody", nobody, NO_ANSWER, NO_ANSWER));
    rows
}

/// One program, four ways to end; what programs are denied; and what they are given.
fn script_rows() -> Vec<Row> {
    let always = |name, check, said| portless(name, check, said, said);
    vec![
        portless(
            "script",
            r#"script = { path = "/usr/bin/test", arguments = ["-e", "{dir}/up"] }"#,
            "passed",
            "exit status 1",
        ),
        always(
            "script-weight",
            r#"script = { path = "/usr/bin/bash", arguments = ["-c", "exit 12"], dynamic = true }"#,
            "passed, weight 10",
        ),
        always(
            "script-killed",
            r#"script = { path = "/usr/bin/bash", arguments = ["-c", "kill -9 $$"] }"#,
            "the program was killed by a signal",
        ),
        always(
            "script-hangs",
            r#"script = { path = "/usr/bin/bash", arguments = ["-c", "sleep {hang} & sleep {hang}"] }"#,
            NO_ANSWER,
        ),
        // A shell would make nothing of it, and `test -n` would fail.
        always(
            "script-no-shell",
            r#"script = { path = "/usr/bin/test", arguments = ["-n", "$(true)"] }"#,
            "passed",
        ),
        always(
            "script-clean",
            r#"script = { path = "/usr/bin/bash", arguments = ["-c", "test $UID != 0 && test $(id -G | wc -w) = 1 && test $PWD = / && ! env | grep -vE '^(PATH|PWD|SHLVL|_)='"] }"#,
            "passed",
        ),
        always(
            "script-group",
            r#"script = { path = "/usr/bin/bash", arguments = ["-c", "test $(id -G) = $(getent group daemon | cut -d: -f3)"], group = "daemon" }"#,
            "passed",
        ),
        always(
            "script-nobody",
            r#"script = { path = "/usr/bin/true", user = "weir-no-such" }"#,
            NOT_DONE,
        ),
        always(
            "script-writable",
            r#"script = { path = "{dir}/writable" }"#,
            NOT_DONE,
        ),
        always("script-symlink", r#"script = { path = "{link}" }"#, NOT_DONE),
    ]
}

/// Everything, with this run's names in the programs' arguments.
fn rows(hang: &str, link: &str) -> Vec<Row> {
    let mut rows = [web_rows(), other_rows(), v6_rows(), host_rows(), script_rows()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>();
    for row in &mut rows {
        row.check = row.check.replace("{hang}", hang).replace("{link}", link);
    }
    rows
}

fn write(dir: &Path, name: &str, text: &str) -> Result<(), LabError> {
    fs::write(dir.join(name), text).map_err(|error| LabError::unexpected(format!("{name}: {error}")))
}

/// What the checks of this host look at while all is well: a weight, and a sign that a program looks for.
fn host_is_well(dir: &Path, well: bool) -> Result<(), LabError> {
    write(dir, "fault", "3\n")?;
    write(dir, "weight", if well { "7\n" } else { "seven\n" })?;
    if well {
        return write(dir, "up", "");
    }
    fs::remove_file(dir.join("up")).map_err(|error| LabError::unexpected(format!("up: {error}")))
}

/// A symbolic link to a good program, where only root writes; it goes with this value.
struct Link(String);

impl Link {
    fn make() -> Result<Self, LabError> {
        let path = format!("/run/weir-{}-link", std::process::id());
        std::os::unix::fs::symlink("/usr/bin/true", &path)
            .map_err(|error| LabError::unexpected(format!("{path}: {error}")))?;
        Ok(Self(path))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Nobody misses it.
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn every_kind_of_check_against_real_servers() {
    scenario("checks", |lab| {
        let (node, dir) = servers_node(lab)?;
        let link = Link::make()?;
        // A length that no other process sleeps.
        let hang = format!("61.{}", std::process::id());
        let rows = rows(&hang, &link.0);
        Servers::prepare(&node, &dir)?;
        write(&dir, "writable", "#!/bin/sh\nexit 0\n")?;
        fs::set_permissions(dir.join("writable"), fs::Permissions::from_mode(0o777))
            .map_err(|error| LabError::unexpected(format!("writable: {error}")))?;
        run("mkfifo", &dir.join("pipe").to_string_lossy())?;
        for rule in [
            "add table inet lab",
            "add chain inet lab input { type filter hook input priority 0 ; }",
            &format!("add rule inet lab input tcp dport {DROPPED} drop"),
            &format!("add rule inet lab input tcp dport {FROM_PORT} tcp sport != 30123 drop"),
        ] {
            node.run("nft", rule)?;
        }
        let _bad = servers::bad_servers(&node)?;
        let _behind = [servers::mute(&node, FROM_PORT)?, servers::mute(&node, MARKED)?];
        let _stranger = Stranger::start(lab)?;
        let good = Servers::start(&node, &dir)?;
        host_is_well(&dir, true)?;
        let checker = Checker::start(lab, &dir, &rows)?;
        for rule in [
            "add table inet lab",
            "add chain inet lab output { type filter hook output priority 0 ; }",
            &format!("add rule inet lab output tcp dport {MARKED} meta mark != 5 drop"),
        ] {
            checker.node.run("nft", rule)?;
        }
        checker.wait_for("the first verdicts", super::expected(&rows, true))?;

        drop(good);
        host_is_well(&dir, false)?;
        checker.wait_for("the servers to be missed", super::expected(&rows, false))?;

        let _good = Servers::start(&node, &dir)?;
        host_is_well(&dir, true)?;
        checker.wait_for("the servers to be back", super::expected(&rows, true))?;
        hanging_programs_are_gone(&hang)?;
        let used = checker.memory_peak()?;
        eprintln!("weir-control took {} MiB at most", used >> 20);
        assert!(used < MEMORY_BYTES_MAX, "{used} bytes");
        Ok(())
    });
}

/// Each run of the program that hangs leaves two processes, if they are left; one run may be under way.
fn hanging_programs_are_gone(hang: &str) -> Result<(), LabError> {
    let look = || {
        let pattern = format!("^sleep {hang}$");
        let found = Command::new("pgrep").args(["-fc", &pattern]).output();
        let found = found.map_err(|error| format!("pgrep: {error}"))?;
        let text = String::from_utf8_lossy(&found.stdout).into_owned();
        match text.trim().parse() {
            Ok(0..=2) => Ok(()),
            Ok(_) | Err(_) => Err(format!("processes: {text}")),
        }
    };
    wait_until(
        "earlier runs of the program to be gone",
        Duration::from_secs(10),
        look,
    )
}
