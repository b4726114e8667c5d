"""Delivery that never loses: commit policies, retries, poison, isolation, dead letters, spill, the
guard of the slot (A7, D5, E2–E9, F1–F13, K3, K6, K7, reliability 56–70)."""

import json
import os
import time

import pytest

from pgfan_test import verify, workload
from pgfan_test.engine import pgfan
from pgfan_test.letters import Store
from pgfan_test.receiver import Receiver
from pgfan_test.server import lsn
from pgfan_test.wait import holds_for, pause, wait_until
from pgfan_test.workload import Worker, Workload

DEAD_SECONDS = int(os.environ.get("PGFAN_DEAD_SECONDS", "60"))
FAST = {"backoff": "50ms", "backoff_max": "500ms", "max_attempts": 3}


@pytest.fixture
def receivers(directory):
    """A function that makes an endpoint of this test."""
    made = []

    def make(name="hook", **options):
        receiver = Receiver(directory, name, **options)
        made.append(receiver)
        return receiver

    yield make
    for receiver in made:
        receiver.stop()


def http(receiver, name="hook", **more):
    return {"name": name, "type": "http", "url": receiver.url("/in"), "allow_private": True,
            "allow_http": True, **more}


def file_target(scene, name="out", **more):
    return {"name": name, "type": "file", "path": f"{scene.directory}/{name}.jsonl",
            "fsync": "batch", **more}


def conf_of(scene, targets, tables=("public.%",), **pipeline):
    """A conf with quick retries."""
    errors = {**FAST, **pipeline.pop("error_handling", {})}
    return scene.conf(tables, targets=targets, error_handling=errors, **pipeline)


