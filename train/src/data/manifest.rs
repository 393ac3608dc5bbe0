//! manifest.csv: reader and writer (UTF-8, RFC 4180 quoting).
//!
//! Only `file` is required; every other column is found by its header, columns of other names are kept.

use std::path::{Path, PathBuf};

use rad_dino_edge::{Error, ErrorKind, Result};

use super::row::{Row, Sex, Split, View};
use crate::files;

/// The columns this crate understands, in the order in which they are written.
pub const COLUMNS: [&str; 16] = [
    "file",
    "source",
    "source_id",
    "patient_id",
    "split",
    "view",
    "sex",
    "age",
    "findings",
    "report",
    "mask",
    "licence",
    "source_url",
    "mask_anatomy",
    "mask_pathology",
    "report_kind",
];

/// The explicit label of a film without findings; it gets no head of its own.
pub const NO_FINDING: &str = "no_finding";

/// A manifest: films of one folder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// The folder the paths are relative to.
    pub folder: PathBuf,
    /// Names of further columns, kept and ignored.
    pub other_columns: Vec<String>,
    /// The films.
    pub rows: Vec<Row>,
}

impl Manifest {
    /// Reads `path`. [`ErrorKind::Data`] names the line of the first bad row.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        let mut manifest = Manifest::parse(&bytes).map_err(|e| e.at(path.display()))?;
        manifest.folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let source = default_source(path);
        for row in &mut manifest.rows {
            if row.source.is_empty() {
                row.source.clone_from(&source);
            }
        }
        Ok(manifest)
    }

    /// Parses the bytes of a csv; `folder` is left empty.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = csv::ReaderBuilder::new().from_reader(bytes);
        let header = reader.headers().map_err(csv_error)?.clone();
        let columns = Columns::of(&header)?;
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(csv_error)?;
            let line = record.position().map_or(0, csv::Position::line);
            rows.push(columns.row(&record).map_err(|e| e.at(format_args!("line {line}")))?);
        }
        Ok(Manifest { folder: PathBuf::new(), other_columns: columns.other_names, rows })
    }

    /// The csv's bytes.
    pub fn to_csv(&self) -> Result<Vec<u8>> {
        let internal = |e: csv::Error| Error::new(ErrorKind::Internal, format!("writing csv: {e}"));
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(Vec::new());
        let header = COLUMNS.iter().copied().chain(self.other_columns.iter().map(String::as_str));
        writer.write_record(header).map_err(internal)?;
        for row in &self.rows {
            writer.write_record(fields(row)).map_err(internal)?;
        }
        writer.into_inner().map_err(|e| Error::new(ErrorKind::Internal, format!("writing csv: {e}")))
    }

    /// Writes the csv to `path`.
    pub fn write(&self, path: &Path) -> Result<()> {
        files::write(path, &self.to_csv()?)
    }
}

/// Films whose csv names no source are those of its folder.
fn default_source(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = absolute.parent().and_then(Path::file_name);
    folder.map_or_else(|| "unknown".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn csv_error(error: csv::Error) -> Error {
    let line = error.position().map_or(0, csv::Position::line);
    let what = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields where the header has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
        _ => error.to_string(),
    };
    Error::new(ErrorKind::Data, format!("line {line}: {what}")).hint("quote fields that hold commas or line breaks")
}

/// Where the header puts which column.
struct Columns {
    known: [Option<usize>; COLUMNS.len()],
    other: Vec<usize>,
    other_names: Vec<String>,
}

impl Columns {
    fn of(header: &csv::StringRecord) -> Result<Self> {
        let mut columns = Columns { known: [None; COLUMNS.len()], other: Vec::new(), other_names: Vec::new() };
        for (at, name) in header.iter().enumerate() {
            let name = name.trim();
            let slot = COLUMNS.iter().position(|c| c.eq_ignore_ascii_case(name));
            let twice = match slot {
                Some(slot) => columns.known[slot].replace(at).is_some(),
                None => columns.other_names.iter().any(|n| n == name),
            };
            if twice {
                return Err(Error::new(ErrorKind::Data, format!("line 1: column {name:?} is there twice"))
                    .hint("give every column its own name"));
            }
            if slot.is_none() {
                columns.other.push(at);
                columns.other_names.push(name.to_owned());
            }
        }
        if columns.known[0].is_none() {
            return Err(Error::new(ErrorKind::Data, "line 1: there is no column `file`")
                .hint("the first line names the columns; `rad-dino-train manifest DIR` makes a manifest of a folder"));
        }
        Ok(columns)
    }

    fn row(&self, record: &csv::StringRecord) -> Result<Row> {
        let get = |name: &str| {
            let slot = COLUMNS.iter().position(|c| *c == name)?;
            let value = record.get(self.known[slot]?)?.trim();
            (!value.is_empty() && !value.eq_ignore_ascii_case("unknown")).then_some(value)
        };
        let text = |name: &str| get(name).unwrap_or_default().to_owned();
        let file = text("file");
        if file.is_empty() {
            return Err(Error::new(ErrorKind::Data, "`file` is empty").hint("name the film, or leave the row out"));
        }
        Ok(Row {
            source: text("source"),
            source_id: text("source_id"),
            patient_id: get("patient_id").unwrap_or(&file).to_owned(),
            split: get("split").map(|w| Split::parse(&w.to_ascii_lowercase())).transpose()?,
            view: get("view").and_then(View::parse),
            sex: get("sex").and_then(Sex::parse),
            age: get("age").map(age).transpose()?.flatten(),
            findings: get("findings").map(findings).filter(|f| !f.is_empty()),
            report: text("report"),
            mask: text("mask"),
            licence: text("licence"),
            source_url: text("source_url"),
            mask_anatomy: text("mask_anatomy"),
            mask_pathology: text("mask_pathology"),
            report_kind: text("report_kind"),
            other: self.other.iter().map(|at| record.get(*at).unwrap_or_default().to_owned()).collect(),
            file,
        })
    }
}

/// Years; None for an age given loosely, such as `50+` or `early 40s`, which is no age to learn from.
fn age(word: &str) -> Result<Option<f64>> {
    let decade = ["early ", "mid ", "late "].iter().find_map(|w| word.strip_prefix(w)?.strip_suffix('s'));
    let loose = word.strip_suffix('+').or(decade);
    match loose.unwrap_or(word).parse::<f64>() {
        Ok(age) if (0.0..=130.0).contains(&age) => Ok(loose.is_none().then_some(age)),
        _ => Err(Error::new(ErrorKind::Data, "`age` is no number of years from 0 to 130")
            .hint("leave the field empty where the age is unknown")),
    }
}

fn findings(field: &str) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for label in field.split(';').map(|l| l.trim().to_lowercase()) {
        if !label.is_empty() && label != "unknown" && !labels.contains(&label) {
            labels.push(label);
        }
    }
    labels
}

