//! Tables for people: aligned columns, or Markdown.

/// A table of text cells.
#[derive(Debug)]
pub(crate) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: &[&str]) -> Self {
        Self { header: header.iter().map(ToString::to_string).collect(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The whole table as text, the first column to the left and the others to the right.
    pub(crate) fn render(&self, markdown: bool) -> String {
        let lines = || std::iter::once(&self.header).chain(&self.rows);
        let width = |column: usize| {
            lines().map(|cells| cells.get(column).map_or(0, |c| c.chars().count())).max()
        };
        let widths: Vec<usize> = (0..self.header.len()).filter_map(width).collect();
        let mut text = String::new();
        for (index, cells) in lines().enumerate() {
            let padded = cells.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
                if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            let padded: Vec<String> = padded.collect();
            if markdown {
                text.push_str(&format!("| {} |\n", padded.join(" | ")));
                if index == 0 {
                    let rule = |(column, &width): (usize, &usize)| match column {
                        0 => "-".repeat(width),
                        _ => format!("{}:", "-".repeat(width.saturating_sub(1))),
                    };
                    let rules: Vec<String> = widths.iter().enumerate().map(rule).collect();
                    text.push_str(&format!("| {} |\n", rules.join(" | ")));
                }
            } else {
                text.push_str(padded.join("  ").trim_end());
                text.push('\n');
            }
        }
        text
    }
}

/// The middle value; the mean of the two middle ones when there is no single one. 0 for none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// A time given in microseconds, in the unit that reads best.
pub(crate) fn time(microseconds: f64) -> String {
    match microseconds {
        t if t < 1e3 => format!("{t:.0} µs"),
        t if t < 1e6 => format!("{:.2} ms", t / 1e3),
        t => format!("{:.2} s", t / 1e6),
    }
}

/// `a` as a multiple of `b`, or a dash where there is nothing to compare with.
pub(crate) fn ratio(a: f64, b: Option<f64>) -> String {
    match b {
        Some(b) if b > 0.0 => format!("{:.2}x", a / b),
        _ => "-".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median([]).abs() < 1e-9);
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["server", "µs"]);
        table.row(vec!["a".into(), "100".into()]);
        assert_eq!(table.render(false), "server   µs\na       100\n");
        assert_eq!(table.render(true), "| server |  µs |\n| ------ | --: |\n| a      | 100 |\n");
    }
}
