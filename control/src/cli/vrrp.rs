//! `weirctl vrrp`, `weirctl failover` and `weirctl events`.

use std::fmt::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::answer::{repeat, typed};
use super::args::Watch;
use super::client::Client;
use super::failure::Failure;
use super::output::{Style, print, print_json};
use super::table::{Cell, Table, Tone, paint};
use crate::api_types::{ApiError, schema};
use crate::vrrp::status::{Event, Events, HandOver, Status, Vrrps};

/// How long a hand-over may take: an interval and a skew of the slowest version, and a little.
const HAND_OVER_MAX: Duration = Duration::from_secs(10);
/// Events are asked for this often.
const FOLLOW: Duration = Duration::from_millis(250);

/// Arguments of `weirctl vrrp`.
#[derive(Debug, Args)]
pub struct VrrpArguments {
    /// Only this virtual router, with everything there is to know about it.
    pub name: Option<String>,
    /// Print states and statistics as keepalived's JSON dump has them, for what reads that.
    #[arg(long, conflicts_with = "name")]
    pub keepalived_json: bool,
    /// Repetition.
    #[command(flatten)]
    pub watch: Watch,
}

/// Arguments of `weirctl failover`.
#[derive(Debug, Args)]
pub struct FailoverArguments {
    /// Only this virtual router; left out: all of them.
    pub name: Option<String>,
    /// Take part in elections again, after an earlier hand-over.
    #[arg(long)]
    pub resume: bool,
}

/// Arguments of `weirctl events`.
#[derive(Debug, Args)]
pub struct EventsArguments {
    /// Go on printing what happens until interrupted.
    #[arg(long, short = 'f')]
    pub follow: bool,
}

fn tone(state: &str) -> Tone {
    match state {
        "active" | "up" | "quorum-up" => Tone::Good,
        "fault" | "error" | "rival" | "down" | "quorum-down" | "alarm" => Tone::Bad,
        "stopped" => Tone::Attention,
        _ => Tone::Normal,
    }
}

pub(super) fn show(arguments: &VrrpArguments, json: bool, client: &Client) -> Result<(), Failure> {
    if arguments.keepalived_json {
        let dump = || client.get("/v1/vrrp/keepalived", &[]);
        return repeat(&arguments.watch, true, dump, |_, _| Ok(String::new()));
    }
    let ask = || client.get("/v1/vrrp", &[]);
    repeat(&arguments.watch, json, ask, |answer, style| {
        let all: Vrrps = typed(answer)?;
        match &arguments.name {
            None => Ok(table(&all, style)),
            Some(name) => {
                let found = all.vrrp.iter().find(|vrrp| vrrp.name == *name);
                found
                    .map(|vrrp| details(vrrp, style))
                    .ok_or_else(|| unknown(name))
            }
        }
    })
}

fn unknown(name: &str) -> Failure {
    Failure::Refused(ApiError {
        schema: schema::ERROR.to_owned(),
        error: format!("there is no virtual router \"{name}\""),
        help: "`weirctl vrrp` lists what there is".to_owned(),
    })
}

fn table(all: &Vrrps, style: Style) -> String {
    let mut table = Table::new(&[
        "NAME",
        "INTERFACE",
        ">VRID",
        "STATE",
        ">PRIORITY",
        "ACTIVE",
        "WHY",
    ]);
    for vrrp in &all.vrrp {
        table.row(vec![
            vrrp.name.as_str().into(),
            vrrp.interface.as_str().into(),
            u32::from(vrrp.virtual_router_id).into(),
            Cell::new(&vrrp.state, tone(&vrrp.state)),
            u32::from(vrrp.effective_priority).into(),
            active(vrrp).into(),
            vrrp.why.as_str().into(),
        ]);
    }
    let mut text = table.render(style);
    for vrrp in all.vrrp.iter().filter(|vrrp| vrrp.rival.is_some()) {
        let rival = vrrp.rival.as_deref().unwrap_or_default();
        let warning = paint(
            &format!("{}: two active routers: {rival}", vrrp.name),
            Tone::Bad,
            style,
        );
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{warning}");
    }
    text
}

fn active(vrrp: &Status) -> String {
    match &vrrp.active {
        Some(active) => format!("{} ({})", active.address, active.priority),
        None if vrrp.state == "active" => "this node".to_owned(),
        None => "-".to_owned(),
    }
}

