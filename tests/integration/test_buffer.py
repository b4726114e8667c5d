"""Bounded buffers, their three policies, and batches (D1–D10, reliability 64–66). The blocked target
is a pipe that nobody reads."""

import contextlib
import json
import os

import pytest

from pgfan_test import conf as confs
from pgfan_test.records import position
from pgfan_test.wait import holds_for, wait_until

STDOUT = {"name": "pipe", "type": "stdout"}
TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text)"


def file_target(scene, name="out", **more):
    return {"name": name, "type": "file", "path": f"{scene.directory}/{name}.jsonl", **more}


def insert(scene, first, last, size=100):
    """One transaction a row. (`with connection` would make it one transaction in all.)"""
    with contextlib.closing(scene.connect()) as connection:
        cursor = connection.cursor()
        cursor.execute("SET synchronous_commit = off")
        for i in range(first, last + 1):
            cursor.execute("INSERT INTO t VALUES (%s, repeat('x', %s))", (i, size))


@pytest.fixture
def blocked(scene):
    """A function: an engine whose pipeline `all` goes to a blocked pipe, and a sibling to a file."""
    scene.sql(f"{TABLE}; CREATE TABLE s (id int PRIMARY KEY)")

    def make(**pipeline):
        conf = scene.conf(["public.t"], targets=[STDOUT], **pipeline)
        confs.pipeline(conf, "sibling", ["public.s"], [file_target(scene, "s")])
        return scene.engine(conf, pipe=True).start()

    return make


@pytest.mark.matrix
@pytest.mark.sanitized
def test_d1_d2_64_block_holds_the_reader_at_the_bound_and_loses_nothing(scene, blocked):
    engine = blocked(buffer={"max_events": 500, "policy": "block"}, batch={"max_events": 50})
    insert(scene, 1, 3000)
    wait_until(lambda: engine.pipeline()["status"]["blocks_reader"])
    depths, memory = [], []

    def bounded():
        status = engine.pipeline()["status"]
        depths.append(status["buffer"]["events"])
        memory.append(engine.memory_kib())
        return status["buffer"]["events"] <= 500 and status["buffer"]["capacity_events"] == 500

    holds_for(bounded, 5, "the depth stays at the bound")
    # A sanitizer keeps freed memory for a while.
    slack = 2048 if not {"ASAN_OPTIONS", "TSAN_OPTIONS"} & set(os.environ) else 65536
    assert max(depths) == 500 and max(memory) - min(memory) < slack, memory
    gauges = engine.metrics()
    depth = [value for name, series in gauges.items() if "buffer" in name and "events" in name
             for labels, value in series if labels.get("pipeline") == "all"]
    assert 500 in depth, gauges.keys()
    # D5: the sibling waits, too, and the cause is visible.
    assert engine.source()["blocked_by"] == "all"
    engine.reader.release()
    scene.caught_up()
    assert [event["after"]["id"] for event in engine.reader.all()] == list(range(1, 3001))


def test_d1_the_bound_in_bytes_holds(scene, blocked):
    engine = blocked(buffer={"max_events": 100000, "max_bytes": "256KiB"})
    insert(scene, 1, 2000, 1000)
    wait_until(lambda: engine.pipeline()["status"]["blocks_reader"])
    assert 0 < engine.pipeline()["status"]["buffer"]["bytes"] <= 256 * 1024
    engine.reader.release()
    scene.caught_up()
    assert engine.reader.count() == 2000


def test_d1_a_single_change_above_the_bound_is_admitted_alone(scene, blocked):
    engine = blocked(buffer={"max_bytes": "64KiB"}, batch={"max_bytes": "64KiB"})
    engine.reader.release()
    for i in range(5):
        scene.sql("INSERT INTO t VALUES (%s, repeat('x', 1000000))", i)
    scene.caught_up()
    assert [len(event["after"]["v"]) for event in engine.reader.all()] == [1000000] * 5


@pytest.mark.matrix
def test_d3_65_drop_oldest_counts_and_marks_what_it_dropped(scene, blocked):
    engine = blocked(buffer={"max_events": 300, "policy": "drop_oldest"}, batch={"max_events": 50})
    insert(scene, 1, 5000)
    scene.sql("INSERT INTO s VALUES (1)")
    scene.wait_records(1, "s")  # the reader was not held
    wait_until(lambda: engine.pipeline()["status"]["counters"]["read"] == 5000)
    status = engine.pipeline()["status"]
    assert status["lossy"] is True and status["counters"]["gap"] > 4000
    engine.reader.release()
    scene.caught_up()
    events = engine.reader.all()
    gaps = [event for event in events if event["op"] == "g"]
    rows = [event["after"]["id"] for event in events if event["op"] == "c"]
    dropped = sum(gap["count"] for gap in gaps)
    assert len(gaps) >= 1 and len(rows) + dropped == 5000, (len(rows), dropped)
    assert rows == sorted(set(rows)) and rows[-300:] == list(range(4701, 5001))
    # The marker stands where the changes are missing.
    for index, event in enumerate(events):
        if event["op"] == "g":
            before = max((e["after"]["id"] for e in events[:index] if e["op"] == "c"), default=0)
            after = next(e["after"]["id"] for e in events[index:] if e["op"] == "c")
            assert after - before - 1 == event["count"]
    counters = engine.pipeline()["status"]["counters"]
    assert counters["read"] == counters["delivered"] + counters["gap"] + counters["filtered"] + (
        counters["pending"])
    assert counters["gap"] == dropped


