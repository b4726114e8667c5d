#!/usr/bin/env python3
"""Fails when the binary lacks a hardening that the build asks for.

Usage: check_hardening.py BINARY
"""

import pathlib
import re
import subprocess
import sys

import source_tree

ENDBR = bytes.fromhex("f30f1efa")


def readelf(*arguments):
    return subprocess.run(["readelf", "--wide", *arguments], capture_output=True, text=True,
                          check=True).stdout


def main(binary):
    header, segments = readelf("--file-header", binary), readelf("--segments", binary)
    dynamic, symbols = readelf("--dynamic", binary), readelf("--dyn-syms", binary)
    stack = re.search(r"GNU_STACK(?:\s+0x\w+){5}\s+(\w+)", segments)
    checks = {
        "position independent (-fPIE -pie)": re.search(r"Type:\s+DYN", header),
        "read-only relocations (-z relro)": "GNU_RELRO" in segments,
        "immediate binding (-z now)": re.search(r"FLAGS_1.*\bNOW\b|BIND_NOW", dynamic),
        "no executable stack (-z noexecstack)": stack and "E" not in stack.group(1),
        "stack protector": "__stack_chk_fail" in symbols,
        "fortified library calls (_FORTIFY_SOURCE)": re.search(r"__\w+_chk(?!_fail)", symbols),
        # The note of the whole binary is lost to Debian's start files; the landing pads stand.
        "control-flow protection (-fcf-protection)": pathlib.Path(binary).read_bytes().count(ENDBR)
                                                     > 100,
        "no search path": not re.search(r"\((RPATH|RUNPATH)\)", dynamic),
    }
    faults = [f"{binary}: missing: {name}" for name, there in checks.items() if not there]
    return source_tree.report("hardening", faults, f"{len(checks)} properties")


sys.exit(main(sys.argv[1]))
