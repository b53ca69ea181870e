//! The negotiated kinds with the servers that Debian packages for them: POP and IMAP (Dovecot), FTP (vsftpd), LDAP (slapd), MySQL
//! (MariaDB), SIP (Kamailio), gRPC (its own library, by Python).

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use weir_tests::lab::{LabError, Node, Process, run};
use weir_tests::scenario::scenario;

use super::servers::{self, failed};
use super::{Checker, NO_ANSWER, Row, UNTRUSTED, one, servers_node, tcp, udp};

const FTP: u16 = 21;
const POP: u16 = 110;
const IMAP: u16 = 143;
const LDAP: u16 = 389;
const IMAPS: u16 = 993;
const MYSQL: u16 = 3_306;
const SIP: u16 = 5_060;
const GRPC: u16 = 50_051;
const GRPC_TLS: u16 = 50_052;

/// The least that MariaDB can be told.
const MYSQL_CONNECTIONS_MAX: usize = 10;

/// A check over TCP of a good server, of none, of a mute one, and of one whose talk is not `protocol`.
fn negotiated(name: &'static str, check: &'static str, good: u16, not_protocol: &'static str) -> Row {
    tcp(name, check, good, NO_ANSWER, not_protocol)
}

fn rows() -> Vec<Row> {
    let (not_pop, not_imap) = (
        "the answer is not a good reply of POP",
        "the answer is not a good reply of IMAP",
    );
    vec![
        negotiated("pop", "pop = {}", POP, not_pop),
        one(
            "pop-login",
            r#"pop = { user = "u", password = "secret" }"#,
            POP,
            "passed",
        ),
        one(
            "pop-refused",
            r#"pop = { user = "u", password = "wrong" }"#,
            POP,
            not_pop,
        ),
        negotiated(
            "imap",
            r#"imap = { user = "u", password = "secret" }"#,
            IMAP,
            not_imap,
        ),
        one(
            "imap-refused",
            r#"imap = { user = "u", password = "wrong" }"#,
            IMAP,
            not_imap,
        ),
        one(
            "imaps",
            r#"imap = {}, tls = { ca = "{dir}/ca.pem", name = "www.example.net" }"#,
            IMAPS,
            "passed",
        ),
        one(
            "imaps-name",
            r#"imap = {}, tls = { ca = "{dir}/ca.pem", name = "mail.example.net" }"#,
            IMAPS,
            UNTRUSTED,
        ),
        negotiated("ftp", "ftp = {}", FTP, "the answer is not FTP reply"),
        one(
            "ftp-login",
            r#"ftp = { user = "anonymous", password = "check@example.net" }"#,
            FTP,
            "passed",
        ),
        one(
            "ftp-refused",
            r#"ftp = { user = "somebody", password = "secret" }"#,
            FTP,
            "FTP reply 530",
        ),
        negotiated("ldap", "ldap = {}", LDAP, "the answer is not LDAP"),
        one(
            "ldap-login",
            r#"ldap = { user = "cn=check,dc=example,dc=net", password = "secret" }"#,
            LDAP,
            "passed",
        ),
        one(
            "ldap-refused",
            r#"ldap = { user = "cn=check,dc=example,dc=net", password = "wrong" }"#,
            LDAP,
            "LDAP result 49",
        ),
        negotiated("mysql", "mysql = {}", MYSQL, "the answer is not MySQL"),
        negotiated("sip", "sip = {}", SIP, "the answer is not SIP"),
        udp(
            "sip-udp",
            r#"sip = { transport = "udp" }"#,
            SIP,
            "the answer is not SIP",
        ),
        negotiated(
            "grpc",
            "grpc = {}",
            GRPC,
            "the server does not speak the protocol of the check",
        ),
        one(
            "grpc-sick",
            r#"grpc = { service = "shop" }"#,
            GRPC,
            "gRPC health status 2",
        ),
        one(
            "grpc-unknown",
            r#"grpc = { service = "stock" }"#,
            GRPC,
            "gRPC status 5",
        ),
        one(
            "grpcs",
            r#"grpc = {}, tls = { ca = "{dir}/ca.pem", name = "www.example.net" }"#,
            GRPC_TLS,
            "passed",
        ),
        one(
            "grpcs-name",
            r#"grpc = {}, tls = { ca = "{dir}/ca.pem", name = "shop.example.net" }"#,
            GRPC_TLS,
            UNTRUSTED,
        ),
        one(
            "sip-busy",
            r#"sip = { host = "busy.example.net" }"#,
            SIP,
            "SIP status 503",
        ),
    ]
}