def test_d3_a_gap_is_durable_before_the_slot_passes_it(scene, blocked):
    engine = blocked(buffer={"max_events": 100, "policy": "drop_oldest"}, batch={"max_events": 10})
    insert(scene, 1, 2000)
    wait_until(lambda: engine.pipeline()["status"]["counters"]["read"] == 2000)
    engine.kill9()
    first = engine.reader
    first.release()
    first.thread.join(10)
    engine.start()
    engine.reader.release()
    scene.caught_up()
    events = first.all() + engine.reader.all()
    ids = {event["after"]["id"] for event in events if event["op"] == "c"}
    dropped = sum(event["count"] for event in events if event["op"] == "g")
    missing = 2000 - len(ids)
    assert dropped >= missing, f"{missing} are missing, only {dropped} are declared"


@pytest.mark.matrix
def test_d4_66_error_stops_that_pipeline_alone(scene, blocked):
    engine = blocked(buffer={"max_events": 100, "policy": "error"}, batch={"max_events": 10})
    insert(scene, 1, 2000)
    engine.wait_state("all", "ERROR")
    assert "buffer full" in engine.reason("all")
    scene.sql("INSERT INTO s SELECT generate_series(1, 100)")
    scene.wait_records(100, "s")
    assert engine.state("sibling") == "STREAMING"
    # Its changes are kept by the slot. What comes again overflows again, a little later each time.
    engine.reader.release()

    def drained():
        if engine.state("all") == "ERROR":
            engine.command("all", "start")
        ids = {event["after"]["id"] for event in engine.reader.all()}
        return ids == set(range(1, 2001))

    wait_until(drained, 120, "everything has arrived")
    assert engine.state("sibling") == "STREAMING"


def test_d5_siblings_go_on_until_the_ring_of_the_blocked_one_is_full(scene, blocked):
    engine = blocked(buffer={"max_events": 1000})
    insert(scene, 1, 500)
    scene.sql("INSERT INTO s SELECT generate_series(1, 1000)")
    scene.wait_records(1000, "s")
    assert not engine.pipeline()["status"]["blocks_reader"]


def batches(engine, name="out", pipeline="all"):
    status = engine.pipeline(pipeline)["status"]
    return next(target["batches"] for target in status["targets"] if target["name"] == name)


def test_d6_no_batch_holds_more_than_max_events(scene):
    scene.sql(TABLE)
    engine = scene.engine(scene.conf(batch={"max_events": 10, "respect_source_tx": False})).start()
    scene.sql("INSERT INTO t SELECT generate_series(1, 1000)")
    scene.caught_up()
    assert scene.records().count() == 1000 and batches(engine) >= 100
    # How many are cut earlier, because the target is idle, is a matter of the machine's load.
    limits = engine.pipeline()["status"]["batches_by_limit"]
    assert limits["max_events"] > 0, limits
    assert limits["max_events"] + limits["idle"] + limits["max_ms"] == batches(engine), limits


def test_d7_no_batch_is_larger_than_max_bytes(scene):
    scene.sql(TABLE)
    conf = scene.conf(batch={"max_bytes": "64KiB", "max_events": 100000})
    engine = scene.engine(conf).start()
    scene.sql("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 2000) i")
    scene.caught_up()
    size = sum(len(line) for line in scene.records().lines())
    assert batches(engine) >= size / 65536
    assert engine.pipeline()["status"]["batches_by_limit"]["max_bytes"] > 10


def test_d8_a_lone_event_is_delivered_at_once(scene):
    scene.sql(TABLE)
    conf = scene.conf(targets=[file_target(scene, fsync="batch")], batch={"max_ms": "2s"})
    scene.engine(conf).start()
    for i in range(5):
        scene.sql("INSERT INTO t VALUES (%s)", i)
        scene.wait_records(i + 1, timeout=1.0)


def test_d9_batches_hold_whole_transactions(scene):
    scene.sql(TABLE)
    engine = scene.engine(scene.conf(batch={"max_events": 100})).start()
    for i in range(20):
        scene.sql("INSERT INTO t SELECT generate_series(%s, %s)", i * 250, i * 250 + 249)
    scene.caught_up()
    assert scene.records().count() == 5000
    # Twenty transactions over the bound: never more batches than transactions.
    assert batches(engine) <= 20, batches(engine)


def test_d9_a_transaction_over_max_bytes_is_cut_and_order_is_kept(scene):
    scene.sql(TABLE)
    engine = scene.engine(scene.conf(batch={"max_bytes": "64KiB"})).start()
    scene.sql("INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 3000) i")
    scene.caught_up()
    events = scene.records().all()
    assert batches(engine) > 20
    assert [event["seq"] for event in events] == list(range(3000))


def test_d10_more_inflight_batches_keep_the_order(scene):
    scene.sql(TABLE)
    conf = scene.conf(targets=[file_target(scene, fsync="batch"), STDOUT],
                      batch={"max_events": 20, "max_inflight": 4})
    engine = scene.engine(conf, pipe=True).start()
    insert(scene, 1, 500)
    holds_for(lambda: all(target["inflight_batches"] <= 4 or target["type"] == "file" for target in
                          engine.pipeline()["status"]["targets"]), 2, "at most four are in flight")
    engine.reader.release()
    scene.caught_up()
    events = engine.reader.all()
    assert [position(event) for event in events] == sorted(position(event) for event in events)
    assert len(events) == 500 and json.dumps(events) == json.dumps(scene.records().all())
