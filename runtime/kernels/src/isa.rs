//! Instruction sets: names, detection, the `RDE_ISA` override.

use std::fmt;

/// A set of kernels; the name is what `RDE_ISA` takes and `info` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Isa {
    /// Plain Rust, the truth every other set is tested against.
    Scalar,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// AVX2 with the 256-bit `vpdpbusd`.
    AvxVnni,
    /// AVX-512 F/BW/DQ/VL with `vpdpbusd`.
    Avx512Vnni,
    /// AVX-512 VNNI with the tiles of AMX (`tdpbusd`), where the system allows a process to use them.
    AmxInt8,
    /// NEON as every ARMv8 has it.
    Neon,
    /// NEON with `sdot`.
    NeonDotprod,
    /// NEON with `usmmla`.
    NeonI8mm,
}

impl Isa {
    /// Every set this build knows, slowest first.
    pub const ALL: [Isa; 8] = [
        Isa::Scalar,
        Isa::Avx2,
        Isa::AvxVnni,
        Isa::Avx512Vnni,
        Isa::AmxInt8,
        Isa::Neon,
        Isa::NeonDotprod,
        Isa::NeonI8mm,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::AvxVnni => "avx_vnni",
            Isa::Avx512Vnni => "avx512_vnni",
            Isa::AmxInt8 => "amx_int8",
            Isa::Neon => "neon",
            Isa::NeonDotprod => "neon_dotprod",
            Isa::NeonI8mm => "neon_i8mm",
        }
    }

    /// How many values of k lie side by side in the operands packed for it.
    pub(crate) const fn group(self) -> usize {
        match self {
            Isa::NeonI8mm => 8,
            _ => 4,
        }
    }

    /// Whether this CPU has it.
    pub fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            match self {
                Isa::Scalar => true,
                Isa::Avx2 => avx2,
                Isa::AvxVnni => avx2 && is_x86_feature_detected!("avxvnni"),
                Isa::Avx512Vnni => {
                    is_x86_feature_detected!("avx512f")
                        && is_x86_feature_detected!("avx512bw")
                        && is_x86_feature_detected!("avx512dq")
                        && is_x86_feature_detected!("avx512vl")
                        && is_x86_feature_detected!("avx512vnni")
                }
                #[cfg(target_os = "linux")]
                Isa::AmxInt8 => Isa::Avx512Vnni.is_available() && crate::gemm::amx_int8::is_usable(),
                _ => false,
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            use std::arch::is_aarch64_feature_detected;
            let neon = is_aarch64_feature_detected!("neon");
            let dotprod = neon && is_aarch64_feature_detected!("dotprod");
            match self {
                Isa::Scalar => true,
                Isa::Neon => neon,
                Isa::NeonDotprod => dotprod,
                Isa::NeonI8mm => dotprod && is_aarch64_feature_detected!("i8mm"),
                _ => false,
            }
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        {
            self == Isa::Scalar
        }
    }

    /// The best set of this CPU.
    pub fn detect() -> Isa {
        Isa::ALL.into_iter().rev().find(|isa| isa.is_available()).unwrap_or(Isa::Scalar)
    }

    /// What `RDE_ISA` asks for, or the best set when it is unset. An unknown or unavailable name is an error, never a
    /// silent fallback.
    pub fn from_env() -> Result<Isa, IsaError> {
        match std::env::var("RDE_ISA") {
            Ok(name) if !name.is_empty() => Isa::by_name(&name),
            _ => Ok(Isa::detect()),
        }
    }

    /// The set called `name`, if this CPU has it.
    pub fn by_name(name: &str) -> Result<Isa, IsaError> {
        let isa = Isa::ALL.into_iter().find(|isa| isa.as_str() == name);
        match isa {
            Some(isa) if isa.is_available() => Ok(isa),
            _ => Err(IsaError { name: name.to_string(), known: isa.is_some() }),
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `RDE_ISA` names a set that does not exist or that this CPU lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsaError {
    name: String,
    known: bool,
}

impl IsaError {
    pub(crate) fn unavailable(isa: Isa) -> Self {
        IsaError { name: isa.as_str().to_string(), known: true }
    }
}

impl fmt::Display for IsaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let available: Vec<_> = Isa::ALL.into_iter().filter(|isa| isa.is_available()).map(Isa::as_str).collect();
        let why = if self.known { "is not available on this CPU" } else { "is not an instruction set of this build" };
        write!(f, "RDE_ISA={}: {why}; available: {}", self.name, available.join(", "))
    }
}

impl std::error::Error for IsaError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_errors_that_list_what_there_is() {
        let error = Isa::by_name("sse9").unwrap_err().to_string();
        assert!(error.contains("sse9") && error.contains("scalar"), "{error}");
        assert_eq!(Isa::by_name("scalar"), Ok(Isa::Scalar));
    }

    #[test]
    fn the_detected_set_is_available() {
        assert!(Isa::detect().is_available());
    }
}