def table(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")


def insert(scene, first, last, value="x"):
    scene.sql("INSERT INTO t SELECT i, %s FROM generate_series(%s, %s) i", value, first, last)


def ids(events):
    return [event["after"]["id"] for event in events]


def target_of(engine, name="hook"):
    return next(target for target in engine.pipeline()["status"]["targets"]
                if target["name"] == name)


def dlq(engine, *arguments, status=0):
    done = pgfan("dlq", *arguments, "-c", engine.conf_path)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return done.stdout


# ---- fan-out and commit policies ----

def test_a6_a7_every_target_gets_every_change_in_the_same_order(scene, receivers):
    workload.create(scene.server, scene.database)
    first, second = receivers("one"), receivers("two")
    conf = conf_of(scene, [file_target(scene), http(first, "one"), http(second, "two")],
                   workload.TABLES)
    scene.engine(conf).start()
    Worker(scene.server.dsn(scene.database), 6).run(300)
    scene.caught_up()
    events = scene.records().all()
    assert first.events() == events == second.events()
    verify.workload(scene.server, scene.database, events)


def test_b4_e2_all_waits_for_the_slowest_target(scene, receivers):
    table(scene)
    hook = receivers()
    conf = conf_of(scene, [file_target(scene), http(hook)], commit_policy={"mode": "all"},
                   error_handling={"max_attempts": 0})
    scene.engine(conf).start()
    insert(scene, 1, 10)
    scene.caught_up()
    hook.down()
    before = scene.server.confirmed(scene.slot)
    insert(scene, 11, 20)
    written = scene.server.current_lsn()
    scene.wait_records(20)
    holds_for(lambda: scene.server.confirmed(scene.slot) < written, 3, "the slot is held")
    assert scene.server.confirmed(scene.slot) >= before
    hook.up()
    scene.caught_up()
    assert ids(hook.events()) == list(range(1, 21))


def test_e3_e7_an_optional_target_does_not_hold_the_slot_and_misses_nothing(scene, receivers):
    table(scene)
    hook = receivers()
    engine = scene.engine(conf_of(scene, [file_target(scene), http(hook, required=False)])).start()
    insert(scene, 1, 100)
    scene.caught_up()
    hook.down()
    insert(scene, 101, 5000)
    scene.caught_up()
    assert engine.state() == "STREAMING"
    wait_until(lambda: target_of(engine)["diverted_to"] == "spill", 10)
    engine.kill9()
    engine.start()
    insert(scene, 5001, 5100)
    scene.caught_up()
    hook.up()
    wait_until(lambda: sorted(set(ids(hook.events()))) == list(range(1, 5101)), 30,
               "the backlog has arrived")
    wait_until(lambda: target_of(engine)["diverted_to"] == "none", 10)
    insert(scene, 5101, 5110)
    wait_until(lambda: len(set(ids(hook.events()))) == 5110, 10)
    seen = list(dict.fromkeys(ids(hook.events())))
    assert seen == sorted(seen), "first deliveries are in order"
    wait_until(lambda: not list((scene.directory / "data").glob("spill-*/*.seg")), 10,
               "the spill is removed")


def test_e4_quorum_goes_on_without_one_and_stays_without_two(scene, receivers):
    table(scene)
    hooks = [receivers(name) for name in ("a", "b", "c")]
    conf = conf_of(scene, [http(hook, name) for hook, name in zip(hooks, "abc")],
                   commit_policy={"mode": "quorum", "quorum": 2})
    engine = scene.engine(conf).start()
    insert(scene, 1, 10)
    scene.caught_up()
    hooks[0].down()
    insert(scene, 11, 20)
    scene.caught_up()
    hooks[1].down()
    insert(scene, 21, 30)
    written = scene.server.current_lsn()
    holds_for(lambda: engine.running and scene.server.confirmed(scene.slot) < written, 4,
              "two of three are needed")
    hooks[0].up()
    scene.caught_up()
    hooks[1].up()
    for hook in hooks:
        wait_until(lambda hook=hook: sorted(set(ids(hook.events()))) == list(range(1, 31)), 30)


# ---- retries and classes ----

def test_e8_retries_back_off_and_honour_retry_after(scene, receivers):
    table(scene)
    hook = receivers()
    engine = scene.engine(conf_of(scene, [http(hook)], error_handling={
        "backoff": "200ms", "backoff_max": "2s", "max_attempts": 20})).start()
    hook.answer(3, status=503)
    hook.answer(1, status=429, headers={"retry-after": "2"})
    insert(scene, 1, 5)
    wait_until(lambda: target_of(engine)["retry_in_seconds"] is not None, 10,
               "the next attempt is shown")
    assert "503" in target_of(engine)["last_error"]
    requests = hook.wait_requests(5)
    times = [request["time"] for request in requests]
    waits = [after - before for before, after in zip(times, times[1:])]
    assert 0.1 <= waits[0] <= 0.6 and waits[1] > 0.15 and waits[2] > 0.3, waits
    assert waits[3] >= 1.9, "Retry-After is honoured"
    assert len({request["headers"]["webhook-id"] for request in requests}) == 1
    assert ids(hook.events()) == [1, 2, 3, 4, 5]
    assert target_of(engine)["retries"] >= 4


def test_e8_f13_retries_are_listed_in_order_and_their_times_honoured(scene, receivers):
    table(scene)
    hook = receivers()
    hook.answer(3, status=503)
    engine = scene.engine(conf_of(scene, [file_target(scene), http(hook)],
                                  error_handling={"max_attempts": 5, "backoff": "200ms",
                                                  "backoff_max": "10s"})).start()
    scene.sql("INSERT INTO t VALUES (1, 'x'), (2, 'x')")
    scene.caught_up()
    retries = engine.pipeline()["status"]["retries"]
    event = scene.records().all()
    assert [(retry["number"], retry["target"], retry["next_attempt"], retry["batch_key"])
            for retry in retries] == [
        (number, "hook", number + 1, f"{event[0]['id']}~{event[1]['id']}~2")
        for number in (1, 2, 3)]
    assert all("503" in retry["reason"] for retry in retries)
    since = time.time() - time.monotonic()  # the receiver's clock is the monotonic one
    times = [(request["time"] + since) * 1000 for request in hook.requests()]
    assert len(times) == 4
    waits = [retry["retry_at_ms"] for retry in retries]
    assert all(sent + 2 >= allowed for sent, allowed in zip(times[1:], waits)), (times, waits)
    assert times[2] - times[1] > 150 and times[3] - times[2] > 300  # growing, with jitter
    shown = pgfan("status", "--retries", "-c", engine.conf_path).stdout
    assert "retries of pipeline all" in shown and shown.count("503") >= 3


def test_e9_401_fails_at_once_and_restart_brings_it_back(scene, receivers):
    table(scene)
    hook = receivers()
    engine = scene.engine(conf_of(scene, [file_target(scene), http(hook)])).start()
    hook.answer(1, status=401)
    insert(scene, 1, 10)
    engine.wait_state("all", "ERROR")
    assert "401" in engine.reason() and len(hook.requests()) == 1
    insert(scene, 11, 20)
    scene.caught_up()
    holds_for(lambda: len(hook.requests()) == 1, 2, "it waits for an operator")
    assert target_of(engine)["circuit"] == "needs_operator"
    engine.kill9()
    engine.launch()
    engine.wait_state("all", "ERROR")
    insert(scene, 21, 30)
    scene.caught_up()
    assert len(hook.requests()) == 1, "also over a restart of the engine"
    assert pgfan("restart", "all", "-c", engine.conf_path).returncode == 0
    engine.wait_state("all", "STREAMING")
    wait_until(lambda: ids(hook.events()) == list(range(1, 31)), 20)


def test_f1_f4_an_isolated_target_keeps_everything_and_comes_back_by_itself(scene, receivers):
    workload.create(scene.server, scene.database)
    hook = receivers()
    conf = conf_of(scene, [file_target(scene), http(hook)], workload.TABLES)
    engine = scene.engine(conf).start()
    load = Workload(scene.server, scene.database, seed=61, rate=100)
    wait_until(lambda: len(hook.events()) > 200, 30)
    hook.down()
    engine.wait_state("all", "ERROR")
    assert '"hook"' in engine.reason()
    # A restart would mend nothing, so nobody should be told to restart it.
    assert engine.get("/healthz")[0] == 200 and engine.get("/readyz")[0] == 503
    count = scene.records().count()
    scene.wait_records(count + 500)  # the other target streams on
    at_least = scene.server.current_lsn()
    wait_until(lambda: scene.server.confirmed(scene.slot) >= at_least, 30, "the slot moves on")
    assert target_of(engine)["backlog"] > 0
    engine.kill9()
    engine.launch()
    engine.wait_state("all", "ERROR")
    scene.wait_records(scene.records().count() + 200)
    hook.up()
    engine.wait_state("all", "STREAMING", 60)
    load.stop()
    scene.caught_up()
    events = scene.records().all()
    verify.workload(scene.server, scene.database, events)
    # The engine was killed once: what it had sent and not noted came again, as an exact copy.
    got = verify.deduplicated(hook.events(), bound=len(events))
    assert [event["id"] for event in got] == [event["id"] for event in events]
    assert engine.pipeline()["status"]["counters"]["dead_lettered"] == 0
    engine.stop()
    assert Store(scene.directory / "data").letters() == []


def test_f2_stop_source_stops_all_of_it_and_start_goes_on(scene, receivers):
    table(scene)
    scene.sql("CREATE TABLE s (id int PRIMARY KEY, v text)")
    hook = receivers()
    conf = conf_of(scene, [http(hook)], ["public.t"],
                   error_handling={"on_persistent_failure": "stop_source"})
    conf["pipelines"].append({"name": "other", "source": "db", "tables": ["public.s"],
                              "targets": [file_target(scene)]})
    engine = scene.engine(conf).start()
    insert(scene, 1, 10)
    scene.caught_up()
    hook.down()
    insert(scene, 11, 20)
    engine.wait_state("all", "ERROR")
    engine.wait_state("other", "STOPPED")
    assert "stop_source" in engine.reason("other")
    confirmed = scene.server.confirmed(scene.slot)
    scene.sql("INSERT INTO s VALUES (1, 'x')")
    holds_for(lambda: scene.server.confirmed(scene.slot) == confirmed, 2, "nothing is confirmed")
    wait_until(lambda: not scene.server.sql(
        "postgres", "SELECT active FROM pg_replication_slots WHERE slot_name = %s",
        scene.slot)[0][0], 10, "the session has ended, the slot is kept")
    hook.up()
    for name in ("all", "other"):
        engine.command(name, "start")
    engine.wait_state("all", "STREAMING")
    scene.caught_up()
    assert sorted(set(ids(hook.events()))) == list(range(1, 21))
    assert ids(scene.records().all()) == [1]


def test_f3_stop_all_ends_with_75_and_loses_nothing(scene, receivers):
    table(scene)
    hook = receivers()
    conf = conf_of(scene, [file_target(scene), http(hook)],
                   error_handling={"on_persistent_failure": "stop_all"})
    engine = scene.engine(conf).start()
    hook.down()
    insert(scene, 1, 10)
    wait_until(lambda: not engine.running, 30, "the engine ends")
    assert engine.child.wait(10) == 75
    assert "stop_all" in engine.stderr()
    hook.up()
    engine.launch()
    wait_until(lambda: engine.command("all", "start"), 20)
    scene.caught_up()
    assert sorted(set(ids(hook.events()))) == list(range(1, 11))
    assert ids(scene.records().all()) == list(range(1, 11))


# ---- poison and dead letters ----

def test_k3_three_poison_rows_of_ten_thousand_take_at_most_90_sends(scene, receivers):
    table(scene)
    hook = receivers()
    hook.poison.add("needle")
    conf = conf_of(scene, [http(hook)], batch={"max_events": 10000, "max_bytes": "64MiB"})
    engine = scene.engine(conf).start()
    scene.sql("INSERT INTO t SELECT i, CASE WHEN i IN (17, 5000, 9999) THEN 'needle' ELSE 'hay' END"
              " FROM generate_series(1, 10000) i")
    scene.caught_up()
    assert len(hook.requests()) <= 90
    assert ids(hook.events()) == [i for i in range(1, 10001) if i not in (17, 5000, 9999)]
    counters = engine.pipeline()["status"]["counters"]
    assert counters["delivered"] == 9997 and counters["dead_lettered"] == 3
    assert engine.state() == "STREAMING"


def test_f5_f7_f8_f12_dead_letters_are_shown_and_replayed_in_order(scene, receivers):
    table(scene)
    hook = receivers()
    hook.poison.add("needle")
    engine = scene.engine(conf_of(scene, [file_target(scene), http(hook)])).start()
    insert(scene, 1, 3)
    scene.sql("UPDATE t SET v = 'needle' WHERE id = 2")
    scene.sql("UPDATE t SET v = 'after' WHERE id IN (1, 2)")
    scene.sql("UPDATE t SET v = 'last' WHERE id = 2")
    scene.caught_up()
    letters = json.loads(dlq(engine, "list", "--json"))["dead_letters"]
    assert [(entry["cause"], entry["key"]) for entry in letters] == [
        ("poison", '{"id":2}'), ("parked", '{"id":2}'), ("parked", '{"id":2}')], letters
    assert letters[0]["code"] == "HTTP_400" and letters[0]["attempts"] >= 1
    assert letters[0]["pipeline"] == "all" and letters[0]["target"] == "hook"
    assert "HTTP_400" in dlq(engine, "list")
    shown = dlq(engine, "show", str(letters[0]["number"]))
    assert "needle" in shown
    engine.kill9()
    engine.start()
    assert json.loads(dlq(engine, "count", "--json"))["count"] == 3
    # The first fails again, so the others of its key wait.
    assert "0 succeeded, 3 failed" in dlq(engine, "replay", status=1)
    scene.sql("UPDATE t SET v = 'more' WHERE id = 2")
    scene.caught_up()
    hook.poison.clear()
    assert "4 succeeded, 0 failed" in dlq(engine, "replay")
    assert json.loads(dlq(engine, "count", "--json"))["count"] == 0
    scene.sql("UPDATE t SET v = 'free' WHERE id = 2")
    scene.caught_up()
    values = [event["after"]["v"] for event in hook.events() if event["after"]["id"] == 2]
    assert values == ["x", "needle", "after", "last", "more", "free"]
    assert "no dead letters" in dlq(engine, "replay").lower()


def test_events_that_the_encoder_refuses_are_dead_letters(scene, receivers):
    """Of every target that asks for it, live or diverted; the others get them."""
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v float8)")
    hook = receivers()
    strict = {"special_values": "fail"}
    engine = scene.engine(conf_of(scene, [file_target(scene), file_target(scene, "log", **strict),
                                          http(hook, **strict)])).start()
    log = scene.records("log")
    scene.sql("INSERT INTO t SELECT i, CASE WHEN i IN (2, 3, 5) THEN 'NaN'::float8 ELSE i END "
              "FROM generate_series(1, 6) i")
    scene.sql("UPDATE t SET v = 7 WHERE id = 5")  # behind a letter of its key
    scene.sql("INSERT INTO t VALUES (7, 'Infinity')")  # nothing comes after it
    scene.caught_up()
    assert [event["after"]["v"] for event in scene.records().all()] == [
        1, "NaN", "NaN", 4, "NaN", 6, 7, "Infinity"]
    assert [event["after"]["id"] for event in log.all()] == [1, 4, 6, 5]
    assert ids(hook.events()) == [1, 4, 6]
    letters = json.loads(dlq(engine, "list", "--json", "--target", "hook"))["dead_letters"]
    assert [entry["cause"] for entry in letters] == ["poison"] * 3 + ["parked", "poison"]
    assert {entry["code"] for entry in letters} == {"SPECIAL_VALUE", "PARKED"}
    assert len(json.loads(dlq(engine, "list", "--json", "--target", "log"))["dead_letters"]) == 4
    assert target_of(engine)["dead_lettered"] == 5
    assert engine.state() == "STREAMING"
    hook.down()
    scene.sql("UPDATE t SET v = 10 WHERE id = 1")
    scene.sql("UPDATE t SET v = 'NaN' WHERE id = 4")
    scene.sql("UPDATE t SET v = 11 WHERE id = 1")
    scene.caught_up()  # isolated: dead letters keep it
    engine.kill9()
    hook.up()
    engine.start()
    wait_until(lambda: engine.state() == "STREAMING", 20)
    wait_until(lambda: ids(hook.events()) == [1, 4, 6, 1, 1], 20)
    assert "6 succeeded, 0 failed" in dlq(engine, "replay", "--target", "hook")
    assert [event["after"]["v"] for event in hook.events()][5:] == [
        "NaN", "NaN", "NaN", 7, "Infinity", "NaN"]


