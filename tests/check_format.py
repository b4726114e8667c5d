#!/usr/bin/env python3
"""Fails when a C file is not formatted as .clang-format says.

Usage: check_format.py ROOT [CLANG_FORMAT]
"""

import pathlib
import re
import subprocess
import sys

import source_tree


def main(root, tool):
    files = source_tree.product(root) + source_tree.tests(root)
    run = subprocess.run([tool, "--dry-run", "--style=file", *map(str, files)],
                         capture_output=True, text=True, check=False)
    if run.returncode:
        print(run.stderr)
        return 1
    # One line a file: the tool reports each place, with the whole source line below.
    faulty = sorted(set(re.findall(r"^(.+?):\d+:\d+: (?:warning|error)", run.stderr, re.M)))
    faults = [f"{pathlib.Path(path).relative_to(root)}: not formatted: run {tool} -i on it"
              for path in faulty]
    return source_tree.report("format", faults, f"{len(files)} files")


sys.exit(main(pathlib.Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "clang-format-14"))
