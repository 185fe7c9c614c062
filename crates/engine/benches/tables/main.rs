//! The engine's numbers, measured side by side: `make bench` writes them into `docs/benchmarks.md`.
//!
//! All cases of a table are measured in turn, round after round, so that whatever else the machine does falls on all of them
//! alike; a number is the median over the rounds with its quartiles. What is quoted are ratios within one table.
//!
//! ```text
//! cargo bench --workspace --profile dev --bench tables -- [--package FOLDER]... [--beside NAME=FOLDER,NAME=FOLDER]...
//!     [--peers PYTHON [--paper FOLDER --reference FOLDER]] [--threads N] [--rounds N] [--write FILE]
//! ```

mod arguments;
mod cases;
mod growth;
mod memory;
mod peers;
mod report;
mod scene;

use arguments::Arguments;
use report::Report;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse()?;
    if let Some(case) = &arguments.memory_of {
        return memory::measure(case, &arguments);
    }
    let mut report = Report::begin(&arguments);
    for package in &arguments.packages {
        cases::measure(package, &arguments, &mut report)?;
    }
    peers::measure(&arguments, &mut report)?;
    for beside in &arguments.beside {
        cases::compare_encoders(beside, &arguments, &mut report)?;
    }
    growth::measure(&arguments.packages[0], &arguments, &mut report)?;
    memory::table(&arguments, &mut report)?;
    report.end()
}
