#!/usr/bin/env python3
"""Installs a build into a scratch directory and uses it from there: the program starts, the sample
conf is valid, the unit names the program, and nothing is installed that nobody asked for.

Usage: check_install.py BUILD PREFIX
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

EXPECTED = ("bin/pgfan", "share/man/man1/pgfan.1", "lib/systemd/system/pgfan.service",
            "share/doc/pgfan/pgfan.yaml", "share/doc/pgfan/README.md",
            "share/doc/pgfan/docs/configuration.md", "share/doc/pgfan/docs/decisions/README.md",
            "share/doc/pgfan/examples/minimal.yaml", "share/pgfan/pgfan.schema.json")


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          check=False, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n"
                 f"{done.stdout}{done.stderr}")
    return done.stdout


def main(build, prefix):
    with tempfile.TemporaryDirectory(prefix="pgfan-install-") as scratch:
        scratch = pathlib.Path(scratch)
        root = scratch / "root"
        run("meson", "install", "-C", build, "--no-rebuild", "--destdir", root)
        home = root / pathlib.Path(prefix).relative_to("/")
        files = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
        missing = [name for name in EXPECTED if name not in files]
        assert not missing, f"not installed: {missing}"
        strange = [name for name in files if not re.match(
            r"(bin/pgfan|lib/systemd/system/pgfan\.service|share/(man/man1|doc/pgfan|pgfan)/)", name)]
        assert not strange, f"installed, but why: {strange}"
        outside = [path for path in root.rglob("*")
                   if path.is_file() and not path.is_relative_to(home)]
        assert not outside, f"outside of the prefix: {outside}"

        assert run(home / "bin/pgfan", "--version").startswith("pgfan ")
        secrets = scratch / "secrets"
        secrets.mkdir(mode=0o700)
        (secrets / "dsn").write_text("host=db.example.org dbname=shop user=cdc\n")
        (secrets / "dsn").chmod(0o600)
        sample = home / "share/doc/pgfan/pgfan.yaml"
        run(home / "bin/pgfan", "check", "-c", sample,
            env={**os.environ, "CREDENTIALS_DIRECTORY": str(secrets)})

        unit = (home / "lib/systemd/system/pgfan.service").read_text()
        assert f"ExecStart={prefix}/bin/pgfan run " in unit, unit
        assert "@" not in re.sub(r"[=~ ]@[a-z-]+", "", unit), "a placeholder is left in the unit"
        print(f"install: ok ({len(files)} files)")


main(sys.argv[1], sys.argv[2])