def test_a_refused_event_costs_an_optional_target_no_other_one(scene):
    """It waits for the letter, and is not slower than the others for that."""
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v float8)")
    engine = scene.engine(conf_of(
        scene, [file_target(scene),
                file_target(scene, "log", required=False, special_values="fail")],
        buffer={"spill_max": 0}, error_handling={"poison_max": 1000})).start()
    for first in range(1, 200, 10):
        scene.sql("INSERT INTO t SELECT i, CASE WHEN i %% 10 = 5 THEN 'NaN'::float8 ELSE i END "
                  "FROM generate_series(%s, %s) i", first, first + 9)
    scene.caught_up()
    wait_until(lambda: target_of(engine, "log")["dead_lettered"] == 20, 20)
    wait_until(lambda: len(scene.records("log").all()) == 180, 20)
    assert target_of(engine, "log")["gap"] == 0
    assert "is diverted" not in engine.stderr()
    assert [event["after"]["id"] for event in scene.records("log").all()] == [
        i for i in range(1, 201) if i % 10 != 5]


def test_without_dead_letters_what_the_encoder_refuses_stops_or_is_a_gap(scene, receivers):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v float8)")
    hook = receivers()
    conf = conf_of(scene, [http(hook, special_values="fail")],
                   error_handling={"dead_letter": False, "on_persistent_failure": "stop_source"})
    engine = scene.engine(conf).start()
    scene.sql("INSERT INTO t VALUES (1, 1), (2, 'NaN'), (3, 3)")
    wait_until(lambda: engine.state() == "ERROR", 20)
    assert "NaN" in engine.pipeline()["status"]["reason"]
    assert scene.server.confirmed(scene.slot) < scene.server.current_lsn()
    assert 2 not in ids(hook.events())


