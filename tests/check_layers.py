#!/usr/bin/env python3
"""Fails when a folder includes one that stands above or beside it (docs/ARCHITECTURE.md).

Usage: check_layers.py ROOT
"""

import pathlib
import re
import sys

import source_tree

BASE = {"base"}
BELOW_ENGINE = {"base", "model", "conf", "store", "deadletter", "buffer", "encode", "schemas",
                "sources", "targets"}
MAY_INCLUDE = {
    "base": set(),
    "model": BASE,
    "conf": BASE,
    "store": BASE,
    "deadletter": BASE | {"store"},
    "buffer": BASE | {"model"},
    "encode": BASE | {"model"},
    "schemas": BASE | {"conf", "encode"},
    "sources": BASE | {"model", "conf"},
    "targets": BASE | {"model", "conf", "encode"},
    "engine": BELOW_ENGINE,
    "api": BASE | {"model", "conf", "deadletter", "engine"},
    "cli": BASE | {"model", "conf", "engine", "api", "sources", "targets", "encode", "store",
                   "deadletter"},
}
# Of a family of plug-ins only the contract is seen from outside, never one of its members.
CONTRACTS = {"sources": {"sources/source.h"}, "targets": {"targets/target.h"}}
# A plug-in does not know its siblings: inside a family, a folder includes itself and the contract.
FAMILIES = ("sources", "targets")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', re.M)


def fault_of(folder, path, included):
    other = included.split("/")[0]
    if "/" not in included:
        return f'"{included}" is not named from the root of the project'
    if other not in source_tree.FOLDERS:
        return f'"{included}" is in no known folder'
    if other == folder:
        parts, own = pathlib.PurePath(included).parts, path.parts
        if folder in FAMILIES and len(parts) > 2 and len(own) > 2 and parts[1] != own[1]:
            return f"{folder}/{own[1]} may not include its sibling {included}"
        return None
    if other not in MAY_INCLUDE[folder]:
        return f"{folder} may not include {included}"
    if other in CONTRACTS and included not in CONTRACTS[other]:
        return f"{folder} may include only the contract of {other}, not {included}"
    return None


def left_out(root):
    """Folders of the product that images would be built without."""
    kept = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return [f".dockerignore: leaves out {folder}/" for folder in source_tree.FOLDERS
            if f"!{folder}/" not in kept]


def main(root):
    faults, files = left_out(root), source_tree.product(root)
    for path in files:
        text, relative = path.read_text(encoding="utf-8"), path.relative_to(root)
        for match in INCLUDE.finditer(text):
            fault = fault_of(relative.parts[0], relative, match.group(1))
            if fault:
                line = source_tree.line_of(text, match.start(1))
                faults.append(f"{relative}:{line}: {fault}")
    return source_tree.report("layers", faults, f"{len(files)} files")


sys.exit(main(pathlib.Path(sys.argv[1])))
