#!/usr/bin/env python3
"""From nothing to the first answer: `rad-dino-edge infer` of one film, start to finish, as a new process each time.

    tests/cold_start.py EDGE [MODEL...]     EDGE: a release binary; without MODEL the embedded one

The film is models/demo.png brought to 256 pixels by the nearest one. Prints a table of milliseconds: by the clock (median
and least) and of processor time (median) over 40 runs with the files in memory, and by the clock over 5 with them dropped
from the page cache where that is allowed (root).
"""

import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIDE = 256
RUNS, FROM_DISK = 40, 5


def grey_png(path):
    """Width and rows of an 8-bit grey PNG without interlacing."""
    data = path.read_bytes()
    at, packed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        chunk = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour, *_, interlaced = struct.unpack(">IIBBBBB", chunk)
            assert (depth, colour, interlaced) == (8, 0, 0), "8-bit grey expected"
        if kind == b"IDAT":
            packed += chunk
        at += 12 + length
    raw = zlib.decompress(packed)
    rows, above = [], bytes(width)
    for y in range(height):
        start = y * (width + 1)
        row = bytearray(raw[start + 1 : start + 1 + width])
        for x in range(width):
            left, up, corner = (row[x - 1], above[x], above[x - 1]) if x else (0, above[x], 0)
            guess = left + up - corner
            paeth = min((left, up, corner), key=lambda value: abs(guess - value))
            row[x] = (row[x] + [0, left, up, (left + up) // 2, paeth][raw[start]]) & 255
        rows.append(bytes(row))
        above = rows[-1]
    return width, rows


def small_film(path):
    width, rows = grey_png(ROOT / "models/demo.png")
    pick = lambda n: [i * n // SIDE for i in range(SIDE)]
    lines = b"".join(b"\0" + bytes(rows[y][x] for x in pick(width)) for y in pick(len(rows)))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def run(command):
    """Milliseconds by the clock, and those of processor time."""
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"error: {' '.join(command)} ended with {child.returncode}")
    return 1e3 * (time.perf_counter() - start), 1e3 * (used.ru_utime + used.ru_stime)


def drop(paths):
    """Takes the files out of the page cache; False where the system does not allow it."""
    for path in paths:
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    try:
        Path("/proc/sys/vm/drop_caches").write_text("1")
    except OSError:
        return False
    return True


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    edge, models = sys.argv[1], sys.argv[2:] or [None]
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.png"
        small_film(film)
        print("| model | threads | median, ms | least | processor | from disk |\n|---|---|---|---|---|---|")
        for model in models:
            for threads in ("1", "2"):
                command = [edge, "infer", str(film), "--format", "json", "--threads", threads]
                command += ["--model", model] if model else []
                run(command)
                times, processor = zip(*(run(command) for _ in range(RUNS)))
                cold = []
                for _ in range(FROM_DISK):
                    if drop([edge, film] + ([model] if model else [])):
                        cold.append(run(command)[0])
                name = Path(model).stem if model else "embedded"
                disk = f"{statistics.median(cold):.0f}" if cold else "not allowed"
                median = statistics.median
                print(f"| {name} | {threads} | {median(times):.0f} | {min(times):.0f} | {median(processor):.0f} | {disk} |")


main()
