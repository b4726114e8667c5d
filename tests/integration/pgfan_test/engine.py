"""engine.py - the engine as a process: conf, start, control socket, logs, end."""

import fcntl
import http.client
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import threading

from . import conf as conf_text
from . import process
from .wait import wait_until

BINARY = pathlib.Path(os.environ.get(
    "PGFAN_BINARY", process.ROOT / os.environ.get("PGFAN_BUILD", "build") / "pgfan"))
LOGFMT = re.compile(r'([A-Za-z_][\w.]*)=("(?:\\.|[^"\\])*"|\S*)')


class UnixConnection(http.client.HTTPConnection):
    """HTTP over the engine's unix socket."""

    def __init__(self, path, timeout=10):
        super().__init__("localhost", timeout=timeout)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def pgfan(*arguments, timeout=60, env=None, **options):
    """Runs one command of the CLI and returns the finished process."""
    assert BINARY.exists(), f"{BINARY} is missing: build it first"
    return subprocess.run([str(BINARY), *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout, check=False, stdin=subprocess.DEVNULL,
                          env={**os.environ, **(env or {})}, **options)


class PipeReader:
    """The reading end of the engine's standard output: a target that takes nothing until told to.

    Nothing is read until release(); the pipe holds 4 KiB, so a `stdout` target is blocked before.
    """

    def __init__(self):
        self.read_end, self.write_end = os.pipe()
        fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, 4096)
        self.data, self.thread = bytearray(), None

    def release(self):
        """From now on everything is read, in a thread of its own."""
        if self.thread is None:
            self.thread = threading.Thread(target=self._read, daemon=True)
            self.thread.start()

    def _read(self):
        while chunk := os.read(self.read_end, 1 << 16):
            self.data += chunk

    def take(self, size):
        """Reads about so many bytes and no more, while it is not released."""
        self.data += os.read(self.read_end, size)

    def all(self):
        """Every whole event read so far."""
        return [json.loads(line) for line in bytes(self.data).splitlines(keepends=True)
                if line.endswith(b"\n")]

    def count(self):
        return bytes(self.data).count(b"\n")


