#!/usr/bin/env python3
"""Fails on calls that the project does without, and on tests that sleep.

Usage: check_banned.py ROOT
"""

import pathlib
import re
import sys

import source_tree

# Unbounded writes, hidden static buffers, silent conversions, shells; alloca has no bound either.
BANNED = ("strcpy", "strcat", "stpcpy", "sprintf", "vsprintf", "gets", "strtok", "atoi", "atol",
          "atof", "gmtime", "localtime", "ctime", "asctime", "strerror", "alloca", "tmpnam",
          "mktemp", "rand", "srand", "setjmp", "longjmp")
# The product starts no shell, and its children by posix_spawn; a test may.
BANNED_IN_PRODUCT = ("system", "popen", "fork", "vfork")


def call_of(names):
    return re.compile(r"(?<![\w.>])(" + "|".join(names) + r")\s*\(")


# A test waits on a condition with a deadline (wait_until in tests/integration/pgfan_test/wait.py).
SLEEP = re.compile(r"(?<![\w.>])(sleep|usleep|nanosleep|clock_nanosleep|time\.sleep)\s*\(")


def scan(root, paths, pattern, what):
    faults = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        code = source_tree.code_only(text) if path.suffix in (".c", ".h") else text
        for match in pattern.finditer(code):
            where = f"{path.relative_to(root)}:{source_tree.line_of(code, match.start())}"
            faults.append(f"{where}: {what} {match.group(1)}()")
    return faults


def main(root):
    own = pathlib.Path(__file__).resolve()
    product, tests = source_tree.product(root), source_tree.tests(root)
    scripts = [path for path in source_tree.tests(root, (".py",)) if path.resolve() != own]
    sleepers = [path for path in tests + scripts if path.is_relative_to(root / "tests")]
    faults = scan(root, product + tests, call_of(BANNED), "banned function")
    faults += scan(root, product, call_of(BANNED_IN_PRODUCT), "banned in the product:")
    faults += scan(root, sleepers, SLEEP, "a test sleeps, it should wait on a condition:")
    return source_tree.report("banned", faults, f"{len(product + tests + scripts)} files")


sys.exit(main(pathlib.Path(sys.argv[1])))