def test_f8_a_replay_to_a_target_that_is_down_stops_and_leaves_everything(scene, receivers):
    table(scene)
    hook = receivers()
    hook.poison.add("needle")
    engine = scene.engine(conf_of(scene, [http(hook)])).start()
    insert(scene, 1, 5, "needle")
    scene.caught_up()
    hook.down()
    printed = pgfan("dlq", "replay", "-c", engine.conf_path)
    assert printed.returncode != 0 and "stopped" in (printed.stdout + printed.stderr)
    assert json.loads(dlq(engine, "count", "--json"))["count"] == 5
    hook.poison.clear()
    hook.up()
    wait_until(lambda: engine.state() == "STREAMING", 20)
    assert "5 succeeded, 0 failed" in dlq(engine, "replay")


def test_too_many_poison_events_convict_the_target(scene, receivers):
    table(scene)
    hook = receivers()
    hook.poison.add("needle")
    engine = scene.engine(conf_of(scene, [file_target(scene), http(hook)],
                                  error_handling={"poison_max": 5})).start()
    insert(scene, 1, 100, "needle")
    engine.wait_state("all", "ERROR")
    scene.caught_up()
    assert "at fault" in engine.reason() and len(hook.requests()) < 100
    hook.poison.clear()
    assert pgfan("restart", "all", "-c", engine.conf_path).returncode == 0
    engine.wait_state("all", "STREAMING")
    poison = json.loads(dlq(engine, "count", "--json"))["count"]
    assert 5 <= poison <= 7
    dlq(engine, "replay")
    assert sorted(set(ids(hook.events()))) == list(range(1, 101))


