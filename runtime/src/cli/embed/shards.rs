//! `embed --format parquet`: one file a shard, for jobs over very many scans.

use std::path::Path;
use std::str::FromStr;

use clap::ValueEnum;
use sha2::{Digest, Sha256};

use super::Embed;
use crate::cli::Tally;
use crate::error::Result;

/// What a folder of embeddings is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
}

/// Part `index` of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parsed {
            Some((index, count)) if index < count && count <= 1_000_000 => Ok(Shard { index, count }),
            _ => Err("expected I/N with 0 <= I < N, say 0/8 to 7/8".into()),
        }
    }
}

#[cfg_attr(not(any(feature = "parquet", test)), expect(dead_code, reason = "what a lean build only parses"))]
impl Shard {
    /// Whether `path` belongs to this part: by its hash, so that films which arrive while the jobs run change no other
    /// film's part.
    fn holds(self, path: &Path) -> bool {
        let hash = Sha256::digest(path.as_os_str().as_encoded_bytes());
        let first = hash.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        first % u64::from(self.count) == u64::from(self.index)
    }

    #[cfg(feature = "parquet")]
    fn file_name(self) -> String {
        format!("part-{:05}-of-{:05}.parquet", self.index, self.count)
    }
}

#[cfg(not(feature = "parquet"))]
pub(super) fn run(_: &Embed) -> Result<Tally> {
    use crate::error::{Error, ErrorKind};
    Err(Error::new(ErrorKind::Usage, "this binary was built without Parquet")
        .hint("build it with --features parquet, or write .npy or .safetensors"))
}

#[cfg(feature = "parquet")]
pub(super) fn run(embed: &Embed) -> Result<Tally> {
    use crate::cli::options::progress;
    use crate::error::{Error, ErrorKind};
    use crate::output::parquet::{Row, Writer, written};
    use crate::output::write;
    use crate::scan;

    let (loaded, preprocessing) = embed.load()?;
    let engine = &loaded.engine;
    std::fs::create_dir_all(&embed.out).map_err(|e| Error::io(&embed.out, e))?;
    let path = embed.out.join(embed.shard.file_name());
    let about = [
        ("rad_dino.model_sha256", engine.sha256().to_string()),
        ("rad_dino.model", loaded.name.clone()),
        ("rad_dino.tokens", format!("{:?}", embed.tokens).to_lowercase()),
        ("rad_dino.shard", format!("{}/{}", embed.shard.index, embed.shard.count)),
    ];
    if path.exists() {
        let there = written(&path)?;
        if let Some((name, value)) = about.iter().find(|(name, value)| there.get(*name) != Some(value)) {
            let message = format!("{}: is there already, with another {name} than {value}", path.display());
            return Err(Error::new(ErrorKind::Usage, message).hint("name another --out, or remove the old shards"));
        }
        if !embed.common.quiet {
            eprintln!("{}: is there already", path.display());
        }
        return Ok(Tally { done: 1, failed: 0 });
    }
    let scans: Vec<_> = scan::collect(&embed.scans)?.into_iter().filter(|path| embed.shard.holds(path)).collect();
    let shape = embed.shape(engine, scans.len());
    let limits = embed.options.options();
    let bar = progress(scans.len(), embed.common.quiet);
    let mut tally = Tally::default();
    let mut broken = None;
    let result = write::atomic(&path, |out| {
        let mut writer = Writer::new(shape.iter().skip(1).product(), &about)?;
        for path in &scans {
            let mut row = Row { path: path.to_string_lossy().into_owned(), ..Row::default() };
            match embed.row(engine, &preprocessing, path, &limits) {
                Ok((sha256, embedding)) => {
                    tally.done += 1;
                    row.sha256 = Some(sha256);
                    row.embedding = Some(embedding);
                }
                Err(error) if error.kind() == ErrorKind::Internal => {
                    let message = error.to_string();
                    broken = Some(error);
                    return Err(std::io::Error::other(message));
                }
                Err(error) => {
                    tally.failed += 1;
                    bar.suspend(|| eprintln!("error: {error}"));
                    row.error = Some(format!("{}: {}", error.kind().as_str(), error.message()));
                }
            }
            writer.push(row, out)?;
            bar.inc(1);
        }
        writer.finish(out)
    });
    bar.finish_and_clear();
    match broken {
        Some(error) => Err(error),
        None => result.map(|()| tally),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_parsed() {
        assert_eq!("7/8".parse(), Ok(Shard { index: 7, count: 8 }));
        for bad in ["8/8", "-1/8", "1", "/", "0/0", "1/2/3", "a/b", "0/99999999"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }

    #[test]
    fn each_path_is_in_one_part_and_parts_are_alike_in_size() {
        let paths: Vec<_> = (0..4_000).map(|i| format!("films/{i}.png")).collect();
        let held = |index| paths.iter().filter(|path| Shard { index, count: 8 }.holds(Path::new(path))).count();
        let counts: Vec<usize> = (0..8).map(held).collect();
        assert_eq!(counts.iter().sum::<usize>(), paths.len());
        assert!(counts.iter().all(|n| (400..600).contains(n)), "{counts:?}");
    }
}
