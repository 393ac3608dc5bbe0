//! AMX: a tile register holds 16 rows of 64 bytes, `tdpbusd` does 16×16×64 multiply-adds. A packed panel is a tile as it
//! lies in memory. What does not fill tiles, and all floats, is AVX-512's.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use std::sync::OnceLock;

use super::avx512_vnni::{Avx512Vnni, Zmm};
use super::{Instructions, Sums, by_tiles};

/// Whether the CPU has AMX for bytes and the system lets this process use its tiles; asked once.
pub(crate) fn is_usable() -> bool {
    static USABLE: OnceLock<bool> = OnceLock::new();
    *USABLE.get_or_init(|| has_tiles() && permitted())
}

/// CPUID's AMX-TILE and AMX-INT8, and the tile state switched on by the system.
fn has_tiles() -> bool {
    const TILE_AND_INT8: u32 = 1 << 24 | 1 << 25;
    const XSAVE_BY_SYSTEM: u32 = 1 << 27;
    const TILE_STATE: u64 = 1 << 17 | 1 << 18;
    if __cpuid(0).eax < 7 || __cpuid(1).ecx & XSAVE_BY_SYSTEM == 0 {
        return false;
    }
    // SAFETY: the system has switched XSAVE on, so the register can be read.
    let state = unsafe { xcr0() };
    __cpuid_count(7, 0).edx & TILE_AND_INT8 == TILE_AND_INT8 && state & TILE_STATE == TILE_STATE
}

/// # Safety
/// The CPU has XSAVE and the system has switched it on.
#[target_feature(enable = "xsave")]
unsafe fn xcr0() -> u64 {
    // SAFETY: the caller's contract.
    unsafe { _xgetbv(0) }
}

/// Linux hands tile data (8 KiB a thread) only to processes that ask: `arch_prctl(ARCH_REQ_XCOMP_PERM, XTILEDATA)`.
fn permitted() -> bool {
    let result: i64;
    // SAFETY: system call 158 with these two arguments changes nothing but this process's permission.
    unsafe {
        asm!("syscall", inlateout("rax") 158i64 => result, in("rdi") 0x1023, in("rsi") 18, out("rcx") _, out("r11") _);
    }
    result == 0
}

/// Palette 1, all eight tiles 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Configuration([u8; 64]);

static FULL_TILES: Configuration = {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = 64;
        bytes[48 + tile] = 16;
        tile += 1;
    }
    Configuration(bytes)
};

/// AVX-512 VNNI + AMX-TILE + AMX-INT8.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AmxInt8;

// SAFETY: run only behind Isa::is_available, in functions compiled with AVX-512's features (see kernels.rs).
unsafe impl Instructions for AmxInt8 {
    type V = Zmm;
    const MR: usize = Avx512Vnni::MR;
    const NP: usize = Avx512Vnni::NP;
    const ROWS: usize = 16;

    #[inline(always)]
    unsafe fn begin() {
        // SAFETY: the CPU has AMX and the process may use it; the configuration is a valid one of 64 bytes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &FULL_TILES, options(nostack, preserves_flags)) };
    }

    #[inline(always)]
    unsafe fn end() {
        // SAFETY: as in begin.
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
    }

    #[inline(always)]
    unsafe fn tile_i8<const MR: usize, const NP: usize>(
        groups: usize,
        a: *const u8,
        lda: usize,
        b: *const i8,
        offset: *const i32,
        out: &mut [Sums],
        first: usize,
    ) {
        // SAFETY: the same contract, handed on; AMX implies AVX-512 VNNI here (Isa::is_available).
        unsafe { Avx512Vnni::tile_i8::<MR, NP>(groups, a, lda, b, offset, out, first) }
    }

    #[inline(always)]
    unsafe fn product_i8(
        rows: usize,
        panels: usize,
        groups: usize,
        a: *const u8,
        lda: usize,
        b: *const i8,
        offset: *const i32,
        out: &mut [Sums],
    ) {
        // SAFETY: the caller's contract; whole tiles lie within 16 rows and groups·4 columns of a, and within groups rows
        // of 64 bytes of each panel.
        unsafe {
            if rows == 16 && groups > 0 && groups.is_multiple_of(16) && panels == 4 {
                four_panels(groups, a, lda, b, offset, out);
            } else if rows == 16 && groups > 0 && groups.is_multiple_of(16) {
                for p in 0..panels {
                    one_panel(groups, a, lda, b.add(p * groups * 64), offset.add(p * 16), &mut out[..], p);
                }
            } else {
                by_tiles::<Self>(rows, panels, groups, a, lda, b, offset, out);
            }
        }
    }

