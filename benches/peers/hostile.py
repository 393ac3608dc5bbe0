#!/usr/bin/env python3
"""What hostile and odd files cost: `infer` once a file, with its time, its peak memory and what it says.

    python benches/peers/hostile.py --edge target/release/rad-dino-edge [../shared/data/dicom] [--seconds 1] [--megabytes 512]

Reads bad/* and odd_* of the folder. Standard library only. Exit code 1 when a file takes more processor time (it depends
less on what else the machine does) or memory than the limits, or ends in anything but a picture read (0) or a typed error
(4).
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time


def run(edge, file):
    with tempfile.TemporaryFile() as stdout:
        start = time.perf_counter()
        child = subprocess.Popen([edge, "infer", "--format", "json", file], stdout=stdout, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        stdout.seek(0)
        lines = stdout.read().decode().splitlines()
    answer = json.loads(lines[0]) if lines else {}
    error = answer.get("error")
    said = f'{error["kind"]}: {error["message"]}'.replace(f"{file}: ", "") if error else "read" if answer else "nothing"
    return child.returncode, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, said


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="../shared/data/dicom")
    parser.add_argument("--edge", default="target/release/rad-dino-edge")
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--megabytes", type=float, default=512)
    options = parser.parse_args()
    folder = pathlib.Path(options.folder)
    files = sorted(folder.glob("bad/*")) + sorted(folder.glob("odd_*"))
    if not files:
        raise SystemExit(f"{folder}: no bad/* and no odd_*")
    beyond = 0
    print("| file | exit | ms | of processor | peak MB | what it says |\n|---|---|---|---|---|---|")
    for file in files:
        code, seconds, processor, megabytes, said = run(options.edge, file)
        right = code in (0, 4) and processor <= options.seconds and megabytes <= options.megabytes and said != "nothing"
        beyond += not right
        mark = "" if right else " **beyond**"
        print(f"| {file.relative_to(folder)}{mark} | {code} | {1e3 * seconds:.0f} | {1e3 * processor:.0f} | {megabytes:.0f} | {said[:110]} |")
    print(f"\n{len(files)} files, {beyond} beyond {options.seconds:g} s and {options.megabytes:g} MB")
    raise SystemExit(1 if beyond else 0)


if __name__ == "__main__":
    main()
