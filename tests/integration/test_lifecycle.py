"""States and verbs (G1, G2, G6–G8, G14, J11, reliability 36). Each through the API and the CLI."""

import json
import signal

import pytest

from pgfan_test import conf as confs
from pgfan_test import verify, workload
from pgfan_test.engine import pgfan
from pgfan_test.wait import holds_for, wait_until
from pgfan_test.workload import Workload


def file_target(scene, name):
    return {"name": name, "type": "file", "path": f"{scene.directory}/{name}.jsonl"}


@pytest.fixture
def two(scene):
    """An engine with the pipelines `all` (table a) and `sibling` (table b)."""
    scene.sql("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)")
    conf = scene.conf(["public.a"])
    confs.pipeline(conf, "sibling", ["public.b"], [file_target(scene, "b")])
    return scene.engine(conf).start()


@pytest.mark.matrix
@pytest.mark.sanitized
def test_g1_g6_g7_pause_delivers_nothing_and_resume_drains(scene, two):
    scene.sql("INSERT INTO a SELECT generate_series(1, 100)")
    scene.caught_up()
    two.command("all", "pause")
    assert two.state() == "PAUSED"
    (sender,) = scene.server.walsenders(scene.slot)
    held = scene.server.confirmed(scene.slot)
    for i in range(100):
        scene.sql("INSERT INTO a SELECT generate_series(%s, %s)", 101 + 100 * i, 200 + 100 * i)
    first = scene.server.current_lsn()
    scene.sql("INSERT INTO b SELECT generate_series(1, 5000)")
    scene.wait_records(5000, "b")
    assert scene.records().count() == 100 and two.state("sibling") == "STREAMING"
    holds_for(lambda: scene.server.confirmed(scene.slot) < first, 2, "the slot is held")
    assert held <= scene.server.confirmed(scene.slot)
    assert scene.server.walsenders(scene.slot) == [sender], "the connection is kept"
    two.command("all", "resume")
    scene.caught_up()
    assert [event["after"]["id"] for event in scene.records().all()] == list(range(1, 10101))
    assert scene.records("b").count() == 5000, "the sibling gets nothing twice"


@pytest.mark.parametrize("verb, back", [("stop", "start"), ("pause", "resume")])
def test_changes_that_a_pipeline_missed_show_as_lag(scene, two, verb, back):
    two.command("all", verb)
    scene.sql("INSERT INTO a VALUES (1)")

    def shown():
        status = two.pipeline()["status"]
        return status["passed_over"] and status["lag_seconds"] > 1 and status

    status = wait_until(shown, 20, "the age of the missed change is shown")
    assert status["counters"]["pending"] == 0 and status["passed_over_since"]
    assert two.get("/readyz")[0] == 200
    text = pgfan("status", "-c", two.conf_path).stdout
    assert f"pipeline all: changes since {status['passed_over_since']} wait in the slot" in text
    two.stop()
    two.launch()
    wait_until(lambda: two.pipeline()["status"]["lag_seconds"] > 1, 30, "after a restart, too")
    two.command("all", back)
    scene.wait_records(1)

    def gone():
        status = two.pipeline()["status"]
        return not status["passed_over"] and status["lag_seconds"] == 0

    wait_until(gone, 20, "nothing is missed any more")
    assert two.pipeline()["status"]["passed_over_since"] is None
    assert "wait in the slot" not in pgfan("status", "-c", two.conf_path).stdout


def test_g7_more_than_the_ring_holds_arrives_after_a_pause(scene):
    workload.create(scene.server, scene.database)
    conf = scene.conf(workload.TABLES, buffer={"max_events": 200})
    engine = scene.engine(conf).start()
    load = Workload(scene.server, scene.database, seed=7)
    scene.wait_records(300)
    for _ in range(3):
        engine.command("all", "pause")
        count = scene.sql("SELECT count(*) FROM o")[0][0]
        wait_until(lambda: scene.sql("SELECT count(*) FROM o")[0][0] > count + 1000, 60)
        engine.command("all", "resume")
        engine.wait_state("all", "STREAMING")
    load.stop()
    scene.caught_up()
    verify.workload(scene.server, scene.database, scene.records().all())


