//! What is printed: Markdown tables, notes, and how the bars were met.

/// A table and what must be said about it.
pub(crate) struct Report {
    pub(crate) title: String,
    pub(crate) tables: Vec<Table>,
    pub(crate) notes: Vec<String>,
    pub(crate) bars: Vec<Bar>,
}

impl Report {
    pub(crate) fn new(title: &str) -> Self {
        Self { title: title.to_owned(), tables: Vec::new(), notes: Vec::new(), bars: Vec::new() }
    }

    /// Says where this runs, in its notes.
    pub(crate) fn machine(title: &str) -> std::io::Result<Self> {
        let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
        let model =
            cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let load = std::fs::read_to_string("/proc/loadavg")?;
        let cores = std::thread::available_parallelism()?;
        let mut report = Self::new(title);
        report.notes = vec![
            format!("{cores} x {}", model.trim_matches([' ', '\t', ':'])),
            format!("Linux {}, load {}", kernel.trim(), load.trim()),
        ];
        Ok(report)
    }

    pub(crate) fn print(&self) {
        println!("\n## {}\n", self.title);
        for table in &self.tables {
            table.print();
        }
        for note in &self.notes {
            println!("- {note}");
        }
    }
}

/// Columns and rows.
pub(crate) struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[&'static str]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn print(&self) {
        println!("| {} |", self.columns.join(" | "));
        println!("|{}", "---|".repeat(self.columns.len()));
        for row in &self.rows {
            println!("| {} |", row.join(" | "));
        }
        println!();
    }
}

/// A number that the project promised.
pub(crate) struct Bar {
    what: String,
    bound: String,
    measured: String,
    pub(crate) met: bool,
}

impl Bar {
    pub(crate) fn at_most(what: &str, measured: f64, bound: f64, unit: &str) -> Self {
        Self::new(what, ("≤", bound), measured, unit, measured <= bound)
    }

    pub(crate) fn at_least(what: &str, measured: f64, bound: f64, unit: &str) -> Self {
        Self::new(what, ("≥", bound), measured, unit, measured >= bound)
    }

    fn new(what: &str, bound: (&str, f64), measured: f64, unit: &str, met: bool) -> Self {
        let (sign, bound) = bound;
        Self {
            what: what.to_owned(),
            bound: format!("{sign} {} {unit}", number(bound)),
            measured: format!("{} {unit}", number(measured)),
            met,
        }
    }
}

/// Prints all bars.
pub(crate) fn print_bars(bars: &[Bar]) {
    println!("\n## Bars\n");
    let mut table = Table::new(&["bar", "bound", "measured", "met"]);
    for bar in bars {
        let met = if bar.met { "yes" } else { "NO" };
        table.add([bar.what.clone(), bar.bound.clone(), bar.measured.clone(), met.to_owned()]);
    }
    table.print();
}

/// Three digits that matter.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        v if v.fract() < 1e-9 || v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// The middle value, or the mean of the two in the middle; zero of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// The value below which `percent` of the values lie; zero of none.
pub(crate) fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = values.len().saturating_sub(1) * percent / 100;
    values.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_found_in_any_order() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median([]).abs() < 1e-9);
    }

    #[test]
    fn a_bar_is_met_up_to_its_bound() {
        assert!(Bar::at_most("", 0.6, 0.6, "s").met && !Bar::at_most("", 0.61, 0.6, "s").met);
        assert!(Bar::at_least("", 60.0, 60.0, "").met && !Bar::at_least("", 59.0, 60.0, "").met);
    }
}
