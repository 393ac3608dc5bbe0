//! Which backend a run uses.

use rad_dino_edge::{Error, ErrorKind, Result};

use super::run::{Request, Summary, run};

/// Where tensors live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// burn's own CPU backend.
    #[default]
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
    /// LibTorch on the CPU.
    TorchCpu,
}

/// Runs `request` on `device`.
///
/// # Errors
/// Those of [`run`]; `Usage` when this build lacks the device's feature or the machine lacks the device.
pub fn run_on(device: Device, request: &Request) -> Result<Summary> {
    match device {
        Device::Cpu => run::<burn::backend::Autodiff<burn::backend::Flex>>(request, &Default::default()),
        Device::Cuda => cuda(request),
        Device::TorchCpu => torch_cpu(request),
    }
}

#[cfg(feature = "cuda")]
fn cuda(request: &Request) -> Result<Summary> {
    run::<burn::backend::Autodiff<burn::backend::Cuda>>(request, &Default::default())
}

#[cfg(not(feature = "cuda"))]
fn cuda(_request: &Request) -> Result<Summary> {
    Err(without("cuda", "cuda"))
}

#[cfg(feature = "tch")]
fn torch_cpu(request: &Request) -> Result<Summary> {
    run::<burn::backend::Autodiff<burn::backend::LibTorch>>(request, &burn::backend::libtorch::LibTorchDevice::Cpu)
}

#[cfg(not(feature = "tch"))]
fn torch_cpu(_request: &Request) -> Result<Summary> {
    Err(without("torch-cpu", "tch"))
}

fn without(device: &str, feature: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("--device {device}: this build has no feature `{feature}`"))
        .hint(format!("build with --features {feature}, or use --device cpu"))
}