#[test]
fn negotiated_kinds_against_packaged_servers() {
    scenario("checks of packaged servers", |lab| {
        let (node, dir) = servers_node(lab)?;
        let rows = rows();
        servers::certificates(&dir)?;
        prepare(&dir)?;
        let _bad = servers::bad_servers(&node)?;
        let good = start(&node, &dir)?;
        let checker = Checker::start(lab, &dir, &rows)?;
        checker.wait_for("the first verdicts", super::expected(&rows, true))?;

        let crowd = node.inside(crowd)?.map_err(failed("connect to MariaDB"))?;
        let full = (
            "mysql".into(),
            format!("192.0.2.11:{MYSQL}"),
            "MySQL error 1040".into(),
        );
        checker.wait_for("too many connections to be told", vec![full])?;
        drop(crowd);

        drop(good);
        checker.wait_for("the servers to be missed", super::expected(&rows, false))?;
        let _good = start(&node, &dir)?;
        checker.wait_for("the servers to be back", super::expected(&rows, true))
    });
}

/// As many clients as MariaDB takes, and none of them logs in. Twice as many come, one after the other, because a check may just
/// have a place that is free a moment later.
fn crowd() -> std::io::Result<Vec<TcpStream>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, MYSQL));
    let mut clients = Vec::new();
    for _ in 0..2 * (MYSQL_CONNECTIONS_MAX + 1) {
        clients.push(TcpStream::connect(address)?);
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(clients)
}

fn prepare(dir: &Path) -> Result<(), LabError> {
    for folder in ["mail", "ftp", "ldap", "maria", "kamailio"] {
        fs::create_dir_all(dir.join(folder)).map_err(failed("make the servers' directories"))?;
    }
    run("chown", &format!("nobody {}/mail", dir.display()))?;
    // Where AppArmor confines the packaged program to the package's folders, a copy of it is free.
    fs::copy("/usr/sbin/slapd", dir.join("slapd")).map_err(failed("copy slapd"))?;
    for (name, text) in [
        ("dovecot.conf", dovecot(dir, &run("dovecot", "--version")?)),
        ("vsftpd.conf", vsftpd(dir)),
        ("slapd.conf", slapd(dir)),
        ("kamailio.cfg", KAMAILIO.to_owned()),
        ("health_service.py", include_str!("health_service.py").to_owned()),
    ] {
        fs::write(dir.join(name), text).map_err(failed("write a server's configuration"))?;
    }
    Ok(())
}

