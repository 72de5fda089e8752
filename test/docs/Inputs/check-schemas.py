# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Whether a JSON schema and the reader of its files agree.

usage: check-schemas.py SCHEMA EXAMPLE [COMMAND...]

COMMAND, in which {} stands for a file, succeeds for what the reader takes. The
example is read by both, and so is the example with every single value left out,
replaced, or given a neighbour that no schema knows. What the schema refuses, the
reader must refuse. The other way round the reader may know better (a placement has
as many devices as there are stages), but it must not call a member unknown or
missing, or a value of the wrong type, that the schema allows. Without a command only
the example is checked.
"""

import copy
import json
import subprocess
import sys
import tempfile

import jsonschema

REPLACEMENTS = ["x", 0.5, None, []]


def places(value, path=()):
    """The paths of all values inside."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def at(value, path):
    for key in path:
        value = value[key]
    return value


def changed(example):
    yield "as it is", example
    for path in places(example):
        name = ".".join(map(str, path))
        without = copy.deepcopy(example)
        del at(without, path[:-1])[path[-1]]
        yield f"without {name}", without
        for replacement in REPLACEMENTS:
            if replacement != at(example, path):
                other = copy.deepcopy(example)
                at(other, path[:-1])[path[-1]] = replacement
                yield f"{name} = {replacement}", other
        if isinstance(at(example, path), dict):
            more = copy.deepcopy(example)
            at(more, path)["unheard_of"] = 1
            yield f"more in {name}", more
    yield "more", {**example, "unheard_of": 1}


def main():
    schema_path, example_path, *command = sys.argv[1:]
    with open(schema_path) as file:
        schema = json.load(file)
    with open(example_path) as file:
        example = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    if not command:
        return validator.validate(example)
    count = refused = 0
    with tempfile.NamedTemporaryFile("w+", suffix=".json") as file:
        for name, document in changed(example):
            file.seek(0)
            file.truncate()
            json.dump(document, file)
            file.flush()
            result = subprocess.run(
                [word.replace("{}", file.name) for word in command],
                capture_output=True,
                text=True,
            )
            line = result.stderr.strip()
            if result.returncode not in (0, 1):
                sys.exit(f"{name}: exit code {result.returncode}: {line}")
            valid = validator.is_valid(document)
            if name == "as it is" and (not valid or result.returncode):
                sys.exit(f"{example_path} is refused: {line}")
            if not valid and result.returncode == 0:
                error = jsonschema.exceptions.best_match(validator.iter_errors(document))
                sys.exit(f"{name}: read, but the schema says: {error.message}")
            # "expected one device for each stage" is about numbers, not types.
            if valid and any(
                word in line
                for word in (": unknown", ": missing", "expected a", "expected linear")
            ):
                sys.exit(f"{name}: the schema allows it, but: {line}")
            count += 1
            refused += not valid
    print(f"{count} documents, {refused} refused")


main()