def test_f10_at_cap_block_holds_the_slot(scene, receivers):
    table(scene)
    hook = receivers()
    hook.poison.add("needle")
    conf = conf_of(scene, [http(hook)])
    conf["dead_letters"] = {"max_entries": 2, "at_cap": "block"}
    engine = scene.engine(conf).start()
    scene.sql("INSERT INTO t VALUES (1, 'needle')")
    scene.sql("INSERT INTO t VALUES (2, 'needle')")
    scene.caught_up()
    scene.sql("INSERT INTO t VALUES (3, 'needle')")
    written = scene.server.current_lsn()
    holds_for(lambda: scene.server.confirmed(scene.slot) < written, 3, "the slot is held")
    assert "full" in engine.reason()
    assert "1" in dlq(engine, "purge", "--key", '{"id":1}', "--confirm", "all")
    scene.caught_up()


def parked_keys(engine, target="hook"):
    targets = engine.pipeline()["status"]["targets"]
    return next(t["parked_keys"] for t in targets if t["name"] == target)


@pytest.mark.parametrize("way", ["purge", "max_age", "reject", "drop_oldest"])
def test_f9_f10_a_key_whose_letters_are_gone_waits_no_more(scene, receivers, way):
    """However they went, later changes of the key are delivered, and a key that has letters waits."""
    table(scene)
    hook = receivers()
    hook.poison.add("needle")
    conf = conf_of(scene, [http(hook)])
    conf["dead_letters"] = {
        "purge": {}, "max_age": {"max_age": "1s"},
        "reject": {"max_entries": 2, "at_cap": "reject"},
        "drop_oldest": {"max_entries": 2, "at_cap": "drop_oldest"}}[way]
    engine = scene.engine(conf).start()
    insert(scene, 1, 4)
    if way == "reject":
        scene.sql("UPDATE t SET v = 'needle' WHERE id IN (3, 4)")
    scene.sql("UPDATE t SET v = 'needle' WHERE id = 1")
    scene.caught_up()
    if way == "purge":
        scene.sql("UPDATE t SET v = 'behind' WHERE id = 1")
        scene.sql("UPDATE t SET v = 'needle' WHERE id = 3")
        scene.caught_up()
        assert parked_keys(engine) == 2
        assert "2" in dlq(engine, "purge", "--key", '{"id":1}', "--confirm", "all")
    if way == "drop_oldest":
        scene.sql("UPDATE t SET v = 'needle' WHERE id IN (3, 4)")
    still = {"purge": 1, "max_age": 0, "reject": 2, "drop_oldest": 2}[way]
    wait_until(lambda: parked_keys(engine) == still, 30, "the key waits no more")
    scene.sql("UPDATE t SET v = 'free' WHERE id = 1")
    if still:
        scene.sql("UPDATE t SET v = 'waits' WHERE id = 3")
    scene.caught_up()
    values = [event["after"]["v"] for event in hook.events() if event["after"]["id"] == 1]
    assert values == ["x", "free"]
    assert "waits" not in [event["after"]["v"] for event in hook.events()]