@pytest.mark.matrix
def test_g8_stop_saves_the_checkpoint_and_start_goes_on(scene, two):
    scene.sql("INSERT INTO a SELECT generate_series(1, 1000)")
    scene.caught_up()
    two.command("all", "stop")
    assert two.state() == "STOPPED"
    assert [entry["metadata"]["name"] for entry in two.get("/pipelines")[1]["pipelines"]] == [
        "all", "sibling"]
    scene.sql("INSERT INTO a SELECT generate_series(1001, 2000); INSERT INTO b VALUES (1)")
    scene.wait_records(1, "b")
    assert scene.records().count() == 1000
    two.command("all", "start")
    scene.caught_up()
    assert [event["after"]["id"] for event in scene.records().all()] == list(range(1, 2001))


@pytest.mark.parametrize("verb, state", [("pause", "PAUSED"), ("stop", "STOPPED")])
def test_g1_states_survive_a_restart(scene, two, verb, state):
    two.command("all", verb)
    scene.sql("INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)")
    scene.wait_records(1, "b")
    two.kill9()
    two.start()
    assert two.state() == state and two.state("sibling") == "STREAMING"
    scene.sql("INSERT INTO a VALUES (2); INSERT INTO b VALUES (2)")
    scene.wait_records(2, "b")
    assert scene.records().count() == 0
    two.command("all", "resume" if verb == "pause" else "start")
    scene.wait_records(2)
    scene.caught_up()
    assert [event["after"]["id"] for event in scene.records().all()] == [1, 2]


def test_g1_j11_illegal_transitions_are_refused_by_name(two):
    for path, status, code in (("/pipelines/all/resume", 409, "ILLEGAL_TRANSITION"),
                               ("/pipelines/nope/pause", 404, "PIPELINE_NOT_FOUND"),
                               ("/pipelines/all/explode", 404, "NOT_FOUND"), ):
        found, body = two.request("POST", path)
        assert (found, body["code"]) == (status, code), body
        assert body["message"] == body["message"].rstrip(".")
    two.command("all", "pause")
    found, body = two.request("POST", "/pipelines/all/pause")
    assert found in (200, 409) and (found == 200 or body["code"] == "ILLEGAL_TRANSITION")
    found, body = two.request("POST", "/pipelines/sibling/start")
    assert found == 409 and "STREAMING" in body["message"], body


def test_g1_the_cli_speaks_the_same_verbs(two):
    for verb, state in (("pause", "PAUSED"), ("resume", "STREAMING"), ("stop", "STOPPED"),
                        ("start", "STREAMING")):
        done = pgfan(verb, "all", "-c", two.conf_path)
        assert done.returncode == 0, (verb, done.stderr)
        two.wait_state("all", state)
    assert pgfan("pause", "al", "-c", two.conf_path).returncode != 0
    assert "all" in pgfan("pause", "al", "-c", two.conf_path).stderr, "the near name is suggested"
    assert pgfan("resume", "all", "-c", two.conf_path).returncode != 0
    shown = pgfan("status", "-c", two.conf_path)
    assert shown.returncode == 0 and "STREAMING" in shown.stdout and "sibling" in shown.stdout
    listed = json.loads(pgfan("status", "--json", "-c", two.conf_path).stdout)
    assert {pipeline["metadata"]["name"] for pipeline in listed["pipelines"]} == {"all", "sibling"}


def test_g2_actions_on_one_pipeline_leave_the_other_alone(scene, two):
    scene.sql("INSERT INTO b SELECT generate_series(1, 100)")
    scene.caught_up()
    since = two.pipeline("sibling")["status"]["since"]
    for verb in ("pause", "resume", "stop", "start", "stop", "start", "pause", "resume"):
        two.command("all", verb)
    scene.sql("INSERT INTO b SELECT generate_series(101, 200); INSERT INTO a VALUES (1)")
    scene.caught_up()
    assert two.state("sibling") == "STREAMING"
    assert two.pipeline("sibling")["status"]["since"] == since
    assert [event["after"]["id"] for event in scene.records("b").all()] == list(range(1, 201))
    assert scene.records().count() == 1


