#!/usr/bin/env python3
"""Fails when a header does not compile alone, lacks its opening block, or its include guard.

Usage: check_headers.py ROOT [COMPILER]
"""

import concurrent.futures
import pathlib
import re
import subprocess
import sys

import source_tree

LIBRARIES = ("libpq", "sqlite3", "jansson", "libfyaml", "libmicrohttpd", "libcurl")
FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]


def fault_of(root, path, command):
    relative = path.relative_to(root)
    text = path.read_text(encoding="utf-8")
    if not re.match(rf"/\*\n \* {re.escape(path.name)} - ", text):
        return f"{relative}:1: the header does not open with `{path.name} - <what it is for>`"
    guard = re.sub(r"[^A-Z0-9]", "_", str(relative).upper())
    if f"#ifndef {guard}\n#define {guard}\n" not in text:
        return f"{relative}:1: no include guard {guard}"
    # Twice: the guard works, too.
    unit = f'#include "{relative}"\n#include "{relative}"\n'
    run = subprocess.run(command, input=unit, capture_output=True, text=True, check=False)
    return f"{relative}: does not compile alone:\n{run.stderr.strip()}" if run.returncode else None


def main(root, compiler):
    libraries = subprocess.run(["pkg-config", "--cflags", *LIBRARIES], capture_output=True,
                               text=True, check=True).stdout.split()
    command = [compiler, *FLAGS, *libraries, f"-I{root}", "-x", "c", "-"]
    headers = source_tree.product(root, (".h",))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda path: fault_of(root, path, command), headers))
    return source_tree.report("headers", [fault for fault in results if fault],
                              f"{len(headers)} headers")


sys.exit(main(pathlib.Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "cc"))
