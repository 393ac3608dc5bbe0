//! Writes what the targets start from into a folder: small files of our own making, no film. run.sh calls it.

#[path = "../../../src/heads.rs"]
mod heads;

use std::fs;
use std::path::Path;

use rad_dino_edge::model::manifest::Precision;
use rad_dino_fuzz::dicom::{Film, Lut, Number, Pixels};
use rad_dino_quantize::{Options, convert};

fn film(syntax: u8, pixels: Pixels) -> Film {
    Film {
        syntax,
        rows: 3,
        columns: 4,
        samples: None,
        photometric: 0,
        allocated: 16,
        bits: 12,
        high_bit: 11,
        signed: 0,
        padding: None,
        rescale: None,
        frames: None,
        lut: None,
        others: vec![(0x10, 0x10, 5, b"DOE^JANE".to_vec())],
        pixels,
        cut: None,
    }
}

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpora = std::env::args().nth(1).expect("usage: seeds FOLDER");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = Path::new(&corpora).join(target);
        fs::create_dir_all(&folder).expect("created");
        fs::write(folder.join(name), bytes).expect("written");
    };
    for syntax in 0..4 {
        write("scan", &format!("native-{syntax}.dcm"), &film(syntax, Pixels::Fitting(7)).bytes());
    }
    let mut richer = film(0, Pixels::Fitting(9));
    richer.photometric = 1;
    richer.padding = Some((0, Some(3)));
    richer.rescale = Some((Number::Finite(-1024, 0), Number::Finite(25, 1)));
    write("scan", "rescaled.dcm", &richer.bytes());
    richer.rescale = None;
    richer.lut = Some(Lut { descriptor: [4, 0, 16], data: vec![0, 9, 7, 300], items: 1 });
    write("scan", "lut.dcm", &richer.bytes());
    let mut rle = vec![0; 64];
    rle[..12].copy_from_slice(b"\x02\0\0\0\x40\0\0\0\x42\0\0\0");
    rle.extend([0xf5, 1, 0xf5, 200]);
    write("scan", "rle.dcm", &film(4, Pixels::Fragments(vec![rle])).bytes());
    // Codestreams: the pictures of the preprocessing reference, put between fragments.
    let pillow = root.join("../reference/data/pillow");
    let jpeg = fs::read(pillow.join("grey_turned_50x31.jpg")).expect("committed");
    let mut lossy = film(5, Pixels::Fragments(vec![jpeg]));
    (lossy.rows, lossy.columns, lossy.allocated, lossy.bits, lossy.high_bit) = (31, 50, 8, 8, 7);
    write("scan", "jpeg.dcm", &lossy.bytes());
    let streams = root.join("../reference/data/codestreams");
    for (syntax, ending) in [(8, "ljpeg"), (9, "jls"), (11, "j2k")] {
        let stream = fs::read(streams.join("grey_12_bits").with_extension(ending)).expect("committed");
        let mut coded = film(syntax, Pixels::Fragments(vec![stream]));
        (coded.rows, coded.columns) = (20, 28);
        write("scan", &format!("{ending}.dcm"), &coded.bytes());
    }

    let checkpoints = root.join("../reference/data/checkpoints");
    let whole = tempfile::tempdir().expect("a folder");
    for name in ["config.json", "preprocessor_config.json", "model.safetensors"] {
        fs::copy(checkpoints.join("smaller").join(name), whole.path().join(name)).expect("copied");
    }
    heads::probes().write(whole.path(), heads::DIM).expect("written");
    for (precision, name) in [(Precision::Int8, "int8"), (Precision::Fp16, "fp16"), (Precision::Fp32, "fp32")] {
        let out = Path::new(&corpora).join("model").join(format!("{name}.onnx"));
        fs::create_dir_all(out.parent().expect("a folder")).expect("created");
        convert(whole.path(), &Options::new(precision, &out)).expect("converts");
    }
    for (which, name) in ["model.safetensors", "config.json", "preprocessor_config.json"].into_iter().enumerate() {
        let bytes = fs::read(checkpoints.join("smaller").join(name)).expect("committed");
        write("checkpoint", name, &[&[which as u8], &bytes[..]].concat());
    }
    let index = fs::read(checkpoints.join("registers_smaller_sharded/model.safetensors.index.json")).expect("committed");
    write("checkpoint", "index.json", &[b"\x03", &index[..]].concat());
    write(
        "manifest",
        "two-rows.csv",
        b"file,source,source_id,patient_id,split,view,sex,age,findings,report,mask,licence,source_url,note\n\
          a.png,s,1,p1,train,PA,F,61,pneumonia;edema,\"Two, lines\nof text\",,CC0,,x\nb.png,s,2,p2,test,AP,M,,no_finding,,,,,\n",
    );
    for name in ["signed.bin.minisig", "release.pub", "old-mode.minisig"] {
        let bytes = fs::read(root.join("../reference/data/signature").join(name)).expect("committed");
        write("signature", name, &bytes);
    }
}
