//! rad-dino-edge: see `rad_dino_edge::cli`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    rad_dino_edge::cli::main()
}
