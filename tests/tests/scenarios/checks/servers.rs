//! The servers of the check scenarios, in one namespace: nginx, dnsmasq, aiosmtpd and PostgreSQL as they are packaged; a
//! gRPC health service on h2; and two that no check should like, one mute and one talking nonsense.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use weir_tests::lab::{LabError, Node, Process, run};

/// Where the good servers listen.
pub(super) const HTTP: u16 = 80;
pub(super) const HTTPS: u16 = 443;
/// With a certificate that nobody has signed.
pub(super) const HTTPS_UNTRUSTED: u16 = 8443;
/// With one whose time is over.
pub(super) const HTTPS_EXPIRED: u16 = 8_445;
/// It ends connections without a word.
pub(super) const HTTPS_ABRUPT: u16 = 8_446;
/// It asks for its clients' certificates.
pub(super) const HTTPS_MUTUAL: u16 = 8_444;
pub(super) const SMTP: u16 = 25;
pub(super) const DNS: u16 = 53;
pub(super) const POSTGRES: u16 = 5432;
pub(super) const GRPC: u16 = 50051;
/// It says NOT_SERVING.
pub(super) const GRPC_SICK: u16 = 50052;
/// Answers every datagram with itself.
pub(super) const ECHO: u16 = 7;
/// TCP and UDP: takes everything and says nothing.
pub(super) const MUTE: u16 = 7001;
/// TCP and UDP: says what belongs to no protocol.
pub(super) const NONSENSE: u16 = 7002;
/// Nothing listens.
pub(super) const CLOSED: u16 = 7003;

const ANSWER: &[u8] = b"~ what?\r\n";
/// How often a thread looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) fn failed(what: &str) -> impl FnOnce(std::io::Error) -> LabError + '_ {
    move |error| LabError::unexpected(format!("{what}: {error}"))
}

/// The good servers; dropping them ends them.
pub(super) struct Servers {
    _processes: Vec<Process>,
    _threads: Vec<Thread>,
}

impl Servers {
    /// Makes what they need in `dir`: certificates, pages, a database cluster.
    pub(super) fn prepare(node: &Node, dir: &Path) -> Result<(), LabError> {
        fs::create_dir_all(dir.join("www")).map_err(failed("make the servers' directory"))?;
        fs::write(dir.join("www/index.html"), "hello\n").map_err(failed("write a page"))?;
        fs::write(dir.join("www/health"), "status: good\n").map_err(failed("write a page"))?;
        // Nothing but holes.
        fs::File::create(dir.join("www/long"))
            .and_then(|file| file.set_len(1 << 30))
            .map_err(failed("make a page"))?;
        certificates(dir)?;
        fs::write(dir.join("nginx.conf"), nginx(dir)).map_err(failed("write nginx.conf"))?;
        // initdb does not run as root, and nobody's group differs from system to system.
        let data = data(dir);
        fs::create_dir_all(&data).map_err(failed("make the cluster's directory"))?;
        run("chown", &format!("nobody {}", data.display()))?;
        let initdb = postgres_program("initdb")?;
        let line = format!(
            "-u nobody -- {} -D {} -U weir -A trust --no-sync --no-instructions -E UTF8 --locale C",
            initdb.display(),
            data.join("cluster").display()
        );
        node.run("runuser", &line).map(drop)
    }

    /// Starts them all.
    pub(super) fn start(node: &Node, dir: &Path) -> Result<Self, LabError> {
        let mut processes = Vec::new();
        let mut start = |name: &str, program: &str, arguments: &str| {
            let mut command = node.command(program);
            command.args(arguments.split_whitespace());
            processes.push(Process::start(
                name,
                &mut command,
                &dir.join(format!("{name}.log")),
            )?);
            Ok::<_, LabError>(())
        };
        let shown = dir.display();
        start(
            "nginx",
            "nginx",
            &format!("-p {shown} -c {shown}/nginx.conf -e {shown}/error.log"),
        )?;
        let zone = "--host-record=www.example.net,192.0.2.80";
        start(
            "dnsmasq",
            "dnsmasq",
            &format!(
                "-k --no-resolv --no-hosts --user=root --port={DNS} --pid-file= --conf-file=/dev/null {zone}"
            ),
        )?;
        start(
            "smtp",
            "/usr/bin/python3",
            &format!("-m aiosmtpd -n -l 0.0.0.0:{SMTP}"),
        )?;
        let script = dir.join("abrupt_server.py");
        fs::write(&script, include_str!("abrupt_server.py")).map_err(failed("write a server"))?;
        let served = format!(
            "{} {shown}/good.pem {shown}/good.key {HTTPS_ABRUPT}",
            script.display()
        );
        start("abrupt", "/usr/bin/python3", &served)?;
        let data = data(dir);
        start(
            "postgres",
            "runuser",
            &format!(
                "-u nobody -- {} -D {} -k {} -c listen_addresses=* -c fsync=off -c port={POSTGRES}",
                postgres_program("postgres")?.display(),
                data.join("cluster").display(),
                data.display()
            ),
        )?;
        let threads = vec![
            health_service(node, GRPC, 1)?,
            health_service(node, GRPC_SICK, 2)?,
            udp(node, ECHO, |socket, datagram, from| {
                drop(socket.send_to(datagram, from))
            })?,
        ];
        Ok(Self {
            _processes: processes,
            _threads: threads,
        })
    }
}

