"""kill -9 rounds with outages of the targets, poison events and every commit policy (E1, F6, F12).

PGFAN_DELIVERY_ROUNDS rounds (15 in CI, 100 in scripts/soak), the seed in PGFAN_SEED. At the end what
each target got, its dead letters and its gaps are disjoint but for exact re-deliveries, and together
they are exactly what the file target got, which the verifier compares with the source's own log.
"""

import os
import random

import pytest

from pgfan_test import verify, workload
from pgfan_test.letters import Store
from pgfan_test.receiver import Receiver
from pgfan_test.sampler import Sampler
from pgfan_test.wait import pause, wait_until
from pgfan_test.workload import Workload

ROUNDS = int(os.environ.get("PGFAN_DELIVERY_ROUNDS", "15"))
SEED = int(os.environ.get("PGFAN_SEED", "1"))
FAULTS = ("engine", "engine", "walsender", "outage", "outage", "outage", "term")
HOOKS = {"isolated": {"pipeline": "isolate"}, "optional": {"pipeline": "mixed", "required": False},
         "spilled": {"pipeline": "spill"}}


def conf_of(scene, hooks):
    errors = {"backoff": "50ms", "backoff_max": "400ms", "max_attempts": 3, "poison_max": 1000}

    def target(name):
        return {"name": name, "type": "http", "url": hooks[name].url("/in"), "allow_private": True,
                "allow_http": True, "required": HOOKS[name].get("required", True)}

    def pipeline(name, targets, **more):
        return {"name": name, "source": "db", "tables": list(workload.TABLES), "targets": targets,
                "error_handling": errors, "batch": {"max_events": 100}, **more}

    conf = scene.conf(workload.TABLES, targets=[{
        "name": "out", "type": "file", "path": f"{scene.directory}/out.jsonl", "fsync": "batch"}])
    conf["pipelines"] += [
        pipeline("isolate", [target("isolated")]),
        pipeline("mixed", [target("optional"), {"name": "nothing", "type": "null"}]),
        pipeline("spill", [target("spilled")], buffer={"policy": "spill", "max_events": 100},
                 batch={"max_events": 100, "max_inflight": 4})]
    return conf


def strike(scene, engine, hooks, chance, what):
    if what == "engine":
        engine.kill9()
        engine.launch()
    elif what == "walsender":
        scene.server.kill_walsender(scene.slot)
    elif what == "term":
        assert engine.stop(60) == 0
        engine.launch()
    else:
        hook = hooks[chance.choice(list(hooks))]
        hook.down()
        pause(chance.random() * 1.5)
        hook.up()


def poison(chance, hooks):
    """Some rows are refused for good by one endpoint: those whose key ends in a few digits."""
    hooks["isolated"].poison.update(f'"key":{{"id":{number}}}'
                                    for number in chance.sample(range(1, 500), 6))


def first_deliveries_by_row(events):
    """KO over lanes: per row, first deliveries ascend in position."""
    last = {}
    for event in events:
        if event["op"] in "cud" and event["table"] == "public.w":
            row, here = verify.row_key(event), verify.position(event)
            assert last.get(row, (-1, -1)) < here, f"row {row} went back at {event['id']}"
            last[row] = here


def first_ones(events):
    seen = {}
    for event in events:
        earlier = seen.setdefault(event["id"], event)
        assert event == earlier, f"the id {event['id']} stands for two different events"
    return list(seen.values())


@pytest.mark.rounds
def test_delivery_rounds_account_for_every_event_of_every_target(own_scene, directory):
    scene = own_scene()
    workload.create(scene.server, scene.database, keys=500)
    hooks = {name: Receiver(directory, name) for name in HOOKS}
    chance, counts = random.Random(SEED), {}
    poison(chance, hooks)
    engine = scene.engine(conf_of(scene, hooks)).start()
    load = Workload(scene.server, scene.database, SEED, workers=2, keys=500, rate=60)
    sampler = Sampler(scene.server, scene.slot, scene.records().count)
    sampler.start()
    print(f"seed {SEED}, {ROUNDS} rounds")
    for round_number in range(1, ROUNDS + 1):
        what = chance.choice(FAULTS)
        wanted = scene.records().count() + chance.randint(0, 200)
        wait_until(lambda: scene.records().count() >= wanted, 90,
                   f"round {round_number}: {wanted} events are there")
        strike(scene, engine, hooks, chance, what)
        counts[what] = counts.get(what, 0) + 1
        assert engine.running, f"round {round_number} ({what}): the engine ended"
    load.stop()
    engine.wait_ready(90)
    scene.caught_up(120)
    for place in HOOKS.values():
        wait_until(lambda place=place: all(
            target["diverted_to"] == "none" and target["inflight_batches"] == 0
            for target in engine.pipeline(place["pipeline"])["status"]["targets"]), 90,
            f"{place['pipeline']} has caught up")
    sampler.stop()
    assert engine.stop(60) == 0
    events = scene.records().all()
    changes = verify.workload(scene.server, scene.database, events)
    sampler.check(events)
    wanted = [event["id"] for event in events]
    store = Store(scene.directory / "data")
    for name, hook in hooks.items():
        got = first_ones(hook.events())
        letters = [entry for entry, cause, _ in store.letters(name)]
        delivered = {event["id"] for event in got}
        assert store.gaps(name) == []
        assert len(set(letters)) == len(letters) and not delivered & set(letters), name
        assert delivered | set(letters) == set(wanted), (
            f"{name}: {len(set(wanted) - delivered - set(letters))} events are nowhere, "
            f"{len(delivered | set(letters)) - len(set(wanted))} were made up")
        assert bool(letters) == (name == "isolated") or not letters
        first_deliveries_by_row(got)
        hook.stop()
    print(f"result: {changes} changes, {len(events)} events, faults {counts}")
