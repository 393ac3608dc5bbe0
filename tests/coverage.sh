#!/usr/bin/env bash
# Line coverage of what reads bytes from outside: scans, model files, checkpoints. Prints a table by file and by folder;
# exit code 1 where a folder is below GOAL percent.
#
#   tests/coverage.sh [GOAL]         default 90
#   tests/coverage.sh --missed FILE  after that: the lines of FILE that nothing ran
#
# Only this workspace's crates are instrumented, so the dependencies of an ordinary build are used as they are. Needs
# LLVM's tools in the version of rustc's LLVM: rustup's llvm-tools, those in RDE_LLVM, llvm-cov-NN of the path, or, fetched
# here, Debian's llvm-NN (unpacked below target/coverage, not installed).
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
cd "$root"
goal=90 missed=
case "${1:-}" in
--missed) missed="${2:?which file}" ;;
"") ;;
*) goal="$1" ;;
esac
state="${CARGO_TARGET_DIR:-$root/target}/coverage"
# What reads, and the tests that read: the unit tests of runtime, and these.
READERS=(runtime/src/scan runtime/src/model runtime/src/checkpoint runtime/src/engine/from_file.rs
    runtime/src/report/decoder/from_file.rs runtime/src/report/decoder/manifest.rs)
TESTS=(dicom checkpoint convert engine hostile_model malformed_model mutations preprocess)

version="$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')"
tools() {
    local own
    own="$(dirname "$(rustc --print target-libdir)")/bin"
    for folder in "${RDE_LLVM:-}" "$own" "/usr/lib/llvm-$version/bin" "$state/tools/usr/lib/llvm-$version/bin"; do
        if [ -x "$folder/llvm-cov" ] && [ -x "$folder/llvm-profdata" ]; then
            bin="$folder"
            return 0
        fi
    done
    return 1
}
fetch() {
    command -v dpkg-deb >/dev/null || return 1
    echo "== unpacking Debian's llvm-$version" >&2
    local apt=(-o "Dir::State::lists=$state/lists" -o "Dir::Cache=$state" -o Debug::NoLocking=1 -o "APT::Sandbox::User=$(id -un)" -q)
    mkdir -p "$state/lists/partial" "$state/archives/partial" "$state/debs"
    apt-get "${apt[@]}" update >/dev/null
    (cd "$state/debs" && apt-get "${apt[@]}" download "llvm-$version" "libllvm$version" libz3-4 libpfm4 >/dev/null) || return 1
    for deb in "$state"/debs/*.deb; do dpkg-deb -x "$deb" "$state/tools"; done
    rm -rf "$state/debs" "$state/lists" "$state/archives"
}
tools || { fetch && tools; } || {
    echo "error: no LLVM $version tools" >&2
    echo "hint: rustup component add llvm-tools, or name their folder in RDE_LLVM" >&2
    exit 2
}
# Debian's LLVM is for its tools alone.
llvm() {
    local tool="$1"
    shift
    LD_LIBRARY_PATH="$state/tools/usr/lib/x86_64-linux-gnu" "$bin/llvm-$tool" "$@"
}

if [ -z "$missed" ]; then
    rm -rf "$state/profiles" && mkdir -p "$state/profiles"
    printf '#!/bin/sh\nexec "$@" -Cinstrument-coverage\n' >"$state/rustc"
    chmod +x "$state/rustc"
    export RUSTC_WORKSPACE_WRAPPER="$state/rustc" LLVM_PROFILE_FILE="$state/profiles/%m-%p.profraw"
    cargo test --workspace --locked --lib "${TESTS[@]/#/--test=}" --no-run --message-format=json |
        python3 tests/coverage.py executables runtime "${TESTS[@]}" >"$state/executables"
    while IFS=$'\t' read -r folder executable; do
        echo "== $(basename "$executable")" >&2
        (cd "$folder" && "$executable" --quiet >&2)
    done <"$state/executables"
    unset RUSTC_WORKSPACE_WRAPPER LLVM_PROFILE_FILE
    llvm profdata merge --sparse -o "$state/all.profdata" "$state/profiles"
    rm -rf "$state/profiles"
fi
objects=()
while IFS=$'\t' read -r _ executable; do objects+=(--object "$executable"); done <"$state/executables"
if [ -n "$missed" ]; then
    llvm cov show "${objects[@]:1}" --instr-profile "$state/all.profdata" --sources "$root/$missed" |
        grep -E '^ *[0-9]+\| +0\|'
else
    llvm cov export "${objects[@]:1}" --summary-only --instr-profile "$state/all.profdata" \
        --sources "${READERS[@]/#/$root/}" | python3 tests/coverage.py table "$goal"
fi
