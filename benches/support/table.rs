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
