//! Apache Parquet files of embeddings: columns path, sha256, embedding (a list of fixed size) and error.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch, StringArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnPath;

use crate::error::{Error, ErrorKind, Result};

/// A row group's embeddings, bytes: what a writer holds in memory, and what a reader can skip.
const GROUP_BYTES: usize = 16 << 20;

/// One scan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// As given.
    pub path: String,
    /// Of the file; None when the scan failed.
    pub sha256: Option<String>,
    /// f32 [width]; None when the scan failed.
    pub embedding: Option<Vec<f32>>,
    /// Kind and message, when it failed.
    pub error: Option<String>,
}

/// Writes row groups as they fill.
#[derive(Debug)]
pub struct Writer {
    width: usize,
    schema: SchemaRef,
    writer: ArrowWriter<Pipe>,
    pipe: Pipe,
    rows: Vec<Row>,
}

/// What the Parquet writer, which must own its target, has written and nobody has fetched yet.
#[derive(Clone, Debug, Default)]
struct Pipe(Arc<Mutex<Vec<u8>>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Pipe {
    fn drain(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(&bytes)?;
        bytes.clear();
        Ok(())
    }
}

impl Writer {
    /// For embeddings of `width` values; `about` goes into the file's key-value metadata.
    ///
    /// # Errors
    /// Those of the Parquet writer.
    pub fn new(width: usize, about: &[(&str, String)]) -> io::Result<Self> {
        let size = i32::try_from(width).map_err(io::Error::other)?;
        let schema = Arc::new(Schema::new(vec![
            Field::new("path", DataType::Utf8, false),
            Field::new("sha256", DataType::Utf8, true),
            Field::new("embedding", DataType::FixedSizeList(element(), size), true),
            Field::new("error", DataType::Utf8, true),
        ]));
        let about = about.iter().map(|(key, value)| KeyValue::new((*key).to_string(), value.clone())).collect();
        let values = ColumnPath::from("embedding.list.element");
        let properties = WriterProperties::builder()
            .set_created_by(concat!("rad-dino-edge ", env!("CARGO_PKG_VERSION")).to_string())
            .set_key_value_metadata(Some(about))
            // Floats of an encoder repeat never: a dictionary and minima would only cost.
            .set_column_dictionary_enabled(values.clone(), false)
            .set_column_statistics_enabled(values, EnabledStatistics::None)
            .build();
        let pipe = Pipe::default();
        let writer = ArrowWriter::try_new(pipe.clone(), schema.clone(), Some(properties)).map_err(io::Error::other)?;
        Ok(Writer { width, schema, writer, pipe, rows: vec![] })
    }

    /// Adds a row, and writes a row group to `out` when one is full.
    ///
    /// # Errors
    /// Those of `out` and of the Parquet writer.
    pub fn push(&mut self, row: Row, out: &mut dyn Write) -> io::Result<()> {
        self.rows.push(row);
        if self.rows.len().saturating_mul(self.width.max(1) * 4) >= GROUP_BYTES {
            self.group()?;
            self.pipe.drain(out)?;
        }
        Ok(())
    }

    /// Writes what is left, and the footer.
    ///
    /// # Errors
    /// As [`Writer::push`].
    pub fn finish(mut self, out: &mut dyn Write) -> io::Result<()> {
        self.group()?;
        self.writer.close().map_err(io::Error::other)?;
        self.pipe.drain(out)
    }

    fn group(&mut self) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        let mut values = Vec::with_capacity(rows.len() * self.width);
        for row in &rows {
            match &row.embedding {
                Some(embedding) if embedding.len() == self.width => values.extend_from_slice(embedding),
                Some(embedding) => {
                    return Err(io::Error::other(format!("{} values instead of {}", embedding.len(), self.width)));
                }
                None => values.resize(values.len() + self.width, 0.0),
            }
        }
        let there: NullBuffer = rows.iter().map(|row| row.embedding.is_some()).collect::<Vec<_>>().into();
        let size = i32::try_from(self.width).map_err(io::Error::other)?;
        let values = Arc::new(Float32Array::from(values));
        let embedding = FixedSizeListArray::try_new(element(), size, values, Some(there)).map_err(io::Error::other)?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.path))),
            Arc::new(StringArray::from_iter(rows.iter().map(|row| row.sha256.as_ref()))),
            Arc::new(embedding),
            Arc::new(StringArray::from_iter(rows.iter().map(|row| row.error.as_ref()))),
        ];
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(io::Error::other)?;
        self.writer.write(&batch).map_err(io::Error::other)?;
        self.writer.flush().map_err(io::Error::other)
    }
}

fn element() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Float32, false))
}

/// The key-value metadata of the file at `path`.
///
/// # Errors
/// `Io` when it cannot be read, `Malformed` when it is no Parquet file.
pub fn written(path: &Path) -> Result<BTreeMap<String, String>> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let reader = SerializedFileReader::new(file).map_err(|e| {
        Error::new(ErrorKind::Malformed, format!("{}: not a whole Parquet file: {e}", path.display()))
            .hint("remove it and run this shard again")
    })?;
    let pairs = reader.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
    Ok(pairs.into_iter().filter_map(|pair| Some((pair.key, pair.value?))).collect())
}
