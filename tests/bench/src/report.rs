//! The report: tables for people, and a JSON file for programs.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::stats::{Samples, Summary};

/// The aim of a measurement. The report says whether it is met.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Aim {
    /// There is no aim; the figure is for information.
    Know,
    /// At most `percent` percent and at most `by` more than the other side.
    More {
        /// In percent of the other side.
        percent: f64,
        /// In the unit of the measurement.
        by: f64,
    },
    /// At most this much more than the other side, in the unit of the measurement.
    Added(f64),
    /// At most this value, in the unit of the measurement.
    Below(f64),
    /// A rate of at least `percent` percent of the other side's.
    Rate {
        /// In percent of the other side.
        percent: f64,
    },
}

/// One measurement. One process can hand it to another as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measurement {
    /// What was measured.
    pub name: String,
    /// The unit of the values.
    pub unit: Cow<'static, str>,
    /// The values of the other side. `None` if there is nothing to compare with.
    pub bare: Option<Samples>,
    /// The values of the worker.
    pub worker: Samples,
    /// The aim.
    pub aim: Aim,
}

/// A measurement, compared and judged.
struct Judged {
    bare: Option<Summary>,
    worker: Summary,
    ratio: Option<f64>,
    difference: Option<f64>,
    verdict: &'static str,
}

impl Measurement {
    /// A measurement of two sides.
    pub fn pair(
        name: impl Into<String>,
        unit: &'static str,
        bare: Samples,
        worker: Samples,
        aim: Aim,
    ) -> Self {
        let bare = Some(bare);
        Self { bare, ..Self::single(name, unit, worker, aim) }
    }

    /// A measurement of the worker alone.
    pub fn single(name: impl Into<String>, unit: &'static str, worker: Samples, aim: Aim) -> Self {
        Self { name: name.into(), unit: unit.into(), bare: None, worker, aim }
    }

    fn judge(&self) -> Option<Judged> {
        let worker = self.worker.summary()?;
        let compare = |combine: fn(f64, f64) -> f64| {
            let bare = self.bare.as_ref()?;
            bare.over_pairs(&self.worker, combine)
        };
        let ratio = compare(|bare, worker| worker / bare);
        let difference = compare(|bare, worker| worker - bare);
        let met = match (self.aim, ratio, difference) {
            (Aim::Below(most), ..) => Some(worker.median <= most),
            (Aim::Added(most), _, Some(difference)) => Some(difference <= most),
            (Aim::More { percent, by }, Some(ratio), Some(difference)) => {
                Some(ratio <= 1.0 + percent / 100.0 && difference <= by)
            }
            (Aim::Rate { percent }, Some(ratio), _) => Some(ratio >= percent / 100.0),
            _ => None,
        };
        let verdict = match met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        Some(Judged {
            bare: self.bare.as_ref().and_then(Samples::summary),
            worker,
            ratio,
            difference,
            verdict,
        })
    }

    fn aim_text(&self) -> String {
        let unit = &self.unit;
        match self.aim {
            Aim::Know => String::new(),
            Aim::More { percent, by } => format!("at most {percent} % and {by} {unit} more"),
            Aim::Added(most) => format!("at most {most} {unit} more"),
            Aim::Below(most) => format!("at most {most} {unit}"),
            Aim::Rate { percent } => format!("at least {percent} %"),
        }
    }

    fn json(&self, section: &str) -> Option<Value> {
        let judged = self.judge()?;
        Some(json!({
            "section": section,
            "name": self.name,
            "unit": self.unit,
            "bare": judged.bare,
            "worker": judged.worker,
            "bare_samples": self.bare.as_ref().map(Samples::values),
            "worker_samples": self.worker.values(),
            "ratio": judged.ratio,
            "difference": judged.difference,
            "aim": self.aim_text(),
            "verdict": judged.verdict,
        }))
    }
}

const HEAD: [&str; 11] = [
    "measurement",
    "side",
    "n",
    "median",
    "min",
    "p90",
    "p99",
    "ratio",
    "difference",
    "aim",
    "verdict",
];
/// The columns that hold words and are aligned to the left. All others hold numbers.
const LEFT: [usize; 4] = [0, 1, 9, 10];

/// The measurements of one section as an aligned table.
pub fn table(measurements: &[Measurement]) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    for measurement in measurements {
        let Some(judged) = measurement.judge() else {
            continue;
        };
        let mut name = format!("{} ({})", measurement.name, measurement.unit);
        if let Some(bare) = &judged.bare {
            let row = [String::new(), String::new(), String::new(), String::new()];
            rows.push(cells(std::mem::take(&mut name), "bare", bare, row));
        }
        let compared = [
            judged.ratio.map(|r| format!("{r:.3}")).unwrap_or_default(),
            judged.difference.map(signed).unwrap_or_default(),
            measurement.aim_text(),
            judged.verdict.to_owned(),
        ];
        rows.push(cells(name, "worker", &judged.worker, compared));
    }
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|c| rows.iter().map(|row| row[c].chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (c, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let wrote = if LEFT.contains(&c) {
                write!(line, "{cell:<width$}  ")
            } else {
                write!(line, "{cell:>width$}  ")
            };
            wrote.expect("a String takes everything");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// All sections as JSON.
pub fn json(sections: &[(&str, Vec<Measurement>)]) -> Value {
    sections.iter().flat_map(|(name, list)| list.iter().filter_map(|m| m.json(name))).collect()
}

fn cells(name: String, side: &str, of: &Summary, compared: [String; 4]) -> [String; 11] {
    let [ratio, difference, aim, verdict] = compared;
    let count = of.count.to_string();
    let [median, min, p90, p99] = [of.median, of.min, of.p90, of.p99].map(number);
    let side = side.to_owned();
    [name, side, count, median, min, p90, p99, ratio, difference, aim, verdict]
}

/// Formats a value with three significant digits or so.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 1000.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

fn signed(value: f64) -> String {
    let text = number(value);
    if value > 0.0 { format!("+{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(bare: f64, worker: f64, aim: Aim) -> Measurement {
        let one = |value| Samples::from_iter([value]);
        Measurement::pair("x", "ms", one(bare), one(worker), aim)
    }

    #[test]
    fn an_aim_of_percent_and_amount_means_both() {
        let aim = Aim::More { percent: 5.0, by: 50.0 };
        let verdict = |bare, worker| pair(bare, worker, aim).judge().unwrap().verdict;
        assert_eq!(verdict(1000.0, 1040.0), "met");
        assert_eq!(verdict(500.0, 540.0), "MISSED");
        assert_eq!(verdict(5000.0, 5060.0), "MISSED");
        assert_eq!(verdict(1000.0, 900.0), "met");
    }

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        let text = table(&[pair(1.0, 2000.0, Aim::Added(5.0)), pair(10.0, 9.5, Aim::Know)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5);
        assert!(lines.iter().all(|line| *line == line.trim_end()));
        assert!(lines[2].ends_with("+1999  at most 5 ms more  MISSED"), "{text}");
        let at = |line: &str| line.find("bare").or_else(|| line.find("worker"));
        assert_eq!(at(lines[1]), at(lines[2]));
    }
}
