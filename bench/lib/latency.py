"""latency.py - P5: from the commit time that the server states to bytes that a reader of a pipe has."""

import math
import os
import re
import subprocess
import time

from .clients import Pgfan, Recvlogical, pipeline
from .procs import BenchError, Child, wait_until
from .report import Line
from .world import say

DATABASE = "live"
WARM_UP_US = 1_500_000
RATES = (1000, 5000)
CLIENTS = 16
SCRIPT = """\\set customer random(1, 100000)
INSERT INTO live (customer, status, total, note)
VALUES (:customer, 'new', 12.5, 'a row of the latency bench');
"""


def percentile(values, part):
    """Nearest rank of sorted values."""
    return values[max(0, math.ceil(part * len(values)) - 1)]


def load(world, database, rate, seconds):
    """Paced single-row transactions into its table `live`; returns their number."""
    script = world.dir / "live.sql"
    script.write_text(SCRIPT, encoding="ascii")
    child = Child([world.server.bin / "pgbench", "-n", "-M", "prepared", "-f", script, "-R", rate,
                   "-T", int(seconds), "-c", CLIENTS, "-j", 1, "-h", world.server.directory, "-p",
                   world.server.port, "-U", "postgres", database],
                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        usage = child.wait(seconds + 60)
    finally:
        child.kill()
    text = child.process.stdout.read().decode()
    child.process.stdout.close()
    found = re.search(r"actually processed: (\d+)", text)
    if usage.status != 0 or not found:
        raise BenchError(f"pgbench failed: {text[-300:]}")
    return int(found.group(1))


def one_run(world, rate, seconds, name, kind, make_client):
    """Streams into pipeclock under load; returns percentiles in ms, and the CPU of the client."""
    slot = world.make_slot(DATABASE, f"live_{name}")
    reading, writing = os.pipe()
    samples = world.dir / "latency.txt"
    with samples.open("wb") as stream:
        clock = Child([world.pipeclock, "latency", kind], stdin=reading, stdout=stream)
    client = make_client(slot)
    try:
        child = client.start(stdout=writing)
        os.close(reading)
        os.close(writing)
        wait_until(lambda: world.server.slot(slot)["active"], 60, f"{name} streams", child=child)
        time.sleep(0.5)
        done = load(world, DATABASE, rate, seconds)
        time.sleep(1)  # the last ones arrive; what is missing is found below
        usage = client.stop()
        clock.wait(60)
    finally:
        if client.child is not None:
            client.child.kill()
        clock.kill()
        world.drop_slot(slot)
    rows = [tuple(map(int, line.split())) for line in samples.read_text().splitlines()]
    if len(rows) != done:
        raise BenchError(f"{name} delivered {len(rows)} transactions of {done}")
    took = sorted(took for arrived, took in rows if arrived >= rows[0][0] + WARM_UP_US)
    return {"p50": percentile(took, 0.5) / 1000, "p99": percentile(took, 0.99) / 1000,
            "p999": percentile(took, 0.999) / 1000, "max": took[-1] / 1000, "count": len(took),
            "rate": round(done / seconds), "cpu": round(usage.cpu, 3)}


def p5(world):
    world.database(DATABASE, """CREATE TABLE live (id bigserial PRIMARY KEY, customer int,
        status text, total numeric(12,2), placed_at timestamptz DEFAULT now(), note text)""")
    seconds = world.seconds(20, 4)
    dsn = world.dsn(DATABASE)
    conf = [pipeline("live", ["public.live"], {"name": "pipe", "type": "stdout"})]
    try:
        return [line for rate in RATES for line in at_rate(world, rate, seconds, dsn, conf)]
    finally:
        world.sql("postgres", f"DROP DATABASE {DATABASE} WITH (FORCE)")


def at_rate(world, rate, seconds, dsn, conf):
    runs = []
    for number in range(world.pairs):
        ours = one_run(world, rate, seconds, "pgfan", "native", lambda slot, n=number, r=rate:
                       Pgfan(world, world.dir / f"live-{r}-{n}", dsn, slot, conf))
        theirs = one_run(world, rate, seconds, "pg_recvlogical", "pgoutput",
                         lambda slot: Recvlogical(world, dsn, slot, "-"))
        runs.append((ours, theirs))
        say(f"P5 {rate}/s pair {number + 1}/{world.pairs}: p50 {ours['p50']:.3f} and "
            f"{theirs['p50']:.3f} ms, p99 {ours['p99']:.3f} and {theirs['p99']:.3f} ms, "
            f"reached {ours['rate']} and {theirs['rate']}/s")
    reached = min(min(a["rate"], b["rate"]) for a, b in runs)
    note = "" if reached > 0.95 * rate else f" (the machine reached {reached:,}/s)"
    return [
        Line("P5", f"{rate:,} transactions/s{note}: p50 of commit to pipe, beside pg_recvlogical",
             [a["p50"] / b["p50"] for a, b in runs], "<=", 2.0, runs=runs),
        Line("P5", f"the same at {rate:,}/s: p50, more than pg_recvlogical",
             [a["p50"] - b["p50"] for a, b in runs], unit="ms", reach=0.2),
        Line("P5", f"the same at {rate:,}/s: p99, beside pg_recvlogical",
             [a["p99"] / b["p99"] for a, b in runs], "<=", 3.0)]
