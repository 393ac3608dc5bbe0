#!/bin/sh
# Takes a new model or a new binary into use, without a network: verify its signature, switch a symbolic link in one step,
# let the doctor look, and switch back when he is not content.
#
#   update.sh install FILE [--key PUB] [--dir DIR]      FILE.minisig must lie beside FILE
#   update.sh roll-back model|binary [--dir DIR]        back to what was in use before
#   update.sh status [--dir DIR]
#
# DIR (default /opt/rad-dino-edge) holds: release.pub, the key that this box trusts; models/ and binaries/, one file a
# version, named by date and hash; model.onnx and rad-dino-edge, the links in use; model.onnx.previous and
# rad-dino-edge.previous. FILE that ends in .onnx is a model, anything else a binary. What the doctor needs beside the
# model (--out DIR, --port P) is taken from RDE_DOCTOR. After it, restart the service: RDE_RESTART names the command
# (say "systemctl restart rad-dino-edge"); it is also run after a roll-back.
# Exit codes: 0 in use, 2 usage, 3 signature refused (nothing was changed), 1 the doctor refused (rolled back).
set -eu

say() { echo "update: $*" >&2; }
fail() {
    say "$2"
    exit "$1"
}

dir=/opt/rad-dino-edge key=""
command="${1:-}"
[ $# -eq 0 ] || shift
subject=""
while [ $# -gt 0 ]; do
    case "$1" in
    --key) key="${2:?--key PUB}" && shift 2 ;;
    --dir) dir="${2:?--dir DIR}" && shift 2 ;;
    -*) fail 2 "unknown option $1" ;;
    *)
        [ -z "$subject" ] || fail 2 "one file at a time"
        subject="$1" && shift
        ;;
    esac
done
key="${key:-$dir/release.pub}"
edge="$dir/rad-dino-edge"

link_of() { case "$1" in model) echo "$dir/model.onnx" ;; binary) echo "$edge" ;; *) fail 2 "model or binary, not '$1'" ;; esac; }

# switch LINK TARGET : rename(2) replaces the link in one step; whoever opens it sees the old file or the new one.
switch() {
    ln -s "$2" "$1.new.$$"
    mv -T "$1.new.$$" "$1"
    sync -f "$1"
}

doctor() {
    if [ -e "$dir/model.onnx" ]; then
        # shellcheck disable=SC2086
        "$edge" doctor --model "$dir/model.onnx" --quiet ${RDE_DOCTOR:-} >&2
    else
        # shellcheck disable=SC2086
        "$edge" doctor --quiet ${RDE_DOCTOR:-} >&2
    fi
}

restart() { [ -z "${RDE_RESTART:-}" ] || $RDE_RESTART; }

install_file() {
    [ -f "$subject" ] || fail 2 "no such file: ${subject:-FILE is missing}"
    [ -f "$key" ] || fail 2 "no key at $key: put the publisher's minisign.pub there once, by hand"
    case "$subject" in *.onnx) kind=model folder=models suffix=.onnx ;; *) kind=binary folder=binaries suffix="" ;; esac
    link="$(link_of $kind)"
    if [ -x "$edge" ]; then verifier="$edge"; elif [ $kind = binary ] && command -v minisign >/dev/null; then verifier=minisign; else
        fail 2 "nothing here can verify yet: install the first binary with minisign at hand (apt-get install minisign)"
    fi
    mkdir -p "$dir/$folder"
    # A copy of ours is verified and installed, so that the file cannot be changed in between.
    copy="$dir/$folder/.incoming.$$$suffix"
    trap 'rm -f "$copy" "$copy.minisig"' EXIT
    cp -- "$subject" "$copy"
    cp -- "$subject.minisig" "$copy.minisig" 2>/dev/null || fail 3 "REFUSED: there is no $subject.minisig"
    if [ "$verifier" = minisign ]; then
        minisign -V -q -p "$key" -m "$copy" || fail 3 "REFUSED: the signature is not good; nothing was changed"
    else
        "$verifier" verify "$copy" --key "$key" >&2 || fail 3 "REFUSED: the signature is not good; nothing was changed"
    fi
    [ $kind = model ] || chmod 755 "$copy"
    name="$(date -u +%Y%m%d-%H%M%S)-$(sha256sum "$copy" | cut -c1-12)$suffix"
    mv "$copy.minisig" "$dir/$folder/$name.minisig"
    mv "$copy" "$dir/$folder/$name"
    sync -f "$dir/$folder"
    before="$(readlink "$link" || true)"
    switch "$link" "$folder/$name"
    if ! doctor; then
        if [ -n "$before" ]; then
            switch "$link" "$before"
            fail 1 "the doctor refused $name: rolled back to $before"
        fi
        rm -f "$link"
        fail 1 "the doctor refused $name: nothing is in use"
    fi
    [ -z "$before" ] || switch "$link.previous" "$before"
    restart || fail 1 "in use, but the service did not restart: update.sh roll-back $kind"
    say "in use: $name${before:+ (before: $before)}"
}

roll_back() {
    link="$(link_of "$subject")"
    before="$(readlink "$link.previous")" || fail 2 "there is no previous $subject to go back to"
    now="$(readlink "$link")"
    switch "$link" "$before"
    switch "$link.previous" "$now"
    doctor || say "warning: the doctor is not content with $before either"
    restart
    say "in use: $before (before: $now)"
}

case "$command" in
install) install_file ;;
roll-back) roll_back ;;
status)
    for kind in model binary; do
        link="$(link_of $kind)"
        echo "$kind: $(readlink "$link" || echo none), previous: $(readlink "$link.previous" || echo none)"
    done
    ;;
*) sed -n '2,16s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
