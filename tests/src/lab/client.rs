//! Real HTTP clients (curl) in a namespace. Every request is a connection of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::command::finish;
use super::node::Node;
use super::{LabError, wait_until};

/// A request that takes longer has failed.
const REQUEST_S_MAX: u32 = 10;
/// The same for an upload, which may be large.
const PUT_S_MAX: u32 = 40;
/// One line for each request, the fields of [`Reply`] in order, parted by tabs.
const LINE: &str = "%{http_code}\t%{exitcode}\t%{time_total}\t%{size_download}\t%{local_port}\t%header{x-server}\t%{errormsg}\n";

/// What became of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// HTTP status; 0 when there was none.
    pub status: u16,
    /// curl's exit code for this request; 0 is good.
    pub curl_exit: u8,
    /// From the first packet to the last byte.
    pub seconds: f64,
    /// Length of the body.
    pub body_bytes: u64,
    /// The client's port.
    pub local_port: u16,
    /// Which server answered; empty when none did.
    pub server: String,
    /// curl's own words about a failure.
    pub error: String,
}

impl Reply {
    /// Whether a server answered with status 200 and a whole body.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.status == 200 && self.curl_exit == 0
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.splitn(7, '\t');
        let mut next = || fields.next();
        Some(Self {
            status: next()?.parse().ok()?,
            curl_exit: next()?.parse().ok()?,
            seconds: next()?.parse().ok()?,
            body_bytes: next()?.parse().ok()?,
            local_port: next()?.parse().ok()?,
            server: next()?.to_owned(),
            error: next()?.to_owned(),
        })
    }
}

/// Runs curl in a namespace.
#[derive(Debug, Clone)]
pub struct Client {
    node: Node,
    dir: PathBuf,
}

impl Client {
    /// A client in `node`; results are kept in `dir` while they come in.
    #[must_use]
    pub fn new(node: &Node, dir: &Path) -> Self {
        Self {
            node: node.clone(),
            dir: dir.to_owned(),
        }
    }

    /// The namespace it runs in.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The body of one good answer.
    pub fn body(&self, url: &str) -> Result<Vec<u8>, LabError> {
        let path = self.dir.join("body");
        let time = REQUEST_S_MAX.to_string();
        let mut curl = self.node.command("curl");
        finish(
            curl.args(["-sS", "--fail", "--max-time", &time, "-o"])
                .arg(&path)
                .arg(url),
        )?;
        fs::read(&path).map_err(|source| LabError::io("read the body", source))
    }

    /// Sends `content` to `url` by PUT; returns the seconds it took.
    pub fn put(&self, url: &str, content: &[u8]) -> Result<f64, LabError> {
        let path = self.dir.join("content");
        fs::write(&path, content).map_err(|source| LabError::io("write the content", source))?;
        let mut curl = self.node.command("curl");
        // Without an offer of 100-continue: the content goes at once.
        curl.args([
            "-sS",
            "--fail",
            "--max-time",
            &PUT_S_MAX.to_string(),
            "-H",
            "Expect:",
        ]);
        let seconds = finish(
            curl.args(["-o", "/dev/null", "-w", "%{time_total}", "-T"])
                .arg(&path)
                .arg(url),
        )?;
        seconds
            .trim()
            .parse()
            .map_err(|_| LabError::unexpected(format!("curl took {seconds:?} seconds")))
    }

    /// One request.
    pub fn get(&self, url: &str) -> Result<Reply, LabError> {
        let mut replies = self.get_many(url, 1)?;
        replies
            .pop()
            .ok_or_else(|| LabError::unexpected("curl said nothing"))
    }

    /// `count` requests, one after the other.
    pub fn get_many(&self, url: &str, count: u32) -> Result<Vec<Reply>, LabError> {
        self.stream(url, count, None)?.finish()
    }

    /// `count` requests, one after the other, in the background; at most `per_second` of them begin in a second.
    pub fn stream(&self, url: &str, count: u32, per_second: Option<u32>) -> Result<Stream, LabError> {
        let results = tempfile::Builder::new()
            .prefix("curl-")
            .tempfile_in(&self.dir)
            .and_then(|file| file.keep().map_err(|error| error.error))
            .map_err(|source| LabError::io("create the results file", source))?;
        let mut curl = self.curl(url, count, per_second);
        curl.stdin(Stdio::null()).stderr(Stdio::null()).stdout(results.0);
        let child = curl.spawn().map_err(|source| LabError::Start {
            command: "curl".to_owned(),
            source,
        })?;
        Ok(Stream {
            child,
            results: results.1,
            count,
            url: url.to_owned(),
        })
    }

    /// `streams` background streams at once.
    pub fn streams(
        &self,
        url: &str,
        streams: u32,
        count: u32,
        per_second: Option<u32>,
    ) -> Result<Vec<Stream>, LabError> {
        (0..streams)
            .map(|_| self.stream(url, count, per_second))
            .collect()
    }

    fn curl(&self, url: &str, count: u32, per_second: Option<u32>) -> Command {
        let mut curl = self.node.command("curl");
        let time = REQUEST_S_MAX.to_string();
        curl.args([
            "-s",
            "-o",
            "/dev/null",
            "-w",
            LINE,
            "--max-time",
            &time,
            "-H",
            "Connection: close",
        ]);
        if let Some(rate) = per_second {
            curl.args(["--rate", &format!("{rate}/s")]);
        }
        curl.arg(format!("{url}?[1-{count}]"));
        curl
    }
}

/// Requests under way in the background.
#[derive(Debug)]
pub struct Stream {
    child: Child,
    results: PathBuf,
    count: u32,
    url: String,
}

impl Stream {
    /// Waits for the last request and returns what became of each.
    pub fn finish(mut self) -> Result<Vec<Reply>, LabError> {
        let patience = Duration::from_secs(u64::from(REQUEST_S_MAX) * 2 + u64::from(self.count));
        let what = format!("{} requests for {}", self.count, self.url);
        wait_until(&what, patience, || match self.child.try_wait() {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("still running".to_owned()),
            Err(error) => Err(error.to_string()),
        })?;
        let replies = self.replies_so_far();
        if replies.len() == self.count as usize {
            return Ok(replies);
        }
        Err(LabError::unexpected(format!(
            "curl reported {} of {} requests",
            replies.len(),
            self.count
        )))
    }

    /// What has come in so far.
    #[must_use]
    pub fn replies_so_far(&self) -> Vec<Reply> {
        let text = fs::read_to_string(&self.results).unwrap_or_default();
        text.lines().filter_map(Reply::parse).collect()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // It has usually ended; if not, nobody waits for it any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.results);
    }
}

#[cfg(test)]
mod tests {
    use super::Reply;

    #[test]
    fn lines_of_curl_are_understood() {
        let good = Reply::parse("200\t0\t0.004\t4\t40000\trs1\t").expect("a good line");
        assert!(
            good.is_good() && good.server == "rs1" && good.local_port == 40000,
            "{good:?}"
        );
        let bad = Reply::parse("000\t28\t10.0\t0\t0\t\tConnection timed out\tafter 10 s").expect("a failure");
        assert!(!bad.is_good() && bad.error.starts_with("Connection"), "{bad:?}");
        assert_eq!(Reply::parse("200\t0\t0.0"), None, "a line that is not yet whole");
    }
}
