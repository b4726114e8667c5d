"""kill -9 of engine, walsender and postmaster in random rounds under load (E1, B3, K15's real twin).

PGFAN_ROUNDS rounds (40 in CI, 300 in scripts/soak), the seed in PGFAN_SEED. At the end nothing is
missing, the order per row is kept, and the file has no duplicate.
"""

import os
import random
import signal

import pytest

from pgfan_test import verify, workload
from pgfan_test.sampler import Sampler
from pgfan_test.wait import pause, wait_until
from pgfan_test.workload import Workload

ROUNDS = int(os.environ.get("PGFAN_ROUNDS", "40"))
SEED = int(os.environ.get("PGFAN_SEED", "1"))
FAULTS = ("engine", "engine", "engine", "walsender", "walsender9", "postmaster", "immediate",
          "restart", "term", "stop")


def strike(scene, engine, what):
    """One fault, and what must be there afterwards for the next."""
    if what == "engine":
        engine.kill9()
        engine.launch()
    elif what == "walsender":
        scene.server.kill_walsender(scene.slot)
    elif what == "walsender9":
        # The postmaster answers by ending every backend and recovering.
        scene.server.kill_walsender(scene.slot, signal.SIGKILL)
    elif what == "postmaster":
        scene.server.restart("kill")
    elif what in ("immediate", "restart"):
        scene.server.restart("immediate" if what == "immediate" else "fast")
    elif what == "term":
        assert engine.stop(60) == 0
        engine.launch()
    else:
        engine.signal(signal.SIGSTOP)
        pause(0.5)
        engine.signal(signal.SIGCONT)
    wait_until(scene.server._accepts, 60, "the server accepts connections")


@pytest.mark.rounds
def test_e1_b3_kill_rounds_lose_nothing_and_repeat_nothing(own_scene):
    scene = own_scene()
    workload.create(scene.server, scene.database, keys=500)
    conf = scene.conf(workload.TABLES, targets=[
        {"name": "out", "type": "file", "path": f"{scene.directory}/out.jsonl",
         "rotate_bytes": "8MiB"},
        {"name": "batch", "type": "file", "path": f"{scene.directory}/batch.jsonl",
         "fsync": "batch"}])
    engine = scene.engine(conf).start()
    load = Workload(scene.server, scene.database, SEED, workers=2, keys=500, rate=150)
    chance, counts, before = random.Random(SEED), {}, 0
    print(f"seed {SEED}, {ROUNDS} rounds")
    for round_number in range(1, ROUNDS + 1):
        what = chance.choice(FAULTS)
        wanted = before + chance.randint(0, 300)
        wait_until(lambda: scene.records("batch").count() >= wanted, 90,
                   f"round {round_number}: {wanted} events are there")
        pause(chance.random() * 0.5)
        strike(scene, engine, what)
        counts[what] = counts.get(what, 0) + 1
        before = scene.records("batch").count()
        assert engine.running, f"round {round_number} ({what}): the engine ended"
    sampler = Sampler(scene.server, scene.slot, scene.records("batch").count)
    sampler.start()
    load.stop()
    engine.wait_ready(90)
    scene.caught_up(120)
    sampler.stop()
    events = scene.records().all()
    changes = verify.workload(scene.server, scene.database, events)
    assert [event["id"] for event in events] == [
        event["id"] for event in scene.records("batch").all()]
    sampler.check(scene.records("batch").all())
    print(f"result: {changes} changes, {len(events)} events, faults {counts}")
    summary = os.environ.get("PGFAN_ROUNDS_SUMMARY")
    if summary:
        with open(summary, "a", encoding="utf-8") as stream:
            stream.write(f"| {SEED} | {ROUNDS} | {len(events)} | 0 | 0 | "
                         f"{', '.join(f'{name} {n}' for name, n in sorted(counts.items()))} |\n")
