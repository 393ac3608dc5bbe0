#!/usr/bin/env bash
# The ARM build on CPUs that QEMU plays: kernels and the whole program, held to what x86-64 says.
#
#   tests/arm/run.sh             kernels' tests, then int8, fp16 and fp32 models on every CPU model and path
#   tests/arm/run.sh --kernels   the kernels' tests alone (what CI does)
#   tests/arm/run.sh --tools     only whether all that is needed for the kernels is here or can be fetched
#   tests/arm/run.sh --count     instructions an inference on every path, as a table (Debian's qemu-user, 7.2 to 8)
#
# RDE_ARM_EDGE and RDE_HOST_EDGE name binaries that are built already (the first as
# runtime/deploy/cross-build.sh aarch64-unknown-linux-gnu --static builds it), RDE_HOST_QUANTIZE the converter.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
. "$here/../../runtime/deploy/toolchain.sh"
cd "$root"

TARGET=aarch64-unknown-linux-gnu
# The path that each CPU must choose by itself.
declare -A CHOSEN=([cortex-a53]=neon [cortex-a72]=neon [cortex-a76]=neon_dotprod [neoverse-n1]=neon_dotprod [max]=neon_i8mm)
CPUS=(max neoverse-n1 cortex-a76 cortex-a72 cortex-a53)
# |difference| / |answer| allowed between instruction sets.
FP32=1e-4
FP16=2e-2

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
out="${CARGO_TARGET_DIR:-$root/target}"
compare() { python3 "$here/compare.py" "$@"; }
arm() {
    local cpu="$1"
    shift
    qemu-aarch64-static -cpu "$cpu" "$@"
}

kernels() {
    note "building the kernels' tests for $TARGET"
    need_std $TARGET
    need_gcc
    local tests
    tests="$(RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR="$out/cross/tests" cargo test --locked --quiet \
        -p rad-dino-kernels --target $TARGET --no-run --message-format=json |
        python3 -c 'import json,sys; [print(m["executable"]) for m in map(json.loads, sys.stdin) if m.get("executable")]')"
    cd runtime/kernels
    for cpu in "${CPUS[@]}"; do
        for test in $tests; do
            note "$cpu: $(basename "$test")"
            arm "$cpu" "$test" --quiet
        done
    done
    cd "$root"
}

binaries() {
    host="${RDE_HOST_EDGE:-}" quantize="${RDE_HOST_QUANTIZE:-}" edge="${RDE_ARM_EDGE:-}"
    if [ -z "$host" ] || [ -z "$quantize" ]; then
        note "building for this machine"
        cargo build --locked --workspace --bins >&2
        host="${host:-$out/debug/rad-dino-edge}" quantize="${quantize:-$out/debug/rad-dino-quantize}"
    fi
    [ -n "$edge" ] || edge="$("$root/runtime/deploy/cross-build.sh" $TARGET --static)"
}

# host_says NAME MODEL LIMIT FILM... : what plain code says on this machine, and that its other paths agree.
host_says() {
    local name="$1" model="$2" limit="$3"
    shift 3
    RDE_ISA=scalar "$host" embed "$@" --model "$model" --tokens all --out "$work/$name.npy"
    RDE_ISA=scalar "$host" infer "$@" --model "$model" --format json >"$work/$name.json"
    "$host" info --model "$model" --format json >"$work/info.json"
    for isa in $(compare field "$work/info.json" available_isas); do
        RDE_ISA=$isa "$host" embed "$@" --model "$model" --tokens all --out "$work/here.npy"
        same "$work/here.npy" "$work/$name.npy" "$limit" >/dev/null
    done
}

# same A.npy B.npy LIMIT : the same bytes for limit 0, else within it; prints how far apart.
same() {
    [ "$3" != 0 ] || cmp "$1" "$2"
    compare bound "$1" "$2" "$3"
}

# arm_says CPU ISA NAME MODEL LIMIT FILM... : the same under QEMU; prints how far it is from plain code on x86-64.
arm_says() {
    local cpu="$1" isa="$2" name="$3" model="$4" limit="$5"
    shift 5
    rm -f "$work/arm.npy" "$work/arm.json"
    RDE_ISA=$isa arm "$cpu" "$edge" embed "$@" --model "$model" --tokens all --out "$work/arm.npy"
    same "$work/arm.npy" "$work/$name.npy" "$limit"
    [ "$limit" = 0 ] || return 0
    RDE_ISA=$isa arm "$cpu" "$edge" infer "$@" --model "$model" --format json >"$work/arm.json"
    compare answers "$work/arm.json" "$work/$name.json"
}

