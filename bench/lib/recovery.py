"""recovery.py - P10: kill -9 at full rate; from exec to the first change that was not there before.

pgfan drains the backlog to a file and is killed at a fraction of it. Its slot is copied as it stands
then. Both programs are started from that same position, one after the other, and both are measured
to the first change behind the last whole event of the killed run's file, not to the first change
that is sent again.
"""

import json
import os
import shutil
import subprocess
import time

from pgfan_test.server import lsn

from .clients import Pgfan, Recvlogical
from .drain import one_pipeline
from .procs import BenchError, Child, wait_until
from .report import Line
from .world import Orders, say

TIMEOUT = 300
EVENT_BYTES = 250  # a little less than an event of the backlog has
FRACTIONS = (0.6, 0.1, 0.45, 0.75, 0.3)  # 0.1 is inside the largest transaction


def last_event(path):
    """The end of the last whole line, and its position."""
    with open(path, "rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        at = max(0, size - 8192)
        stream.seek(at)
        tail = stream.read()
    end = tail.rfind(b"\n")
    event = json.loads(tail[tail.rfind(b"\n", 0, end) + 1:end])
    return at + end + 1, (lsn(event["lsn"]), event["seq"])


def size_of(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def has_line_behind(path, end):
    """Whether a whole line stands behind the place `end`."""
    if size_of(path) <= end:
        return False
    with open(path, "rb") as stream:
        stream.seek(end)
        return b"\n" in stream.read(8192)


def kill_and_start(world, backlog, directory, slot, fraction):
    """Returns seconds to the first new change, the position before it, and the name of the copy."""
    path = directory / "0.jsonl"
    engine = Pgfan(world, directory, world.dsn(backlog.database), slot,
                   one_pipeline(backlog.tables)([path]))
    enough = int(fraction * backlog.events * EVENT_BYTES)
    try:
        child = engine.start()
        wait_until(lambda: size_of(path) > enough, TIMEOUT, "enough of the backlog", 0.005, child)
        child.kill()
        end, position = last_event(path)
        copy = world.copy_slot(backlog.database, slot, f"{slot}_copy")
        child = engine.start(adopt=False)
        wait_until(lambda: has_line_behind(path, end), TIMEOUT, "a new change", 0.002, child)
        seconds = time.monotonic() - child.started
        engine.stop()
    finally:
        if engine.child is not None:
            engine.child.kill()
    return seconds, position, copy


def recvlogical_new(world, backlog, slot, position):
    """(seconds to the first change, seconds to the first new one) of pg_recvlogical."""
    reading, writing = os.pipe()
    clock = Child([world.pipeclock, "until", "pgoutput", *position], stdin=reading,
                  stdout=subprocess.PIPE)
    client = Recvlogical(world, world.dsn(backlog.database), slot, "-")
    try:
        child = client.start(stdout=writing)
        os.close(reading)
        os.close(writing)
        usage = clock.wait(TIMEOUT)
        text = clock.process.stdout.read()
        clock.process.stdout.close()
    finally:
        clock.kill()
        if client.child is not None:
            client.child.kill()
    if usage.status != 0 or text.split()[1:] in ([], [b"0"]):
        raise BenchError("pg_recvlogical brought no new change")
    return tuple(int(word) / 1e6 - child.started for word in text.split())


def p10(world):
    backlog = world.backlog(Orders)
    runs = []
    for number in range(world.pairs):
        directory = world.dir / "kill"
        shutil.rmtree(directory, ignore_errors=True)
        slot = world.copy_slot(backlog.database, backlog.slot, "kill")
        copy = None
        try:
            fraction = FRACTIONS[number % len(FRACTIONS)]
            ours, position, copy = kill_and_start(world, backlog, directory, slot, fraction)
            first, theirs = recvlogical_new(world, backlog, copy, position)
        finally:
            world.drop_slot(slot)
            world.drop_slot(f"{slot}_copy")
            shutil.rmtree(directory, ignore_errors=True)
        runs.append({"fraction": fraction, "pgfan": round(ours, 3), "pg_recvlogical": round(theirs, 3),
                     "pg_recvlogical_first": round(first, 3)})
        say(f"P10 pair {number + 1}/{world.pairs}: killed at {fraction:.0%}; first new change after "
            f"{ours:.2f} s, pg_recvlogical {theirs:.2f} s")
    return [Line("P10", "kill -9 at full rate: exec to the first new change, more than "
                 "pg_recvlogical on a copy of the slot",
                 [run["pgfan"] - run["pg_recvlogical"] for run in runs], "<=", 2.0, reach=0.3,
                 unit="s", runs=runs)]
