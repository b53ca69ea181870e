//! What is made of the slices: the minimum, and whether the machine was quiet enough to believe it.
//!
//! Every sample is a time per packet: disturbance only ever adds to it, so that the smallest is the nearest to the truth.
//! It is believed when it was not alone: the quarter of the slices that are fastest must lie close together. A slice in which
//! a worker had to wait for its CPU is set aside; when there are many of those, nothing is believed.

use serde::Serialize;

/// Above this distance of the lower quartile from the minimum a figure is noisy.
const NOISY: f64 = 0.05;
/// Above this one nothing can be said.
const HOPELESS: f64 = 0.15;

/// Samples of one competitor, lower is better.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Samples {
    values: Vec<f64>,
    /// Of slices in which others had the CPU as well.
    disturbed: Vec<f64>,
}

impl From<Vec<f64>> for Samples {
    fn from(values: Vec<f64>) -> Self {
        Self {
            values,
            disturbed: Vec::new(),
        }
    }
}

/// How far a figure can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The fastest quarter of the slices lies within 5 %.
    Quiet,
    /// Within 15 %.
    Noisy,
    /// Further apart.
    TooNoisy,
}

impl Verdict {
    /// From a spread.
    pub(crate) fn of(spread: f64) -> Self {
        match spread {
            spread if spread <= NOISY => Self::Quiet,
            spread if spread <= HOPELESS => Self::Noisy,
            _ => Self::TooNoisy,
        }
    }

    /// For tables.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Noisy => "noisy",
            Self::TooNoisy => "too noisy to say",
        }
    }
}

impl Samples {
    /// One more, of a slice that others disturbed or not.
    pub(crate) fn push(&mut self, value: f64, is_disturbed: bool) {
        match is_disturbed {
            false => self.values.push(value),
            true => self.disturbed.push(value),
        }
    }

    /// The undisturbed ones, or what there is.
    fn usable(&self) -> &[f64] {
        match self.values.is_empty() {
            false => &self.values,
            true => &self.disturbed,
        }
    }

    /// How many there are, disturbed ones included.
    pub(crate) fn len(&self) -> usize {
        self.values.len() + self.disturbed.len()
    }

    /// The smallest. Infinite without samples.
    pub(crate) fn min(&self) -> f64 {
        self.usable().iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The largest. 0 without samples.
    pub(crate) fn max(&self) -> f64 {
        self.usable().iter().copied().fold(0.0, f64::max)
    }

    /// The value that `share` of the samples do not exceed.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let mut sorted = self.usable().to_vec();
        sorted.sort_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil() as usize;
        let at = rank.clamp(1, sorted.len().max(1)) - 1;
        sorted.get(at).copied().unwrap_or(f64::INFINITY)
    }

    /// The mean of this share of the samples, the largest; of one at least.
    pub(crate) fn mean_of_largest(&self, share: f64) -> f64 {
        let mut sorted = self.usable().to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let count = ((share * sorted.len() as f64).ceil() as usize).max(1);
        sorted.iter().take(count).sum::<f64>() / count as f64
    }

    /// Every other one, and the rest.
    pub(crate) fn halves(&self) -> [Self; 2] {
        [0, 1].map(|first| {
            Self::from(
                self.usable()
                    .iter()
                    .copied()
                    .skip(first)
                    .step_by(2)
                    .collect::<Vec<_>>(),
            )
        })
    }

    /// Distance of the lower quartile from the minimum, as a share of it. Infinite when less than a quarter of the slices was
    /// undisturbed.
    pub(crate) fn spread(&self) -> f64 {
        if self.values.is_empty() || self.values.len() * 4 < self.len() {
            return f64::INFINITY;
        }
        self.percentile(0.25) / self.min() - 1.0
    }

    /// Whether the minimum can be believed.
    pub(crate) fn verdict(&self) -> Verdict {
        Verdict::of(self.spread())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_is_believed_when_a_quarter_of_the_slices_comes_near_it() {
        let mut values = vec![10.0, 10.1, 10.2, 10.3, 10.4];
        values.extend([40.0; 15]);
        let samples = Samples::from(values);
        assert_eq!(samples.min(), 10.0);
        assert_eq!(samples.verdict(), Verdict::Quiet, "spread {}", samples.spread());
    }

    #[test]
    fn one_lucky_slice_is_not_believed() {
        let mut values = vec![10.0];
        values.extend([14.0; 19]);
        assert_eq!(Samples::from(values).verdict(), Verdict::TooNoisy);
    }

    #[test]
    fn between_them_it_is_noisy() {
        let values: Vec<f64> = (0..20).map(|i| 10.0 + 0.2 * f64::from(i)).collect();
        assert_eq!(Samples::from(values).verdict(), Verdict::Noisy);
    }

    #[test]
    fn percentiles_are_samples() {
        let samples = Samples::from(vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!(samples.percentile(0.25), 1.0);
        assert_eq!(samples.percentile(0.5), 2.0);
        assert_eq!(samples.percentile(0.99), 4.0);
        assert_eq!(samples.max(), 4.0);
    }

    #[test]
    fn disturbed_slices_are_set_aside_and_many_of_them_spoil_the_figure() {
        let mut samples = Samples::from(vec![10.0; 5]);
        for _ in 0..15 {
            samples.push(5.0, true);
        }
        assert_eq!((samples.min(), samples.len()), (10.0, 20));
        assert_eq!(samples.verdict(), Verdict::Quiet);
        samples.push(5.0, true);
        assert_eq!(samples.verdict(), Verdict::TooNoisy);
    }

    #[test]
    fn without_samples_nothing_is_claimed() {
        assert_eq!(Samples::default().verdict(), Verdict::TooNoisy);
        assert!(Samples::default().min().is_infinite());
    }
}
