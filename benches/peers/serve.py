#!/usr/bin/env python3
"""Latency of `serve` at one client and at several: POST /v1/infer of one film over kept connections on the loopback.

    python benches/peers/serve.py --edge target/release/rad-dino-edge [--film models/demo.png] [--clients 8] [--seconds 10]

Standard library only. The clients run on the same cores as the service.
"""

import argparse
import http.client
import json
import os
import re
import subprocess
import threading
import time


def start(edge):
    command = [edge, "serve", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        found = re.search(r'"event":"listening".*"http://127\.0\.0\.1:(\d+)/"', line)
        if found:
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return process, int(found[1])
    raise SystemExit("serve does not listen")


def client(port, film, end, times, inside):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    while time.perf_counter() < end:
        begin = time.perf_counter()
        connection.request("POST", "/v1/infer", film, {"Content-Type": "application/octet-stream"})
        response = connection.getresponse()
        body = response.read()
        times.append(1e3 * (time.perf_counter() - begin))
        if response.status != 200:
            raise SystemExit(f"{response.status}: {body[:200]}")
        inside.append(json.loads(body)["timing_ms"]["total"])


def processor(process):
    with open(f"/proc/{process.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(process, port, film, clients, seconds):
    times, inside = [], []
    before = processor(process)
    end = time.perf_counter() + seconds
    threads = [threading.Thread(target=client, args=(port, film, end, times, inside)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times.sort()
    at = lambda q: times[min(len(times) - 1, int(q * len(times)))]
    return {"clients": clients, "requests": len(times), "per_second": round(len(times) / seconds, 1),
            "p50_ms": round(at(0.5), 1), "p95_ms": round(at(0.95), 1), "p99_ms": round(at(0.99), 1), "max_ms": round(times[-1], 1),
            "inside_p50_ms": round(sorted(inside)[len(inside) // 2], 1),
            "processor_ms": round(1e3 * (processor(process) - before) / len(times), 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", default="target/release/rad-dino-edge")
    parser.add_argument("--film", default="models/demo.png")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    with open(options.film, "rb") as file:
        film = file.read()
    process, port = start(options.edge)
    try:
        measure(process, port, film, 1, 1)
        alone = measure(process, port, film, 1, options.seconds)
        together = measure(process, port, film, options.clients, options.seconds)
    finally:
        process.terminate()
        process.wait()
    for row in (alone, together):
        print(json.dumps(row))
    print(f"p99 at {options.clients} clients / median alone: {together['p99_ms'] / alone['p50_ms']:.2f}")


if __name__ == "__main__":
    main()