def test_e5_targets_resume_from_their_own_places(scene, receivers):
    """B4's figures: three targets, one behind; a restart gives each what it lacks."""
    table(scene)
    hook = receivers()
    conf = conf_of(scene, [file_target(scene), http(hook), file_target(scene, "other")],
                   error_handling={"max_attempts": 0})
    engine = scene.engine(conf).start()
    insert(scene, 1, 10)
    scene.caught_up()
    hook.down()
    insert(scene, 11, 20)
    scene.wait_records(20)
    scene.wait_records(20, "other")
    engine.kill9()
    hook.up()
    engine.start()
    scene.caught_up()
    for name in ("out", "other"):
        assert ids(scene.records(name).all()) == list(range(1, 21)), "no repetition in a file"
    assert sorted(set(ids(hook.events()))) == list(range(1, 21))


# ---- spill and the guard of the slot ----

def test_k7_spill_lets_the_slot_go_and_catches_up_in_order(scene, receivers):
    workload.create(scene.server, scene.database)
    hook = receivers()
    conf = conf_of(scene, [http(hook)], workload.TABLES,
                   buffer={"policy": "spill", "max_events": 200},
                   error_handling={"max_attempts": 0})
    conf["pipelines"].append({"name": "sibling", "source": "db", "tables": list(workload.TABLES),
                              "targets": [file_target(scene)]})
    engine = scene.engine(conf).start()
    load = Workload(scene.server, scene.database, seed=77, rate=200)
    wait_until(lambda: len(hook.events()) > 100, 30)
    hook.down()
    count = scene.records().count()
    scene.wait_records(count + 3000)
    written = scene.server.current_lsn()
    wait_until(lambda: scene.server.confirmed(scene.slot) >= written, 30, "the slot moves on")
    assert target_of(engine)["diverted_to"] == "spill" and target_of(engine)["backlog"] > 1000
    engine.kill9()
    engine.launch()
    scene.wait_records(scene.records().count() + 500)
    hook.up()
    load.stop()
    scene.caught_up()
    wait_until(lambda: target_of(engine)["diverted_to"] == "none", 60, "it has caught up")
    events = scene.records().all()
    verify.workload(scene.server, scene.database, events)
    got = verify.deduplicated(hook.events(), bound=len(events))
    assert [event["id"] for event in got] == [event["id"] for event in events]


def test_a_spill_beyond_its_quota_costs_an_optional_target_a_gap(scene, receivers):
    table(scene)
    hook = receivers()
    conf = conf_of(scene, [file_target(scene), http(hook, required=False)],
                   buffer={"spill_max": "64KiB"})
    engine = scene.engine(conf).start()
    insert(scene, 1, 10)
    scene.caught_up()
    hook.down()
    for start in range(11, 5011, 500):
        insert(scene, start, start + 499)
        scene.caught_up()
    assert ids(scene.records().all()) == list(range(1, 5011))
    assert target_of(engine)["gap"] > 0
    hook.up()
    wait_until(lambda: target_of(engine)["diverted_to"] == "none", 30)
    insert(scene, 5011, 5020)
    wait_until(lambda: 5020 in ids(event for event in hook.events() if event["op"] == "c"), 20)
    events = hook.events()
    markers = [event for event in events if event["op"] == "g"]
    got = sorted(set(ids(event for event in events if event["op"] == "c")))
    lost = sum(marker["count"] for marker in {marker["id"]: marker for marker in markers}.values())
    assert markers and len(got) + lost == 5020
    engine.stop()
    gaps = Store(scene.directory / "data").gaps("hook")
    assert sum(count for _, _, count in gaps) == lost


def held_bytes(scene):
    return int(scene.server.sql("postgres", """
        SELECT pg_current_wal_lsn() - restart_lsn FROM pg_replication_slots
        WHERE slot_name = %s""", scene.slot)[0][0])


@pytest.mark.parametrize("step", ["spill", "detach"])
def test_k6_the_guard_frees_the_slot_from_a_paused_pipeline(own_scene, step, receivers):
    scene = own_scene()
    table(scene)
    hook = receivers()
    conf = conf_of(scene, [http(hook)])
    conf["sources"]["db"]["slot_guard"] = {"soft": "4MiB", "hard": "8MiB", "then": ["warn", step]}
    engine = scene.engine(conf).start()
    insert(scene, 1, 10)
    scene.caught_up()
    engine.command("all", "pause")
    scene.sql("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(11, 20000) i")
    scene.server.sql("postgres", "CHECKPOINT")
    written = scene.server.current_lsn()
    wait_until(lambda: "soft limit" in engine.stderr() and "hard limit" in engine.stderr(), 60,
               "both limits are said")
    wait_until(lambda: scene.server.confirmed(scene.slot) >= written, 60, "the slot moves on")
    assert engine.state() == "PAUSED" and len(hook.events()) == 10
    engine.command("all", "resume")
    insert(scene, 20001, 20010)
    wait_until(lambda: 20010 in ids(event for event in hook.events() if event["op"] == "c"), 60)
    wanted = list(range(1, 20011)) if step == "spill" else [*range(1, 11), *range(20001, 20011)]
    assert ids(event for event in hook.events() if event["op"] == "c") == wanted
    assert any(event["op"] == "g" for event in hook.events()) == (step == "detach")


