"""Software bill of materials of rad-dino-edge as CycloneDX 1.6 JSON on stdout, from Cargo's own resolution and lock file.

    python3 runtime/deploy/sbom.py [--target TRIPLE] [--without-model] > rad-dino-edge.cdx.json

Lists what is compiled into the binary or runs while it is built (scope `excluded`), with the registry's checksums and
licences, and the embedded model. The same sources give the same bytes: no time, no serial number.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
LEAN = ["--no-default-features", "--features", "engine,dicom,service"]
# The features of the released binary; `embedded-model` adds no crate.
PACKAGE = "rad-dino-edge"


def tree(edges, options):
    """(name, version) → (licence, repository) of PACKAGE and its dependencies along `edges`."""
    command = ["cargo", "tree", "--locked", "-p", PACKAGE, "-e", edges, "--prefix", "none", "--format", "{p}\t{l}\t{r}"]
    lines = subprocess.run(command + options, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    found = {}
    for line in filter(None, lines):
        package, licence, repository = (line.removesuffix(" (*)") + "\t\t").split("\t")[:3]
        name, version = package.split(" ")[:2]
        found[name, version.removeprefix("v")] = (licence, repository.removesuffix(" (*)"))
    return found


def component(name, version, licence, repository, checksum, scope):
    url = f"pkg:cargo/{name}@{version}"
    entry = {"type": "library", "bom-ref": url, "name": name, "version": version, "scope": scope, "purl": url}
    if licence:
        # Old manifests write MIT/Apache-2.0.
        entry["licenses"] = [{"expression": licence.replace("/", " OR ")}]
    if checksum:
        entry["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if repository:
        entry["externalReferences"] = [{"type": "vcs", "url": repository}]
    return entry


def model(path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{path.name}",
        "name": path.stem,
        "scope": "required",
        "description": "embedded in the binary; its card, training data and licence: models/" + path.stem + ".md",
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="aarch64-unknown-linux-gnu")
    parser.add_argument("--without-model", action="store_true")
    arguments = parser.parse_args()
    options = ["--target", arguments.target, *(LEAN if arguments.without_model else [])]
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}
    runs, built = tree("normal", options), tree("normal,build", options)
    components, refs = [], []
    for (name, version), (licence, repository) in sorted(built.items()):
        if name == PACKAGE:
            continue
        scope = "required" if (name, version) in runs else "excluded"
        components.append(component(name, version, licence, repository, checksums[name, version], scope))
    if not arguments.without_model:
        components += [model(path) for path in sorted((ROOT / "models").glob("rad-dino-small*.onnx"))]
    refs = [c["bom-ref"] for c in components if c["scope"] == "required"]
    version = next(p["version"] for p in lock["package"] if p["name"] == PACKAGE)
    subject = {
        "type": "application",
        "bom-ref": PACKAGE,
        "name": PACKAGE,
        "version": version,
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
        "properties": [{"name": "target", "value": arguments.target}],
    }
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": subject},
        "components": components,
        "dependencies": [{"ref": PACKAGE, "dependsOn": refs}],
    }
    print(json.dumps(bom, indent=1))


main()