program() {
    binaries
    local films=(models/demo.png) shared="${RDE_SHARED:-$root/../shared}" small name names apart line chosen
    if [ -d "$shared/data/fullres" ]; then
        mapfile -t -O 1 films < <(find "$shared/data/fullres" -name '*.jp*g' | sort | head -1)
    else
        note "no films at $shared/data: the demo scan alone"
    fi
    small="$root/tests/reference/data/checkpoints/plain"
    declare -A models=([int8-shipped]=models/rad-dino-small.onnx)
    declare -A limits=([int8]=0 [fp32]=$FP32 [fp16]=$FP16)
    for precision in int8 fp32 fp16; do
        "$quantize" convert "$small" --precision $precision --out "$work/$precision-small.onnx" >&2
        models[$precision-small]="$work/$precision-small.onnx"
    done
    if [ -d "$shared/weights/dinov2-small" ]; then
        for precision in fp32 fp16; do
            "$quantize" convert "$shared/weights/dinov2-small" --precision $precision --image-size 224 \
                --out "$work/$precision-dinov2-small.onnx" >&2
            models[$precision-dinov2-small]="$work/$precision-dinov2-small.onnx"
        done
    fi
    names="$(printf '%s\n' "${!models[@]}" | sort)"
    for name in $names; do
        note "this machine: $name"
        host_says "$name" "${models[$name]}" "${limits[${name%%-*}]}" "${films[@]}"
    done
    echo "| CPU | path | $(echo $names | sed 's/ / | /g') |"
    echo "|---|---|$(for name in $names; do printf -- '---|'; done)"
    for cpu in "${CPUS[@]}"; do
        arm "$cpu" "$edge" info --model models/rad-dino-small.onnx --format json >"$work/info.json"
        chosen="$(compare field "$work/info.json" engine.isa)"
        [ "$chosen" = "${CHOSEN[$cpu]}" ] || fail "$cpu chose $chosen instead of ${CHOSEN[$cpu]}"
        arm "$cpu" "$edge" doctor --model models/rad-dino-small.onnx >&2
        # Every path on one CPU; elsewhere the chosen one.
        local isas="$chosen"
        [ "$cpu" != max ] || isas="$(compare field "$work/info.json" available_isas)"
        for isa in $isas; do
            line="| $cpu | $isa |"
            for name in $names; do
                apart="$(arm_says "$cpu" "$isa" "$name" "${models[$name]}" "${limits[${name%%-*}]}" "${films[@]}")"
                line+=" $apart |"
            done
            echo "$line"
        done
    done
}

# instructions QEMU... -- ARGUMENTS... : how many one run of the program takes.
instructions() {
    local qemu=()
    while [ "$1" != -- ]; do
        qemu+=("$1")
        shift
    done
    shift
    "${qemu[0]}" -plugin "$work/count-instructions.so,out=$work/count" "${qemu[@]:1}" "$@" >/dev/null
    cat "$work/count"
}

count() {
    need_program qemu-aarch64 qemu-user
    need_program gcc gcc libc6-dev
    binaries
    gcc -O2 -Wall -shared -fPIC -o "$work/count-instructions.so" "$here/count-instructions.c"
    local model=models/rad-dino-small.onnx film=models/demo.png once twice
    echo "| path | one film (decode, preprocess, encode, heads), 10⁹ | start (load, pack), 10⁹ |"
    echo "|---|---|---|"
    for isa in neon_i8mm neon_dotprod neon scalar avx2 x86-scalar; do
        local qemu=(qemu-aarch64 -cpu max "$edge")
        case $isa in avx2 | x86-scalar) qemu=(qemu-x86_64 -cpu max "$host") ;; esac
        local run=("${qemu[@]}" -- embed --model $model --threads 1 --out "$work/count.npy")
        export RDE_ISA="${isa#x86-}"
        once="$(instructions "${run[@]}" $film)"
        twice="$(instructions "${run[@]}" $film $film)"
        python3 -c "print(f'| $isa | {($twice - $once) / 1e9:.2f} | {(2 * $once - $twice) / 1e9:.2f} |')"
        unset RDE_ISA
    done
}

need_program qemu-aarch64-static qemu-user-static
case "${1:-}" in
--tools) need_std $TARGET && need_gcc && exit 0 ;;
--kernels) kernels ;;
--count) count ;;
"") kernels && program ;;
*) fail "unknown option $1" "see the head of $0" ;;
esac
note "all passed"