def test_k6_the_guard_stops_reading_and_says_that_the_wal_grows(own_scene, receivers):
    scene = own_scene()
    table(scene)
    conf = conf_of(scene, [http(receivers())])
    conf["sources"]["db"]["slot_guard"] = {"hard": "8MiB", "then": ["stop"]}
    engine = scene.engine(conf).start()
    engine.command("all", "stop")
    scene.sql("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 15000) i")
    wait_until(lambda: "WAL still grows" in engine.stderr(), 60)
    wait_until(lambda: not scene.server.sql(
        "postgres", "SELECT active FROM pg_replication_slots WHERE slot_name = %s",
        scene.slot)[0][0], 20, "the session has ended, the slot is kept")


def test_k6_the_guard_drops_the_slot_as_its_last_step(own_scene, receivers):
    scene = own_scene()
    table(scene)
    conf = conf_of(scene, [http(receivers())])
    conf["sources"]["db"]["slot_guard"] = {"hard": "8MiB", "then": ["warn", "drop_slot"]}
    engine = scene.engine(conf).start()
    engine.command("all", "stop")
    scene.sql("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 15000) i")
    wait_until(lambda: not scene.server.sql(
        "postgres", "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", scene.slot), 60,
        "the slot is gone")
    wait_until(lambda: "slot is dropped" in engine.stderr(), 10)
    assert engine.source()["state"] != "STREAMING" and "dropped" in engine.source()["reason"]
    engine.stop()
    engine.launch()
    assert engine.wait_exit() == 69, "what is lost is not passed over"


def test_old_letters_expire_and_a_full_store_is_said(scene, receivers):
    table(scene)
    hook = receivers()
    hook.poison.add("needle")
    conf = conf_of(scene, [http(hook)])
    conf["dead_letters"] = {"max_entries": 10, "max_age": "1s", "at_cap": "block"}
    engine = scene.engine(conf).start()
    scene.sql("INSERT INTO t SELECT i, 'needle' FROM generate_series(1, 9) i")
    wait_until(lambda: "come near their cap" in engine.stderr(), 30)
    wait_until(lambda: "have become gap rows" in engine.stderr(), 30)
    wait_until(lambda: "no dead letters" in dlq(engine, "list").lower(), 30)


def test_k7_a_dead_target_for_a_minute_costs_its_sibling_nothing(scene, receivers):
    """PGFAN_DEAD_SECONDS of it: 60, and 600 in scripts/soak."""
    workload.create(scene.server, scene.database)
    hook = receivers()
    engine = scene.engine(conf_of(scene, [file_target(scene), http(hook)], workload.TABLES,
                                  buffer={"policy": "spill", "max_events": 1000})).start()
    load = Workload(scene.server, scene.database, seed=67, rate=100)
    wait_until(lambda: len(hook.events()) > 200, 30)

    def reached():
        return lsn(target_of(engine, "out")["checkpoint_lsn"])

    hook.down()
    written, had, held = scene.server.current_lsn(), reached(), []
    deadline = time.monotonic() + DEAD_SECONDS
    while time.monotonic() < deadline:  # ten looks a second
        held.append(scene.server.current_lsn() - scene.server.confirmed(scene.slot))
        pause(0.1)
    written, had = scene.server.current_lsn() - written, reached() - had
    assert target_of(engine)["diverted_to"] == "spill" and target_of(engine)["backlog"] > 0
    hook.up()
    wait_until(lambda: target_of(engine)["diverted_to"] == "none", 60 + DEAD_SECONDS,
               "it has caught up")
    load.stop()
    scene.caught_up()
    assert had >= 0.95 * written, "the sibling went along with the source"
    print(f"dead for {DEAD_SECONDS} s: {len(held)} looks, {had / written:.3f} of what was written "
          f"reached the sibling, the slot held {max(held)} of {written} bytes at the most")
    assert max(held) < written / 2, "what the slot held never grew to a share of the outage"
    events = scene.records().all()
    got = verify.deduplicated(hook.events(), bound=len(events))
    assert [event["id"] for event in got] == [event["id"] for event in events]


def transactions_of(lines):
    """The changes between each pair of marks, none of which may be missing."""
    done, begun = [], None
    for line in lines:
        if line["op"] == "begin":
            assert begun is None, line
            begun = []
        elif line["op"] == "commit":
            done.append(begun)
            begun = None
        else:
            begun.append(line)
    assert begun is None
    return done


