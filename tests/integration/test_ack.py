"""The promise: the confirmed position never passes what is not durable (B3, B4, B14, B15, E6, E12,
J5, K4, K13, reliability 4, 25, 35, 64). The oracle is pg_replication_slots, read before the records."""

import signal
import subprocess

import pytest

from pgfan_test import conf as confs
from pgfan_test import trace, verify, workload
from pgfan_test.proxy import Proxy
from pgfan_test.records import position
from pgfan_test.sampler import Sampler
from pgfan_test.server import lsn
from pgfan_test.wait import holds_for, wait_until
from pgfan_test.workload import Workload

STDOUT = {"name": "pipe", "type": "stdout"}


def file_target(scene, name, **more):
    return {"name": name, "type": "file", "path": f"{scene.directory}/{name}.jsonl", **more}


def unblocked(scene, engine, timeout=60):
    engine.reader.release()
    scene.caught_up(timeout)


def pipe_bound(events, lines):
    """The commit LSN that may be confirmed at most while nobody reads the pipe.

    It takes 4 KiB: events that lie whole in there were written completely, and so are settled. The
    first event that does not holds the slot.
    """
    size = 0
    for event, line in zip(events, lines):
        size += len(line)
        if size > 4096:
            return position(event)[0]
    raise AssertionError("everything fits the pipe: nothing was blocked")


@pytest.mark.matrix
@pytest.mark.sanitized
def test_b3_b4_the_slowest_target_decides_how_far_the_slot_is_confirmed(scene):
    workload.create(scene.server, scene.database)
    targets = [file_target(scene, "out", fsync="batch"), STDOUT, file_target(scene, "other")]
    conf = scene.conf(workload.TABLES, targets=targets, buffer={"max_events": 500},
                      batch={"max_events": 100})
    engine = scene.engine(conf, pipe=True).start()
    sampler = Sampler(scene.server, scene.slot, scene.records().count)
    sampler.start()
    load = Workload(scene.server, scene.database, seed=3)
    wait_until(lambda: engine.pipeline()["status"]["blocks_reader"], 60)
    ahead = position(scene.records().all()[-1])[0]
    held = []
    holds_for(lambda: held.append(scene.server.confirmed(scene.slot)) or True, 4)
    statuses = {target["name"]: target for target in engine.pipeline()["status"]["targets"]}
    engine.reader.release()
    load.stop()
    scene.caught_up()
    sampler.stop()
    events = scene.records().all()
    bound = pipe_bound(events, scene.records().lines())
    assert max(held) <= bound, f"{max(held):X} was confirmed, {bound:X} was in no pipe"
    # The others were further: durable there does not move the slot.
    assert ahead > bound and lsn(statuses["out"]["settled_lsn"]) >= bound
    assert statuses["pipe"]["settled_lsn"] is None or lsn(statuses["pipe"]["settled_lsn"]) <= bound
    assert len(sampler.samples) > 10
    sampler.check(events)
    for received in (events, scene.records("other").all(), engine.reader.all()):
        verify.workload(scene.server, scene.database, received)


def test_b3_kill_9_with_a_blocked_target_loses_nothing(scene):
    workload.create(scene.server, scene.database)
    targets = [file_target(scene, "out", fsync="batch"), STDOUT]
    conf = scene.conf(workload.TABLES, targets=targets, buffer={"max_events": 500},
                      batch={"max_events": 100})
    engine = scene.engine(conf, pipe=True).start()
    load = Workload(scene.server, scene.database, seed=4)
    wait_until(lambda: engine.pipeline()["status"]["blocks_reader"], 60)
    engine.kill9()
    before = engine.reader
    before.release()
    before.thread.join(10)
    engine.start()
    unblocked(scene, engine)
    load.stop()
    scene.caught_up()
    verify.workload(scene.server, scene.database, scene.records().all())
    # Standard output keeps no position of its own over a crash: nothing missing, copies allowed.
    both = before.all() + engine.reader.all()
    verify.workload(scene.server, scene.database, both, duplicates=len(both))


