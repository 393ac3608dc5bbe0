//! metrics.jsonl and watch.jsonl: one object a line, in the order of the steps.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use rad_dino_edge::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::files;

/// One step, after it was taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// From 0.
    pub step: usize,
    /// What is minimised.
    pub loss: f64,
    /// Local crops against global ones.
    pub loss_dino_local: f64,
    /// Global crops against each other.
    pub loss_dino_global: f64,
    /// Masked patches.
    pub loss_ibot: f64,
    /// Both crops' KoLeo terms, unweighted.
    pub loss_koleo: f64,
    /// Encoder's learning rate, before multipliers.
    pub lr: f64,
    /// Films a second.
    pub images_per_second: f64,
    /// Heads' learning rate.
    pub lr_heads: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Momentum of the moving average.
    pub momentum: f64,
    /// τ of the teacher.
    pub teacher_temperature: f64,
    /// Entropy of the CLS targets, nats; ln K = they say nothing.
    pub target_entropy: f64,
    /// 1 − ‖mean unit CLS‖²: 0 = all films look the same.
    pub spread: f64,
    /// Gradient norm of the encoder before clipping.
    pub grad_norm: f64,
    /// Gradient norm of the CLS head before clipping.
    pub grad_norm_head: f64,
    /// Seconds this step waited for the loader.
    pub wait_seconds: f64,
    /// Seconds the step took, waiting included.
    pub step_seconds: f64,
    /// Films left out so far.
    pub skipped: usize,
}

/// A line of a log.
pub trait Line: Serialize + DeserializeOwned {
    /// Steps that were done when it was written.
    fn done(&self) -> usize;
}

impl Line for Record {
    fn done(&self) -> usize {
        self.step + 1
    }
}

/// The open file.
#[derive(Debug)]
pub struct Log<T> {
    path: PathBuf,
    file: File,
    lines: PhantomData<T>,
}

impl<T: Line> Log<T> {
    /// Opens `path` for appending after `done` steps; later lines, of a run that went on after its last save, are
    /// removed.
    ///
    /// # Errors
    /// `Io` naming the file.
    pub fn open(path: &Path, done: usize) -> Result<Self> {
        let old = if done > 0 { text_of(path)? } else { String::new() };
        // lines are kept as they are: reading and writing a number again may change its last digit
        let before = |line: &&str| serde_json::from_str::<T>(line).is_ok_and(|line| line.done() <= done);
        let text: String = old.lines().filter(before).flat_map(|line| [line, "\n"]).collect();
        files::write(path, text.as_bytes())?;
        let file = OpenOptions::new().append(true).open(path).map_err(|e| Error::io(path, e))?;
        Ok(Log { path: path.to_owned(), file, lines: PhantomData })
    }

    /// Appends one line.
    ///
    /// # Errors
    /// `Io` naming the file.
    pub fn push(&mut self, record: &T) -> Result<()> {
        self.file.write_all(line(record).as_bytes()).map_err(|e| Error::io(&self.path, e))
    }
}

/// All whole lines of `path`; none when it is absent.
///
/// # Errors
/// `Io` naming the file.
pub fn read<T: Line>(path: &Path) -> Result<Vec<T>> {
    Ok(text_of(path)?.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

fn text_of(path: &Path) -> Result<String> {
    match std::fs::read_to_string(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        text => text.map_err(|e| Error::io(path, e)),
    }
}

fn line<T: Line>(record: &T) -> String {
    let mut line = serde_json::to_string(record).unwrap_or_default();
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resuming_drops_what_came_after_the_save_and_half_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let record = |step| Record { step, loss: step as f64, ..Record::default() };
        let mut log = Log::<Record>::open(&path, 0).unwrap();
        (0..5).for_each(|step| log.push(&record(step)).unwrap());
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"step\":5,\"lo").unwrap();
        let mut log = Log::<Record>::open(&path, 3).unwrap();
        log.push(&record(3)).unwrap();
        let steps: Vec<usize> = read::<Record>(&path).unwrap().iter().map(|r| r.step).collect();
        assert_eq!(steps, [0, 1, 2, 3]);
        drop(Log::<Record>::open(&path, 0).unwrap());
        assert!(read::<Record>(&path).unwrap().is_empty());
    }
}
