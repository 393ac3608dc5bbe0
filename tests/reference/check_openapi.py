#!/usr/bin/env python3
"""Holds the OpenAPI document of `serve` to the OpenAPI 3.1 schema.

    python tests/reference/check_openapi.py
"""

import json
import pathlib

from openapi_spec_validator import OpenAPIV31SpecValidator

path = pathlib.Path(__file__).parents[2] / "runtime/src/service/http/openapi.json"
document = json.loads(path.read_text())
errors = list(OpenAPIV31SpecValidator(document).iter_errors())
for error in errors:
    print(f"{'/'.join(map(str, error.absolute_path))}: {error.message}")
if errors:
    raise SystemExit(1)
print(f"{path.name}: OpenAPI {document['openapi']}, {len(document['paths'])} paths, valid")