@pytest.mark.parametrize("body", ["json", "ndjson"])
def test_e16_a_target_that_asks_gets_whole_transactions_between_marks(scene, receivers, body):
    table(scene)
    hook = receivers()
    hook.poison.add("needle")
    engine = scene.engine(conf_of(
        scene, [file_target(scene), file_target(scene, "log", transactions=True),
                http(hook, transactions=True, body=body)],
        batch={"max_bytes": "16kB", "max_events": 50})).start()
    for first in range(1, 400, 4):
        if first == 101:
            hook.down()
        scene.sql("INSERT INTO t SELECT i, 'x' FROM generate_series(%s, %s) i; "
                  "INSERT INTO t VALUES (%s, %s)", first, first + 2, first + 3,
                  "needle" if first == 201 else "x")
        if first == 101:  # isolated: its dead letters are given back whole, too
            wait_until(lambda: engine.state() == "ERROR", 20)
        if first == 301:
            hook.up()
            engine.kill9()
            engine.start()
    insert(scene, 1001, 2000, "a row of a transaction that no batch can hold")
    insert(scene, 3001, 3003)
    scene.caught_up()
    wait_until(lambda: engine.state() == "STREAMING", 20)
    scene.caught_up()
    small = [list(range(first, first + 4)) for first in range(1, 400, 4)] + [[3001, 3002, 3003]]
    log = [ids(changes) for changes in transactions_of(scene.records("log").all())]
    assert log == small[:-1] + [list(range(1001, 2001))] + small[-1:]
    assert len(scene.records().all()) == 400 + 1000 + 3  # without marks
    got = [ids(changes) for request in hook.requests()
           for changes in transactions_of(request["taken"])]
    assert unique(got) == [changes for changes in small if changes[0] != 201]
    letters = json.loads(dlq(engine, "list", "--json", "--limit", "2000"))["dead_letters"]
    codes = [entry["code"] for entry in letters]
    assert codes.count("HTTP_400") == 4 and codes.count("TRANSACTION_TOO_LARGE") == 1000


@pytest.mark.parametrize("max_bytes", ["16kB", "16MB"])
def test_e16_no_part_of_a_transaction_is_delivered_after_a_crash_in_the_middle_of_it(
        scene, receivers, max_bytes):
    """Not even when a batch would hold what is left of it."""
    def conf(max_bytes, max_entries):
        made = conf_of(scene, [http(hook, transactions=True)], batch={"max_bytes": max_bytes})
        made["dead_letters"] = {"max_entries": max_entries}
        return made

    table(scene)
    hook = receivers()
    engine = scene.engine(conf("16kB", 500)).start()
    insert(scene, 1, 3)
    scene.caught_up()
    insert(scene, 1001, 2000)  # no batch holds them, nor does the dead-letter store
    scene.sql("INSERT INTO t VALUES (3001, 'x')")

    def kept():
        return json.loads(dlq(engine, "count", "--json"))["count"]

    def settled():
        return target_of(engine)["settled_seq"]

    wait_until(lambda: 300 < settled() == kept() - 1, 30)
    at = settled()
    holds_for(lambda: settled() == at, 3, "the rest waits for room, and what is settled is saved")
    engine.kill9()
    engine.rewrite(conf(max_bytes, 100000))
    engine.start()
    scene.caught_up()
    assert kept() == 1000
    got = [ids(changes) for request in hook.requests()
           for changes in transactions_of(request["taken"])]
    assert unique(got) == [[1, 2, 3], [3001]]


def unique(groups):
    """In their first order: what was sent again after a crash counts once."""
    return [list(group) for group in dict.fromkeys(tuple(group) for group in groups)]


def test_e13_checkpoints_are_shown_with_their_age(scene, receivers):
    table(scene)
    hook = receivers()
    engine = scene.engine(conf_of(scene, [file_target(scene), http(hook)])).start()
    insert(scene, 1, 10)
    scene.caught_up()
    status, answer = engine.get("/pipelines/all/checkpoints")
    assert status == 200 and answer["pipeline"] == "all"
    out, far = answer["checkpoints"]
    assert (out["target"], far["target"]) == ("out", "hook")
    assert out["checkpoint_lsn"] == far["checkpoint_lsn"] == target_of(engine)["checkpoint_lsn"]
    assert 0 <= far["age_seconds"] < 60 and far["diverted_to"] == "none"
    assert engine.get("/pipelines/al/checkpoints")[0] == 404


# ---- bad input ----

def test_selectors_that_are_wrong_are_said(scene, receivers):
    table(scene)
    engine = scene.engine(conf_of(scene, [http(receivers())])).start()
    assert "no dead letters" in dlq(engine, "list", "--table", "public.nothing").lower()
    done = pgfan("dlq", "list", "--pipeline", "al", "-c", engine.conf_path)
    assert done.returncode == 64 and "all" in done.stderr
    done = pgfan("dlq", "list", "--target", "hok", "-c", engine.conf_path)
    assert done.returncode == 64 and "hook" in done.stderr
    done = pgfan("dlq", "list", "--since", "yesterdayish", "-c", engine.conf_path)
    assert done.returncode == 64
