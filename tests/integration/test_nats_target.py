"""The NATS target on real servers: nothing lost, nothing twice, order, and what a server may do."""

import json

import pytest

from pgfan_test import verify, workload
from pgfan_test.engine import pgfan
from pgfan_test.nats import NatsServer
from pgfan_test.receiver import make_certificate
from pgfan_test.records import position
from pgfan_test.wait import holds_for, wait_until
from pgfan_test.workload import Worker, Workload

FAST = {"backoff": "50ms", "backoff_max": "500ms", "max_attempts": 3}
SECRET = "S3CR3T-of-nats"


@pytest.fixture
def servers(directory):
    """A function that makes a NATS server of this test, started."""
    made = []

    def make(name="nats", **options):
        server = NatsServer(directory, name, **options)
        made.append(server)
        return server.start(ready=not options.get("users") and not options.get("tls"))

    yield make
    for server in made:
        server.kill9()


def target(server, name="nats", **more):
    return {"name": name, "type": "nats", "servers": [server.address], **more}


def conf_of(scene, targets, tables=("public.%",), **pipeline):
    errors = {**FAST, **pipeline.pop("error_handling", {})}
    return scene.conf(tables, targets=targets, error_handling=errors, **pipeline)


def status_of(engine, name="nats"):
    return next(entry for entry in engine.pipeline()["status"]["targets"] if entry["name"] == name)