fn details(vrrp: &Status, style: Style) -> String {
    let mut text = table(
        &Vrrps {
            vrrp: vec![vrrp.clone()],
            ..Vrrps::default()
        },
        style,
    );
    let mut line = |label: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{label:<12}{value}");
    };
    line("addresses", vrrp.addresses.join(" "));
    line("source", vrrp.source.clone());
    line(
        "timers",
        format!(
            "version {}, advertisements every {} ms, gone after {} us of silence",
            vrrp.version, vrrp.advert_interval_ms, vrrp.active_down_us
        ),
    );
    if let Some(next) = &vrrp.next {
        line("next", format!("{} in {} us", next.timer, next.in_us));
    }
    if vrrp.handed_over {
        line(
            "handed over",
            "leaves the other router alone; `weirctl failover --resume` ends that".to_owned(),
        );
    }
    if let Some(relay) = &vrrp.relay {
        let left_s = relay.left_ms.div_ceil(1000);
        let told = format!("connections unknown here go to {} for {left_s} s more", relay.to);
        line("relays", told);
    }
    for track in &vrrp.tracks {
        let up = track
            .up
            .map_or("not known yet", |up| if up { "up" } else { "down" });
        line("tracks", format!("{}: {up}, weight {}", track.name, track.weight));
    }
    let counted: Vec<String> = vrrp
        .stats
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    line("counted", counted.join(", "));
    for change in vrrp.transitions.iter().rev().take(8).rev() {
        let at = crate::api::rfc3339::text(change.unix_ms);
        line(
            "changed",
            format!("{at} {} -> {}: {}", change.from, change.to, change.why),
        );
    }
    text
}

/// Hands over and waits until it is done, so that a script can go on.
pub(super) fn failover(arguments: &FailoverArguments, json: bool, client: &Client) -> Result<(), Failure> {
    let body = HandOver {
        name: arguments.name.clone(),
        resume: arguments.resume,
    };
    let concerned = |vrrp: &&Status| arguments.name.as_ref().is_none_or(|name| *name == vrrp.name);
    let before: Vrrps = typed(&client.get("/v1/vrrp", &[])?)?;
    let was_active: Vec<&str> = before
        .vrrp
        .iter()
        .filter(concerned)
        .filter(|vrrp| vrrp.state == "active")
        .map(|vrrp| vrrp.name.as_str())
        .collect();
    let mut answer = client.send_json(&Method::POST, "/v1/vrrp/hand-over", &body)?;
    if !arguments.resume {
        answer = wait_until_handed_over(answer, &was_active, client)?;
    }
    if json {
        print_json(&answer, false)
    } else {
        print(&table(&typed(&answer)?, Style::of_stdout()))
    }
}

/// Asks until none of these is active here any more; the last answer.
fn wait_until_handed_over(mut answer: Value, was_active: &[&str], client: &Client) -> Result<Value, Failure> {
    let deadline = Instant::now() + HAND_OVER_MAX;
    loop {
        let now: Vrrps = typed(&answer)?;
        let still = now
            .vrrp
            .iter()
            .filter(|vrrp| vrrp.state == "active")
            .map(|vrrp| vrrp.name.as_str());
        let left: Vec<&str> = still.filter(|name| was_active.contains(name)).collect();
        if left.is_empty() {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            return Err(Failure::Refused(ApiError {
                schema: schema::ERROR.to_owned(),
                error: format!("nobody took over {}", left.join(", ")),
                help: "this node goes on; is there a backup that hears it? `weirctl vrrp` there says"
                    .to_owned(),
            }));
        }
        sleep(FOLLOW);
        answer = client.get("/v1/vrrp", &[])?;
    }
}

pub(super) fn events(arguments: &EventsArguments, json: bool, client: &Client) -> Result<(), Failure> {
    let style = Style::of_stdout();
    let mut from = 0;
    loop {
        let answer = client.get("/v1/events", &[("from", &from.to_string())])?;
        let events: Events = typed(&answer)?;
        if json && !(arguments.follow && events.events.is_empty()) {
            print_json(&answer, arguments.follow)?;
        } else if !json && !events.events.is_empty() {
            let lines: String = events.events.iter().map(|event| line(event, style)).collect();
            print(&lines)?;
        }
        from = events.events.last().map_or(from, |last| last.id + 1);
        if !arguments.follow {
            return Ok(());
        }
        sleep(FOLLOW);
    }
}

fn line(event: &Event, style: Style) -> String {
    let at = crate::api::rfc3339::text(event.unix_ms);
    let kind = paint(&event.kind, tone(&event.kind), style);
    let about = if event.vrrp.is_empty() {
        &event.object
    } else {
        &event.vrrp
    };
    format!("{at} {about} {kind}: {}\n", event.text)
}