def test_b14_k4_an_idle_slot_follows_the_server(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE busy (v text)")
    scene.engine(scene.conf(["public.t"])).start()
    scene.sql("INSERT INTO t VALUES (1)")
    scene.caught_up()
    for _ in range(6):
        scene.sql("INSERT INTO busy SELECT repeat('x', 1000) FROM generate_series(1, 30000)")
    written = scene.server.current_lsn()
    wait_until(lambda: scene.server.confirmed(scene.slot) >= written, 20)

    def released():
        # A slot lets go of WAL when the server writes a record of running transactions.
        scene.server.sql("postgres", "SELECT pg_log_standby_snapshot()" if scene.server.major >= 16
                         else "CHECKPOINT")
        return scene.server.retained_bytes(scene.slot) < 32 << 20

    wait_until(released, 60, "the slot retains less than 32 MB", interval=1)
    assert scene.records().count() == 1


@pytest.mark.matrix
def test_b15_4_64_a_blocked_target_does_not_cost_the_connection(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
    conf = confs.changed(scene.conf(targets=[STDOUT], buffer={"max_events": 100},
                                    batch={"max_bytes": "64KiB"}), "sources.db.wal_sender_timeout", "2s")
    engine = scene.engine(conf, pipe=True).start()
    (sender,) = scene.server.walsenders(scene.slot)
    scene.sql("INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 20000) i")
    wait_until(lambda: engine.pipeline()["status"]["blocks_reader"])  # 6 MB against 64 KiB
    assert engine.source()["blocked_by"] == "all"
    assert engine.state() == "STREAMING"
    holds_for(lambda: scene.server.walsenders(scene.slot) == [sender], 10,
              "the walsender lives through five time-outs")
    unblocked(scene, engine)
    assert scene.server.walsenders(scene.slot) == [sender]
    ids = [event["after"]["id"] for event in engine.reader.all()]
    assert ids == list(range(1, 20001))
    assert engine.source()["reconnects"] == 0


def test_j5_lag_rises_with_a_blocked_target_and_returns_to_zero(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
    engine = scene.engine(scene.conf(targets=[STDOUT]), pipe=True).start()
    scene.sql("INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 100) i")
    for i in range(1, 31):
        scene.sql("INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(%s, %s) i",
                  i * 100 + 1, i * 100 + 100)
    wait_until(lambda: engine.source()["lag_bytes"] > 300_000)
    wait_until(lambda: engine.source()["lag_seconds"] > 2)
    wait_until(lambda: engine.pipeline()["status"]["lag_seconds"] > 2)
    shown = engine.source()["lag_bytes"]
    truth = scene.server.current_lsn() - scene.server.confirmed(scene.slot)
    assert abs(shown - truth) < 1 << 20
    unblocked(scene, engine)
    wait_until(lambda: engine.source()["lag_bytes"] < 10_000 and
               engine.source()["lag_seconds"] < 1, 20)


def test_e6_e12_file_and_store_are_synced_before_a_position_is_confirmed(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    path = scene.directory / "trace"
    engine = scene.engine(scene.conf(), wrapper=[*trace.COMMAND, path]).start()
    for i in range(20):
        scene.sql("INSERT INTO t SELECT generate_series(%s, %s)", i * 100, i * 100 + 99)
        if i % 5 == 0:
            scene.caught_up()
    scene.caught_up()
    engine.signal(signal.SIGTERM)
    engine.wait_exit()
    ends, size = [], 0  # (commit LSN, size of the file up to the end of the event)
    for line, event in zip(scene.records().lines(), scene.records().all()):
        size += len(line)
        ends.append((position(event)[0], size))
    written = started = synced = last = confirmations = 0
    store_synced = False
    for what, detail in trace.events(path):
        if what == "write" and detail[0].endswith("out.jsonl"):
            written += detail[1]
        elif what == "sync_start" and detail.endswith("out.jsonl"):
            started = written
        elif what == "sync_end" and detail.endswith("out.jsonl"):
            synced = started
        elif what == "sync_end" and "/data/" in detail:
            store_synced = True
        elif what == "confirm" and detail > last:
            needed = max((end for commit, end in ends if commit < detail), default=0)
            assert synced >= needed, f"{detail:X} was confirmed at {synced} of {needed} bytes"
            assert store_synced or last == 0, f"{detail:X} was confirmed before the store had it"
            last, store_synced = detail, False
            confirmations += 1
    assert written == size == synced and confirmations >= 3


@pytest.mark.parametrize("way", ["both", "down"])
def test_k13_2_a_dead_link_is_noticed_and_an_idle_one_is_not(scene, directory, way):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    proxy = Proxy(directory, scene.server.port)
    conf = confs.changed(scene.conf(), "sources.db.dsn",
                         scene.server.dsn(scene.database, port=proxy.port))
    conf["sources"]["db"]["wal_sender_timeout"] = "2s"
    engine = scene.engine(conf).start()
    # Idle for several time-outs: ready all the time.
    holds_for(lambda: engine.get("/readyz")[0] == 200, 6, "an idle engine is ready")
    proxy.tell(blackhole=way)
    wait_until(lambda: engine.get("/readyz")[0] == 503, 90, "the dead link shows in readiness")
    proxy.tell(blackhole=None, reset=True)
    scene.sql("INSERT INTO t VALUES (1)")
    wait_until(lambda: engine.get("/readyz")[0] == 200, 90, "it reconnects by itself")
    scene.wait_records(1)
    proxy.stop()


def test_35_a_stopped_process_comes_back(scene):
    workload.create(scene.server, scene.database)
    conf = confs.changed(scene.conf(workload.TABLES), "sources.db.wal_sender_timeout", "2s")
    engine = scene.engine(conf).start()
    load = Workload(scene.server, scene.database, seed=35)
    scene.wait_records(500)
    engine.signal(signal.SIGSTOP)
    wait_until(lambda: not scene.server.walsenders(scene.slot), 30, "the server gives up on it")
    engine.signal(signal.SIGCONT)
    wait_until(lambda: scene.server.walsenders(scene.slot), 30, "it is connected again")
    load.stop()
    scene.caught_up()
    verify.workload(scene.server, scene.database, scene.records().all())


def test_25_acknowledgements_are_coalesced_in_a_burst(scene):
    scene.sql("CREATE TABLE t (id bigserial PRIMARY KEY)")
    engine = scene.engine().start()
    before = engine.source()["status_updates"]
    script = scene.directory / "burst.sql"
    script.write_text("INSERT INTO t DEFAULT VALUES;\n")
    subprocess.run(["/usr/lib/postgresql/15/bin/pgbench", "-n", "-c", "4", "-T", "5", "-f", script,
                    scene.server.dsn(scene.database)], check=True, capture_output=True)
    updates = engine.source()["status_updates"] - before
    assert updates <= 10 * 10, f"{updates} status updates in about 5 s"
    scene.caught_up(20)
    count = scene.sql("SELECT count(*) FROM t")[0][0]
    assert scene.records().count() == count
