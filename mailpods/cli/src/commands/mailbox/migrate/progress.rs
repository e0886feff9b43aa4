//! How far it is: a bar for each account on a terminal, a line for each folder elsewhere.
use std::io::IsTerminal as _;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::report::Counts;
use crate::output;

/// The progress of one account.
pub struct Progress {
    bar: ProgressBar,
    lines: bool,
}

impl Progress {
    /// Begins a bar below those of other accounts.
    pub fn begin(all: &MultiProgress, account: &str) -> Self {
        let bar = ProgressBar::new(0).with_message(account.to_owned());
        let style = ProgressStyle::with_template(
            "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        );
        let bar = match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        Self {
            bar: all.add(bar),
            lines: !std::io::stderr().is_terminal(),
        }
    }

    /// There is more to fetch.
    pub fn expect(&self, octets: u64) {
        self.bar.inc_length(octets);
    }

    /// Something has come.
    pub fn advance(&self, octets: u64) {
        self.bar.inc(octets);
    }

    /// A folder is done.
    pub fn folder_done(&self, counts: &Counts) {
        if self.lines {
            let text = format!(
                "{} {}: {} brought ({}), {} there already, {} left out",
                counts.account,
                counts.folder,
                counts.brought,
                output::octets(counts.octets),
                counts.present,
                counts.left_out
            );
            output::remark(&output::clean(&text));
        }
    }

    /// Something that people should know.
    pub fn remark(&self, text: &str) {
        let text = output::clean(text);
        self.bar.suspend(|| output::remark(&text));
    }

    /// All is done.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}
