//! Logs: one JSON object a line on stderr, for journald and for people. What is logged names an object by its number in
//! the queue and its hash; file names and everything out of a DICOM data set, the patient's data with it, stay out.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::clock;
use crate::Error;

static QUIET: AtomicBool = AtomicBool::new(false);

/// A field of a line.
pub type Field<'a> = (&'a str, Value);

/// Errors and warnings alone from now on.
pub fn quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// Something went as it should.
pub fn info(event: &str, fields: &[Field]) {
    if !QUIET.load(Ordering::Relaxed) {
        write("info", event, fields);
    }
}

/// Something to look at, which the program deals with.
pub fn warn(event: &str, fields: &[Field]) {
    write("warn", event, fields);
}

/// Something failed.
pub fn error(event: &str, error: &Error, fields: &[Field]) {
    let mut all = vec![("kind", Value::from(error.kind().as_str())), ("message", Value::from(error.to_string()))];
    all.extend(fields.iter().cloned());
    write("error", event, &all);
}

fn write(level: &str, event: &str, fields: &[Field]) {
    let line = line(clock::now(), level, event, fields);
    // A closed stderr must not stop the service.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

fn line(time: i64, level: &str, event: &str, fields: &[Field]) -> String {
    let time = clock::rfc3339(time);
    let mut line = format!(r#"{{"time":"{time}","level":"{level}","event":"{event}""#);
    for (name, value) in fields {
        line.push_str(&format!(",\"{name}\":{value}"));
    }
    line.push_str("}\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_json_object_whatever_the_values_hold() {
        let line = line(0, "info", "associated", &[("peer", "A\"\n\u{1b}[31mB".into()), ("bytes", 7.into())]);
        assert_eq!(line.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["event"], &value["bytes"]), (&Value::from("associated"), &Value::from(7)));
        assert_eq!(value["peer"], "A\"\n\u{1b}[31mB");
        assert!(!line.contains('\u{1b}'));
    }
}
