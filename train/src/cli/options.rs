//! Options that several subcommands share.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
pub use rad_dino_edge::cli::ScanLimits;
use rad_dino_edge::{Error, ErrorKind, Result};

use crate::data::Dataset;
use crate::features::{FeatureSource, extract};
use crate::linalg::Matrix;

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

impl Common {
    /// Sizes the thread pool of everything but the engine, which has its own.
    ///
    /// # Errors
    /// When the threads cannot be started.
    pub fn start(&self) -> Result<()> {
        if self.threads > 1024 {
            let message = format!("{} threads are too many", self.threads);
            return Err(Error::new(ErrorKind::Usage, message).hint("use --threads ≤ 1024"));
        }
        rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .build_global()
            .map_err(|e| Error::new(ErrorKind::Internal, "no threads can be started").source(e))
    }

    /// Says something on stderr, unless quiet.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }
}

/// Which of the features heads may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FeatureChoice {
    /// CLS alone.
    Cls,
    /// CLS and the mean of the patch tokens.
    #[default]
    #[value(name = "cls_mean", alias = "cls-mean")]
    ClsMean,
}

impl FeatureChoice {
    /// As columns of the features of an encoder of width `dim`.
    pub fn columns(self, dim: usize) -> crate::probe::Columns {
        match self {
            FeatureChoice::Cls => crate::probe::Columns::cls(dim),
            FeatureChoice::ClsMean => crate::probe::Columns::cls_mean(dim),
        }
    }
}

/// Where burn computes.
#[cfg(feature = "burn")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DeviceChoice {
    /// burn's own CPU backend.
    #[default]
    Cpu,
    /// An NVIDIA GPU (feature `cuda`).
    Cuda,
    /// LibTorch on the CPU (feature `tch`).
    TorchCpu,
}

#[cfg(feature = "burn")]
impl From<DeviceChoice> for crate::pretrain::device::Device {
    fn from(choice: DeviceChoice) -> Self {
        match choice {
            DeviceChoice::Cpu => Self::Cpu,
            DeviceChoice::Cuda => Self::Cuda,
            DeviceChoice::TorchCpu => Self::TorchCpu,
        }
    }
}

/// Films that have features: the dataset without those that failed, and the features [films, width].
pub struct Featured {
    /// The films left.
    pub dataset: Dataset,
    /// One row a film.
    pub features: Matrix,
    /// How many films failed.
    pub failed: usize,
}

/// Computes (or takes from the cache) the features of all films of `dataset`. Films that fail are named on stderr and
/// left out.
///
/// # Errors
/// When the encoder fails or no film is left.
pub fn featured(
    source: &dyn FeatureSource,
    dataset: &Dataset,
    cache: &Path,
    label: &str,
    quiet: bool,
) -> Result<Featured> {
    let films: Vec<PathBuf> = dataset.films.iter().map(|film| film.path.clone()).collect();
    let extracted = extract(source, &films, cache, label, quiet)?;
    super::complain(extracted.failed.iter().map(|(i, error)| (films[*i].as_path(), error)));
    if extracted.kept.is_empty() {
        return Err(Error::new(ErrorKind::Data, "none of the films could be read").hint("check --data"));
    }
    let mut kept = vec![false; films.len()];
    extracted.kept.iter().for_each(|&i| kept[i] = true);
    let mut dataset = dataset.clone();
    let mut at = kept.into_iter();
    dataset.retain(|_| at.next().unwrap_or(false));
    Ok(Featured { dataset, features: extracted.features, failed: extracted.failed.len() })
}
