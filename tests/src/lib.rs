//! What the tests share: the binaries under test, the reference data, the radiographs beside the repository.

pub mod heads;
pub mod mutate;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// tests/reference/data.
pub fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/data")
}

/// The folder with real radiographs and weights: `RDE_SHARED`, else `../shared` beside the repository. Prints why a test
/// is skipped when it is not there.
pub fn shared() -> Option<PathBuf> {
    let folder = std::env::var_os("RDE_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    if folder.join("data").is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no real radiographs at {} (set RDE_SHARED)", folder.display());
    None
}

/// The binary `name` of this workspace, built when it is not up to date.
///
/// # Panics
/// When it cannot be built.
pub fn binary(name: &str) -> PathBuf {
    static BUILT: Mutex<Vec<(String, PathBuf)>> = Mutex::new(vec![]);
    let mut built = BUILT.lock().expect("no other test panicked while building");
    if let Some((_, path)) = built.iter().find(|(known, _)| known == name) {
        return path.clone();
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        // The whole workspace: the same features as `cargo test --workspace`, so that no dependency is built twice.
        .args(["build", "--quiet", "--locked", "--workspace", "--bins", "--message-format=json"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8_lossy(&output.stdout);
    let messages = stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let executables = messages.filter_map(|m| m["executable"].as_str().map(PathBuf::from));
    let mut executables = executables.filter(|path| path.file_stem().is_some_and(|stem| stem == name));
    let path = executables.next();
    let path = path.expect("cargo names the executable");
    built.push((name.into(), path.clone()));
    path
}

/// Runs `name` with `args`.
///
/// # Panics
/// When it cannot be started.
pub fn run(name: &str, args: &[&str]) -> Output {
    Command::new(binary(name)).args(args).env_remove("RDE_ISA").output().expect("the binary starts")
}

/// The exit code.
///
/// # Panics
/// When a signal ended the program.
pub fn code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

/// stdout's lines as JSON objects.
///
/// # Panics
/// When a line is not JSON.
pub fn json_lines(output: &Output) -> Vec<serde_json::Value> {
    let stdout = std::str::from_utf8(&output.stdout).expect("UTF-8");
    stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// cos(a, b)
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// max |a − b|
pub fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Name, shape and f32 values of every f32 tensor in a safetensors file.
///
/// # Panics
/// When the file cannot be read.
pub fn tensors(path: &Path) -> std::collections::BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = std::fs::read(path).expect("readable");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    let tensors = file.iter().filter(|(_, t)| t.dtype() == safetensors::Dtype::F32);
    tensors
        .map(|(name, t)| {
            let values = t.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            (name.to_string(), (t.shape().to_vec(), values))
        })
        .collect()
}
