"""drain.py - P1, P2, P7: a backlog to files; from exec until the last event is in every file."""

import os
import shutil
import time

from .clients import Pgfan, Recvlogical, count, file_target, pipeline
from .procs import BenchError
from .report import Line
from .world import END, Hundred, Orders, say

TIMEOUT = 900
TAIL = 1024  # holds the last event with what follows it


class Files:
    """Sees when each of some files that a client writes ends with the last event of the backlog."""

    def __init__(self, paths):
        self.open = {path: (None, 0) for path in paths}  # descriptor, size when last looked at

    def all_ended(self):
        for path, (descriptor, size) in list(self.open.items()):
            if descriptor is None:
                try:
                    descriptor = os.open(path, os.O_RDONLY)
                except FileNotFoundError:
                    continue
            now = os.fstat(descriptor).st_size
            if now == size:
                self.open[path] = (descriptor, size)
            elif END.encode() in os.pread(descriptor, TAIL, max(0, now - TAIL)):
                os.close(descriptor)
                del self.open[path]
            else:
                self.open[path] = (descriptor, now)
        return not self.open

    def wait(self, child, interval):
        """Seconds from exec of the child until all files have ended."""
        while not self.all_ended():
            if child.poll() is not None:
                raise BenchError(f"{child.name} ended with {child.usage.status} before the backlog")
            if time.monotonic() - child.started > TIMEOUT:
                raise BenchError(f"{child.name}: not all events within {TIMEOUT} s")
            time.sleep(interval)
        return time.monotonic() - child.started


def drain(world, backlog, directory, transport, make_client, paths, kind, interval=0.005):
    """One run over a copy of the backlog's slot; returns seconds, events/s and CPU."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    slot = world.copy_slot(backlog.database, backlog.slot, f"{backlog.slot}_run")
    os.sync()  # what an earlier run wrote is not this one's to wait for
    client = make_client(world.dsn(backlog.database, transport), slot)
    try:
        child = client.start()
        seconds = Files(paths).wait(child, interval)
        usage = client.stop()
        events = sum(count(world, kind, path) for path in paths)
    finally:
        if client.child is not None:
            client.child.kill()
        world.drop_slot(slot)
        shutil.rmtree(directory, ignore_errors=True)
    return {"seconds": round(seconds, 3), "cpu": round(usage.cpu, 3), "events": events,
            "rate": round(backlog.events / seconds)}


def check(sample, expected, who):
    if sample["events"] != expected:
        raise BenchError(f"{who} delivered {sample['events']} events instead of {expected}")
    return sample


def pgfan_drain(world, backlog, transport, directory, pipelines_of, files, interval=0.005):
    """pgfan with the pipelines that pipelines_of(paths) makes, into so many files."""
    directory = directory / "out"
    paths = [directory / f"{number}.jsonl" for number in range(files)]
    return drain(world, backlog, directory, transport,
                 lambda dsn, slot: Pgfan(world, directory, dsn, slot, pipelines_of(paths)),
                 paths, "native", interval)


def recvlogical_drain(world, backlog, transport, directory):
    directory = directory / "out"
    path = directory / "out.bin"
    return drain(world, backlog, directory, transport,
                 lambda dsn, slot: Recvlogical(world, dsn, slot, path), [path], "pgoutput")


def one_pipeline(tables):
    """One pipeline with a file target for each path."""
    return lambda paths: [pipeline("all", tables, *(
        file_target(f"out{number}", path) for number, path in enumerate(paths)))]


def pairs_of(world, what, first, second):
    """Runs A B A B …; returns [(a, b)]."""
    pairs = []
    for number in range(world.pairs):
        pair = (first(), second())
        pairs.append(pair)
        say(f"{what} pair {number + 1}/{world.pairs}: "
            + "; ".join(f"{run['rate']} events/s, CPU {run['cpu']:.2f} s" for run in pair))
    return pairs


def p1(world):
    backlog = world.backlog(Orders)
    lines = []
    for transport, where in (("tcp", "TCP loopback"), ("unix", "unix socket")):
        def ours(transport=transport):
            return check(pgfan_drain(world, backlog, transport, world.dir,
                                     one_pipeline(backlog.tables), 1), backlog.events, "pgfan")

        def theirs(transport=transport):
            return check(recvlogical_drain(world, backlog, transport, world.dir), backlog.events,
                         "pg_recvlogical")

        pairs = pairs_of(world, f"P1 {where}", ours, theirs)
        lines.append(Line("P1", f"backlog of {backlog.events:,} events, {where}: events/s beside "
                          "pg_recvlogical", [a["rate"] / b["rate"] for a, b in pairs], ">=", 0.95,
                          reach=1.2, runs=pairs))
        lines.append(Line("P1", f"the same, {where}: client CPU beside pg_recvlogical",
                          [a["cpu"] / b["cpu"] for a, b in pairs], "<=", 0.3))
    return lines


def p2(world):
    backlog = world.backlog(Orders)

    def targets(files):
        return check(pgfan_drain(world, backlog, "tcp", world.fast, one_pipeline(backlog.tables),
                                 files), files * backlog.events, f"pgfan to {files}")

    pairs = pairs_of(world, "P2", lambda: targets(4), lambda: targets(1))
    return [
        Line("P2", "the same backlog to four files in one format: events/s beside one file",
             [a["rate"] / b["rate"] for a, b in pairs], ">=", 0.9, reach=1.0, runs=pairs),
        Line("P2", "CPU of each extra target as a part of the CPU with one (K2)",
             [(a["cpu"] - b["cpu"]) / 3 / b["cpu"] for a, b in pairs], "<=", 0.15)]


def p7(world):
    backlog = world.backlog(Hundred)

    def each(paths):
        return [pipeline(table.split(".")[1], [table], file_target("out", path))
                for table, path in zip(backlog.tables, paths)]

    def hundred():
        return check(pgfan_drain(world, backlog, "tcp", world.fast, each, len(backlog.tables), 0.02),
                     backlog.events, "100 pipelines")

    def one():
        return check(pgfan_drain(world, backlog, "tcp", world.fast, one_pipeline(backlog.tables), 1,
                                 0.02), backlog.events, "one pipeline")

    pairs = pairs_of(world, "P7", hundred, one)
    world.forget(Hundred)
    return [Line("P7", f"{backlog.events:,} events of 100 tables, a pipeline and a file each: "
                 "events/s beside one pipeline", [a["rate"] / b["rate"] for a, b in pairs],
                 ">=", 0.9, runs=pairs),
            Line("P7", "the same: CPU beside one pipeline", [a["cpu"] / b["cpu"] for a, b in pairs])]