def table(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")


def insert(scene, first, last, value="x"):
    scene.sql("INSERT INTO t SELECT i, %s FROM generate_series(%s, %s) i", value, first, last)


def ids(server, stream="CDC"):
    return [event["after"]["id"] for event in server.events(stream)]


@pytest.mark.sanitized
def test_every_change_once_and_in_order_through_kills_of_both_sides(scene, servers):
    workload.create(scene.server, scene.database)
    server = servers()
    server.add_stream("CDC", ["cdc.>"])
    conf = conf_of(scene, [target(server, timeout="2s", connect_timeout="1s")], workload.TABLES,
                   error_handling={"max_attempts": 0}, batch={"max_events": 50})
    engine = scene.engine(conf).start()
    load = Workload(scene.server, scene.database, 73, rate=150)
    for wanted in (300, 900):
        wait_until(lambda: server.count("CDC") > wanted, 60)
        engine.kill9()
        engine.start()
        wait_until(lambda: server.count("CDC") > wanted + 200, 60)
        server.kill9()
        wait_until(lambda: status_of(engine)["last_error"], 30)
        server.start()
    wait_until(lambda: server.count("CDC") > 1500, 60)
    load.stop()
    scene.caught_up()
    messages = server.messages("CDC")
    assert all(headers["Nats-Msg-Id"] == event["id"] for _, headers, event in messages)
    assert all(subject == f"cdc.{event['table']}" for subject, _, event in messages)
    events = [event for _, _, event in messages]
    assert len({event["id"] for event in events}) == len(events), "none is there twice"
    verify.order([event for event in events
                  if event["table"] == "public.w" and event["op"] != "t"])
    verify.workload(scene.server, scene.database, sorted(events, key=position))


def test_without_failures_a_stream_has_the_order_of_the_source(scene, servers):
    workload.create(scene.server, scene.database)
    server = servers()
    server.add_stream("CDC", ["cdc.>"])
    conf = conf_of(scene, [target(server)], messages=["pgfan%"], tables=workload.TABLES)
    engine = scene.engine(conf).start()
    Worker(scene.server.dsn(scene.database), 74).run(150)
    scene.sql("TRUNCATE side")
    scene.sql("SELECT pg_logical_emit_message(true, 'pgfan.test', 'hello')")
    scene.caught_up()
    messages = server.messages("CDC")
    subject, _, last = messages.pop()
    assert (subject, last["op"]) == ("cdc.other", "m")
    assert messages[-1][2]["op"] == "t"
    verify.workload(scene.server, scene.database, [event for _, _, event in messages])
    assert status_of(engine)["dead_lettered"] == 0


def test_no_stream_is_waited_for_and_another_one_stops(scene, servers):
    table(scene)
    server = servers()
    server.add_stream("OTHER", ["elsewhere"])
    conf = conf_of(scene, [target(server, stream="CDC")], error_handling={"max_attempts": 0})
    engine = scene.engine(conf).start()
    insert(scene, 1, 5)
    written = scene.server.current_lsn()
    wait_until(lambda: 'takes "cdc.${schema}.${table}"' in status_of(engine)["last_error"]
               .replace("\\", ""), 30)
    holds_for(lambda: scene.server.confirmed(scene.slot) < written, 1, "the slot is held")
    server.add_stream("CDC", ["cdc.>"])
    scene.caught_up()
    assert ids(server) == list(range(1, 6))
    server.api("STREAM.DELETE.CDC")
    server.add_stream("WRONG", ["cdc.>"])
    insert(scene, 6, 9)
    engine.wait_state("all", "ERROR")
    assert "check `stream`" in engine.reason()
    assert server.count("WRONG") == 0
    server.api("STREAM.DELETE.WRONG")
    server.add_stream("CDC", ["cdc.>"])
    assert pgfan("restart", "all", "-c", engine.conf_path).returncode == 0
    scene.caught_up()
    assert ids(server) == list(range(6, 10))


def test_full_stream_holds_the_slot_and_a_large_event_is_poison(scene, servers):
    table(scene)
    server = servers(max_payload=20000)
    limits = {"subjects": ["cdc.>"], "discard": "new", "max_msgs": 3}
    server.add_stream("CDC", **limits)
    conf = conf_of(scene, [target(server)], error_handling={"max_attempts": 0})
    engine = scene.engine(conf).start()
    insert(scene, 1, 5)
    wait_until(lambda: "maximum messages" in status_of(engine)["last_error"], 30)
    assert ids(server) == [1, 2, 3]
    server.api("STREAM.UPDATE.CDC", {"name": "CDC", "storage": "file", "retention": "limits",
                                     "num_replicas": 1, **limits, "max_msgs": -1})
    scene.caught_up()
    assert ids(server) == [1, 2, 3, 4, 5]
    insert(scene, 6, 6)
    insert(scene, 7, 7, "y" * 30000)
    insert(scene, 8, 8)
    scene.caught_up()
    assert ids(server) == [1, 2, 3, 4, 5, 6, 8]
    assert status_of(engine)["dead_lettered"] == 1
    server.stop()
    server.settings["max_payload"] = 100000
    server.start()
    replayed = pgfan("dlq", "replay", "-c", engine.conf_path)
    assert "1 succeeded, 0 failed" in replayed.stdout, replayed.stderr
    assert ids(server) == [1, 2, 3, 4, 5, 6, 8, 7]


def test_markers_of_a_gap_become_no_dead_letters(scene, servers):
    table(scene)
    server = servers()
    server.add_stream("CDC", ["cdc.>"])
    conf = conf_of(scene, [target(server)], error_handling={"max_attempts": 0},
                   buffer={"max_events": 300, "policy": "drop_oldest"},
                   batch={"max_events": 50, "respect_source_tx": False})
    engine = scene.engine(conf).start()
    server.kill9()
    insert(scene, 1, 1)
    wait_until(lambda: status_of(engine)["last_error"], 30)
    insert(scene, 2, 5000)
    wait_until(lambda: engine.pipeline()["status"]["counters"]["read"] == 5000, 60)
    server.start()
    scene.caught_up()
    messages = server.messages("CDC")
    gaps = [event for subject, _, event in messages if subject == "cdc.other"]
    assert gaps and all(event["op"] == "g" for event in gaps)
    assert len(messages) - len(gaps) + sum(gap["count"] for gap in gaps) == 5000
    assert status_of(engine)["dead_lettered"] == 0


def test_value_that_fits_no_token_is_poison_alone(scene, servers):
    scene.sql("CREATE TABLE k (id text PRIMARY KEY)")
    server = servers()
    server.add_stream("CDC", ["cdc.>"])
    conf = conf_of(scene, [target(server, subject="cdc.${table}.${key.id}")])
    engine = scene.engine(conf).start()
    for value in ("a", "b.c", "d e", "f*", ">", "g"):
        scene.sql("INSERT INTO k VALUES (%s)", value)
    scene.caught_up()
    assert [subject for subject, _, _ in server.messages("CDC")] == ["cdc.k.a", "cdc.k.g"]
    assert status_of(engine)["dead_lettered"] == 4


USERS = f"""authorization: {{users: [
    {{user: root, password: root}},
    {{user: pgfan, password: "{SECRET}", permissions: {{publish: "cdc.public.>", subscribe: "_INBOX.>"}}}},
    {{user: mute, password: "{SECRET}", permissions: {{publish: "nothing", subscribe: "_INBOX.>"}}}}
]}}"""


@pytest.mark.parametrize("user, password, words", [
    ("pgfan", "wrong-S3CR3T", "check username, password, token"),
    ("mute", SECRET, "does not permit it")])
def test_refused_login_stops_the_target_and_shows_no_secret(scene, servers, user, password, words):
    table(scene)
    server = servers(users=USERS)
    server.login = {"user": "root", "pass": "root"}
    wait_until(lambda: server.add_stream("CDC", ["cdc.>"]) is None, 30)
    conf = conf_of(scene, [target(server, username=user, password=password)])
    engine = scene.engine(conf).start()
    insert(scene, 1, 5)
    engine.wait_state("all", "ERROR")
    assert words in engine.reason()
    shown = pgfan("config", "-c", engine.conf_path)
    for text in (json.dumps(engine.status()), engine.stderr(), shown.stdout, shown.stderr):
        assert "S3CR3T" not in text
    engine.kill9()
    engine.rewrite(conf_of(scene, [target(server, username="pgfan", password=SECRET)]))
    engine.launch()
    wait_until(lambda: pgfan("restart", "all", "-c", engine.conf_path).returncode == 0, 30)
    scene.caught_up()  # dead letters count as settled: they are on their way
    wait_until(lambda: ids(server) == list(range(1, 6)), 30, "all five are delivered")


def test_unknown_host_is_tried_again_and_the_next_server_is_used(scene, servers):
    table(scene)
    server = servers()
    server.add_stream("CDC", ["cdc.>"])
    nowhere = {**target(server), "servers": ["nats://nowhere.invalid:4222"]}
    engine = scene.engine(conf_of(scene, [nowhere], error_handling={"max_attempts": 0})).start()
    insert(scene, 1, 5)
    wait_until(lambda: "nowhere.invalid" in status_of(engine)["last_error"], 60)
    engine.kill9()
    engine.rewrite(conf_of(scene, [{**nowhere, "servers": [*nowhere["servers"], server.address]}]))
    engine.start()
    scene.caught_up()
    assert ids(server) == list(range(1, 6))


def test_tls_is_verified(scene, servers, directory):
    table(scene)
    authority = make_certificate(directory, "ca", "a test")
    good = make_certificate(directory, "good", issuer=authority)
    other = make_certificate(directory, "other", names="DNS:other.example.org", issuer=authority)
    server = servers(tls=(*good, authority[0]))
    strange = servers("strange", tls=(*other, authority[0]))
    wait_until(lambda: server.add_stream("CDC", ["cdc.>"]) is None, 30)
    pair = {"client_cert": str(good[0]), "client_key": str(good[1])}
    tls = {"name": "nats", "type": "nats", "tls": True, **pair}
    bad = [{**tls, "servers": [f"localhost:{server.port}"]},
           {**tls, "servers": [f"localhost:{strange.port}"], "ca": str(authority[0])}]
    engine = scene.engine(conf_of(scene, [bad[0]])).start()
    insert(scene, 1, 5)
    for conf in bad:
        engine.wait_state("all", "ERROR")
        assert "certificate" in engine.reason()
        engine.kill9()
        engine.rewrite(conf_of(scene, [conf]))
        engine.launch()
        wait_until(lambda: pgfan("restart", "all", "-c", engine.conf_path).returncode == 0, 30)
    engine.wait_state("all", "ERROR")
    engine.kill9()
    for host in ("localhost", "127.0.0.1"):
        engine.rewrite(conf_of(scene, [{**tls, "servers": [f"{host}:{server.port}"],
                                        "ca": str(authority[0])}]))
        engine.launch()
        wait_until(lambda: pgfan("restart", "all", "-c", engine.conf_path).returncode == 0, 30)
        engine.wait_state("all", "STREAMING")
        scene.caught_up()
        engine.kill9()
    assert ids(server) == list(range(1, 6))
