//! Tables for people.

use crate::output::{Span, Style};

/// Where the text of a column begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    /// For numbers.
    Right,
}

/// A table with aligned columns.
pub(crate) struct Table {
    align: Vec<Align>,
    rows: Vec<Vec<Span>>,
}

impl Table {
    /// A table with these titles.
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        let titles = columns.iter().map(|(title, _)| Span::new(Style::Title, *title)).collect();
        Self { align: columns.iter().map(|(_, align)| *align).collect(), rows: vec![titles] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Span>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines, the titles first.
    pub(crate) fn lines(&self) -> Vec<Vec<Span>> {
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(Span::width).max();
        let widths: Vec<usize> = (0..self.align.len()).map(|column| width(column).unwrap_or(0)).collect();
        self.rows.iter().map(|row| self.line(row, &widths)).collect()
    }

    fn line(&self, row: &[Span], widths: &[usize]) -> Vec<Span> {
        let mut line = Vec::new();
        for (index, (cell, align)) in row.iter().zip(&self.align).enumerate() {
            let space = " ".repeat(widths[index].saturating_sub(cell.width()));
            let is_last = index + 1 == row.len();
            if index > 0 {
                line.push("  ".into());
            }
            match align {
                Align::Left if is_last => line.push(cell.clone()),
                Align::Left => line.extend([cell.clone(), space.into()]),
                Align::Right => line.extend([space.into(), cell.clone()]),
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_space_at_their_end() {
        let mut table =
            Table::new(&[("error", Align::Left), ("count", Align::Right), ("cause", Align::Left)]);
        table.row(["ConnectFailed".into(), "12".into(), "refused".into()]);
        table.row([Span::new(Style::Bad, "x"), "3".into(), "a\nb".into()]);
        let text = |line: &Vec<Span>| line.iter().map(|span| span.text.as_str()).collect::<String>();
        let lines: Vec<String> = table.lines().iter().map(text).collect();
        assert_eq!(
            lines,
            ["error          count  cause", "ConnectFailed     12  refused", "x                  3  a\nb"]
        );
    }
}
