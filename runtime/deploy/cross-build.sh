#!/usr/bin/env bash
# One release binary for another machine, checked: how large it is and which libraries and glibc it asks for.
#
#   runtime/deploy/cross-build.sh TARGET [--static] [--without-model]
#
# TARGET: aarch64-unknown-linux-gnu or x86_64-unknown-linux-gnu (or a musl target that rustup has).
#   by default  dynamic against glibc >= 2.31 (Debian 11, Ubuntu 20.04, Raspberry Pi OS, Jetson), linked by zig from PyPI
#   --static    no library at all, not even libc (+crt-static, linked by gcc): runs on any Linux and FROM scratch
#   --without-model   the binary alone; name the model with --model
# RDE_RUST=rustup|debian chooses where Rust's standard library comes from (toolchain.sh), RDE_CROSS_TOOLS where fetched
# tools are kept, CARGO_TARGET_DIR where the build goes. Prints the binary's path on stdout.
set -euo pipefail
. "$(dirname "$0")/toolchain.sh"

GLIBC=2.31
LARGEST_MB=16
LARGEST_WITH_MODEL_MB=50

[ $# -ge 1 ] || { sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2; }
target="$1"
shift
# of the default features foreign-threads is left out: it costs more than any other, for graphs that are not ours
features=engine,dicom,service,embedded-model
static=false largest=$LARGEST_WITH_MODEL_MB with=with-model
for option in "$@"; do
    case "$option" in
    --static) static=true ;;
    --without-model)
        features=engine,dicom,service
        largest=$LARGEST_MB with=without-model
        ;;
    *) fail "unknown option $option" "see the head of $0" ;;
    esac
done

need_std "$target"
RUSTFLAGS="${RUSTFLAGS:-} $(reproducible_flags)"
build=(cargo build) triple="$target" kind=dynamic
case "$target" in
*-musl)
    need_zig
    build=(cargo-zigbuild zigbuild) kind=static static=true
    ;;
*) if $static; then
        [ "$target" != aarch64-unknown-linux-gnu ] || need_gcc
        RUSTFLAGS+=" -C target-feature=+crt-static $(folding_flags)" kind=static
    else
        need_zig
        build=(cargo-zigbuild zigbuild) triple="$target.$GLIBC"
    fi ;;
esac
export RUSTFLAGS
out="${CARGO_TARGET_DIR:-$root/target}/cross"
export CARGO_TARGET_DIR="$out/$kind${RDE_RUST:+-$RDE_RUST}"

note "building $target, $kind, $with"
cd "$root"
"${build[@]}" --profile deploy -p rad-dino-edge --bin rad-dino-edge --target "$triple" --locked \
    --no-default-features --features "$features" >&2
binary="$out/rad-dino-edge-$target-$kind-$with"
cp "$CARGO_TARGET_DIR/$target/deploy/rad-dino-edge" "$binary"

bytes="$(stat -c %s "$binary")"
libraries="$(readelf -dW "$binary" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort | tr '\n' ' ')"
glibc="$(readelf -VW "$binary" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1 || true)"
note "$(basename "$binary"): $bytes bytes; libraries: ${libraries:-none}; newest glibc symbol: ${glibc:-none}"
[ "$bytes" -le $((largest * 1000 * 1000)) ] || fail "the binary is larger than $largest MB"
for library in $libraries; do
    case "$library" in
    libc.so.* | libm.so.* | libpthread.so.* | libdl.so.* | librt.so.* | ld-linux-*) ;;
    *) fail "the binary asks for $library, which is not part of glibc" ;;
    esac
done
if [ -n "$glibc" ]; then
    newest="$(printf '%s\n' "GLIBC_$GLIBC" "$glibc" | sort -V | tail -1)"
    [ "$newest" = "GLIBC_$GLIBC" ] || fail "the binary needs $glibc, newer than $GLIBC"
fi
if $static && [ -n "$libraries" ]; then fail "the binary is not static"; fi
sha256sum "$binary" | sed "s|$root/||" >&2
echo "$binary"
