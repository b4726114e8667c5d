"""memory.py - P6 and P9: resident memory under a giant transaction, a dead target, and at rest.

The bound of P6 is that of a pipeline with one file target and the default conf: 64 MiB of buffer and
64 MiB of in-flight window. Its largest message has about a hundred bytes and is left out.
"""

import os
import shutil
import statistics
import subprocess
import time

from .clients import Pgfan, count, file_target, pipeline
from .drain import Files, one_pipeline
from .latency import load
from .procs import BenchError, MemorySampler, wait_until
from .report import Line
from .world import END, ORDERS, ROW, say

MIB = 1024  # in KiB
BUFFERS_KIB = (64 + 64) * MIB
BOUND_KIB = BUFFERS_KIB + 64 * MIB
FLAT_MIB = 4
IDLE_PIPELINES = 10


def drift_mib(samples):
    """RssAnon's median in the last quarter less that in the second, when it has filled its buffers."""
    anon = [row[2] for row in samples]
    quarter = max(1, len(anon) // 4)
    return (statistics.median(anon[-quarter:])
            - statistics.median(anon[quarter:2 * quarter] or anon)) / MIB


def memory_lines(what, samples):
    """The highest RSS against the bound, and the drift."""
    rss, anon = (max(row[field] for row in samples) for field in (1, 2))
    summary = [{"max_rss_kib": rss, "max_anon_kib": anon, "seconds": round(samples[-1][0], 1),
                "anon_kib": [row[2] for row in samples[::max(1, len(samples) // 200)]]}]
    say(f"P6 {what}: VmRSS {rss / MIB:.1f} MiB, RssAnon {anon / MIB:.1f} MiB")
    return [Line("P6", f"{what}: highest VmRSS beside buffers + 64 MiB = {BOUND_KIB // MIB} MiB",
                 [rss / BOUND_KIB], "<=", 1.0, reach=(BUFFERS_KIB + 24 * MIB) / BOUND_KIB,
                 runs=summary),
            Line("P6", f"the same: drift of RssAnon over the second half of {samples[-1][0]:.0f} s",
                 [drift_mib(samples)], "<=", FLAT_MIB, unit="MiB")]


def giant(world):
    """One transaction of 5 M rows to a file."""
    rows = world.rows(5_000_000)
    world.database("giant", f"CREATE TABLE giant {ORDERS}")
    slot = world.make_slot("giant", "giant")
    say(f"making one transaction of {rows} rows")
    world.sql("giant", f"INSERT INTO giant {ROW} FROM generate_series(1, %s) AS i", rows)
    world.sql("giant", "INSERT INTO giant VALUES (0, 0, 'end', 0, now(), %s)", END)
    directory = world.dir / "giant"
    path = directory / "0.jsonl"
    engine = Pgfan(world, directory, world.dsn("giant"), slot,
                   one_pipeline(["public.giant"])([path]))
    try:
        child = engine.start()
        sampler = MemorySampler(child)
        Files([path]).wait(child, 0.02)
        samples = sampler.end()
        engine.stop()
        if count(world, "native", path) != rows + 1:
            raise BenchError("not every row of the giant transaction arrived")
    finally:
        if engine.child is not None:
            engine.child.kill()
        world.drop_slot(slot)
        shutil.rmtree(directory, ignore_errors=True)
        world.sql("postgres", "DROP DATABASE giant WITH (FORCE)")
    return memory_lines(f"one transaction of {rows:,} rows", samples)


def mount(*words):
    return subprocess.run(words, check=False, capture_output=True, timeout=30).returncode == 0


def dead_target(world):
    """A file target on a file system that is full, under load; then there is space again."""
    seconds = world.seconds(600, 20)
    world.database("dead", f"CREATE TABLE live {ORDERS}; ALTER TABLE live ALTER id ADD GENERATED "
                   "BY DEFAULT AS IDENTITY, ALTER placed_at SET DEFAULT now()")
    slot = world.make_slot("dead", "dead")
    disk, directory = world.dir / "disk", world.dir / "dead"
    disk.mkdir()
    if not mount("mount", "-t", "tmpfs", "-o", "size=1m", "bench", str(disk)):
        raise BenchError("cannot mount a small tmpfs for the dead target: run it as root")
    path = disk / "0.jsonl"
    engine = Pgfan(world, directory, world.dsn("dead"), slot, one_pipeline(["public.live"])([path]))
    try:
        child = engine.start()
        wait_until(path.exists, 60, "the file is made", child=child)
        sampler = MemorySampler(child)
        say(f"P6 dead target: {seconds:.0f} s")
        rows = load(world, "dead", 2000, seconds)
        samples = sampler.end()
        if path.stat().st_size > 1 << 20:
            raise BenchError("the target was not dead")
        mount("mount", "-o", "remount,size=4g", str(disk))
        world.sql("dead", "INSERT INTO live VALUES (0, 0, 'end', 0, now(), %s)", END)
        Files([path]).wait(child, 0.05)
        engine.stop()
        if count(world, "native", path) != rows + 1:
            raise BenchError("not every change arrived after the target came back")
    finally:
        if engine.child is not None:
            engine.child.kill()
        mount("umount", "-l", str(disk))
        disk.rmdir()
        world.drop_slot(slot)
        shutil.rmtree(directory, ignore_errors=True)
        world.sql("postgres", "DROP DATABASE dead WITH (FORCE)")
    return memory_lines(f"a target dead for {seconds:.0f} s under 2,000 changes/s", samples)


def p6(world):
    return giant(world) + dead_target(world)


def p9(world):
    names = [f"idle{number}" for number in range(IDLE_PIPELINES)]
    world.database("idle", "; ".join(f"CREATE TABLE {name} {ORDERS}" for name in names))
    slot = world.make_slot("idle", "idle")
    directory = world.dir / "idle"
    engine = Pgfan(world, directory, world.dsn("idle"), slot, [
        pipeline(name, [f"public.{name}"], file_target("out", directory / f"{name}.jsonl"))
        for name in names])
    seconds = world.seconds(60, 20)
    try:
        child = engine.start()
        engine.ready()
        time.sleep(3)
        before, started = child.cpu(), time.monotonic()
        sampler = MemorySampler(child, 1)
        time.sleep(seconds)
        used, passed = child.cpu() - before, time.monotonic() - started
        samples = sampler.end()
        threads = len(os.listdir(f"/proc/{child.pid}/task"))
        engine.stop()
    finally:
        if engine.child is not None:
            engine.child.kill()
        world.drop_slot(slot)
        shutil.rmtree(directory, ignore_errors=True)
        world.sql("postgres", "DROP DATABASE idle WITH (FORCE)")
    rss, anon = (max(row[field] for row in samples) for field in (1, 2))
    runs = [{"rss_kib": rss, "anon_kib": anon, "cpu": used, "seconds": passed, "threads": threads}]
    say(f"P9: RssAnon {anon} KiB, VmRSS {rss} KiB, CPU {used:.2f} s of {passed:.0f}, {threads} threads")
    return [Line("P9", f"idle with ten pipelines, {passed:.0f} s: RssAnon", [anon / MIB], "<=", 8.0,
                 reach=4.0, unit="MiB", runs=runs),
            Line("P9", "the same: VmRSS", [rss / MIB], unit="MiB"),
            Line("P9", "the same: CPU", [100 * used / passed], "<=", 0.1, unit="%")]
