"""The two ends of coverage.sh: which executables to run, and the table."""

import collections
import json
import os
import sys


def executables(package, tests):
    """Cargo's messages: folder and path of the unit tests of `package`'s library and of the `tests`."""
    found = 0
    for line in sys.stdin:
        message = json.loads(line)
        target = message.get("target", {})
        folder = os.path.dirname(message.get("manifest_path", ""))
        library = "lib" in target.get("kind", []) and os.path.basename(folder) == package
        if message.get("executable") and (library or ("test" in target["kind"] and target["name"] in tests)):
            print(f"{folder}\t{message['executable']}")
            found += 1
    if not found:
        sys.exit("error: cargo named no executable")


def table(goal):
    """llvm-cov's summary: lines, covered lines and percent by file and by folder."""
    root = os.getcwd() + "/"
    rows = []
    folders = collections.defaultdict(lambda: [0, 0])
    for file in json.load(sys.stdin)["data"][0]["files"]:
        name = file["filename"].removeprefix(root)
        if os.path.basename(name) == "tests.rs":
            continue
        lines = file["summary"]["lines"]
        rows.append((name, lines["count"], lines["covered"]))
        folder = folders["/".join(name.split("/")[:3])]
        folder[0] += lines["count"]
        folder[1] += lines["covered"]
    if not rows:
        sys.exit("error: none of the files was compiled")
    percent = lambda covered, count: 100 * covered / max(count, 1)
    print("| file | lines | covered | % |\n|---|---|---|---|")
    for name, count, covered in sorted(rows):
        print(f"| {name} | {count} | {covered} | {percent(covered, count):.1f} |")
    for name, (count, covered) in sorted(folders.items()):
        print(f"| **{name}** | {count} | {covered} | **{percent(covered, count):.1f}** |")
    below = [name for name, (count, covered) in folders.items() if percent(covered, count) < goal]
    if below:
        sys.exit(f"below {goal:g} %: {', '.join(below)}")


if sys.argv[1] == "executables":
    executables(sys.argv[2], sys.argv[3:])
else:
    table(float(sys.argv[2]))
