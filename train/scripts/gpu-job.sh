#!/usr/bin/env bash
# One pre-training run on a bare GPU machine: a driver, NVRTC and the CUDA 13.0 headers, nothing else; no network.
#
#   gpu-job.sh pack  DIR CHECKPOINT CONFIG MANIFEST.csv...   here: DIR/job.00, job.01, … of at most PART bytes each
#   gpu-job.sh start DIR MINUTES                             there, once all parts lie in DIR: unpacks, runs detached
#   gpu-job.sh state DIR                                     there: the last lines, and whether it has ended
#   gpu-job.sh parts DIR OUT                                 there: weights as f16, metrics and curves, in OUT/weights.* of ≤ 15 MB
#   gpu-job.sh join  OUT CHECKPOINT                          here: weights.* to a checkpoint folder
#
# PART is 45 MB (45000000), settable; DEVICE=cpu tries it out without a GPU. `pack` builds the trainer with feature `cuda`
# unless TRAINER names a binary.
set -euo pipefail
verb=${1:?pack, start, state, parts or join}
dir=$(realpath -m "${2:?a folder}")
part=${PART:-45000000}

case $verb in
pack)
    checkpoint=$(realpath "${3:?a checkpoint folder}") config=$(realpath "${4:?a config}")
    shift 4
    [ $# -gt 0 ] || { echo "at least one manifest.csv" >&2; exit 2; }
    here=$(cd "$(dirname "$0")/../.." && pwd)
    trainer=${TRAINER:-}
    if [ -z "$trainer" ]; then
        (cd "$here" && CUDARC_CUDA_VERSION=13000 cargo build --release -p rad-dino-train --features cuda)
        trainer=${CARGO_TARGET_DIR:-$here/target}/release/rad-dino-train
    fi
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work/job/start" "$work/job/films" "$dir"
    cp "$trainer" "$work/job/rad-dino-train" && strip "$work/job/rad-dino-train"
    "$trainer" cast "$checkpoint" --dtype f16 --out "$work/job/start"
    cp "$config" "$work/job/config.toml"
    cp "$here/train/scripts/gpu-job.sh" "$work/job/"
    number=0
    for manifest; do
        to=$work/job/films/$number
        mkdir -p "$to"
        # the manifest and the films it names, nothing else of their folder
        python3 - "$manifest" "$to" <<'PY'
import csv, pathlib, shutil, sys
manifest, to = map(pathlib.Path, sys.argv[1:])
shutil.copy(manifest, to / "manifest.csv")
for row in csv.DictReader(open(manifest, newline="")):
    target = to / row["file"]
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(manifest.parent / row["file"], target)
PY
        number=$((number + 1))
    done
    rm -f "$dir"/job.[0-9]*
    # films are JPEG or PNG and do not shrink further; the binary and the weights do
    tar -C "$work" -c job | xz -T0 -3 | split -b "$part" -d - "$dir/job."
    ls -l "$dir" >&2
    ;;
start)
    minutes=${3:?minutes}
    cat "$dir"/job.[0-9]* | xz -dc | tar -C "$dir" -x
    cd "$dir/job"
    nvidia-smi >&2 || true
    export CUDA_PATH=${CUDA_PATH:-/usr/local/cuda}
    data=()
    for manifest in films/*/manifest.csv; do data+=(--data "$manifest"); done
    resume=()
    [ -e out/resume ] && resume=(--resume)
    setsid nohup ./rad-dino-train pretrain --config config.toml --device "${DEVICE:-cuda}" --init start --out out \
        --max-minutes "$minutes" "${data[@]}" "${resume[@]}" >log.out 2>log.err </dev/null &
    echo $! >pid
    (setsid nohup nvidia-smi --query-gpu=timestamp,utilization.gpu,memory.used --format=csv,noheader -l 5 >gpu.csv 2>&1 </dev/null &)
    ;;
state)
    cd "$dir/job"
    tail -n 3 log.err || true
    tail -n 1 out/metrics.jsonl 2>/dev/null || true
    tail -n 1 gpu.csv 2>/dev/null || true
    if kill -0 "$(cat pid)" 2>/dev/null; then echo running; else echo ended; fi
    ;;
parts)
    out=$(realpath -m "${3:?a folder}")
    cd "$dir/job"
    mkdir -p "$out"
    ./rad-dino-train cast out --dtype f16 --out half
    mkdir -p half/log
    cp out/*.jsonl out/*.svg gpu.csv log.err half/log/ 2>/dev/null || true
    tar -C half -c . | xz -T0 -3 | split -b 15000000 -d - "$out/weights."
    ls -l "$out" >&2
    ;;
join)
    checkpoint=${3:?a checkpoint folder to make}
    mkdir -p "$checkpoint"
    cat "$dir"/weights.[0-9]* | xz -dc | tar -C "$checkpoint" -x
    ls -l "$checkpoint" >&2
    ;;
*)
    echo "unknown: $verb" >&2
    exit 2
    ;;
esac