/// Starts them all; dropping them ends them.
fn start(node: &Node, dir: &Path) -> Result<Vec<Process>, LabError> {
    let shown = dir.display();
    let lines = [
        ("dovecot", format!("dovecot -F -c {shown}/dovecot.conf")),
        ("vsftpd", format!("vsftpd {shown}/vsftpd.conf")),
        (
            "slapd",
            format!("{shown}/slapd -d 0 -f {shown}/slapd.conf -h ldap://0.0.0.0:{LDAP}"),
        ),
        (
            "kamailio",
            format!("kamailio -f {shown}/kamailio.cfg -m 8 -M 2 -DD -E -Y {shown}/kamailio"),
        ),
        (
            "grpc",
            format!(
                "/usr/bin/python3 {shown}/health_service.py {GRPC} {GRPC_TLS} {shown}/good.pem {shown}/good.key"
            ),
        ),
        // Without tables of users and without InnoDB it needs no preparation. No names: it would ask for each client's.
        (
            "mariadb",
            format!(
                "mariadbd --no-defaults --user=root --datadir={shown}/maria --socket={shown}/maria.sock \
                 --pid-file={shown}/maria.pid --port={MYSQL} --skip-networking=0 --skip-grant-tables --skip-innodb \
                 --default-storage-engine=Aria --skip-name-resolve --connect-timeout=600 \
                 --max-connections={MYSQL_CONNECTIONS_MAX}"
            ),
        ),
    ];
    let start = |(name, line): (&str, String)| {
        let mut words = line.split_whitespace();
        let mut command = node.command(words.next().unwrap_or_default());
        Process::start(name, command.args(words), &dir.join(format!("{name}.log")))
    };
    lines.into_iter().map(start).collect()
}

/// Everything runs as nobody, and logins are not delayed after a bad one (`anvil-auth-penalty`). Debian 12 and Ubuntu 24.04 have
/// Dovecot 2.3, Debian 13 has 2.4, which renamed half of its settings and refuses a file that does not begin with its version.
fn dovecot(dir: &Path, version: &str) -> String {
    let dir = dir.display();
    let listener = |name: &str, port: u16, more: &str| {
        format!("  inet_listener {name} {{\n    port = {port}\n    {more}\n  }}\n")
    };
    let imap = listener("imap", IMAP, "") + &listener("imaps", IMAPS, "ssl = yes");
    let pop = listener("pop3", POP, "") + &listener("pop3s", 0, "");
    let (head, own) = if version.starts_with("2.3") {
        let own = format!(
            "ssl_cert = <{dir}/good.pem
ssl_key = <{dir}/good.key
disable_plaintext_auth = no
mail_location = maildir:{dir}/mail
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={dir}/mail
}}"
        );
        ("", own)
    } else {
        let own = format!(
            "ssl_server_cert_file = {dir}/good.pem
ssl_server_key_file = {dir}/good.key
auth_allow_cleartext = yes
mail_driver = maildir
mail_path = {dir}/mail
passdb static {{
  password = secret
}}
userdb static {{
  fields {{
    uid = nobody
    gid = nogroup
    home = {dir}/mail
  }}
}}"
        );
        (
            "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n",
            own,
        )
    };
    format!(
        "{head}protocols = imap pop3
base_dir = {dir}/dovecot
state_dir = {dir}/dovecot
log_path = /dev/stderr
ssl = yes
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
first_valid_uid = 1
first_valid_gid = 0
auth_failure_delay = 0
{own}
service imap-login {{
  chroot =
{imap}}}
service pop3-login {{
  chroot =
{pop}}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"
    )
}

fn vsftpd(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "listen=YES
background=NO
listen_port={FTP}
anonymous_enable=YES
local_enable=NO
anon_root={dir}/ftp
nopriv_user=nobody
secure_chroot_dir={dir}/ftp
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
vsftpd_log_file={dir}/vsftpd-sessions.log
"
    )
}

fn slapd(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "include /etc/ldap/schema/core.schema
pidfile {dir}/slapd.pid
database ldif
directory {dir}/ldap
suffix \"dc=example,dc=net\"
rootdn \"cn=check,dc=example,dc=net\"
rootpw secret
"
    )
}

const KAMAILIO: &str = r#"#!KAMAILIO
debug=1
log_stderror=yes
children=1
tcp_children=1
auto_aliases=no
listen=tcp:0.0.0.0:5060
listen=udp:0.0.0.0:5060
loadmodule "sl.so"
loadmodule "pv.so"
request_route {
    if ($rd == "busy.example.net") { sl_send_reply("503", "Service Unavailable"); exit; }
    sl_send_reply("200", "OK");
}
"#;
