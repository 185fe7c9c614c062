//! Measures cases in turn and writes tables.

use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

use crate::arguments::Arguments;

const BEGIN: &str = "<!-- engine tables: written by `make bench` -->";
const END: &str = "<!-- end of the engine tables -->";

/// Times of one case, ms, sorted.
#[derive(Clone, Debug, Default)]
pub struct Times(pub Vec<f64>);

impl Times {
    /// The median.
    pub fn median(&self) -> f64 {
        self.at(0.5)
    }

    fn at(&self, part: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * part).round() as usize]
    }

    /// Median and quartiles for a table.
    pub fn shown(&self) -> String {
        format!("{} ({}–{})", digits(self.median()), digits(self.at(0.25)), digits(self.at(0.75)))
    }
}

/// Three significant digits.
pub fn digits(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// One thing to be timed.
pub type Work<'a> = Box<dyn FnMut() -> Result<(), Box<dyn Error>> + 'a>;

/// Times each work once a round, after one run that is not counted: shapes change between them, and a backend that sees a
/// new shape plans anew.
pub fn in_turn(works: &mut [Work], rounds: usize) -> Result<Vec<Times>, Box<dyn Error>> {
    let mut times = vec![Times::default(); works.len()];
    for _ in 0..rounds {
        for (work, times) in works.iter_mut().zip(&mut times) {
            work()?;
            let started = Instant::now();
            work()?;
            times.0.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.iter_mut().for_each(|times| times.0.sort_by(f64::total_cmp));
    Ok(times)
}

/// The page under construction. It is written after each table, so that a run that is stopped leaves what it has.
pub struct Report {
    text: String,
    page: Option<PathBuf>,
}

impl Report {
    /// Begins with what was measured on.
    pub fn begin(arguments: &Arguments) -> Report {
        let mut report = Report { text: String::new(), page: arguments.write.clone() };
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("an unknown processor");
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let (threads, rounds) = (arguments.threads, arguments.rounds);
        report.line(&format!(
            "{cpu}, {cores} cores, load {} at the start; {threads} threads, {rounds} rounds. Times are ms: median (quartiles).",
            load()
        ));
        report
    }

    /// A heading.
    pub fn heading(&mut self, heading: &str) {
        println!("\n{heading}");
        let _ = write!(self.text, "\n### {heading}\n\n");
    }

    /// A paragraph.
    pub fn line(&mut self, line: &str) {
        println!("{line}");
        let _ = writeln!(self.text, "{line}");
    }

    /// A table.
    pub fn table(&mut self, columns: &[&str], rows: &[Vec<String>]) -> Result<(), Box<dyn Error>> {
        self.line(&format!("| {} |", columns.join(" | ")));
        self.line(&format!("|{}", "---|".repeat(columns.len())));
        rows.iter().for_each(|row| self.line(&format!("| {} |", row.join(" | "))));
        self.save()
    }

    /// Ends with what else the machine did.
    pub fn end(mut self) -> Result<(), Box<dyn Error>> {
        self.line(&format!("\nLoad {} at the end.", load()));
        self.save()
    }

    /// Puts the text between the marks of its page.
    fn save(&self) -> Result<(), Box<dyn Error>> {
        let Some(page) = &self.page else { return Ok(()) };
        let old = std::fs::read_to_string(page)?;
        let (before, rest) = old.split_once(BEGIN).ok_or("the page has no mark where the tables begin")?;
        let (_, after) = rest.split_once(END).ok_or("the page has no mark where the tables end")?;
        std::fs::write(page, format!("{before}{BEGIN}\n\n{}\n{END}{after}", self.text))?;
        Ok(())
    }
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}
