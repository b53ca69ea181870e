//! `weirctl backend drain --wait`: how many flows are left, and when they may be gone.

use std::collections::VecDeque;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use super::answer::typed;
use super::client::Client;
use super::failure::Failure;
use super::output::{print, print_json};
use crate::api_types::{ApiError, Backends, schema};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// The pace of the last minute says when the flows may be gone.
const MEMORY: Duration = Duration::from_secs(60);

/// Flows left, as they were seen.
#[derive(Debug, Default)]
pub(super) struct Pace {
    seen: VecDeque<(Duration, u64)>,
}

impl Pace {
    /// Takes what is left `at` some time; when the last may be gone, if they go at all.
    pub(super) fn observe(&mut self, at: Duration, left: u64) -> Option<Duration> {
        self.seen.push_back((at, left));
        while self.seen.front().is_some_and(|(first, _)| at - *first > MEMORY) {
            self.seen.pop_front();
        }
        let (first, before) = *self.seen.front()?;
        let gone = before.checked_sub(left).filter(|gone| *gone > 0)?;
        let each = (at - first).as_millis() / u128::from(gone);
        let rest = each.saturating_mul(u128::from(left));
        Some(Duration::from_millis(u64::try_from(rest).unwrap_or(u64::MAX)))
    }
}

/// Shows what is left of the backend's flows until nothing is.
pub(super) fn wait(backends: &Backends, wait_s: u32, json: bool, client: &Client) -> Result<(), Failure> {
    let Some(backend) = backends.backends.first() else {
        return Ok(());
    };
    let (service, address) = (&backend.service, &backend.address);
    let (start, mut pace) = (Instant::now(), Pace::default());
    let mut shown = None;
    loop {
        let all: Backends = typed(&client.get("/v1/backends", &[])?)?;
        let found = all
            .backends
            .iter()
            .find(|other| other.service == *service && other.address == *address);
        let left = found.map_or(0, |backend| backend.traffic.active + backend.traffic.inactive);
        let eta = pace.observe(start.elapsed(), left);
        if shown != Some(left) {
            shown = Some(left);
            tell(service, address, left, eta, json)?;
        }
        if left == 0 {
            return Ok(());
        }
        if start.elapsed() >= Duration::from_secs(wait_s.into()) {
            return Err(Failure::Refused(ApiError {
                schema: schema::ERROR.to_owned(),
                error: format!("{address} still has {left} flows after {wait_s} s"),
                help:
                    "it drains on; `weirctl flow --backend` lists them, `weirctl backend disable` ends them"
                        .to_owned(),
            }));
        }
        sleep(PAUSE);
    }
}

fn tell(service: &str, address: &str, left: u64, eta: Option<Duration>, json: bool) -> Result<(), Failure> {
    if json {
        let line = json!({
            "schema": "weir.drain/1", "service": service, "backend": address,
            "flows": left, "eta_s": eta.map(|eta| eta.as_secs()),
        });
        return print_json(&line, true);
    }
    print(&match (left, eta) {
        (0, _) => format!("{service} {address}: drained"),
        (left, None) => format!("{service} {address}: {left} flows left"),
        (left, Some(eta)) => format!(
            "{service} {address}: {left} flows left, about {} s",
            eta.as_secs()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_of_the_last_minute_tells_the_rest() {
        let at = Duration::from_secs;
        let mut pace = Pace::default();
        assert_eq!(pace.observe(at(0), 100), None, "one look is no pace");
        assert_eq!(pace.observe(at(10), 100), None, "nothing went");
        assert_eq!(pace.observe(at(20), 80), Some(at(80)), "one a second");
        assert_eq!(pace.observe(at(30), 120), None, "it has more than before");
        assert_eq!(
            pace.observe(at(90), 60),
            Some(at(60)),
            "older looks are forgotten"
        );
        assert_eq!(pace.observe(at(100), 0), Some(at(0)));
    }
}
