//! The teacher's features of fixed views, with the views themselves, in one mapped file.
//!
//! A header of 64 bytes ([`MAGIC`], the key, then side, D, P and the number of records as u32), then one record a view:
//! grey levels u8 [S, S]; CLS f16 [D]; patch tokens f16 [P, D]. Little-endian. While it is being filled the file is
//! `<name>.part`; what it holds of whole records is not computed again.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use half::f16;
use rad_dino_edge::{Error, ErrorKind, Result};
use rad_dino_kernels::map::MappedFile;

/// The first 8 bytes.
pub const MAGIC: &[u8; 8] = b"RDVIEW01";
const HEADER: usize = 64;

/// Sizes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// S, pixels.
    pub side: usize,
    /// D
    pub dim: usize,
    /// P
    pub patches: usize,
    /// Records in all.
    pub count: usize,
}

impl Layout {
    /// Bytes a record.
    pub fn record(&self) -> usize {
        self.side * self.side + 2 * self.dim * (1 + self.patches)
    }

    fn header(&self, key: &[u8; 32]) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(MAGIC);
        header[8..40].copy_from_slice(key);
        for (at, value) in [self.side, self.dim, self.patches, self.count].into_iter().enumerate() {
            header[40 + 4 * at..44 + 4 * at].copy_from_slice(&(value as u32).to_le_bytes());
        }
        header
    }
}

/// One view.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Grey levels [S, S].
    pub grey: Vec<u8>,
    /// CLS [D], then patch tokens [P, D].
    pub tokens: Vec<f32>,
}

/// A whole file, mapped.
#[derive(Debug)]
pub struct Views {
    map: MappedFile,
    /// Its sizes.
    pub layout: Layout,
}

impl Views {
    /// The file at `path` if it is whole and of this key and layout.
    ///
    /// # Errors
    /// `Io` when it is there and cannot be mapped.
    pub fn open(path: &Path, key: &[u8; 32], layout: Layout) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let map = MappedFile::open(path).map_err(|e| Error::io(path, e))?;
        let whole = map.len() == HEADER + layout.count * layout.record() && map.starts_with(&layout.header(key));
        Ok(whole.then_some(Views { map, layout }))
    }

    /// Records.
    pub fn len(&self) -> usize {
        self.layout.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.layout.count == 0
    }

    /// The i-th record.
    ///
    /// # Errors
    /// `Internal` when there is no such record.
    pub fn get(&self, i: usize) -> Result<View> {
        let size = self.layout.record();
        let record = self.map.get(HEADER + i * size..HEADER + (i + 1) * size);
        let record = record.ok_or_else(|| Error::new(ErrorKind::Internal, format!("no view {i}")))?;
        let (grey, tokens) = record.split_at(self.layout.side * self.layout.side);
        let tokens = tokens.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect();
        Ok(View { grey: grey.to_vec(), tokens })
    }
}

/// A file that is being filled.
#[derive(Debug)]
pub struct Filling {
    path: PathBuf,
    part: PathBuf,
    file: BufWriter<File>,
    layout: Layout,
    /// Records it holds.
    pub done: usize,
}

