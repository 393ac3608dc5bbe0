//! `rad-dino-train phantom`.

use std::path::PathBuf;

use clap::Args;
use rad_dino_edge::{Error, ErrorKind, Result};
use rayon::prelude::*;

use super::Tally;
use super::options::Common;
use crate::data::Manifest;
use crate::data::phantom;

/// Makes synthetic radiographs with labels, masks, attributes and reports.
#[derive(Debug, Args)]
pub struct Phantom {
    /// Folder to write: manifest.csv, images, masks, masks_anatomy, masks_pathology.
    #[arg(long, value_name = "DIR", required_unless_present = "demo")]
    out: Option<PathBuf>,
    /// How many films.
    #[arg(long, value_name = "N", default_value_t = 100)]
    count: usize,
    /// The same seed makes the same films; a larger --count adds films and changes none.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Side in pixels.
    #[arg(long, value_name = "S", default_value_t = 512)]
    size: usize,
    /// Write only the picture of one film with every attribute chosen for showing, to this file.
    #[arg(long, value_name = "PNG", conflicts_with_all = ["out", "count"])]
    demo: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

impl Phantom {
    pub(super) fn run(self) -> Result<Tally> {
        self.common.start()?;
        if !(64..=4096).contains(&self.size) {
            return Err(Error::new(ErrorKind::Usage, format!("{} pixels is no side for a film", self.size))
                .hint("use --size from 64 to 4096"));
        }
        if let Some(path) = &self.demo {
            let film = phantom::demo(self.seed, self.size);
            crate::files::write_grey(path, &film.rendered.pixels, film.side)?;
            return Ok(Tally { done: 1, failed: 0 });
        }
        let Some(out) = &self.out else {
            return Err(Error::new(ErrorKind::Usage, "--out is missing"));
        };
        let rows = (0..self.count)
            .into_par_iter()
            .map(|index| phantom::film(self.seed, index as u64, self.size).write(out, index))
            .collect::<Result<Vec<_>>>()?;
        let manifest = Manifest { folder: out.clone(), other_columns: Vec::new(), rows };
        manifest.write(&out.join("manifest.csv"))?;
        self.common.note(&format!("{} films in {}", self.count, out.display()));
        Ok(Tally { done: self.count, failed: 0 })
    }
}
