//! The binary: `rad-dino-quantize convert CHECKPOINT --precision int8 --out model.onnx`.

use std::process::ExitCode;

fn main() -> ExitCode {
    rad_dino_quantize::cli::main()
}
