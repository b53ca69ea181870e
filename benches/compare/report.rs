//! Results as Markdown: the tables that go into RESULTS.md.

use std::fmt::Write as _;

use super::goals::{Bound, g1, g2};
use super::rates::in_words;
use super::results::{Figure, Rate, Results};
use super::statistics::Verdict;

/// Between these lines of RESULTS.md stands what the last recorded run has written.
const BEGIN: &str = "<!-- weir-compare: begin -->";
const END: &str = "<!-- weir-compare: end -->";

/// All of it.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "{}\n{}\n{}{}",
        head(results),
        rates(results),
        figures(results),
        missing(results)
    );
    text
}

fn head(results: &Results) -> String {
    let machine = &results.machine;
    format!(
        "`make bench{quick}` at {commit}: {cpu}{kind}, {cpus} CPUs, TSC {ghz:.2} GHz, {memory} MiB, Linux {kernel}. It took {took} s; \
         {busy:.0} % of the CPUs was busy with something else before it began, {stolen:.1} % was taken by the host meanwhile.\n\n{verdict}\n",
        quick = if results.quick { " QUICK=1" } else { "" },
        commit = results.commit,
        cpu = machine.cpu,
        kind = if machine.is_virtual { " (virtual)" } else { "" },
        cpus = machine.cpus,
        ghz = machine.tsc_ghz,
        memory = machine.memory_mb,
        kernel = machine.kernel,
        took = results.took_s,
        busy = results.busy_before * 100.0,
        stolen = results.stolen * 100.0,
        verdict = noise(results),
    )
}

/// One sentence on whether the run can be believed.
fn noise(results: &Results) -> String {
    let verdicts: Vec<Verdict> = results
        .rates
        .iter()
        .map(Rate::verdict)
        .chain(results.figures.iter().map(|figure| figure.verdict))
        .collect();
    let count = |wanted| verdicts.iter().filter(|verdict| **verdict == wanted).count();
    let (noisy, hopeless) = (count(Verdict::Noisy), count(Verdict::TooNoisy));
    match (noisy, hopeless) {
        _ if verdicts.is_empty() => "Nothing was measured.".to_owned(),
        (0, 0) => "The machine was quiet: in every case the fastest quarter of the slices lies within 5 %."
            .to_owned(),
        (_, 0) => format!(
            "The machine was noisy in {noisy} of {} cases: there the fastest quarter of the slices lies within 15 %, not within 5 %.",
            verdicts.len()
        ),
        (_, _) => format!(
            "**The machine was too noisy to say anything in {hopeless} of {} cases** (the fastest quarter of the slices is more than 15 % apart, or others had the CPU in most of them), \
             and noisy in {noisy}.",
            verdicts.len()
        ),
    }
}

fn rates(results: &Results) -> String {
    if results.rates.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "| mode | flows | workers | Mpps | testpmd mac | ratio | goal | cycles/packet | above mac | goal | spread weir, mac | |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for rate in &results.rates {
        let one = rate.workers == 1;
        let share = one.then(|| g1(rate.mode, rate.flows)).flatten();
        let added = one.then(|| g2(rate.mode, rate.flows)).flatten();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.2} | {:.2} | {:.2} | {} | {:.0} | {:.0} | {} | {}, {} | {} |",
            rate.mode.text(),
            in_words(rate.flows),
            rate.workers,
            rate.weir.mpps(),
            rate.testpmd.mpps(),
            rate.ratio(),
            judged(share, rate.ratio(), rate.verdict()),
            rate.weir.cycles,
            rate.added_cycles(),
            judged(added, rate.added_cycles(), rate.verdict()),
            percent(rate.weir.spread),
            percent(rate.testpmd.spread),
            rate.verdict().text(),
        );
    }
    text
}

fn percent(share: f64) -> String {
    match share.is_finite() {
        true => format!("{:.1} %", share * 100.0),
        false => "disturbed".to_owned(),
    }
}

/// "≥ 0.6 / 0.74: must".
fn judged(bound: Option<Bound>, value: f64, verdict: Verdict) -> String {
    let Some(bound) = bound else {
        return "–".to_owned();
    };
    let (must, stretch) = bound.numbers();
    let standing = match verdict {
        Verdict::TooNoisy => "too noisy to say",
        Verdict::Quiet | Verdict::Noisy => bound.judge(value).text(),
    };
    format!("{} {must} / {stretch}: {standing}", bound.sign())
}

fn figures(results: &Results) -> String {
    if results.figures.is_empty() {
        return String::new();
    }
    let mut text = String::from("| goal | what | value | must / stretch | | |\n|---|---|---|---|---|---|\n");
    for figure in &results.figures {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            figure.goal,
            figure.what,
            quantity(figure),
            judged(figure.bound, figure.value, figure.verdict),
            figure.verdict.text(),
            figure.note,
        );
    }
    text
}

/// Three digits that say something.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn quantity(figure: &Figure) -> String {
    format!("{} {}", number(figure.value), figure.unit)
        .trim_end()
        .to_owned()
}

/// For the terminal.
pub(crate) fn line(figure: &Figure) -> String {
    format!(
        "  {}: {} (goal {}); {}{}{}",
        figure.what,
        quantity(figure),
        judged(figure.bound, figure.value, figure.verdict),
        figure.verdict.text(),
        if figure.note.is_empty() { "" } else { "; " },
        figure.note,
    )
}

fn missing(results: &Results) -> String {
    if results.missing.is_empty() {
        return String::new();
    }
    let mut text = String::from("\nNot measured in this run:\n\n");
    for missing in &results.missing {
        let _ = writeln!(
            text,
            "- {}: {}",
            missing.what,
            missing.why.lines().next().unwrap_or_default()
        );
    }
    text
}

/// `document` with the part between the marks replaced; nothing when it has no marks.
pub(crate) fn record(document: &str, markdown: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", markdown.trim()))
}

#[cfg(test)]
mod tests {
    use super::super::results::{Missing, tests::sample};
    use super::*;

    #[test]
    fn tables_say_what_was_measured_and_how_it_stands() {
        let text = markdown(&sample());
        assert!(
            text.contains("| DR | 1k | 1 | 10.00 | 20.00 | 0.50 | ≥ 0.6 / 0.74: missed | 230 | 115 | ≤ 35 / 25: missed |"),
            "{text}"
        );
        assert!(
            text.contains("| G6 | two workers | 1.95 | ≥ 1.94 / 1.98: must | quiet |"),
            "{text}"
        );
        assert!(text.contains("The machine was quiet"), "{text}");
    }

    #[test]
    fn a_case_that_was_too_noisy_is_not_judged() {
        let mut results = sample();
        results.rates[0].weir.spread = 0.5;
        let text = markdown(&results);
        assert!(text.contains("≥ 0.6 / 0.74: too noisy to say"), "{text}");
        assert!(
            text.contains("**The machine was too noisy to say anything in 1 of 2 cases**"),
            "{text}"
        );
    }

    #[test]
    fn what_is_missing_is_told() {
        let mut results = sample();
        results.missing.push(Missing {
            what: "10M flows".into(),
            why: "no memory\nand more".into(),
        });
        assert!(markdown(&results).contains("- 10M flows: no memory\n"));
    }

    #[test]
    fn recording_replaces_only_what_is_between_the_marks() {
        let document = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let recorded = record(&document, "new\n").expect("marks");
        assert_eq!(recorded, format!("a\n{BEGIN}\n\nnew\n\n{END}\nb\n"));
        assert_eq!(
            record(&recorded, "new"),
            Some(recorded.clone()),
            "as often as one likes"
        );
        assert_eq!(record("no marks", "new"), None);
    }
}
