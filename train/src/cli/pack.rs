//! `rad-dino-train pack`.

use std::path::PathBuf;

use clap::Args;
use rad_dino_edge::{Error, ErrorKind, Result, scan};

use super::options::{Common, ScanLimits};
use super::{Tally, complain};
use crate::data::augment::Film;
use crate::data::{Dataset, pack};

/// Packs the films of manifests into one file that `pretrain` maps: grey, 8 bit, with their splits.
#[derive(Debug, Args)]
pub struct Pack {
    /// Films; may be given several times.
    #[arg(long, value_name = "CSV", required = true)]
    data: Vec<PathBuf>,
    /// Larger films are shrunk until their shortest side is this, pixels.
    #[arg(long, value_name = "S", default_value_t = 256)]
    size: usize,
    /// File to write.
    #[arg(long, value_name = "PACK")]
    out: PathBuf,
    #[command(flatten)]
    limits: ScanLimits,
    #[command(flatten)]
    common: Common,
}

impl Pack {
    pub(super) fn run(self) -> Result<Tally> {
        if !(1..=16_384).contains(&self.size) {
            return Err(Error::new(ErrorKind::Usage, format!("--size {} is not 1 to 16384", self.size))
                .hint("256 is enough for crops of 224 pixels"));
        }
        self.common.start()?;
        let dataset = Dataset::read(&self.data)?;
        let limits = self.limits.limits();
        let films = dataset
            .films
            .iter()
            .map(|film| (scan::read(&film.path, &limits).map(|scan| Film::new(&scan)), film.row.split()));
        let mut failed = 0;
        let done = pack::write(&self.out, films, self.size, |error| {
            failed += 1;
            complain([(std::path::Path::new(""), &error)]);
        })?;
        self.common.note(&format!("{done} films: {}", self.out.display()));
        Ok(Tally { done, failed })
    }
}
