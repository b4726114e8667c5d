"""clients.py - pgfan and pg_recvlogical, each as one run over one slot."""

import json
import os
import signal
import subprocess

from pgfan_test.engine import UnixConnection

from .procs import BenchError, Child, wait_until
from .world import PUBLICATION


class Pgfan:
    """One engine with a data directory of its own. `pipelines` is a list of conf objects."""

    def __init__(self, world, directory, dsn, slot, pipelines):
        self.world, self.directory, self.slot = world, directory, slot
        directory.mkdir(parents=True, exist_ok=True)
        self.conf, self.log = directory / "pgfan.yaml", directory / "pgfan.log"
        self.socket = directory / "data/pgfan.sock"
        self.conf.write_text(json.dumps({
            "data_dir": str(directory / "data"),
            "sources": {"db": {"type": "postgres", "dsn": dsn, "allow_superuser": True,
                               "slot": {"name": slot, "create": False},
                               "publication": {"name": PUBLICATION, "create": False}}},
            "pipelines": pipelines}, indent=1), encoding="utf-8")
        os.chmod(self.conf, 0o600)
        self.child = None

    def start(self, stdout=subprocess.DEVNULL, adopt=True):
        words = ["--adopt-slot", self.slot] if adopt else []
        with self.log.open("ab") as log:
            self.child = Child([self.world.pgfan, "run", "-c", self.conf, *words],
                               stdout=stdout, stderr=log, cwd=self.directory)
        return self.child

    def ready(self, timeout=60):
        """Waits until every pipeline streams."""
        wait_until(self._is_ready, timeout, "pgfan is ready", child=self.child)

    def _is_ready(self):
        connection = UnixConnection(self.socket, 5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self):
        """Ends it gracefully; returns its usage."""
        usage = self.child.stop(signal.SIGTERM)
        if usage.status != 0:
            raise BenchError(f"pgfan ended with {usage.status}: {self.last_words()}")
        return usage

    def last_words(self):
        return self.log.read_text(encoding="utf-8", errors="replace")[-600:]


def pipeline(name, tables, *targets):
    return {"name": name, "source": "db", "tables": list(tables), "targets": list(targets)}


def file_target(name, path):
    return {"name": name, "type": "file", "path": str(path)}


class Recvlogical:
    """PostgreSQL's own client over a slot, to a file or (`-`) to standard output."""

    def __init__(self, world, dsn, slot, path):
        self.command = [world.server.bin / "pg_recvlogical", "-d", dsn, "-S", slot, "--start",
                        "--no-loop", "-o", "proto_version=1",
                        "-o", f"publication_names={PUBLICATION}", "-f", path]
        self.child = None

    def start(self, stdout=subprocess.DEVNULL):
        self.child = Child(self.command, stdout=stdout, stderr=subprocess.DEVNULL)
        return self.child

    def stop(self):
        usage = self.child.stop(signal.SIGINT)
        if usage.status != 0:
            raise BenchError(f"pg_recvlogical ended with {usage.status}")
        return usage


def count(world, kind, path, timeout=600):
    """Row changes in a file; `kind` is native or pgoutput."""
    with open(path, "rb") as stream:
        child = Child([world.pipeclock, "count", kind], stdin=stream, stdout=subprocess.PIPE)
        # A few digits fit the pipe: it cannot block before it ends.
        usage = child.wait(timeout)
    text = child.process.stdout.read()
    child.process.stdout.close()
    if usage.status != 0:
        raise BenchError(f"cannot count the events of {path}")
    return int(text)
