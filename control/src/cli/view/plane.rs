//! `weirctl port`, `worker` and `neighbor`.

use super::super::output::Style;
use super::super::table::{Cell, Table, Tone};
use crate::api_types::{Neighbors, Port, Ports, Workers};

/// Ports, one block each: there is more to say than fits a line.
pub fn ports(answer: &Ports, style: Style) -> String {
    if answer.ports.is_empty() {
        return "no ports are configured\n".to_owned();
    }
    let mut table = Table::new(&[
        "PORT",
        "LINK",
        "MAC",
        ">MTU",
        "QUEUES",
        ">PACKETS IN",
        ">PACKETS OUT",
        ">BYTES IN",
        ">BYTES OUT",
        ">MISSED",
        ">ERRORS",
    ]);
    for port in &answer.ports {
        let lost = port.rx_missed.saturating_add(port.rx_no_buffer);
        let errors = port.rx_errors.saturating_add(port.tx_errors);
        table.row(vec![
            port.name.clone().into(),
            link(port),
            port.mac.clone().into(),
            port.mtu_bytes.into(),
            format!("{}+{}", port.rx_queues, port.tx_queues).into(),
            port.rx_packets.into(),
            port.tx_packets.into(),
            port.rx_bytes.into(),
            port.tx_bytes.into(),
            troubling(lost),
            troubling(errors),
        ]);
    }
    let details: String = answer.ports.iter().map(details).collect();
    format!("{}\n{details}", table.render(style))
}

fn link(port: &Port) -> Cell {
    match (port.link_up, port.speed_mbps) {
        (false, _) => Cell::new("down", Tone::Bad),
        (true, 0) => Cell::new("up", Tone::Good),
        (true, mbps) if mbps % 1000 == 0 => Cell::new(format!("up {} Gbit/s", mbps / 1000), Tone::Good),
        (true, mbps) => Cell::new(format!("up {mbps} Mbit/s"), Tone::Good),
    }
}

fn troubling(count: u64) -> Cell {
    Cell::new(count, if count == 0 { Tone::Normal } else { Tone::Attention })
}

fn details(port: &Port) -> String {
    let addresses = if port.addresses.is_empty() {
        "no addresses".to_owned()
    } else {
        port.addresses.join(" ")
    };
    let host = port
        .host_interface
        .as_ref()
        .map_or_else(String::new, |interface| format!(", host interface {interface}"));
    // A driver that fell back to a scalar function loses more than any work of ours costs.
    let functions = if port.rx_function.is_empty() {
        String::new()
    } else {
        format!(
            "{}: receives by {}, sends by {}\n",
            port.name, port.rx_function, port.tx_function
        )
    };
    format!(
        "{}: {} ({}), {addresses}{host}\n{functions}",
        port.name, port.device, port.driver
    )
}

/// Workers, one a line.
pub fn workers(answer: &Workers, style: Style) -> String {
    if answer.workers.is_empty() {
        return "the data plane is not connected: no workers are known\n".to_owned();
    }
    let mut table = Table::new(&[
        ">WORKER",
        ">CPU",
        "STATE",
        ">RECEIVED",
        ">SENT",
        ">TO HOST",
        ">DROPPED",
        ">STEERED",
        ">FLOWS",
    ]);
    for worker in &answer.workers {
        let tone = if worker.state == "running" {
            Tone::Good
        } else {
            Tone::Bad
        };
        table.row(vec![
            worker.id.into(),
            worker.cpu.into(),
            Cell::new(&worker.state, tone),
            worker.packets.rx.into(),
            worker.packets.tx.into(),
            worker.packets.punted.into(),
            worker.packets.dropped.into(),
            worker.steered.into(),
            worker.flows.into(),
        ]);
    }
    table.render(style)
}

/// Neighbours, one a line.
pub fn neighbors(answer: &Neighbors, style: Style) -> String {
    if answer.neighbors.is_empty() {
        return "no neighbors are known\n".to_owned();
    }
    let mut table = Table::new(&["ADDRESS", "MAC", "PORT", "STATE", ">CONFIRMED s AGO"]);
    for neighbor in &answer.neighbors {
        let tone = match neighbor.state.as_str() {
            "reachable" | "permanent" => Tone::Good,
            "failed" => Tone::Bad,
            "incomplete" => Tone::Attention,
            _ => Tone::Normal,
        };
        table.row(vec![
            neighbor.address.clone().into(),
            neighbor.mac.as_deref().unwrap_or("-").into(),
            neighbor.port.clone().into(),
            Cell::new(&neighbor.state, tone),
            neighbor.confirmed_s.map_or_else(|| "-".into(), Cell::from),
        ]);
    }
    table.render(style)
}
