//! `weirctl explain`.

use super::super::output::Style;
use super::super::table::{Tone, paint};
use crate::api_types::Explain;

/// The way of a packet, one step a line, and where it ends.
pub fn explain(answer: &Explain, style: Style) -> String {
    let mut text = format!("{} {} -> {}\n", answer.protocol, answer.src, answer.dst);
    let width = answer
        .steps
        .iter()
        .map(|step| step.step.chars().count())
        .max()
        .unwrap_or(0);
    for step in &answer.steps {
        text += &format!("  {:<width$}  {}\n", step.step, step.result);
    }
    let tone = match answer.verdict.as_str() {
        "tx" => Tone::Good,
        "drop" => Tone::Bad,
        _ => Tone::Attention,
    };
    let verdict = match (answer.verdict.as_str(), &answer.reason) {
        ("tx", _) => "sent".to_owned(),
        ("punt", Some(reason)) => format!("given to the host: {reason}"),
        ("drop", Some(reason)) => format!("dropped: {reason}"),
        (other, _) => other.to_owned(),
    };
    text += &format!("=> {}\n", paint(&verdict, tone, style));
    if let Some(hint) = &answer.hint {
        text += &format!("   {hint}\n");
    }
    text
}
