//! Which backend work runs on.

use burn::prelude::DeviceOps as _;
use burn::tensor::backend::AutodiffBackend;
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

/// Work that any backend can do.
pub trait Job {
    /// What it gives.
    type Output;

    /// Does it.
    ///
    /// # Errors
    /// Its own.
    fn run<B: AutodiffBackend>(self, device: &B::Device) -> Result<Self::Output>;
}

/// Does `job` on `device`.
///
/// # Errors
/// The job's; `Usage` when this build lacks the device's feature.
pub fn on<J: Job>(device: Device, job: J) -> Result<J::Output> {
    match device {
        Device::Cpu => job.run::<burn::backend::Autodiff<burn::backend::Flex>>(&Default::default()),
        Device::Cuda => cuda(job),
        Device::TorchCpu => torch_cpu(job),
    }
}

/// Pretrains as `request` says on `device`.
///
/// # Errors
/// Those of [`run`]; `Usage` when this build lacks the device's feature.
pub fn run_on(device: Device, request: &Request) -> Result<Summary> {
    on(device, Pretraining(request))
}

/// The devices of `device`'s kind that have these `numbers`; none = `device` itself.
///
/// # Errors
/// `Usage` for a number that this machine does not have.
pub fn numbered<B: AutodiffBackend>(device: &B::Device, numbers: &[usize]) -> Result<Vec<B::Device>> {
    if numbers.is_empty() {
        return Ok(vec![device.clone()]);
    }
    let mut id = device.to_id();
    let count = B::device_count(id.type_id);
    let mut known = |&number: &usize| match u16::try_from(number) {
        Ok(index) if number < count => {
            id.index_id = index;
            Ok(B::Device::from_id(id))
        }
        _ => Err(Error::new(ErrorKind::Usage, format!("--devices: there is no device {number} of {count}"))
            .hint("devices count from 0; a CPU is device 0, which may be named several times")),
    };
    numbers.iter().map(&mut known).collect()
}

struct Pretraining<'a>(&'a Request);

impl Job for Pretraining<'_> {
    type Output = Summary;

    fn run<B: AutodiffBackend>(self, device: &B::Device) -> Result<Summary> {
        run::<B>(self.0, device)
    }
}

#[cfg(feature = "cuda")]
fn cuda<J: Job>(job: J) -> Result<J::Output> {
    let device = burn::backend::cuda::CudaDevice::default();
    answers(&device)?;
    job.run::<burn::backend::Autodiff<burn::backend::Cuda>>(&device)
}

/// Whether a first sum on the GPU comes back; burn panics where the driver, NVRTC or the CUDA headers are missing.
#[cfg(feature = "cuda")]
fn answers(device: &burn::backend::cuda::CudaDevice) -> Result<()> {
    use burn::backend::Cuda;
    use burn::tensor::Tensor;
    let traces = ["/dev/nvidiactl", "/dev/dxg", "/proc/driver/nvidia", "/usr/local/nvidia"];
    if !traces.iter().any(|path| std::path::Path::new(path).exists()) {
        return Err(Error::new(ErrorKind::Usage, "--device cuda: this machine has no NVIDIA driver")
            .hint("install the driver, or use --device cpu"));
    }
    let sum = || Tensor::<Cuda, 1>::ones([3], device).sum().into_data().to_vec::<f32>();
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(sum)) {
        Ok(Ok(sum)) if sum == [3.0] => Ok(()),
        _ => Err(Error::new(ErrorKind::Usage, "--device cuda: the GPU did not answer a first sum").hint(
            "it needs a driver of CUDA 13.0 or later, NVRTC, and the CUDA headers below CUDA_PATH (see nvidia-smi)",
        )),
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda<J: Job>(_job: J) -> Result<J::Output> {
    Err(without("cuda", "cuda"))
}

#[cfg(feature = "tch")]
fn torch_cpu<J: Job>(job: J) -> Result<J::Output> {
    use burn::backend::libtorch::LibTorchDevice;
    job.run::<burn::backend::Autodiff<burn::backend::LibTorch>>(&LibTorchDevice::Cpu)
}

#[cfg(not(feature = "tch"))]
fn torch_cpu<J: Job>(_job: J) -> Result<J::Output> {
    Err(without("torch-cpu", "tch"))
}

fn without(device: &str, feature: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("--device {device}: this build has no feature `{feature}`"))
        .hint(format!("build with --features {feature}, or use --device cpu"))
}
