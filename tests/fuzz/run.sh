#!/usr/bin/env bash
# Fuzzes each target for SECONDS (default 60), or only those that are named.
#
#   tests/fuzz/run.sh [SECONDS] [TARGET...]
#
# Needs a nightly toolchain and cargo-fuzz (cargo install --locked cargo-fuzz --version 0.13.2). Starts from the corpora in
# the tree and from tests/reference/data; further seeds, say films of one's own, from RDE_FUZZ_SEEDS/<target>/. What is
# learnt goes to target/fuzz/corpus (RDE_FUZZ_DIR), finds to target/fuzz/artifacts. Prints a line a target: executions,
# seconds, finds. Exit code 1 when there was one.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../.." && pwd)"
seconds="${1:-60}"
[ $# -eq 0 ] || shift
targets=("$@")
[ $# -gt 0 ] || targets=(scan dicom model checkpoint manifest signature)
state="${RDE_FUZZ_DIR:-$root/target/fuzz}"
# Longest input, and most memory (MB) that one may take: a scan of 16 MB decoded, a small model, whole in tract's hands.
declare -A longest=([scan]=65536 [dicom]=16384 [model]=262144 [checkpoint]=65536 [manifest]=16384 [signature]=1024)

command -v cargo-fuzz >/dev/null || { echo "error: cargo install --locked cargo-fuzz --version 0.13.2" >&2; exit 2; }
cd "$here"
export CARGO_TARGET_DIR="$state/target"
found=0
for target in "${targets[@]}"; do
    corpus="$state/corpus/$target" artifacts="$state/artifacts/$target"
    mkdir -p "$corpus" "$artifacts"
    seeds=()
    for folder in "$here/corpus/$target" "${RDE_FUZZ_SEEDS:-/nonexistent}/$target"; do
        [ ! -d "$folder" ] || seeds+=("$folder")
    done
    [ "$target" != scan ] || seeds+=("$root/tests/reference/data/pillow")
    cargo +nightly fuzz build --fuzz-dir "$here" "$target" >&2
    log="$state/$target.log"
    # RDE_ISA: the kernels of the CPU at hand would make finds differ between machines.
    RDE_ISA=scalar cargo +nightly fuzz run --fuzz-dir "$here" "$target" "$corpus" "${seeds[@]}" -- \
        -max_total_time="$seconds" -max_len="${longest[$target]}" -timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=512 \
        -artifact_prefix="$artifacts/" -print_final_stats=1 >"$log" 2>&1 || true
    runs="$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1)"
    finds="$(find "$artifacts" -type f | wc -l)"
    echo "$target: ${runs:-0} executions in $seconds s, $(find "$corpus" -type f | wc -l) inputs kept, $finds finds"
    if [ "$finds" -gt 0 ] || [ -z "$runs" ]; then
        found=1
        tail -30 "$log" >&2
    fi
done
exit $found
