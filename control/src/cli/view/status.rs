//! `weirctl status`.

use std::fmt::Write;

use super::super::output::Style;
use super::super::table::{Tone, paint};
use crate::api_types::{BackendCounts, PacketTotals, Status};

/// Everything at a glance.
pub fn status(status: &Status, style: Style) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{label:<12}{value}");
    };
    line(
        "control",
        format!(
            "version {}, pid {}, up {}",
            status.version,
            status.pid,
            duration(status.uptime_s)
        ),
    );
    line("dataplane", dataplane(status, style));
    let config = &status.config;
    line(
        "config",
        format!(
            "{}, generation {}, since {}",
            config.file, config.generation, config.applied_at
        ),
    );
    if let Some(error) = &config.last_error {
        line(
            "",
            paint(
                &format!("the last attempt to change it was refused: {error}"),
                Tone::Bad,
                style,
            ),
        );
    }
    for note in &status.notes {
        line("", paint(note, Tone::Bad, style));
    }
    line("services", status.services.to_string());
    line("backends", backends(&status.backends, style));
    let plane = &status.dataplane;
    line(
        "flows",
        format!(
            "{} of {} ({})",
            plane.flows,
            plane.flows_max,
            percent(plane.flows, plane.flows_max)
        ),
    );
    line("packets", packets(&status.packets));
    text
}

fn dataplane(status: &Status, style: Style) -> String {
    let plane = &status.dataplane;
    if !plane.connected {
        let text = format!(
            "not connected at {}: it forwards with its last state if it runs",
            plane.socket
        );
        return paint(&text, Tone::Bad, style);
    }
    let version = plane.version.as_deref().unwrap_or("unknown");
    let pid = plane
        .pid
        .map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
    let workers = if plane.workers == 1 {
        "1 worker".to_owned()
    } else {
        format!("{} workers", plane.workers)
    };
    let behind = match plane.published_generation {
        Some(published) if published == status.config.generation => String::new(),
        Some(published) => paint(
            &format!(", still at generation {published}"),
            Tone::Attention,
            style,
        ),
        None => paint(", nothing published yet", Tone::Attention, style),
    };
    format!("version {version}, pid {pid}, {workers}{behind}")
}

fn backends(counts: &BackendCounts, style: Style) -> String {
    let parts = [
        (counts.up, "up", Tone::Good),
        (counts.down, "down", Tone::Bad),
        (counts.drained, "drained", Tone::Attention),
        (counts.checking, "checking", Tone::Attention),
    ];
    let shown = parts
        .into_iter()
        .filter(|(count, word, _)| *count > 0 || *word == "up");
    let words: Vec<_> = shown
        .map(|(count, word, tone)| paint(&format!("{count} {word}"), tone, style))
        .collect();
    format!("{}: {}", counts.total, words.join(", "))
}

/// One line of packets by verdict.
pub(super) fn packets(totals: &PacketTotals) -> String {
    let PacketTotals {
        rx,
        tx,
        punted,
        dropped,
    } = totals;
    format!("{rx} received; {tx} sent, {punted} to the host, {dropped} dropped")
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0 %".to_owned();
    }
    let tenths = u128::from(part) * 1000 / u128::from(whole);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// The two largest units of a time in seconds.
pub(super) fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}
