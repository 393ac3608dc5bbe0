//! Options that several subcommands share.

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::path::PathBuf;

use crate::scan::{Limits, Options, Voi};

/// Common to all.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// No progress and no notes on stderr.
    #[arg(long)]
    pub quiet: bool,
    /// Threads; 0 = one per core. Results do not depend on it.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
}

/// Which model.
#[derive(Clone, Debug, Args)]
pub struct ModelChoice {
    /// Model file; without it the embedded model.
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
}

/// Limits on scans, checked before anything is allocated.
#[derive(Clone, Debug, Args)]
pub struct ScanLimits {
    /// Largest file, MB.
    #[arg(long, value_name = "MB", default_value_t = 256)]
    pub max_file_mb: u64,
    /// Longest side, pixels.
    #[arg(long, value_name = "PIXELS", default_value_t = 20_000)]
    pub max_side: u32,
    /// Largest decoded picture, MB.
    #[arg(long, value_name = "MB", default_value_t = 512)]
    pub max_decoded_mb: u64,
}

impl ScanLimits {
    /// As the reader takes them.
    pub fn limits(&self) -> Limits {
        let bytes = |mb: u64| mb.saturating_mul(1_000_000);
        Limits {
            max_file_bytes: bytes(self.max_file_mb),
            max_side: self.max_side,
            max_decoded_bytes: bytes(self.max_decoded_mb),
        }
    }
}

/// How scans are read.
#[derive(Clone, Debug, Args)]
pub struct ScanOptions {
    #[command(flatten)]
    limits: ScanLimits,
    /// Grey levels of DICOM: none = from the picture's own minimum and maximum, as the model was trained; first = the
    /// file's first VOI LUT, else its first window, where it has one.
    #[arg(long, value_enum, default_value_t)]
    voi: VoiChoice,
    /// Read DICOM that is refused otherwise: the first frame of several, 8-bit colour as it is, grey where the
    /// photometric interpretation is missing or unknown.
    #[arg(long)]
    force_photometric: bool,
}

/// [`Voi`] on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum VoiChoice {
    /// Minimum and maximum.
    #[default]
    None,
    /// The file's first.
    First,
}

impl ScanOptions {
    /// As the reader takes them.
    pub fn options(&self) -> Options {
        let voi = match self.voi {
            VoiChoice::None => Voi::None,
            VoiChoice::First => Voi::First,
        };
        Options { limits: self.limits.limits(), voi, force_photometric: self.force_photometric }
    }
}

/// For a person or for a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a person.
    #[default]
    Text,
    /// For a program.
    Json,
}

/// A progress bar on stderr, hidden when that is no terminal or with --quiet.
pub fn progress(total: usize, quiet: bool) -> ProgressBar {
    let bar = ProgressBar::new(total as u64);
    if quiet || total < 2 || !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} scans, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    bar
}
