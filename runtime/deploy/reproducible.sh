#!/usr/bin/env bash
# Builds the committed sources twice, in two folders of different length and without anything kept from one to the other,
# and compares the binaries.
#
#   runtime/deploy/reproducible.sh TARGET [--static] [--without-model]
#
# Takes two full release builds. Exit code 1 when the bytes differ.
set -euo pipefail
. "$(dirname "$0")/toolchain.sh"
[ $# -ge 1 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export RDE_CROSS_TOOLS="$tools"
hashes=()
for folder in "$work/a" "$work/another-folder/b"; do
    mkdir -p "$folder"
    git -C "$root" archive HEAD | tar -x -C "$folder"
    binary="$(env -u CARGO_TARGET_DIR "$folder/runtime/deploy/cross-build.sh" "$@")"
    hashes+=("$(sha256sum "$binary" | cut -d' ' -f1)")
    cp "$binary" "$work/binary-${#hashes[@]}"
    rm -rf "$folder"
done
echo "${hashes[0]}"
if [ "${hashes[0]}" != "${hashes[1]}" ]; then
    cmp "$work/binary-1" "$work/binary-2" || true
    fail "two builds of the same sources differ"
fi
note "two builds, the same bytes"
