//! `ha_suspend`: only the director that holds a service's address checks its servers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_tests::lab::{Lab, LabError, WebServer, wait_until};
use weir_tests::scenario::scenario;
use weir_tests::stage::{Config, Director, Stage, VIP};

/// Everything here on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);

/// One of two directors that share the address of a service.
fn config(number: u8, priority: u8) -> String {
    let text = Config {
        address: format!("192.0.2.{number}/24"),
        ..Config::new(2)
    };
    let text = text.to_toml(Path::new("{dir}"));
    let (head, check) = text.split_once("check = ").unwrap_or((&text, ""));
    let backends = check.split_once('\n').map_or("", |(_, backends)| backends);
    format!(
        "{head}pool = {{ ha_suspend = true }}\n\
         check = {{ http = {{ path = '/checked', status = [404] }}, interval_ms = 100, timeout_ms = 100, rise = 1, fall = 3 }}\n{backends}\
         [[vrrp]]\nname = 'VI_1'\nport = 'lan'\nvirtual_router_id = 51\nversion = 3\nadvert_interval_ms = 300\n\
         priority = {priority}\naddresses = ['{VIP}/24']\n"
    )
}

struct Suspended {
    directors: Vec<Director>,
    servers: Vec<WebServer>,
    log: PathBuf,
}

impl Suspended {
    fn start(lab: &mut Lab) -> Result<Self, LabError> {
        let (_, servers) = Stage::audience(lab, 2)?;
        let mut directors = Vec::new();
        for (number, priority) in [(1, 150), (2, 100)] {
            let node = lab.add_node(&format!("lb{number}"), "veth-lb")?;
            let config = Config {
                other: Some(config(number, priority)),
                ..Config::new(2)
            };
            let mut director = Director::new(&node, lab.dir(), config)?;
            director.start_dataplane()?;
            director.start_control()?;
            directors.push(director);
        }
        Ok(Self {
            directors,
            servers,
            log: lab.dir().join("rs2/access.log"),
        })
    }

    /// Waits until the checks of a director are in these states, server by server.
    fn wait_checks(&self, director: usize, expected: [&str; 2]) -> Result<(), LabError> {
        let what = format!("checks of lb{} to be {expected:?}", director + 1);
        wait_until(&what, PATIENCE, || {
            let answer = self.directors[director]
                .ctl_json("check")
                .map_err(|error| error.to_string())?;
            let rows = answer["checks"].as_array().into_iter().flatten();
            let states: Vec<&str> = rows.filter_map(|row| row["state"].as_str()).collect();
            (states == expected)
                .then_some(())
                .ok_or_else(|| answer.to_string())
        })
    }

    /// How often the second server was checked by each director.
    fn checked(&self) -> [usize; 2] {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let by = |address: &str| {
            let lines = text.lines().filter(|line| line.contains("/checked"));
            lines.filter(|line| line.starts_with(address)).count()
        };
        [by("192.0.2.1 "), by("192.0.2.2 ")]
    }

    /// While a director checks ten times more, the other one does not once.
    fn only_checks(&self, director: usize) -> Result<(), LabError> {
        // A run that was under way when the checks were suspended has ended by then.
        let other = 1 - director;
        let mut before = self.checked();
        for _ in 0..2 {
            wait_until(&format!("lb{} to check", director + 1), PATIENCE, || {
                let now = self.checked();
                (now[director] >= before[director] + 10)
                    .then_some(())
                    .ok_or_else(|| format!("{now:?}"))
            })?;
            let now = self.checked();
            eprintln!("checks of rs2 by lb1 and lb2: {before:?}, {now:?}");
            if now[other] == before[other] {
                return Ok(());
            }
            before = now;
        }
        Err(LabError::unexpected(format!("lb{} still checks", other + 1)))
    }

    fn states(&self, director: usize) -> Result<Vec<String>, LabError> {
        let answer = self.directors[director].ctl_json("backend")?;
        let rows = answer["backends"].as_array().into_iter().flatten();
        let states = rows.filter_map(|row| row["state"].as_str().map(str::to_owned));
        Ok(states.collect())
    }
}

#[test]
fn only_the_active_director_checks() {
    scenario("directors: ha_suspend", |lab| {
        let mut pair = Suspended::start(lab)?;
        pair.wait_checks(0, ["up", "up"])?;
        pair.wait_checks(1, ["suspended", "suspended"])?;
        pair.only_checks(0)?;

        // The backup takes over, with the address the checks.
        pair.directors[0].kill()?;
        pair.wait_checks(1, ["up", "up"])?;
        pair.servers[0].pause()?;
        pair.wait_checks(1, ["down", "up"])?;
        pair.only_checks(1)?;

        // Back again: the first one finds out for itself, the second one keeps what it knew.
        pair.directors[0].start_dataplane()?;
        pair.directors[0].start_control()?;
        pair.wait_checks(0, ["down", "up"])?;
        pair.wait_checks(1, ["suspended", "suspended"])?;
        pair.only_checks(0)?;
        assert_eq!(pair.states(1)?, ["down", "up"], "its last state");
        Ok(())
    });
}