fn data(dir: &Path) -> PathBuf {
    dir.join("postgres")
}

/// Debian keeps the servers of all versions apart.
fn postgres_program(name: &str) -> Result<PathBuf, LabError> {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<PathBuf> = versions
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.pop().ok_or_else(|| {
        LabError::unexpected(format!(
            "no {name} in /usr/lib/postgresql: scripts/install-deps servers installs it"
        ))
    })
}

/// An authority, a server's certificate by it for www.example.net, one signed by itself, and one by the authority of long ago.
pub(super) fn certificates(dir: &Path) -> Result<(), LabError> {
    let shown = dir.display();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    let authority = format!(
        "req -x509 {key} -keyout {shown}/ca.key -out {shown}/ca.pem -subj /CN=lab \
         -addext basicConstraints=critical,CA:TRUE"
    );
    run("openssl", &authority)?;
    let name = "-subj /CN=www.example.net -addext subjectAltName=DNS:www.example.net -addext basicConstraints=CA:FALSE";
    let good = format!(
        "req -x509 {key} -CA {shown}/ca.pem -CAkey {shown}/ca.key -keyout {shown}/good.key -out {shown}/good.pem {name}"
    );
    run("openssl", &good)?;
    let locked = format!(
        "pkcs8 -topk8 -v2 aes-256-cbc -passout pass:secret -in {shown}/good.key -out {shown}/locked.key"
    );
    run("openssl", &locked)?;
    let own = format!("req -x509 {key} -keyout {shown}/own.key -out {shown}/own.pem {name}");
    run("openssl", &own)?;
    // Only `openssl ca` takes dates in every version.
    let asked = format!("req -new {key} -keyout {shown}/old.key -out {shown}/old.csr {name}");
    run("openssl", &asked.replace(" -days 2", ""))?;
    let register = format!(
        "[ca]\ndefault_ca = lab\n[lab]\ndatabase = {shown}/register\nnew_certs_dir = {shown}\nrand_serial = yes\n\
         default_md = sha256\npolicy = any\ncopy_extensions = copy\nunique_subject = no\n[any]\ncommonName = supplied\n"
    );
    fs::write(dir.join("ca.cnf"), register).map_err(failed("write ca.cnf"))?;
    fs::write(dir.join("register"), "").map_err(failed("write a register"))?;
    let old = format!(
        "ca -batch -notext -config {shown}/ca.cnf -cert {shown}/ca.pem -keyfile {shown}/ca.key -in {shown}/old.csr \
         -out {shown}/old.pem -startdate 20200101000000Z -enddate 20210101000000Z"
    );
    run("openssl", &old).map(drop)
}

fn nginx(dir: &Path) -> String {
    let dir = dir.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {dir}/{kind};\n"))
        .concat();
    let secure = |port: u16, name: &str, more: &str| {
        format!(
            "    server {{ listen {port} ssl; listen [::]:{port} ssl; root {dir}/www;\n        \
             location = /broken {{ return 503; }} location = /slow {{ limit_rate 1; try_files /index.html =404; }}\n        \
             ssl_certificate {dir}/{name}.pem; ssl_certificate_key {dir}/{name}.key; {more} }}\n"
        )
    };
    format!(
        "daemon off;
user root root;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
{temporary}    default_type text/plain;
    server {{ listen {HTTP}; listen [::]:{HTTP}; root {dir}/www;
        location = /broken {{ return 503; }}
        location = /slow {{ limit_rate 1; try_files /index.html =404; }}
        location = /host {{ if ($host = www.example.net) {{ return 204; }} return 404; }} }}
{}{}{}{}{}}}
",
        // Who does not name the server (SNI) meets another's certificate.
        secure(HTTPS, "own", ""),
        secure(HTTPS, "good", "server_name www.example.net;"),
        secure(HTTPS_UNTRUSTED, "own", ""),
        secure(HTTPS_EXPIRED, "old", ""),
        secure(
            HTTPS_MUTUAL,
            "good",
            &format!("ssl_verify_client on; ssl_client_certificate {dir}/ca.pem;")
        )
    )
}