fn fields(row: &Row) -> Vec<String> {
    let mut fields = vec![
        row.file.clone(),
        row.source.clone(),
        row.source_id.clone(),
        row.patient_id.clone(),
        row.split.map_or_else(String::new, |s| s.as_str().to_owned()),
        row.view.map_or_else(String::new, |v| v.as_str().to_owned()),
        row.sex.map_or_else(String::new, |s| s.as_str().to_owned()),
        row.age.map_or_else(String::new, |a| a.to_string()),
        row.findings.as_ref().map_or_else(String::new, |f| f.join(";")),
        row.report.clone(),
        row.mask.clone(),
        row.licence.clone(),
        row.source_url.clone(),
        row.mask_anatomy.clone(),
        row.mask_pathology.clone(),
        row.report_kind.clone(),
    ];
    fields.extend(row.other.iter().cloned());
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_by_header_keeps_other_columns_and_writes_them_back() {
        let csv = "\u{feff}source,note,file,findings,age,sex,view,split\n\
                   A,\"a, b\",x.png,Pneumonia; edema,41.5,F,LATERAL,val\n\
                   A,,y.png,,,unknown,PA,\n";
        let manifest = Manifest::parse(csv.as_bytes()).unwrap();
        let (x, y) = (&manifest.rows[0], &manifest.rows[1]);
        assert_eq!(x.findings.as_deref(), Some(&["pneumonia".to_owned(), "edema".to_owned()][..]));
        assert_eq!((x.age, x.sex, x.view, x.split()), (Some(41.5), Some(Sex::Female), None, Split::Val));
        assert_eq!((y.findings.clone(), y.age, y.sex, y.view), (None, None, None, Some(View::Pa)));
        assert_eq!(y.patient_id, "y.png");
        assert_eq!(
            (manifest.other_columns.as_slice(), x.other.as_slice()),
            (&["note".into()][..], &["a, b".into()][..])
        );
        let again = Manifest::parse(&manifest.to_csv().unwrap()).unwrap();
        assert_eq!(again, manifest);
    }

    #[test]
    fn a_bad_row_is_named_by_its_line() {
        for (csv, needle) in [
            ("file,age\na.png,3\nb.png,old\n", "line 3: `age`"),
            ("file,split\na.png,dev\n", "line 2: split \"dev\""),
            ("file,age\na.png,3\nb.png\n", "line 3: 1 fields where the header has 2"),
            ("file,age\n,3\n", "line 2: `file` is empty"),
            ("file,report\na.png,\"two\nlines\"\nb.png,x,y\n", "line 4"),
            ("name,age\na.png,3\n", "no column `file`"),
            ("file,age,Age\na.png,3,4\n", "twice"),
        ] {
            let error = Manifest::parse(csv.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data);
            assert!(error.to_string().contains(needle), "{error}");
        }
        let error = Manifest::parse(b"file\na\xff.png\n").unwrap_err();
        assert!(error.to_string().contains("line 2: not UTF-8"), "{error}");
    }

    #[test]
    fn a_loose_age_is_unknown() {
        let manifest = Manifest::parse(b"file,age\na.png,50+\nb.png,early 40s\nc.png,50\n").unwrap();
        assert_eq!(manifest.rows.iter().map(|r| r.age).collect::<Vec<_>>(), [None, None, Some(50.0)]);
    }

    #[test]
    fn age_out_of_range_is_refused() {
        for word in ["-1", "131", "nan", "inf", "+", "x+", "early", "40s"] {
            assert!(Manifest::parse(format!("file,age\na.png,{word}\n").as_bytes()).is_err(), "{word}");
        }
    }
}
