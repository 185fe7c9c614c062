//! Standard output. Whoever reads it may have seen enough and closed it (`smgeo demo | head`), which `println!` would panic at: here it is
//! an error like any other, and the one that the program ends quietly on.

use std::fmt::{self, Display};
use std::io::{self, ErrorKind, Write};

use indicatif::{ProgressBar, ProgressStyle};

/// What shells report of a program that writes to a closed pipe: 128 and the number of SIGPIPE.
pub const EXIT_CLOSED: u8 = 141;

/// Standard output cannot be written to.
#[derive(Debug)]
pub struct OutputError(io::Error);

impl Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("standard output cannot be written to; look at where it goes")
    }
}

impl std::error::Error for OutputError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Writes a line, as `println!` does.
macro_rules! say {
    ($($format:tt)*) => {
        $crate::output::write(format_args!("{}\n", format_args!($($format)*)))
    };
}
pub(crate) use say;

/// Writes a text that ends its lines itself.
pub fn write(text: impl Display) -> Result<(), OutputError> {
    let mut out = io::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush()).map_err(OutputError)
}

/// A progress bar on standard error that counts these things; its length may be set later.
pub fn bar(things: &str, length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template(&format!("{{bar:40}} {{pos}}/{{len}} {things} {{msg}} {{eta}}"))
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length as u64).with_style(style)
}

/// Whether an error says that nobody reads the output any more.
pub fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<OutputError>().is_some_and(|error| error.0.kind() == ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn only_a_closed_output_ends_the_program_quietly() {
        let failed = |kind| Err::<(), _>(OutputError(kind)).context("writing the report").unwrap_err();
        assert!(is_closed(&failed(ErrorKind::BrokenPipe.into())));
        assert!(!is_closed(&failed(ErrorKind::StorageFull.into())));
        let elsewhere = Err::<(), _>(io::Error::from(ErrorKind::BrokenPipe)).context("asking a server").unwrap_err();
        assert!(!is_closed(&elsewhere));
    }
}