class Engine:
    """One engine over one conf; may be started and killed many times over the same directory."""

    def __init__(self, conf, directory, wrapper=(), env=None, arguments=(), pipe=False):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.conf_path = self.directory / "pgfan.yaml"
        self.stderr_path = self.directory / "stderr.log"
        self.stdout_path = self.directory / "stdout.jsonl"
        self.wrapper, self.env, self.arguments = list(wrapper), dict(env or {}), list(arguments)
        self.child = None
        self.pipe, self.reader = pipe, None  # pipe: standard output goes to a pipe, see PipeReader
        self.rewrite(conf)

    def rewrite(self, conf):
        """Replaces the conf for the next start."""
        self.conf = conf
        text = conf if isinstance(conf, str) else conf_text.text(conf)
        self.conf_path.write_text(text, encoding="utf-8")
        os.chmod(self.conf_path, 0o600)
        self.data_dir = pathlib.Path(conf["data_dir"]) if isinstance(conf, dict) else (
            self.directory / "data")
        self.socket_path = self.data_dir / "pgfan.sock"

    # ---- life ----

    def launch(self, *arguments, limits=None):
        """Starts without waiting."""
        assert BINARY.exists(), f"{BINARY} is missing: build it first"
        assert self.child is None or self.child.poll() is not None, "it runs already"

        def prepare():
            for which, bound in (limits or {}).items():
                resource.setrlimit(which, (bound, bound))

        if self.pipe:
            self.reader = PipeReader()
        self.child = process.spawn(
            [*self.wrapper, BINARY, "run", "-c", self.conf_path, *self.arguments, *arguments],
            stdout=self.reader.write_end if self.pipe else self.stdout_path.open("ab"),
            stderr=self.stderr_path.open("ab"),
            env={**os.environ, **self.env}, preexec_fn=prepare if limits else None)
        if self.pipe:
            os.close(self.reader.write_end)
        return self

    def start(self, *arguments, timeout=60, **options):
        """Starts and waits until it is ready: every pipeline streams."""
        self.launch(*arguments, **options)
        return self.wait_ready(timeout)

    def wait_ready(self, timeout=60):
        try:
            wait_until(self._ready_or_dead, timeout, "the engine is ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.stderr()[-3000:]}") from None
        assert self.child.poll() is None, (
            f"the engine ended with {self.child.returncode}:\n{self.stderr()[-3000:]}")
        return self

    def _ready_or_dead(self):
        return self.child.poll() is not None or self.get("/readyz")[0] == 200

    def wait_exit(self, timeout=60):
        """Waits until it has ended by itself; returns the exit status."""
        try:
            status = self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"still running after {timeout} s:\n{self.stderr()[-3000:]}") from None
        process.stop(self.child)
        return status

    def stop(self, timeout=30):
        """SIGTERM; returns the exit status."""
        return process.stop(self.child, signal.SIGTERM, timeout)

    def kill9(self):
        """kill -9. A wrapper such as strace is ended with the engine it runs."""
        if self.wrapper:
            for pid in self.pids():
                os.kill(pid, signal.SIGKILL)
        return process.stop(self.child, signal.SIGKILL)

    def pids(self):
        """The engine's pid; under a wrapper, that of the wrapper's child."""
        if not self.wrapper:
            return [self.child.pid]
        listing = pathlib.Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children")
        return [int(word) for word in listing.read_text().split()]

    def signal(self, how):
        os.kill(self.pids()[0], how)

    @property
    def running(self):
        return self.child is not None and self.child.poll() is None

    # ---- control socket ----

    def request(self, method, path, body=None, headers=None, timeout=15):
        """Returns (status, body); the body is decoded when it is JSON."""
        connection = UnixConnection(self.socket_path, timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            raw = answer.read().decode("utf-8")
            if "json" in (answer.getheader("Content-Type") or ""):
                return answer.status, json.loads(raw)
            return answer.status, raw
        finally:
            connection.close()

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def command(self, pipeline, verb, expect=200):
        status, body = self.request("POST", f"/pipelines/{pipeline}/{verb}")
        assert status == expect, (status, body)
        return body

    def pipeline(self, name="all"):
        """The resource of one pipeline: metadata, spec, status."""
        status, body = self.get(f"/pipelines/{name}")
        assert status == 200, (status, body)
        return body

    def state(self, name="all"):
        return self.pipeline(name)["status"]["state"]

    def reason(self, name="all"):
        return self.pipeline(name)["status"].get("reason") or ""

    def wait_state(self, name, state, timeout=30):
        wait_until(lambda: self.state(name) == state, timeout, f'pipeline "{name}" is {state}')

    def status(self):
        """Everything: sources, pipelines, store, versions."""
        code, body = self.get("/status")
        assert code == 200, (code, body)
        return body

    def source(self, name="db"):
        return next(entry for entry in self.status()["sources"] if entry["name"] == name)

    def metrics(self):
        """{name: [(labels, value)]} of GET /metrics."""
        status, text = self.get("/metrics")
        assert status == 200, status
        found = {}
        for line in text.splitlines():
            if not line or line.startswith("#"):
                continue
            match = re.fullmatch(r'([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \d+)?', line)
            assert match, f"not a line of the exposition format: {line!r}"
            labels = dict(re.findall(r'(\w+)="((?:\\.|[^"\\])*)"', match.group(2) or ""))
            found.setdefault(match.group(1), []).append((labels, float(match.group(3))))
        return found

    # ---- what it wrote ----

    def stderr(self):
        if not self.stderr_path.exists():
            return ""
        return self.stderr_path.read_text(encoding="utf-8", errors="replace")

    def log(self):
        """Each line of stderr as a dictionary; logfmt or JSON."""
        return [parse_line(line) for line in self.stderr().splitlines() if line.strip()]

    def stdout_events(self):
        with self.stdout_path.open(encoding="utf-8") as stream:
            return [json.loads(line) for line in stream if line.endswith("\n")]

    def memory_kib(self, field="VmRSS"):
        text = pathlib.Path(f"/proc/{self.pids()[0]}/status").read_text(encoding="ascii")
        return int(re.search(rf"{field}:\s+(\d+)", text).group(1))


def parse_line(line):
    if line.startswith("{"):
        return json.loads(line)
    fields = {}
    for key, value in LOGFMT.findall(line):
        fields[key] = json.loads(value) if value.startswith('"') else value
    return fields
