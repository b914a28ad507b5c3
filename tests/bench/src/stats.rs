//! Samples, and the figures that are computed from them.

use serde::{Deserialize, Serialize};

/// Measured values of one thing, in the order in which they were measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Samples(Vec<f64>);

/// The figures that are reported.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// The number of samples.
    pub count: usize,
    /// The median.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
}

impl Samples {
    /// Adds a sample.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Adds several samples.
    pub fn extend(&mut self, values: impl IntoIterator<Item = f64>) {
        self.0.extend(values);
    }

    /// All samples, in the order in which they were measured.
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// The figures. `None` without samples.
    pub fn summary(&self) -> Option<Summary> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        Some(Summary {
            count: sorted.len(),
            median: median(&sorted)?,
            min: *sorted.first()?,
            p90: percentile(&sorted, 90)?,
            p99: percentile(&sorted, 99)?,
        })
    }

    /// Combines each pair of samples that were measured one after the other, and returns the median
    /// of the results. If the numbers of samples differ, combines the two medians.
    pub fn over_pairs(&self, other: &Self, combine: impl Fn(f64, f64) -> f64) -> Option<f64> {
        if self.0.len() != other.0.len() {
            return Some(combine(self.summary()?.median, other.summary()?.median));
        }
        let mut pairs: Vec<f64> =
            self.0.iter().zip(&other.0).map(|(a, b)| combine(*a, *b)).collect();
        pairs.sort_by(f64::total_cmp);
        median(&pairs)
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(*sorted.get(middle.checked_sub(1)?)?, upper))
}

/// The smallest value that `percent` percent of the samples do not exceed.
fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_of_sorted_values() {
        let summary = Samples::from_iter([3.0, 1.0, 2.0, 4.0]).summary().unwrap();
        assert_eq!((summary.count, summary.min), (4, 1.0));
        assert_eq!((summary.median, summary.p90), (2.5, 4.0));
        let hundred: Samples = (1..=100).map(f64::from).collect();
        let summary = hundred.summary().unwrap();
        assert_eq!((summary.p90, summary.p99), (90.0, 99.0));
        assert_eq!(Samples::default().summary(), None);
    }

    #[test]
    fn pairs_are_compared_before_they_are_summarised() {
        // A change in the machine's speed is in both samples of a pair, so it cancels out.
        let bare = Samples::from_iter([10.0, 20.0, 90.0]);
        let worker = Samples::from_iter([11.0, 22.0, 91.0]);
        assert_eq!(bare.over_pairs(&worker, |a, b| b - a), Some(1.0));
        let alone = Samples::from_iter([25.0]);
        assert_eq!(bare.over_pairs(&alone, |a, b| b - a), Some(5.0));
    }
}
