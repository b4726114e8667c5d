#!/usr/bin/env python3
"""Fails when the Debian package is not what it should be.

Usage: check_package.py PACKAGE [THE SAME, BUILT ELSEWHERE]

Checked: fields, dependencies against what the program is linked with, the conffile, owners and modes,
the maintainer scripts' syntax, that the unpacked program runs and finds the sample conf valid, and,
with a second package, that both are the same file.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import source_tree

DEPENDS = ("libc6", "libpq5", "libsqlite3-0", "libcurl4", "libfyaml0", "libjansson4",
           "libmicrohttpd12")
ROOT = pathlib.Path(__file__).resolve().parents[1]
SCRIPTS = ("postinst", "prerm", "postrm")


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          check=True, **options).stdout


def check_control(package, control, faults):
    names = {entry.split()[0] for entry in run("dpkg-deb", "-f", package, "Depends").split(", ")}
    faults += [f"does not depend on {name}" for name in DEPENDS if name not in names]
    if (control / "conffiles").read_text() != "/etc/pgfan/pgfan.yaml\n":
        faults.append("the conf is no conffile")
    for name in SCRIPTS:
        if subprocess.run(["sh", "-n", control / name], check=False).returncode:
            faults.append(f"{name}: syntax")


def check_files(package, root, faults):
    for line in run("dpkg-deb", "-c", package).splitlines():
        mode, owner, *_, name = line.split()
        wanted = "-rwxr-xr-x" if name == "./usr/bin/pgfan" else (
            "drwxr-xr-x" if name.endswith("/") else "-rw-r--r--")
        if (mode, owner) != (wanted, "root/root"):
            faults.append(f"{name}: {mode} {owner}")
    unit = (root / "usr/lib/systemd/system/pgfan.service").read_text()
    if "ExecStart=/usr/bin/pgfan run -c /etc/pgfan/pgfan.yaml\n" not in unit:
        faults.append("the unit does not run the program")
    if os.fsencode(ROOT) in (root / "usr/bin/pgfan").read_bytes():
        faults.append("the program names the directory it was built in")


def check_program(root, scratch, faults):
    program = root / "usr/bin/pgfan"
    if not run(program, "--version").startswith("pgfan "):
        faults.append("the program does not run")
    (scratch / "dsn").write_text("host=db.example.org dbname=shop user=cdc\n")
    (scratch / "dsn").chmod(0o600)
    checked = subprocess.run([program, "check", "-c", root / "etc/pgfan/pgfan.yaml"], check=False,
                             env={**os.environ, "CREDENTIALS_DIRECTORY": str(scratch)},
                             capture_output=True, text=True)
    if checked.returncode:
        faults.append(f"the sample conf is not valid: {checked.stderr}")


def main(package, *others):
    faults = []
    with tempfile.TemporaryDirectory(prefix="pgfan-package-") as scratch:
        scratch = pathlib.Path(scratch)
        root, control = scratch / "root", scratch / "control"
        run("dpkg-deb", "-x", package, root)
        run("dpkg-deb", "-e", package, control)
        check_control(package, control, faults)
        check_files(package, root, faults)
        check_program(root, scratch, faults)
        run("md5sum", "--check", "--strict", control / "md5sums", cwd=root)
    content = pathlib.Path(package).read_bytes()
    faults += [f"{other} is another file: the build is not reproducible" for other in others
               if pathlib.Path(other).read_bytes() != content]
    return source_tree.report("package", faults, f"{len(content) // 1024} kB")


sys.exit(main(*sys.argv[1:]))
