//! Every mode, for IPv4 and IPv6, with one worker and with two: requests, large bodies in both directions at MTU 1500, iperf3.

mod around;
pub(crate) mod cast;
mod masquerade;

use std::time::{Duration, Instant};

use cast::{Cast, Family, IPERF, MODES, Mode, NAT_MSS_MAX};
use serde_json::Value;
use weir_tests::lab::{LabError, WebServer, wait_until};
use weir_tests::scenario::scenario;

use crate::assert_all_good;

/// An upload of 1 MiB that takes longer has stood still; without a loss it is a few milliseconds.
const UPLOAD_S_MAX: f64 = 3.0;

#[test]
fn every_mode_serves_both_families_with_one_worker() {
    all_modes("every mode, one worker", &[0]);
}

#[test]
fn every_mode_serves_both_families_with_two_workers() {
    all_modes("every mode, two workers", &[0, 1]);
}

fn all_modes(name: &str, workers: &[u16]) {
    scenario(name, |lab| {
        let cast = Cast::start(lab, workers)?;
        for mode in &MODES {
            for family in Family::BOTH {
                serves(&cast, mode, family)
                    .map_err(|error| LabError::unexpected(format!("{} {family:?}: {error}", mode.name)))?;
            }
        }
        end(&cast, workers.len())
    });
}

/// Requests to both servers, 1 MiB each way, and the client the servers saw.
fn serves(cast: &Cast, mode: &Mode, family: Family) -> Result<(), LabError> {
    let start = Instant::now();
    let replies = cast.client.get_many(&mode.url(family, ""), 4)?;
    assert_all_good(&replies);
    for server in ["rs1", "rs2"] {
        let count = replies.iter().filter(|reply| reply.server == server).count();
        assert_eq!(count, 2, "{} {family:?}: {replies:?}", mode.name);
    }
    assert!(
        cast.client.body(&mode.url(family, "1MiB"))? == WebServer::file(),
        "1 MiB came down changed"
    );
    let seconds = upload(cast, mode, family, "1MiB", &WebServer::file())?;
    assert!(seconds < UPLOAD_S_MAX, "the upload took {seconds} s");

    let seen = cast.client.body(&mode.url(family, "client"))?;
    let seen = String::from_utf8_lossy(&seen).into_owned();
    let wanted = format!("{} ", mode.client_seen(family));
    assert!(seen.starts_with(&wanted), "the server saw {seen}, not {wanted}");
    learned_mtu(cast, mode, family)?;
    eprintln!(
        "{} {family:?}: {:.2} s, upload of 1 MiB {seconds:.3} s",
        mode.name,
        start.elapsed().as_secs_f32()
    );
    Ok(())
}

/// A client of a tunnel has been told the tunnel's MTU, to the byte; every other has been told nothing.
fn learned_mtu(cast: &Cast, mode: &Mode, family: Family) -> Result<(), LabError> {
    let route = cast
        .client
        .node()
        .run("ip", &format!("route get {}", mode.vip(family)))?;
    match mode.path_mtu(family) {
        Some(mtu) => assert!(route.contains(&format!(" mtu {mtu}")), "{mtu}: {route}"),
        None => assert!(!route.contains(" mtu "), "{route}"),
    }
    Ok(())
}

fn upload(cast: &Cast, mode: &Mode, family: Family, name: &str, content: &[u8]) -> Result<f64, LabError> {
    let name = format!("{name}-{}-{family:?}", mode.name);
    let seconds = cast
        .client
        .put(&mode.url(family, &format!("upload/{name}")), content)?;
    let arrived = cast
        .servers
        .iter()
        .any(|server| server.uploaded(&name).as_deref() == Some(content));
    assert!(arrived, "{name} did not arrive unchanged");
    Ok(seconds)
}

/// The accounts at the end, and what the workers handed to each other.
fn end(cast: &Cast, workers: usize) -> Result<(), LabError> {
    let balance = cast.director.settled_balance()?;
    assert!(balance.is_even() && balance.rx > 0, "{balance:?}");
    let answer = cast.director.ctl_json("worker")?;
    let rows = answer["workers"].as_array().cloned().unwrap_or_default();
    assert_eq!(rows.len(), workers, "{answer}");
    // One queue feeds both workers, so about half of the packets must change hands.
    let steered: u64 = rows.iter().filter_map(|row| row["steered"].as_u64()).sum();
    assert_eq!(steered > 0, workers > 1, "{answer}");
    let inside: Vec<u64> = cast
        .tunnels
        .iter()
        .map(weir_tests::lab::Decapsulator::taken_out)
        .collect();
    let each: Vec<_> = rows
        .iter()
        .map(|row| (&row["packets"]["rx"], &row["packets"]["tx"], &row["steered"]))
        .collect();
    eprintln!("{balance:?}; out of tunnels {inside:?}; each worker's received, sent, handed over: {each:?}");
    Ok(())
}

#[test]
fn a_hundred_mebibytes_pass_through_each_mode() {
    scenario("large bodies", |lab| {
        let cast = Cast::start(lab, &[0])?;
        let content = WebServer::file().repeat(100);
        for (mode, family) in MODES
            .iter()
            .flat_map(|mode| Family::BOTH.map(|family| (mode, family)))
        {
            let seconds = upload(&cast, mode, family, "100MiB", &content)?;
            eprintln!("{} {family:?}: 100 MiB in {seconds:.2} s", mode.name);
        }
        end(&cast, 1)
    });
}

#[test]
fn iperf3_runs_through_every_mode() {
    scenario("iperf3", |lab| {
        let cast = Cast::start(lab, &[0])?;
        for mode in &MODES {
            for family in Family::BOTH {
                let tcp = iperf(&cast, mode, family, "-n 8M")?;
                let mbits = tcp["end"]["sum_received"]["bits_per_second"]
                    .as_f64()
                    .unwrap_or_default()
                    / 1e6;
                assert!(mbits > 1.0, "{} {family:?}: {tcp}", mode.name);
                // What the client's kernel makes of the SYN-ACK; the time stamps take 12 bytes of it.
                let mss = tcp["start"]["tcp_mss_default"].as_u64().unwrap_or_default();
                assert_eq!(
                    mss <= NAT_MSS_MAX,
                    mode.name == "nat",
                    "{} {family:?}: MSS {mss}",
                    mode.name
                );
                let udp = iperf(&cast, mode, family, "-u -b 20M -l 1200 -n 500K")?;
                let lost = udp["end"]["sum"]["lost_percent"].as_f64().unwrap_or(100.0);
                assert!(lost < 50.0, "{} {family:?}: lost {lost} %: {udp}", mode.name);
                eprintln!(
                    "{} {family:?}: TCP {mbits:.0} Mbit/s, UDP lost {lost:.2} %",
                    mode.name
                );
            }
        }
        end(&cast, 1)
    });
}

/// One short run: so many bytes. The server may still be clearing up the last one.
fn iperf(cast: &Cast, mode: &Mode, family: Family, arguments: &str) -> Result<Value, LabError> {
    let line = format!(
        "-c {} -p {IPERF} -J --connect-timeout 3000 {arguments}",
        mode.vip(family)
    );
    wait_until("iperf3 to run", Duration::from_secs(15), || {
        let text = cast
            .client
            .node()
            .run("iperf3", &line)
            .map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    })
}
