//! `weirctl flow` and `weirctl drops`.

use super::super::output::Style;
use super::super::table::{Table, Tone, paint};
use super::status::packets;
use crate::api_types::{Drops, Flows};

/// Flows, one a line.
pub fn flows(answer: &Flows, style: Style) -> String {
    if answer.flows.is_empty() {
        return "no flows match\n".to_owned();
    }
    let local = answer.flows.iter().any(|flow| flow.local.is_some());
    let mut headings = vec![
        "PROTO",
        "CLIENT",
        "VIP",
        "BACKEND",
        "STATE",
        ">EXPIRES s",
        ">WORKER",
        "SERVICE",
    ];
    if local {
        headings.insert(3, "LOCAL");
    }
    let mut table = Table::new(&headings);
    for flow in &answer.flows {
        let mut row = vec![
            flow.protocol.clone().into(),
            flow.client.clone().into(),
            flow.vip.clone().into(),
            flow.backend.clone().into(),
            flow.state.clone().into(),
            flow.expires_s.into(),
            flow.worker.into(),
            flow.service.as_deref().unwrap_or("-").into(),
        ];
        if local {
            row.insert(3, flow.local.as_deref().unwrap_or("-").into());
        }
        table.row(row);
    }
    let mut text = table.render(style);
    if answer.truncated {
        text += &format!(
            "there are more: {} shown; raise --limit or add a filter\n",
            answer.flows.len()
        );
    }
    text
}

/// Reasons with their counts and hints, the most frequent first, then the sum that must come out even.
pub fn drops(answer: &Drops, all: bool, style: Style) -> String {
    let mut reasons: Vec<_> = answer
        .reasons
        .iter()
        .filter(|reason| all || reason.packets > 0)
        .collect();
    reasons.sort_by(|a, b| b.packets.cmp(&a.packets).then_with(|| a.name.cmp(&b.name)));
    let mut table = Table::new(&[">PACKETS", "VERDICT", "REASON", "HINT"]);
    for reason in &reasons {
        let hint = reason.hint.as_str().into();
        table.row(vec![
            reason.packets.into(),
            reason.verdict.clone().into(),
            reason.name.clone().into(),
            hint,
        ]);
    }
    let body = if reasons.is_empty() {
        "nothing was dropped or given to the host\n".to_owned()
    } else {
        table.render(style)
    };
    format!(
        "{body}\n{}\n{}\n",
        packets(&answer.packets),
        balance(answer, style)
    )
}

/// Every packet that came in must have gone somewhere.
fn balance(answer: &Drops, style: Style) -> String {
    let totals = &answer.packets;
    let inward = u128::from(totals.rx);
    let outward = u128::from(totals.tx) + u128::from(totals.punted) + u128::from(totals.dropped);
    if inward == outward {
        paint("received == sent + to the host + dropped", Tone::Good, style)
    } else {
        let difference = inward.abs_diff(outward);
        let sign = if inward > outward {
            "not accounted for yet"
        } else {
            "accounted for too often"
        };
        paint(
            &format!("{difference} packets {sign} (on their way while the counters were read?)"),
            Tone::Attention,
            style,
        )
    }
}