impl Filling {
    /// Goes on with `<path>.part` if it is of this key and layout, else starts it.
    ///
    /// # Errors
    /// `Io` naming the file.
    pub fn open(path: &Path, key: &[u8; 32], layout: Layout) -> Result<Self> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let io = |e| Error::io(&part, e);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        }
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&part).map_err(io)?;
        let header = layout.header(key);
        let mut found = [0; HEADER];
        let same = file.read_exact(&mut found).is_ok() && found == header;
        let length = file.metadata().map_err(io)?.len() as usize;
        let done = if same { ((length - HEADER) / layout.record()).min(layout.count) } else { 0 };
        file.set_len(if same { (HEADER + done * layout.record()) as u64 } else { 0 }).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        if !same {
            file.write_all(&header).map_err(io)?;
        }
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok(Filling { path: path.to_owned(), part, file, layout, done })
    }

    /// Appends a record.
    ///
    /// # Errors
    /// `Io` naming the file; `Internal` for a view of other sizes; `Data` when a token is not finite.
    pub fn push(&mut self, view: &View) -> Result<()> {
        let Layout { side, dim, patches, .. } = self.layout;
        if view.grey.len() != side * side || view.tokens.len() != (1 + patches) * dim {
            return Err(Error::new(ErrorKind::Internal, "a view of other sizes than the file's"));
        }
        if !view.tokens.iter().all(|v| v.is_finite()) {
            return Err(Error::new(ErrorKind::Data, "the teacher's features are not finite")
                .hint("its weights may be damaged; check the folder with rad-dino-train evaluate"));
        }
        let mut record = view.grey.clone();
        record.reserve(2 * view.tokens.len());
        let limit = f16::MAX.to_f32();
        record.extend(view.tokens.iter().flat_map(|v| f16::from_f32(v.clamp(-limit, limit)).to_le_bytes()));
        self.file.write_all(&record).map_err(|e| Error::io(&self.part, e))?;
        self.done += 1;
        Ok(())
    }

    /// Gives the whole file its name.
    ///
    /// # Errors
    /// `Io` naming the file; `Internal` when records are missing.
    pub fn finish(self) -> Result<()> {
        if self.done != self.layout.count {
            return Err(Error::new(ErrorKind::Internal, format!("{} of {} views", self.done, self.layout.count)));
        }
        let io = |e| Error::io(&self.part, e);
        let file = self.file.into_inner().map_err(|e| io(e.into_error()))?;
        file.sync_all().map_err(io)?;
        std::fs::rename(&self.part, &self.path).map_err(|e| Error::io(&self.path, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout { side: 3, dim: 2, patches: 2, count: 4 };

    fn view(i: usize) -> View {
        View { grey: vec![i as u8; 9], tokens: (0..6).map(|k| (i * 10 + k) as f32 / 4.0).collect() }
    }

    #[test]
    fn filling_goes_on_after_the_last_whole_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache/a.views");
        let mut filling = Filling::open(&path, &[7; 32], LAYOUT).unwrap();
        (0..2).for_each(|i| filling.push(&view(i)).unwrap());
        assert!(filling.finish().is_err(), "records are missing");
        let part = dir.path().join("cache/a.views.part");
        OpenOptions::new().append(true).open(&part).unwrap().write_all(b"half a record").unwrap();
        assert!(Views::open(&path, &[7; 32], LAYOUT).unwrap().is_none());
        let mut filling = Filling::open(&path, &[7; 32], LAYOUT).unwrap();
        assert_eq!(filling.done, 2);
        (2..4).for_each(|i| filling.push(&view(i)).unwrap());
        filling.finish().unwrap();
        let views = Views::open(&path, &[7; 32], LAYOUT).unwrap().unwrap();
        assert!((0..4).all(|i| views.get(i).unwrap() == view(i)));
        assert!(views.get(4).is_err());
        assert!(Views::open(&path, &[8; 32], LAYOUT).unwrap().is_none(), "another teacher");
        assert!(Views::open(&path, &[7; 32], Layout { dim: 1, ..LAYOUT }).unwrap().is_none());
    }

    #[test]
    fn a_part_of_another_teacher_is_started_anew_and_nonsense_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.views");
        let mut filling = Filling::open(&path, &[7; 32], LAYOUT).unwrap();
        filling.push(&view(0)).unwrap();
        drop(filling);
        let mut filling = Filling::open(&path, &[9; 32], LAYOUT).unwrap();
        assert_eq!(filling.done, 0);
        let odd = View { tokens: vec![f32::NAN; 6], ..view(0) };
        assert_eq!(filling.push(&odd).unwrap_err().kind(), ErrorKind::Data);
        assert!(filling.push(&View { grey: vec![0; 3], ..view(0) }).is_err());
    }
}