@pytest.mark.matrix
@pytest.mark.sanitized
def test_g14_36_a_graceful_end_under_load_repeats_nothing(scene):
    workload.create(scene.server, scene.database)
    engine = scene.engine(scene.conf(workload.TABLES)).start()
    load = Workload(scene.server, scene.database, seed=14)
    for round_number in range(1, 4):
        scene.wait_records(400 * round_number)
        assert engine.stop(timeout=20) == 0
        engine.start()
        skipped = engine.pipeline()["status"]["targets"][0]["already"]
        assert skipped == 0, "a restart after a graceful end re-sends nothing"
    load.stop()
    scene.caught_up()
    verify.workload(scene.server, scene.database, scene.records().all())


def test_g14_36_a_second_signal_ends_it_at_once(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
    engine = scene.engine(scene.conf(targets=[{"name": "pipe", "type": "stdout"}]), pipe=True)
    engine.start()
    scene.sql("INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 2000) i")
    wait_until(lambda: engine.pipeline()["status"]["counters"]["pending"] > 100)
    engine.signal(signal.SIGTERM)
    wait_until(lambda: engine.get("/readyz")[0] == 503, 5)
    engine.signal(signal.SIGTERM)
    engine.wait_exit(5)


def test_a_removed_pipeline_no_longer_gates_and_a_new_one_begins_now(scene, two):
    scene.sql("INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)")
    scene.caught_up()
    two.stop()
    conf = scene.conf(["public.a"])
    confs.pipeline(conf, "new", ["public.b"], [file_target(scene, "new")])
    two.rewrite(conf)
    two.start()
    scene.sql("INSERT INTO b VALUES (2)")
    scene.caught_up()
    assert [event["after"]["id"] for event in scene.records("new").all()] == [2]
    assert scene.records("b").count() == 1


def test_a_removed_pipeline_with_a_backlog_is_refused_until_it_is_forgotten(scene, two):
    two.command("all", "pause")
    scene.sql("INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)")
    scene.wait_records(1, "b")
    two.stop()
    conf = confs.base(scene.server, scene.database, scene.directory, ["public.b"], scene.slot,
                      targets=[file_target(scene, "b")])
    conf["pipelines"][0]["name"] = "sibling"
    two.rewrite(conf)
    two.launch()
    assert two.wait_exit() == 78 and "--forget" in two.stderr() and "all" in two.stderr()
    two.launch("--forget", "al")
    assert two.wait_exit() == 78 and "did you mean all?" in two.stderr()
    two.start("--forget", "all")
    scene.caught_up()
    two.stop()
    two.launch("--forget", "sibling")
    assert two.wait_exit() == 78 and "still in the conf" in two.stderr()


@pytest.mark.parametrize("how", ["held", "behind"])
def test_a_removed_target_with_a_backlog_is_refused_until_it_is_forgotten(scene, how):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
    targets = [file_target(scene, "out")]
    conf = scene.conf(targets=targets + [{"name": "pipe", "type": "stdout"}])
    conf["shutdown_timeout"] = "2s"
    engine = scene.engine(conf, pipe=True).start()
    scene.sql("INSERT INTO t VALUES (1, 'small')")
    scene.caught_up()
    if how == "held":
        engine.command("all", "pause")
        engine.stop()
    else:
        scene.sql("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(2, 100) i")
        scene.wait_records(100)
        wait_until(lambda: engine.pipeline()["status"]["targets"][0]["delivered"] == 100)
        assert engine.stop() == 70, "the pipe is not drained in time"
    engine.rewrite(scene.conf(targets=targets))
    engine.launch()
    assert engine.wait_exit() == 78 and "--forget all/pipe" in engine.stderr()
    engine.launch("--forget", "all/pipe")
    wait_until(lambda: engine.state() == ("PAUSED" if how == "held" else "STREAMING"), 30)
    engine.stop()
    engine.launch()
    wait_until(lambda: engine.state() == ("PAUSED" if how == "held" else "STREAMING"), 30)


def test_a_removed_target_without_a_backlog_goes(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    targets = [file_target(scene, "out")]
    engine = scene.engine(scene.conf(targets=targets + [file_target(scene, "more")])).start()
    scene.sql("INSERT INTO t VALUES (1)")
    scene.caught_up()
    engine.stop()
    engine.rewrite(scene.conf(targets=targets))
    engine.start()