/// A server that takes every connection and says nothing.
pub(super) fn mute(node: &Node, port: u16) -> Result<Thread, LabError> {
    tcp(node, port, |_| {})
}

/// The mute server and the one that talks nonsense, over TCP and UDP.
pub(super) fn bad_servers(node: &Node) -> Result<[Thread; 4], LabError> {
    Ok([
        mute(node, MUTE)?,
        tcp(node, NONSENSE, |mut stream| drop(stream.write_all(ANSWER)))?,
        udp(node, MUTE, |_, _, _| {})?,
        udp(node, NONSENSE, |socket, _, from| {
            drop(socket.send_to(ANSWER, from))
        })?,
    ])
}

/// A server on a thread of its own; dropping it ends it.
pub(super) struct Thread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Thread {
    pub(super) fn start(body: impl FnOnce(&AtomicBool) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Self {
            stop,
            thread: Some(std::thread::spawn(move || body(&stopped))),
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the server shows as a check that fails.
            let _ = thread.join();
        }
    }
}

/// Greets each connection and keeps it open until the client has gone.
fn tcp(node: &Node, port: u16, greet: impl Fn(&TcpStream) + Send + 'static) -> Result<Thread, LabError> {
    let listener = node
        .inside(|| TcpListener::bind(("0.0.0.0", port)))?
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(failed("listen"))?;
    Ok(Thread::start(move |stop| {
        let mut open = Vec::new();
        while !stop.load(Relaxed) {
            match listener.accept() {
                Ok((stream, _)) => {
                    greet(&stream);
                    open.push(stream);
                }
                Err(_) => std::thread::sleep(LOOK_EVERY / 10),
            }
            // More than all checks have open at once.
            if open.len() > 256 {
                open.drain(..128);
            }
        }
    }))
}

type From = std::net::SocketAddr;

fn udp(
    node: &Node,
    port: u16,
    answer: impl Fn(&UdpSocket, &[u8], From) + Send + 'static,
) -> Result<Thread, LabError> {
    let socket = node
        .inside(|| UdpSocket::bind(("0.0.0.0", port)))?
        .and_then(|socket| socket.set_read_timeout(Some(LOOK_EVERY)).map(|()| socket))
        .map_err(failed("bind"))?;
    Ok(Thread::start(move |stop| {
        let mut buffer = [0; 2_048];
        while !stop.load(Relaxed) {
            if let Ok((count, from)) = socket.recv_from(&mut buffer) {
                answer(&socket, &buffer[..count], from);
            }
        }
    }))
}

/// grpc.health.v1 that answers every call with `status`.
fn health_service(node: &Node, port: u16, status: u8) -> Result<Thread, LabError> {
    let listener = node
        .inside(|| TcpListener::bind(("0.0.0.0", port)))?
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(failed("listen"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed("start a runtime"))?;
    Ok(Thread::start(move |stop| {
        runtime.block_on(async {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
                return;
            };
            while !stop.load(Relaxed) {
                if let Ok(Ok((stream, _))) = tokio::time::timeout(LOOK_EVERY, listener.accept()).await {
                    tokio::spawn(serve(stream, status));
                }
            }
        });
    }))
}

async fn serve(stream: tokio::net::TcpStream, status: u8) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(call) = connection.accept().await {
        let (_, mut answer) = call?;
        let head = http::Response::builder()
            .header("content-type", "application/grpc")
            .body(())
            .unwrap_or_default();
        let mut body = answer.send_response(head, false)?;
        body.send_data(Bytes::from(vec![0, 0, 0, 0, 2, 0x08, status]), false)?;
        let mut trailer = http::HeaderMap::new();
        trailer.insert("grpc-status", http::HeaderValue::from_static("0"));
        body.send_trailers(trailer)?;
    }
    Ok(())
}

/// `weirctl` at `socket`.
pub(super) fn weirctl(socket: &Path, words: &str) -> Result<String, LabError> {
    let program = weir_tests::scenario::binary("weirctl")?;
    run(
        &program.to_string_lossy(),
        &format!("--socket {} {words}", socket.display()),
    )
}