    #[inline(always)]
    unsafe fn tile_f32<const MR: usize, const NP: usize>(
        k: usize,
        a: *const f32,
        lda: usize,
        b: *const f32,
        out: &mut [[[f32; 16]; NP]; MR],
    ) {
        // SAFETY: the same contract, handed on; AMX implies AVX-512 here (Isa::is_available).
        unsafe { Avx512Vnni::tile_f32::<MR, NP>(k, a, lda, b, out) }
    }
}

/// # Safety
/// As `product_i8` with 16 rows, 4 panels and whole tiles of k, between `begin` and `end`.
#[inline(always)]
unsafe fn four_panels(groups: usize, a: *const u8, lda: usize, b: *const i8, offset: *const i32, out: &mut [Sums]) {
    let out = out[..16].as_mut_ptr();
    // SAFETY: the caller's contract; the loop runs at least once, and the sums' 16 rows are 256 bytes apart.
    unsafe {
        asm!(
            "tileloadd tmm0, [{offset} + {zero}]",
            "tileloadd tmm1, [{offset} + {zero} + 64]",
            "tileloadd tmm2, [{offset} + {zero} + 128]",
            "tileloadd tmm3, [{offset} + {zero} + 192]",
            "2:",
            "tileloadd tmm4, [{a} + {lda}]",
            "tileloadd tmm5, [{b0} + {row}]",
            "tdpbusd tmm0, tmm4, tmm5",
            "tileloadd tmm6, [{b1} + {row}]",
            "tdpbusd tmm1, tmm4, tmm6",
            "tileloadd tmm7, [{b2} + {row}]",
            "tdpbusd tmm2, tmm4, tmm7",
            "tileloadd tmm5, [{b3} + {row}]",
            "tdpbusd tmm3, tmm4, tmm5",
            "add {a}, 64",
            "add {b0}, 1024",
            "add {b1}, 1024",
            "add {b2}, 1024",
            "add {b3}, 1024",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{out} + {ldo}], tmm0",
            "tilestored [{out} + {ldo} + 64], tmm1",
            "tilestored [{out} + {ldo} + 128], tmm2",
            "tilestored [{out} + {ldo} + 192], tmm3",
            a = inout(reg) a => _,
            lda = in(reg) lda,
            b0 = inout(reg) b => _,
            b1 = inout(reg) b.add(groups * 64) => _,
            b2 = inout(reg) b.add(groups * 128) => _,
            b3 = inout(reg) b.add(groups * 192) => _,
            row = in(reg) 64usize,
            steps = inout(reg) groups / 16 => _,
            offset = in(reg) offset,
            zero = in(reg) 0usize,
            out = in(reg) out,
            ldo = in(reg) size_of::<Sums>(),
            options(nostack),
        );
    }
}

/// # Safety
/// As `product_i8` with 16 rows, 1 panel and whole tiles of k, between `begin` and `end`.
#[inline(always)]
unsafe fn one_panel(
    groups: usize,
    a: *const u8,
    lda: usize,
    b: *const i8,
    offset: *const i32,
    out: &mut [Sums],
    panel: usize,
) {
    // SAFETY: the caller's contract; the loop runs at least once, and the sums' 16 rows are 256 bytes apart.
    unsafe {
        asm!(
            "tileloadd tmm0, [{offset} + {zero}]",
            "2:",
            "tileloadd tmm4, [{a} + {lda}]",
            "tileloadd tmm5, [{b} + {row}]",
            "tdpbusd tmm0, tmm4, tmm5",
            "add {a}, 64",
            "add {b}, 1024",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{out} + {ldo}], tmm0",
            a = inout(reg) a => _,
            lda = in(reg) lda,
            b = inout(reg) b => _,
            row = in(reg) 64usize,
            steps = inout(reg) groups / 16 => _,
            offset = in(reg) offset,
            zero = in(reg) 0usize,
            out = in(reg) out[..16].as_mut_ptr().cast::<i32>().add(panel * 16),
            ldo = in(reg) size_of::<Sums>(),
            options(nostack),
        );
    }
}
