//! The binary: glue around [`rad_dino_train::cli`].

fn main() -> std::process::ExitCode {
    rad_dino_train::cli::main()
}
