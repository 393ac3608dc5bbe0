//! The same answers as `infer`, and pictures that are those of `infer`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rad_dino_edge::scan::{Limits, Scan, decode};
use serde_json::Value;

use crate::house::{Program, demo, edge, ordinary, output, root};
use crate::http::post;

fn picture(value: &Value) -> Scan {
    let scan = decode(&STANDARD.decode(value["png"].as_str().unwrap()).unwrap(), &Limits::default()).unwrap();
    assert_eq!(
        (Some(u64::from(scan.width)), Some(u64::from(scan.height))),
        (value["width"].as_u64(), value["height"].as_u64())
    );
    scan
}

#[test]
fn the_answer_is_the_one_of_infer() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let infer = |extra: &[&str]| {
        let mut command = edge();
        let demo = root().join("models/demo.png");
        command.arg("infer").arg(demo).args(["--format", "json", "--report", "--quiet"]).args(extra);
        serde_json::from_slice::<Value>(&output(&mut command)).unwrap()
    };
    let expected = infer(&["--heatmap", &path("heat.png"), "--segmentation", &path("mask.png")]);
    infer(&["--heatmap", &path("evidence.png"), "--heatmap-for", "pneumonia"]);

    let service = Program::start(&[]);
    let reply = post(service.address, "/v1/infer?report&heatmap=1&masks=true&maps=true&display=true", &demo());
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    for key in
        ["schema", "model", "engine", "findings", "attributes", "segmentation", "report", "embedding", "warnings"]
    {
        assert!(!expected[key].is_null(), "{key}");
        assert_eq!(answer[key], expected[key], "{key}");
    }
    for key in ["sha256", "format", "width", "height"] {
        assert_eq!(answer["input"][key], expected["input"][key], "{key}");
    }
    let name = answer["input"]["path"].as_str().unwrap();
    assert!(name.len() == 12 && answer["input"]["sha256"].as_str().unwrap().starts_with(name), "{name}");

    let read = |name: &str| rad_dino_edge::scan::read(&folder.path().join(name), &Limits::default()).unwrap().pixels;
    let pictures = &answer["pictures"];
    assert_eq!(picture(&pictures["heatmap"]).pixels, read("heat.png"));
    assert_eq!(picture(&pictures["masks"][0]).pixels, read("mask.png"));
    assert_eq!(pictures["masks"][0]["label"], answer["segmentation"][0]["label"]);
    let film = decode(&demo(), &Limits::default()).unwrap();
    assert_eq!(picture(&pictures["display"]).pixels, film.pixels);

    let evidence = post(service.address, "/v1/infer?heatmap_for=pneumonia", &demo()).json();
    assert_eq!(picture(&evidence["pictures"]["heatmap"]).pixels, read("evidence.png"));
    assert!(evidence.get("report").is_none() && evidence.get("maps").is_none());
}

#[test]
fn the_maps_are_one_value_a_patch_and_lie_on_the_film() {
    let address = ordinary();
    let maps = post(address, "/v1/infer?maps=true", &demo()).json()["maps"].take();
    let cells = maps["grid"].as_u64().unwrap().pow(2) as usize;
    assert_eq!(maps["attention"].as_array().unwrap().len(), cells);
    assert!(maps["attention"].as_array().unwrap().iter().all(|v| (0.0..=1.0).contains(&v.as_f64().unwrap())));
    let findings = maps["findings"].as_array().unwrap();
    assert!(findings.len() > 3 && findings.iter().all(|f| f["values"].as_array().unwrap().len() == cells));
    assert_ne!(findings[0]["values"], findings[1]["values"]);
    // the demo is square, so that the crop is the film
    assert_eq!(maps["crop"], serde_json::json!({"left": 0.0, "top": 0.0, "width": 1024.0, "height": 1024.0}));
}

#[test]
fn eight_clients_at_once_get_what_one_gets() {
    let address = ordinary();
    let findings = || {
        let answer = post(address, "/v1/infer", &demo()).json();
        (answer["findings"].clone(), answer["attributes"].clone(), answer["embedding"].clone())
    };
    let alone = findings();
    let all: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(|| [findings(), findings()])).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    assert_eq!(all.len(), 16);
    assert!(all.iter().all(|each| *each == alone));
}

#[cfg(feature = "dicom")]
#[test]
fn dicom_comes_back_as_a_picture() {
    let shared = std::env::var_os("RDE_SHARED").map_or_else(|| root().join("../shared"), Into::into);
    let path = shared.join("data/dicom/chest_NIH_mono2_12bit_JPEGLS.dcm");
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("skipped: there is no {}; set RDE_SHARED", path.display());
        return;
    };
    let address = ordinary();
    let answer = post(address, "/v1/infer?display=true", &bytes).json();
    assert_eq!(answer["input"]["format"], "dicom");
    let film = decode(&bytes, &Limits::default()).unwrap();
    assert_eq!(picture(&answer["pictures"]["display"]).pixels, film.pixels);
}
