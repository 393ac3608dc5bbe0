//! `rad-dino-quantize distill`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rad_dino_edge::cli::ScanLimits;
use rad_dino_edge::{Error, ErrorKind, Result};
use rad_dino_train::cli::DeviceChoice;
use rad_dino_train::pretrain::device::on;

use crate::distill::{Config, Distillation, Request};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Checkpoint folder of the frozen encoder.
    #[arg(long, value_name = "CHECKPOINT")]
    teacher: PathBuf,
    /// Architecture of the student; patch side, position grid and registers are the teacher's.
    #[arg(long, value_enum)]
    student: StudentArgument,
    /// Films: manifests or packed files; may be given several times.
    #[arg(long, value_name = "CSV|PACK", required = true)]
    data: Vec<PathBuf>,
    /// Checkpoint folder to write; OUT/cache keeps the teacher's features, OUT/resume the state.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Configuration (TOML); quantize/configs/distill.toml explains every key [default: its values].
    #[arg(long, value_name = "TOML")]
    config: Option<PathBuf>,
    /// Go on where OUT/resume stopped.
    #[arg(long)]
    resume: bool,
    /// Fit the whole schedule to this time, measured in the first steps; the teacher's part is not counted.
    #[arg(long, value_name = "N")]
    max_minutes: Option<f64>,
    /// Save and stop once this many steps are done, as if interrupted; --resume goes on.
    #[arg(long, value_name = "STEP")]
    stop_at: Option<usize>,
    /// Where the student computes; the teacher runs in the engine, on the CPU.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceChoice,
    /// Threads of the engine; 0 = one a core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    #[command(flatten)]
    limits: ScanLimits,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[expect(clippy::enum_variant_names, reason = "the names of the command line")]
enum StudentArgument {
    VitTiny,
    VitSmall,
    /// Width 32: for tests.
    #[value(hide = true)]
    VitTest,
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> Result<()> {
    if arguments.max_minutes.is_some_and(|m| !(m.is_finite() && m > 0.0)) {
        return Err(Error::new(ErrorKind::Usage, "--max-minutes must be above 0").hint("e.g. --max-minutes 60"));
    }
    let config = arguments.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
    let request = Request {
        config,
        teacher: arguments.teacher,
        student: match arguments.student {
            StudentArgument::VitTiny => "vit-tiny",
            StudentArgument::VitSmall => "vit-small",
            StudentArgument::VitTest => "vit-test",
        }
        .to_owned(),
        data: arguments.data,
        out: arguments.out,
        resume: arguments.resume,
        max_minutes: arguments.max_minutes,
        stop_at: arguments.stop_at,
        quiet,
        threads: arguments.threads,
        limits: arguments.limits.limits(),
    };
    let summary = on(arguments.device.into(), Distillation(&request))?;
    if !quiet {
        eprintln!(
            "{} of {} steps, {:.1} views/s: {}",
            summary.steps,
            summary.total,
            summary.images_per_second,
            request.out.display()
        );
    }
    Ok(())
}
