"""source_tree.py - the C files of the project, for the checks beside this file."""

import pathlib
import re

FOLDERS = ("base", "model", "conf", "store", "deadletter", "buffer", "encode", "schemas", "sources",
           "targets", "engine", "api", "cli")

# Strings first: a comment may not start inside one, nor a string inside a comment.
_TOKEN = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|/\*.*?\*/', re.S)


def product(root, suffixes=(".c", ".h")):
    """Every C file of the product, sorted."""
    return [path for folder in FOLDERS for path in sorted((pathlib.Path(root) / folder).rglob("*"))
            if path.suffix in suffixes]


def tests(root, suffixes=(".c", ".h")):
    """Every file of the tests and benchmarks with one of these suffixes, sorted."""
    return [path for folder in ("tests", "bench")
            for path in sorted((pathlib.Path(root) / folder).rglob("*")) if path.suffix in suffixes]


def code_only(text):
    """The text with the inside of comments and strings blanked; lines keep their numbers."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return _TOKEN.sub(blank, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def report(name, faults, done):
    """Prints the faults, or what was checked, and returns the exit status."""
    for fault in faults:
        print(fault)
    print(f"{name}: {len(faults)} faults" if faults else f"{name}: ok ({done})")
    return 1 if faults else 0
