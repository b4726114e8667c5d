"""procs.py - children: started in a session of their own, stopped by pid, their use accounted for.

Every wait has a time-out. What still runs when bench/run ends is killed by pid.
"""

import atexit
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

TICK = os.sysconf("SC_CLK_TCK")
_children = []


class BenchError(Exception):
    """A run that did not work: said in one line, and the figure fails."""


@dataclasses.dataclass
class Usage:
    """What a child used from exec to its end."""

    status: int
    cpu: float  # seconds, user + system, of all its threads


class Child:
    """One process; `started` is taken right before it is made."""

    def __init__(self, command, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        words = [str(word) for word in command]
        self.started = time.monotonic()
        self.process = subprocess.Popen(words, start_new_session=True, **options)
        self.pid = self.process.pid
        self.name = pathlib.Path(words[0]).name
        self.usage = None
        _children.append(self)

    def poll(self):
        """Usage once it has ended, else None."""
        if self.usage is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self.process.returncode = code
                self.usage = Usage(code, usage.ru_utime + usage.ru_stime)
                _children.remove(self)
        return self.usage

    def wait(self, timeout):
        """Usage at its end."""
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name} did not end within {timeout:.0f} s")
            time.sleep(0.005)
        return self.usage

    def stop(self, how=signal.SIGTERM, timeout=90):
        """Signals it and waits; kills it when it does not obey in time, and fails."""
        if self.poll() is None:
            os.kill(self.pid, how)
        try:
            return self.wait(timeout)
        except BenchError:
            self.kill()
            raise

    def kill(self):
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        return self.wait(30)

    # ---- while it runs ----

    def cpu(self):
        """Seconds of CPU time so far."""
        text = pathlib.Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii")
        words = text.rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / TICK

    def memory(self):
        """(VmRSS, RssAnon) in KiB."""
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return tuple(int(re.search(rf"{field}:\s+(\d+)", text).group(1))
                     for field in ("VmRSS", "RssAnon"))


class MemorySampler:
    """Samples a child's memory in a thread: [(seconds since start, VmRSS KiB, RssAnon KiB)]."""

    def __init__(self, child, interval=0.2):
        self.child, self.interval = child, interval
        self.samples, self._over = [], threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._over.wait(self.interval):
            try:
                self.samples.append((time.monotonic() - self.child.started, *self.child.memory()))
            except (OSError, AttributeError):
                return  # it has ended

    def end(self):
        self._over.set()
        self._thread.join(10)
        if not self.samples:
            raise BenchError(f"no sample of the memory of {self.child.name}")
        return self.samples


def wait_until(condition, timeout, what, interval=0.02, child=None):
    """Returns what condition() returns once it is true; fails at the deadline, or when `child` ends."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if child is not None and child.poll() is not None:
            raise BenchError(f"{child.name} ended with {child.usage.status}, waiting for {what}")
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not within {timeout:.0f} s")
        time.sleep(interval)


@atexit.register
def _kill_all():
    for child in list(_children):
        try:
            child.kill()
        except (BenchError, OSError):
            pass  # nothing more can be done
