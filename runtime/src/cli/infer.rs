//! `infer`: findings, attributes, heat maps, masks.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{ArgGroup, Args};

use super::options::{Common, Format, ModelChoice, ScanOptions, progress};
use super::{Tally, json, model, print};
use crate::error::{Error, ErrorKind, Result};
use crate::output::json::{Answer, Failure};
#[cfg(feature = "dicom")]
use crate::output::{dicom, write};
use crate::output::{heatmap, mask, npy, text};
use crate::reader::{HeatmapOf, Reader, Reading, Wish};
use crate::scan::{self, Scan};

/// Findings, attributes and heat maps for scans (PNG, JPEG, DICOM; files or folders).
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("pictures").args(["heatmap", "dicom"]).multiple(true)))]
pub struct Infer {
    /// Scans or folders of scans.
    #[arg(required = true, value_name = "SCAN")]
    scans: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelChoice,
    /// text or json (one object a line and scan).
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write an overlay of the CLS token's attention; with several scans a folder.
    #[arg(long, value_name = "PNG")]
    heatmap: Option<PathBuf>,
    /// Draw the patches' evidence for this finding instead.
    #[arg(long, value_name = "LABEL", requires = "pictures")]
    heatmap_for: Option<String>,
    /// Write the CLS token, f32 [D]; with several scans a folder.
    #[arg(long, value_name = "NPY")]
    embedding: Option<PathBuf>,
    /// Write the mask (0 and 255, of the scan's own size); with several scans a folder. Of a model with several regions
    /// each gets its own file, its label before the extension. The sides of a long scan are looked at too, and
    /// area_fraction is then the mask's; without this option it is what the centre crop shows.
    #[arg(long, value_name = "PNG")]
    segmentation: Option<PathBuf>,
    /// Add a written report.
    #[arg(long)]
    report: bool,
    /// What words it: a decoder or a retrieval file of rad-dino-quantize [default: MODEL.report.onnx beside --model
    /// MODEL.onnx, else the embedded one; where there is none, fixed sentences over the probes].
    #[arg(long, value_name = "FILE")]
    decoder: Option<PathBuf>,
    /// Leave out sentences that the calibrated probes contradict; false keeps them, marked.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    report_grounded: bool,
    /// Write results of DICOM scans as DICOM objects of the same study into this folder: <stem>.sr.dcm (structured
    /// report), <stem>.sc.dcm (heat map), and <stem>.seg.dcm where the model draws masks. Adds a written report.
    #[arg(long, value_name = "DIR")]
    dicom: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    options: ScanOptions,
}

impl Infer {
    pub(super) fn run(&self) -> Result<Tally> {
        if let Some(folder) = &self.dicom {
            if cfg!(not(feature = "dicom")) {
                let error = Error::new(ErrorKind::Usage, "this binary was built without DICOM");
                return Err(error.hint("leave --dicom out, or build with the feature `dicom`"));
            }
            std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        }
        let reader = model::reader(&self.model, &self.common)?;
        let wish = self.wish(!reader.manifest().heads.segmentation.is_empty());
        if self.decoder.is_some() && !wish.report {
            return Err(Error::new(ErrorKind::Usage, "--decoder words a report").hint("add --report"));
        }
        let reader = match wish.report {
            true => model::writing(reader, self.decoder.as_deref(), &self.model, self.report_grounded)?,
            false => reader,
        };
        reader.check(&wish)?;
        let scans = scan::collect(&self.scans)?;
        let several = scans.len() > 1 || self.scans.iter().any(|path| path.is_dir());
        if several {
            for folder in [&self.heatmap, &self.embedding, &self.segmentation].into_iter().flatten() {
                std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
            }
        }
        let bar = progress(scans.len(), self.common.quiet);
        let mut tally = Tally::default();
        for path in &scans {
            match self.one(&reader, &wish, path, several) {
                Ok(answer) => {
                    tally.done += 1;
                    let line = match self.format {
                        Format::Json => json(&answer)?,
                        Format::Text => text::answer(&answer),
                    };
                    bar.suspend(|| print(&line))?;
                }
                Err(error) => {
                    tally.failed += 1;
                    bar.suspend(|| eprintln!("error: {error}"));
                    if self.format == Format::Json {
                        let failure = Failure::new(&path.to_string_lossy(), &error);
                        bar.suspend(|| json(&failure).and_then(|line| print(&line)))?;
                    }
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(tally)
    }

    /// DICOM objects are to hold all there is: a heat map, a report, and masks where the model `draws`.
    fn wish(&self, draws: bool) -> Wish {
        let of = self.heatmap_for.clone().map_or(HeatmapOf::Attention, HeatmapOf::Finding);
        let dicom = self.dicom.is_some();
        Wish {
            heatmap: (dicom || self.heatmap.is_some()).then_some(of),
            masks: self.segmentation.is_some() || dicom && draws,
            report: dicom || self.report,
            maps: false,
        }
    }

    fn one(&self, reader: &Reader, wish: &Wish, path: &Path, several: bool) -> Result<Answer> {
        let (clock, options) = (Instant::now(), self.options.options());
        let source = scan::bytes(path, &options.limits)?;
        let scan = options.decode(&source).map_err(|e| e.at(path.display()))?;
        let reading = reader.read(&path.to_string_lossy(), &scan, clock.elapsed(), wish)?;
        if let (Some(target), Some(picture)) = (&self.heatmap, &reading.heatmap) {
            heatmap::write(&place(target, path, "png", several), picture)?;
        }
        if let Some(target) = &self.embedding {
            npy::write(&place(target, path, "npy", several), &[reading.cls.len()], &reading.cls)?;
        }
        if let Some(target) = &self.segmentation {
            let target = place(target, path, "png", several);
            for (label, picture) in &reading.masks {
                let alone = reading.masks.len() == 1;
                mask::write(&if alone { target.clone() } else { of_label(&target, label) }, picture)?;
            }
        }
        if let Some(folder) = &self.dicom {
            self.write_objects(folder, path, &source, &scan, &reading)?;
        }
        Ok(reading.answer)
    }

    #[cfg(feature = "dicom")]
    fn write_objects(&self, folder: &Path, path: &Path, source: &[u8], scan: &Scan, reading: &Reading) -> Result<()> {
        if scan.format != scan::Format::Dicom {
            if !self.common.quiet {
                eprintln!("note: {}: no DICOM scan, so nothing is written for it into --dicom", path.display());
            }
            return Ok(());
        }
        for (suffix, bytes) in dicom::objects(source, scan, reading).map_err(|e| e.at(path.display()))? {
            write::atomic(&place(folder, path, &format!("{suffix}.dcm"), true), |out| out.write_all(&bytes))?;
        }
        Ok(())
    }

    #[cfg(not(feature = "dicom"))]
    fn write_objects(&self, _: &Path, _: &Path, _: &[u8], _: &Scan, _: &Reading) -> Result<()> {
        Ok(())
    }
}

/// `lungs.png` of the label `left` is `lungs.left.png`.
fn of_label(target: &Path, label: &str) -> PathBuf {
    let extension = target.extension().unwrap_or_else(|| "png".as_ref()).to_owned();
    target.with_extension("").with_added_extension(label).with_added_extension(extension)
}

/// With several scans, `<target>/<stem>.<extension>`; with one, the target itself.
fn place(target: &Path, scan: &Path, extension: &str, several: bool) -> PathBuf {
    if !several {
        return target.to_path_buf();
    }
    let stem = scan.file_stem().unwrap_or(scan.as_os_str());
    target.join(stem).with_added_extension(extension)
}
