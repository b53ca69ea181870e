//! The chart: for each case the share of testpmd's rate that weir reaches, with the must goal as a line.

use std::fmt::Write as _;

use super::goals::g1;
use super::rates::in_words;
use super::results::{Rate, Results};
use super::service::Mode;
use super::statistics::Verdict;

const LEFT: usize = 60;
const TOP: usize = 60;
const PLOT_HEIGHT: usize = 260;
const BAR: usize = 34;
const GAP: usize = 8;
const GROUP_GAP: usize = 34;

const fn colour(mode: Mode) -> &'static str {
    match mode {
        Mode::Dr => "#2b6cb0",
        Mode::Ipip => "#2f855a",
        Mode::Nat => "#b7791f",
    }
}

/// The picture.
pub(crate) fn chart(results: &Results) -> String {
    let mut body = String::new();
    let mut x = LEFT;
    let mut last = None;
    for rate in &results.rates {
        let group = (rate.workers, rate.flows);
        if last != Some(group) {
            x += GROUP_GAP;
            let label = format!("{} flows, {}", in_words(rate.flows), workers(rate.workers));
            text(&mut body, x, TOP + PLOT_HEIGHT + 44, "start", &label);
            last = Some(group);
        }
        bar(&mut body, x, rate);
        x += BAR + GAP;
    }
    let width = (x + GROUP_GAP).max(640);
    let height = TOP + PLOT_HEIGHT + 80;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    text(
        &mut svg,
        LEFT,
        24,
        "start",
        "Rate as a share of dpdk-testpmd mac on the same device, 64-byte frames; line: must goal",
    );
    let under = format!("{}; pale: too noisy to say", results.machine.cpu);
    text(&mut svg, LEFT, 42, "start", &under);
    for tenth in (0..=10).step_by(2) {
        let share = f64::from(tenth) / 10.0;
        let y = place(share);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{width}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#ddd\"/>"
        );
        text(&mut svg, LEFT - 6, y + 4, "end", &format!("{share:.1}"));
    }
    svg + &body + "</svg>\n"
}

fn workers(count: u16) -> String {
    match count {
        1 => "1 worker".to_owned(),
        _ => format!("{count} workers"),
    }
}

/// Where a share is, from the top.
fn place(share: f64) -> usize {
    let height = share.clamp(0.0, 1.0) * PLOT_HEIGHT as f64;
    TOP + PLOT_HEIGHT - height.round() as usize
}

fn bar(svg: &mut String, x: usize, rate: &Rate) {
    let y = place(rate.ratio());
    let opacity = match rate.verdict() {
        Verdict::TooNoisy => "0.3",
        Verdict::Quiet | Verdict::Noisy => "1",
    };
    let _ = writeln!(
        svg,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{BAR}\" height=\"{}\" fill=\"{}\" opacity=\"{opacity}\"/>",
        TOP + PLOT_HEIGHT - y,
        colour(rate.mode)
    );
    text(svg, x + BAR / 2, y - 5, "middle", &format!("{:.2}", rate.ratio()));
    text(
        svg,
        x + BAR / 2,
        TOP + PLOT_HEIGHT + 18,
        "middle",
        rate.mode.text(),
    );
    if let Some(goal) = (rate.workers == 1).then(|| g1(rate.mode, rate.flows)).flatten() {
        let y = place(goal.numbers().0);
        let _ = writeln!(
            svg,
            "<line x1=\"{}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#c53030\" stroke-width=\"2\"/>",
            x - 3,
            x + BAR + 3
        );
    }
}

fn text(svg: &mut String, x: usize, y: usize, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{words}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::sample;
    use super::*;

    #[test]
    fn a_bar_is_as_high_as_the_ratio_and_the_goal_is_a_line() {
        let svg = chart(&sample());
        assert!(
            svg.contains("height=\"130\" fill=\"#2b6cb0\" opacity=\"1\""),
            "half of the plot: {svg}"
        );
        assert!(
            svg.contains(&format!("y1=\"{0}\" y2=\"{0}\" stroke=\"#c53030\"", place(0.60))),
            "{svg}"
        );
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }

    #[test]
    fn noise_pales_and_names_are_escaped() {
        let mut results = sample();
        results.rates[0].testpmd.spread = 1.0;
        results.machine.cpu = "a < b & c".into();
        let svg = chart(&results);
        assert!(
            svg.contains("opacity=\"0.3\"") && svg.contains("a &lt; b &amp; c"),
            "{svg}"
        );
    }
}
