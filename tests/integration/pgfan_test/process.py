"""process.py - children that are always stopped, each by its own pid."""

import atexit
import contextlib
import os
import pathlib
import pwd
import random
import signal
import socket
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[3]
_children = []


def free_ports(count):
    """So many loopback ports that were free a moment ago, all different, and none that the system gives
    to a connection: a server that is started again must find its port free."""
    choose = random.SystemRandom()
    with contextlib.ExitStack() as stack:
        ports = []
        while len(ports) < count:
            probe = stack.enter_context(socket.socket())
            port = choose.randrange(15000, 32768)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                ports.append(port)
        return ports


def free_port():
    """A loopback port that was free a moment ago; starting retries on a collision."""
    return free_ports(1)[0]


def unprivileged():
    """Popen arguments that leave root: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("no unprivileged user to run PostgreSQL as")


def spawn(command, **options):
    """Starts a child in a session of its own, to be stopped by stop() or at exit at the latest."""
    child = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                             start_new_session=True, **options)
    _children.append(child)
    return child


def stop(child, how=signal.SIGTERM, timeout=30.0):
    """Signals one child and waits for its end; SIGKILL when it does not obey in time."""
    if child.poll() is None:
        child.send_signal(how)
        try:
            child.wait(timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise AssertionError(f"{child.args[0]} did not end within {timeout:g} s") from None
    if child in _children:
        _children.remove(child)
    return child.returncode


@atexit.register
def _stop_all():
    for child in list(_children):
        if child.poll() is None:
            child.kill()
            child.wait()
