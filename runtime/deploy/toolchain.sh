# Sourced by the scripts beside it: finds or fetches what a build for TARGET needs. Nothing is written outside $tools,
# except that a root user's missing Debian packages (cross compiler, qemu) are installed with apt-get.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
tools="${RDE_CROSS_TOOLS:-$root/target/cross-tools}"
ZIGLANG=0.17.1
CARGO_ZIGBUILD=0.24.1

note() { echo "== $*" >&2; }
fail() {
    echo "error: $1" >&2
    [ $# -lt 2 ] || echo "hint: $2" >&2
    exit 1
}

# need_program PROGRAM PACKAGE...
need_program() {
    local program="$1"
    shift
    command -v "$program" >/dev/null && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        note "installing $*"
        apt-get install -y -q --no-install-recommends "$@" >/dev/null ||
            { apt-get update -q >/dev/null && apt-get install -y -q --no-install-recommends "$@" >/dev/null; } ||
            fail "$program is missing and could not be installed" "install $*"
        return
    fi
    fail "$program is missing" "apt-get install $*"
}

# The C cross compiler for aarch64 (also the linker of static binaries).
need_gcc() {
    [ "$(uname -m)" = aarch64 ] && return
    need_program aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross
    export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc AR_aarch64_unknown_linux_gnu=aarch64-linux-gnu-ar
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
}

# zig as the linker: it fixes the oldest glibc that the binary runs on, and brings musl.
need_zig() {
    local venv="$tools/zig-$ZIGLANG"
    if [ ! -x "$venv/bin/cargo-zigbuild" ]; then
        note "fetching ziglang $ZIGLANG and cargo-zigbuild $CARGO_ZIGBUILD from PyPI (440 MB unpacked)"
        python3 -m venv "$venv"
        "$venv/bin/pip" install -q --disable-pip-version-check "ziglang==$ZIGLANG" "cargo-zigbuild==$CARGO_ZIGBUILD"
    fi
    export PATH="$venv/bin:$PATH"
}

# Rust's standard library for TARGET: rustup's, else that of Debian's rustc-web, unpacked below $tools.
# RDE_RUST=rustup or RDE_RUST=debian chooses.
need_std() {
    local target="$1" choice="${RDE_RUST:-}"
    if [ "$choice" != debian ]; then
        local libdir
        libdir="$(cd "$root" && rustc --print target-libdir --target "$target")" || fail "rustc is missing" "install rustup"
        compgen -G "$libdir/libstd-*" >/dev/null && return
        if command -v rustup >/dev/null; then
            note "rustup target add $target"
            (cd "$root" && timeout 300 rustup target add "$target" >&2) && return
        fi
        [ -z "$choice" ] || fail "rustup cannot add $target" "check the network, or RDE_RUST=debian"
        note "rustup has no $target here: falling back to Debian's rustc"
    fi
    [ "$target" = aarch64-unknown-linux-gnu ] || fail "no standard library for $target" "rustup target add $target"
    debian_rust
}

# Debian 12's rustc-web with the arm64 standard library. The packages are unpacked, not installed, and apt's own state is
# not touched: it gets lists and architectures of its own.
debian_rust() {
    local folder="$tools/debian-rust" apt packages std deb
    command -v dpkg-deb >/dev/null || fail "no rustup target and no Debian" "install rustup and run rustup target add"
    if [ ! -e "$folder/complete" ]; then
        note "unpacking Debian's rustc with the arm64 standard library (140 MB to fetch, 620 MB unpacked)"
        rm -rf "$folder"
        mkdir -p "$folder/lists/partial" "$folder/archives/partial" "$folder/root" "$folder/debs"
        apt=(-o "Dir::State::lists=$folder/lists" -o "Dir::Cache=$folder" -o "Dir::Cache::archives=$folder/archives"
            -o "Dir::State::status=/var/lib/dpkg/status" -o "APT::Architecture=amd64" -o "APT::Architectures::=amd64"
            -o "APT::Architectures::=arm64" -o "Debug::NoLocking=1" -o "APT::Sandbox::User=$(id -un)" -q)
        apt-get "${apt[@]}" update >/dev/null
        depends() { apt-cache "${apt[@]}" depends "$1" | sed -n "s/^ *Depends: \($2\)\$/\1/p"; }
        std="$(depends libstd-rust-web-dev 'libstd-rust-web-[0-9.]*')"
        [ -n "$std" ] || fail "Debian has no rustc-web here (Debian 12 has)" "install rustup and run rustup target add"
        packages="$std $(depends "$std" 'libllvm[0-9]*')"
        # shellcheck disable=SC2086
        (cd "$folder/debs" && apt-get "${apt[@]}" download rustc-web $packages libstd-rust-web-dev libz3-4 \
            libstd-rust-web-dev:arm64 >/dev/null)
        for deb in "$folder"/debs/*.deb; do dpkg-deb -x "$deb" "$folder/root"; done
        rm -rf "$folder/debs" "$folder/lists" "$folder/archives"
        touch "$folder/complete"
    fi
    # The wrapper keeps Debian's LLVM away from every other program.
    cat >"$folder/rustc" <<RUSTC
#!/bin/sh
LD_LIBRARY_PATH="$folder/root/usr/lib/x86_64-linux-gnu" exec "$folder/root/usr/bin/rustc" "\$@"
RUSTC
    chmod +x "$folder/rustc"
    export RUSTC="$folder/rustc"
    note "$("$RUSTC" --version)"
}

# Functions that came out alike are linked once: by the lld that rustup brings; without it the binary is larger.
folding_flags() {
    local tools
    tools="$("${RUSTC:-rustc}" --print sysroot)/lib/rustlib/$("${RUSTC:-rustc}" -vV | sed -n 's/^host: //p')/bin/gcc-ld"
    [ -x "$tools/ld.lld" ] || return 0
    echo "-C link-arg=-fuse-ld=lld -C link-arg=-B$tools -C link-arg=-Wl,--icf=safe"
}

# Same bytes from any folder: no path of this machine gets into the binary.
reproducible_flags() {
    echo "--remap-path-prefix=$root=/rad-dino-edge --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
}
