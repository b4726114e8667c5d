"""wait.py - waiting on a condition with a deadline; the only place that pauses in a test."""

import threading
import time

_never = threading.Event()


def pause(seconds):
    """A short pause between two looks at a condition, or between two commits of a workload."""
    _never.wait(seconds)


def wait_until(condition, timeout=30.0, what="the condition", interval=0.05):
    """Calls condition() until it returns something true, and returns that.

    An exception inside is taken as "not yet"; at the deadline the last one, or the last value, is
    in the message.
    """
    deadline, last = time.monotonic() + timeout, None
    while True:
        try:
            last = condition()
            if last:
                return last
        except Exception as error:  # pylint: disable=broad-except
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout:g} s; last seen: {last!r}")
        pause(interval)


def holds_for(condition, seconds, what="the condition", interval=0.1):
    """Asserts that condition() stays true for that long: for "nothing more is delivered"."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), f"{what}: stopped to hold"
        pause(interval)
