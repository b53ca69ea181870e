//! A real web server (nginx) in a namespace: everything it writes stays in a directory of its own.
//!
//! `/` names the server, `/client` echoes the address and port it saw, `/1MiB` is a fixed file, `X-Server` is on every answer;
//! what is PUT to `/upload/NAME` is kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::node::Node;
use super::{LabError, Process, wait_until};

/// The length of the file at `/1MiB`.
const FILE_BYTES: usize = 1 << 20;

/// An nginx that can be stopped and started again.
#[derive(Debug)]
pub struct WebServer {
    node: Node,
    dir: PathBuf,
    port: u16,
    process: Option<Process>,
}

impl WebServer {
    /// Writes the pages and the configuration under `dir` and starts nginx in `node`.
    pub fn start(node: &Node, dir: &Path, port: u16) -> Result<Self, LabError> {
        let mut server = Self {
            node: node.clone(),
            dir: dir.join(node.short_name()),
            port,
            process: None,
        };
        server
            .write_files()
            .map_err(|source| LabError::io("write the web server's files", source))?;
        server.resume()?;
        Ok(server)
    }

    /// The name it answers with.
    #[must_use]
    pub fn name(&self) -> &str {
        self.node.short_name()
    }

    /// The namespace it runs in.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Ends nginx; connections to its port are refused from now on.
    pub fn pause(&mut self) -> Result<(), LabError> {
        self.process
            .take()
            .map_or(Ok(()), |process| process.stop().map(drop))
    }

    /// Starts nginx (again) and waits until it listens.
    pub fn resume(&mut self) -> Result<(), LabError> {
        let mut command = self.node.command("nginx");
        command
            .arg("-p")
            .arg(&self.dir)
            .arg("-c")
            .arg(self.dir.join("nginx.conf"));
        command.arg("-e").arg(self.dir.join("error.log"));
        self.process = Some(Process::start(
            self.name(),
            &mut command,
            &self.dir.join("nginx.log"),
        )?);
        let listening = format!("{} to listen on port {}", self.name(), self.port);
        wait_until(&listening, Duration::from_secs(10), || {
            let sockets = self
                .node
                .run("ss", &format!("-Hltn sport = :{}", self.port))
                .map_err(|e| e.to_string())?;
            if sockets.is_empty() {
                Err("no listening socket".to_owned())
            } else {
                Ok(())
            }
        })
    }

    /// How many requests it has answered so far, health checks included.
    #[must_use]
    pub fn requests_logged(&self) -> usize {
        fs::read_to_string(self.dir.join("access.log"))
            .unwrap_or_default()
            .lines()
            .count()
    }

    /// What was PUT to `/upload/<name>`.
    #[must_use]
    pub fn uploaded(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.dir.join("www/upload").join(name)).ok()
    }

    /// Lets nginx run on after this value is gone.
    pub fn leave_running(self) {
        if let Some(process) = self.process {
            process.leave_running();
        }
    }

    /// What `/1MiB` holds: bytes of a fixed sequence, so that a lost, doubled or moved part shows.
    #[must_use]
    pub fn file() -> Vec<u8> {
        let mut state = 0x2545_f491_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        std::iter::repeat_with(&mut next).take(FILE_BYTES).collect()
    }

    fn write_files(&self) -> std::io::Result<()> {
        let www = self.dir.join("www");
        fs::create_dir_all(www.join("upload"))?;
        fs::write(www.join("index.html"), format!("{}\n", self.name()))?;
        fs::write(www.join("1MiB"), Self::file())?;
        fs::write(self.dir.join("nginx.conf"), self.configuration())
    }

    fn configuration(&self) -> String {
        let (dir, name, port) = (self.dir.display(), self.name(), self.port);
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("    {kind}_temp_path {dir}/{kind};\n"))
            .concat();
        format!(
            "daemon off;
user root root;
worker_processes 1;
worker_rlimit_nofile 4096;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events {{ worker_connections 2048; }}
http {{
    access_log {dir}/access.log;
{temporary}    default_type text/plain;
    server {{
        listen {port} backlog=1024;
        listen [::]:{port} ipv6only=on;
        client_max_body_size 200m;
        location /upload/ {{ dav_methods PUT; }}
        add_header X-Server {name} always;
        root {dir}/www;
        location = /client {{ return 200 \"$remote_addr $remote_port\\n\"; }}
    }}
}}
"
        )
    }
}
