//! DICOM on the command line: objects out, values of interest, what has to be forced, tags beside the estimates.

use std::path::{Path, PathBuf};

use rad_dino_tests::{code, json_lines, run, shared};

fn folder() -> Option<PathBuf> {
    Some(shared()?.join("data/dicom"))
}

fn edge(args: &[&str]) -> std::process::Output {
    run("rad-dino-edge", args)
}

fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn objects_are_written_for_dicom_alone_and_the_same_twice() {
    let Some(folder) = folder() else { return };
    let film = folder.join("chest_RG1quarter_mono1_15bit_implicitLE.dcm");
    let film = film.to_string_lossy();
    let png = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/demo.png");
    let png = png.to_string_lossy();
    let out = tempfile::tempdir().expect("a folder");
    let targets = [out.path().join("new/one"), out.path().join("two")];
    for (target, threads) in targets.iter().zip(["1", "2"]) {
        let target = target.to_string_lossy();
        let output = edge(&["infer", &film, &png, "--dicom", &target, "--format", "json", "--threads", threads]);
        assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stderr).contains("demo.png: no DICOM scan"));
        let answers = json_lines(&output);
        assert_eq!((answers.len(), &answers[0]["input"]["tags"]["view_position"]), (2, &"PA".into()));
        assert!(answers[1]["input"].get("tags").is_none());
    }
    let stem = "chest_RG1quarter_mono1_15bit_implicitLE";
    assert_eq!(names(&targets[0]), ["sc", "seg", "sr"].map(|suffix| format!("{stem}.{suffix}.dcm")));
    for name in names(&targets[0]) {
        let read = |target: &PathBuf| std::fs::read(target.join(&name)).expect("an object");
        assert!(read(&targets[0]) == read(&targets[1]), "{name} differs");
    }
}

#[test]
fn colour_must_be_forced_and_the_hint_says_how() {
    let Some(folder) = folder() else { return };
    let film = folder.join("odd_SC_rgb_rle_2frame.dcm");
    let film = film.to_string_lossy();
    let refused = edge(&["infer", &film, "--format", "json"]);
    assert_eq!(code(&refused), 4);
    let error = &json_lines(&refused)[0]["error"];
    assert_eq!(error["kind"], "unsupported_format");
    assert!(error["message"].as_str().expect("words").contains("--force-photometric"));
    let forced = edge(&["infer", &film, "--format", "json", "--force-photometric"]);
    assert_eq!(code(&forced), 0);
    assert_eq!(json_lines(&forced)[0]["input"]["width"], 100);
}

#[test]
fn the_window_changes_what_the_model_sees() {
    let Some(folder) = folder() else { return };
    let out = tempfile::tempdir().expect("a folder");
    let embedding = |film: &str, voi: &[&str]| {
        let target = out.path().join("cls.npy");
        let film = folder.join(film);
        let (film, path) = (film.to_string_lossy(), target.to_string_lossy());
        let output = edge(&[&["embed", &film, "--out", &path], voi].concat());
        assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(&target).expect("written")
    };
    let windowed = "chest_RG1quarter_mono2_15bit_window_J2Klossless.dcm";
    assert!(embedding(windowed, &[]) == embedding(windowed, &["--voi", "none"]));
    assert!(embedding(windowed, &[]) != embedding(windowed, &["--voi", "first"]));
    // A file without any window is read as ever.
    let plain = "chest_RG1quarter_mono1_15bit_explicitLE.dcm";
    assert!(embedding(plain, &["--voi", "none"]) == embedding(plain, &["--voi", "first"]));
    let film = folder.join(plain);
    assert_eq!(code(&edge(&["infer", &film.to_string_lossy(), "--voi", "second"])), 2);
}

#[test]
fn a_finding_can_be_drawn_into_dicom_without_a_png() {
    let Some(folder) = folder() else { return };
    let out = tempfile::tempdir().expect("a folder");
    let film = folder.join("chest_gdcm_CR_MONO1_10.dcm");
    let (film, target) = (film.to_string_lossy(), out.path().to_string_lossy());
    assert_eq!(code(&edge(&["infer", &film, "--heatmap-for", "pneumonia"])), 2);
    let output = edge(&["infer", &film, "--heatmap-for", "pneumonia", "--dicom", &target]);
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    let capture = std::fs::read(out.path().join("chest_gdcm_CR_MONO1_10.sc.dcm")).expect("written");
    assert!(capture.windows(22).any(|bytes| bytes == b"evidence for pneumonia"));
}

/// Patient, view, sex and age of a manifest are those of the tags, the patient as a hash.
#[test]
fn manifests_take_the_tags() {
    let Some(folder) = folder() else { return };
    let films = tempfile::tempdir().expect("a folder");
    for (from, to) in
        [("chest_RG1_UNCR.dcm", "a/1.dcm"), ("chest_RG1_J2KI.dcm", "b/2.dcm"), ("odd_CT_small.dcm", "b/3.dcm")]
    {
        let to = films.path().join(to);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("created");
        std::fs::copy(folder.join(from), to).expect("copied");
    }
    let csv = films.path().join("manifest.csv");
    let (films, target) = (films.path().to_string_lossy(), csv.to_string_lossy());
    let output = run("rad-dino-train", &["manifest", &films, "--out", &target]);
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&csv).expect("written");
    let mut rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = rows.next().expect("a header");
    let rows: Vec<_> = rows.collect();
    let column = |name: &str| {
        let at = header.iter().position(|field| *field == name).expect("a column");
        rows.iter().map(|row| row[at]).collect::<Vec<_>>()
    };
    assert_eq!((column("view"), column("sex")), (vec!["PA", "PA", ""], vec!["F", "F", ""]));
    // One patient in two folders, another in one of them.
    let patients = column("patient_id");
    assert!(patients[0] == patients[1] && patients[1] != patients[2] && patients[0].len() == 16);
    assert!(!text.contains("9RG1"));
}
