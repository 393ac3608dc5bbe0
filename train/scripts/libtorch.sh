#!/usr/bin/env bash
# Makes the slim LibTorch 2.9.0 folder (0.5 GB) that feature `tch` links to, from PyPI wheels; needs pip and unzip.
#   train/scripts/libtorch.sh DIR
#   LIBTORCH=DIR RUSTFLAGS="-C link-arg=-Wl,-rpath,DIR/lib" cargo build --release -p rad-dino-train --features tch
# On a shared machine run with GOMP_SPINCOUNT=1000: libgomp's barriers spin, and another busy process makes them slow.
set -euo pipefail
dir=$(realpath -m "${1:?usage: libtorch.sh DIR}")
[ -e "$dir/lib/libtorch_cpu.so" ] && { echo "$dir is there already" >&2; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --no-deps --only-binary=:all: --dest "$work" \
    torch==2.9.0 nvidia-cuda-runtime-cu12==12.8.90 nvidia-cuda-cupti-cu12==12.8.90
for wheel in "$work"/*.whl; do
    # libtorch_cuda.so must stay out: the linker would want all of CUDA
    unzip -q -o "$wheel" 'torch/lib/libtorch_cpu.so' 'torch/lib/libtorch.so' 'torch/lib/libc10.so' \
        'torch/lib/libgomp.so.1' 'torch/include/*' '*/libcudart.so.12' '*/libcupti.so.12' -d "$work/x" 2>/dev/null || true
done
mkdir -p "$dir/lib"
find "$work/x" -name '*.so*' -exec mv {} "$dir/lib/" \;
rm -rf "$dir/include"
mv "$work/x/torch/include" "$dir/include"
ls "$dir/lib" >&2
