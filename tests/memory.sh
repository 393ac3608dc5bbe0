#!/usr/bin/env bash
# The kernels' tests with every access to memory checked. `unsafe` lives in that crate alone.
#
#   tests/memory.sh             AddressSanitizer, on every instruction set of this CPU
#   tests/memory.sh valgrind    valgrind, whose CPU has no AVX-512: plain code and AVX2
#
# AddressSanitizer comes with rustc; a toolchain that is no nightly is told to let us have it (RUSTC_BOOTSTRAP=1).
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
cd "$root/runtime/kernels"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}/memory"
case "${1:-asan}" in
asan)
    host="$(rustc -vV | sed -n 's/^host: //p')"
    # --target keeps build scripts and macros out of it
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" RUSTDOCFLAGS="-Zsanitizer=address" ASAN_OPTIONS=detect_leaks=1 \
        cargo test --locked -p rad-dino-kernels --target "$host" --lib --tests
    ;;
valgrind)
    command -v valgrind >/dev/null || { echo "error: no valgrind" >&2; echo "hint: apt-get install valgrind" >&2; exit 2; }
    tests="$(cargo test --locked -p rad-dino-kernels --lib --tests --no-run --message-format=json |
        python3 -c 'import json,sys; [print(m["executable"]) for m in map(json.loads, sys.stdin) if m.get("executable")]')"
    for test in $tests; do
        echo "== $(basename "$test")"
        valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite "$test"
    done
    ;;
*)
    sed -n '2,8p' "$0" >&2
    exit 2
    ;;
esac
echo "== no error"
