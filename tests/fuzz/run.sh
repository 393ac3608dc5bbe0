#!/usr/bin/env bash
# Fuzzes each target for SECONDS (default 60), or only those that are named.
#
#   tests/fuzz/run.sh [SECONDS] [TARGET...]
#
# Needs cargo-fuzz (cargo install --locked cargo-fuzz --version 0.13.2) and no nightly: the toolchain of this repository is
# told to let us have the sanitizer (RUSTC_BOOTSTRAP=1). Starts from seeds made of the committed reference data and from
# tests/reference/data; further ones, say films of one's own, from RDE_FUZZ_SEEDS/<target>/. What is learnt goes to
# target/fuzz/corpus (RDE_FUZZ_DIR), finds to target/fuzz/artifacts. Prints a line a target: executions, seconds, finds;
# target/fuzz/executions.tsv keeps them all. Exit code 1 when there was a find.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../.." && pwd)"
seconds="${1:-60}"
[ $# -eq 0 ] || shift
targets=("$@")
[ $# -gt 0 ] || targets=(scan dicom model checkpoint manifest signature http dimse)
state="${RDE_FUZZ_DIR:-$root/target/fuzz}"
# Longest input. Most memory (MB) that one may take: a scan of 16 MB decoded, a small model, whole in tract's hands.
declare -A longest=([scan]=65536 [dicom]=16384 [model]=262144 [checkpoint]=131072 [manifest]=16384 [signature]=1024
    [http]=8192 [dimse]=8192)

command -v cargo-fuzz >/dev/null || { echo "error: cargo install --locked cargo-fuzz --version 0.13.2" >&2; exit 2; }
cd "$here"
export CARGO_TARGET_DIR="$state/target" RUSTC_BOOTSTRAP=1
built="$CARGO_TARGET_DIR/$(rustc -vV | sed -n 's/^host: //p')/release"
cargo fuzz build --fuzz-dir "$here" seeds >&2
rm -rf "$state/seeds"
"$built/seeds" "$state/seeds"
found=0
for target in "${targets[@]}"; do
    corpus="$state/corpus/$target" artifacts="$state/artifacts/$target"
    mkdir -p "$corpus" "$artifacts"
    seeds=()
    for folder in "$state/seeds/$target" "${RDE_FUZZ_SEEDS:-/nonexistent}/$target"; do
        [ ! -d "$folder" ] || seeds+=("$folder")
    done
    [ "$target" != scan ] || seeds+=("$root/tests/reference/data/pillow")
    cargo fuzz build --fuzz-dir "$here" "$target" >&2
    log="$state/$target.log" start=$SECONDS
    # RDE_ISA: the kernels of the CPU at hand would make finds differ between machines.
    RDE_ISA=scalar "$built/$target" "$corpus" "${seeds[@]}" \
        -max_total_time="$seconds" -max_len="${longest[$target]}" -timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=512 \
        -artifact_prefix="$artifacts/" -print_final_stats=1 >"$log" 2>&1 || true
    runs="$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1)"
    finds="$(find "$artifacts" -type f | wc -l)"
    printf '%s\t%s\t%s\t%s\n' "$target" "${runs:-0}" $((SECONDS - start)) "$finds" >>"$state/executions.tsv"
    echo "$target: ${runs:-0} executions in $((SECONDS - start)) s, $(find "$corpus" -type f | wc -l) inputs kept, $finds finds"
    if [ "$finds" -gt 0 ] || [ -z "$runs" ]; then
        found=1
        tail -30 "$log" >&2
    fi
done
exit $found
