"""The Redis target on real servers: nothing lost, nothing twice, order, and what a server may do."""

import json

import pytest

from pgfan_test import verify, workload
from pgfan_test.engine import pgfan
from pgfan_test.receiver import make_certificate
from pgfan_test.redis import RedisServer
from pgfan_test.records import position
from pgfan_test.wait import holds_for, wait_until
from pgfan_test.workload import Worker, Workload

FAST = {"backoff": "50ms", "backoff_max": "500ms", "max_attempts": 3}
SECRET = "S3CR3T-of-redis"


@pytest.fixture
def servers(directory):
    """A function that makes a Redis server of this test, started."""
    made = []

    def make(name="redis", **options):
        server = RedisServer(directory, name, **options)
        made.append(server)
        return server.start()

    yield make
    for server in made:
        server.kill9()


def target(server, name="redis", **more):
    return {"name": name, "type": "redis", "address": server.address, **more}


def conf_of(scene, targets, tables=("public.%",), **pipeline):
    errors = {**FAST, **pipeline.pop("error_handling", {})}
    return scene.conf(tables, targets=targets, error_handling=errors, **pipeline)


def status_of(engine, name="redis"):
    return next(entry for entry in engine.pipeline()["status"]["targets"] if entry["name"] == name)


def table(scene, rows=0):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
    insert(scene, 1, rows)


def insert(scene, first, last):
    scene.sql("INSERT INTO t SELECT i, 'x' FROM generate_series(%s, %s) i", first, last)


def ids(server, stream="pgfan:public.t"):
    return [event["after"]["id"] for event in server.events(stream)]


@pytest.mark.sanitized
def test_every_change_once_and_in_order_through_kills_of_both_sides(scene, servers):
    workload.create(scene.server, scene.database)
    server = servers()
    conf = conf_of(scene, [target(server, stream="cdc", timeout="2s", connect_timeout="1s")],
                   workload.TABLES, error_handling={"max_attempts": 0},
                   batch={"max_events": 50})
    engine = scene.engine(conf).start()
    load = Workload(scene.server, scene.database, 71, rate=150)
    for wanted in (300, 900):
        wait_until(lambda: server.count("cdc") > wanted, 60)
        engine.kill9()
        engine.start()
        wait_until(lambda: server.count("cdc") > wanted + 200, 60)
        server.kill9()
        wait_until(lambda: status_of(engine)["last_error"], 30)
        server.start()
    wait_until(lambda: server.count("cdc") > 1500, 60)
    load.stop()
    scene.caught_up()
    entries = server.entries("cdc")
    events = [json.loads(fields["event"]) for _, fields in entries]
    assert [fields["id"] for _, fields in entries] == [event["id"] for event in events]
    assert all(json.loads(fields["key"]) == event["key"]
               for (_, fields), event in zip(entries, events) if "key" in fields)
    verify.workload(scene.server, scene.database, events, duplicates=0)


def test_default_streams_are_a_table_each_and_take_truncates_and_messages(scene, servers):
    workload.create(scene.server, scene.database)
    scene.sql("CREATE TABLE other (v text); ALTER TABLE other REPLICA IDENTITY FULL")
    server = servers()
    conf = conf_of(scene, [target(server)], batch={"max_inflight": 4}, messages=["pgfan%"])
    engine = scene.engine(conf).start()
    Worker(scene.server.dsn(scene.database), 72).run(200)
    scene.sql("INSERT INTO other VALUES ('no key')")
    scene.sql("TRUNCATE side, other")
    scene.sql("SELECT pg_logical_emit_message(true, 'pgfan.test', 'hello')")
    scene.caught_up()
    events = server.events("pgfan:public.w") + server.events("pgfan:public.side")
    verify.order([event for event in server.events("pgfan:public.w") if event["op"] != "t"])
    verify.workload(scene.server, scene.database, sorted(events, key=position))
    assert [event["op"] for event in server.events("pgfan:public.other")] == ["c", "t"]
    assert "key" not in server.entries("pgfan:public.other")[0][1]
    assert [event["op"] for event in server.events("pgfan:other")] == ["m"]
    assert status_of(engine)["dead_lettered"] == 0


def test_markers_of_a_gap_become_no_dead_letters(scene, servers):
    table(scene)
    server = servers()
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
    gaps = server.events("pgfan:other")
    assert gaps and all(event["op"] == "g" for event in gaps)
    assert len(ids(server)) + sum(gap["count"] for gap in gaps) == 5000
    assert status_of(engine)["dead_lettered"] == 0


@pytest.mark.parametrize("window, copies", [(50000, 0), (0, 20)])
def test_an_event_sent_again_is_known_within_the_window(scene, servers, window, copies):
    """The server adds a batch, but no replica has it, so that it counts as not taken."""
    table(scene)
    server = servers()
    conf = conf_of(scene, [target(server, dedup_window=window, wait_replicas=1, timeout="1s",
                                  connect_timeout="1s")], error_handling={"max_attempts": 0})
    engine = scene.engine(conf).start()
    insert(scene, 1, 20)
    wait_until(lambda: status_of(engine)["last_error"], 30)
    assert server.count("pgfan:public.t") >= 20
    wait_until(lambda: status_of(engine)["retries"] >= 2, 30)
    engine.kill9()
    assert (server.count("pgfan:public.t") > 20) == (copies > 0)
    assert len({fields["id"] for _, fields in server.entries("pgfan:public.t")}) == 20


def test_wait_replicas_waits_for_a_replica(scene, servers):
    table(scene)
    server = servers()
    conf = conf_of(scene, [target(server, wait_replicas=1, timeout="1s", connect_timeout="1s")],
                   error_handling={"max_attempts": 0})
    engine = scene.engine(conf).start()
    insert(scene, 1, 10)
    wait_until(lambda: "replicas" in status_of(engine)["last_error"], 30)
    replica = servers("replica", replicaof=f"127.0.0.1 {server.port}")
    scene.caught_up()
    assert ids(replica) == ids(server) == list(range(1, 11))


def test_replica_is_waited_for_until_it_is_the_primary_and_knows_what_it_has(scene, servers):
    table(scene)
    server = servers(repl_diskless_sync_delay=0)
    replica = servers("replica", replicaof=f"127.0.0.1 {server.port}")
    options = {"wait_replicas": 1, "timeout": "2s", "connect_timeout": "1s"}
    engine = scene.engine(conf_of(scene, [target(server, **options)],
                                  error_handling={"max_attempts": 0})).start()
    insert(scene, 1, 10)
    scene.caught_up()
    engine.kill9()
    server.kill9()
    engine.rewrite(conf_of(scene, [target(replica)], error_handling={"max_attempts": 0}))
    engine.start()
    insert(scene, 11, 20)
    wait_until(lambda: "READONLY" in status_of(engine)["last_error"], 30)
    replica.call("REPLICAOF", "NO", "ONE")
    scene.caught_up()
    assert ids(replica) == list(range(1, 21))


def test_wrong_password_stops_the_target_with_a_hint_and_shows_no_secret(scene, servers):
    table(scene)
    server = servers(password="right")
    engine = scene.engine(conf_of(scene, [target(server, password=SECRET)])).start()
    insert(scene, 1, 5)
    engine.wait_state("all", "ERROR")
    assert status_of(engine)["circuit"] == "needs_operator"
    text = json.dumps(engine.status()) + engine.stderr()
    assert "WRONGPASS" in text and "check username and password" in text
    shown = pgfan("config", "-c", engine.conf_path)
    for word in (text, shown.stdout + shown.stderr, engine.metrics().__repr__()):
        assert SECRET not in word
    server.call("CONFIG", "SET", "requirepass", SECRET)
    server.password = SECRET
    assert pgfan("restart", "all", "-c", engine.conf_path).returncode == 0
    scene.caught_up()  # dead letters count as settled: they are on their way
    wait_until(lambda: ids(server) == list(range(1, 6)), 30, "all are delivered")


def test_unknown_host_is_tried_again(scene, servers):
    table(scene)
    server = servers()
    conf = conf_of(scene, [{**target(server), "address": "nowhere.invalid:6379"}],
                   error_handling={"max_attempts": 0})
    engine = scene.engine(conf).start()
    insert(scene, 1, 5)
    written = scene.server.current_lsn()
    wait_until(lambda: "nowhere.invalid" in json.dumps(status_of(engine)), 60)
    holds_for(lambda: scene.server.confirmed(scene.slot) < written, 1, "the slot is held")
    engine.kill9()
    engine.rewrite(conf_of(scene, [target(server)]))
    engine.start()
    scene.caught_up()
    assert ids(server) == list(range(1, 6))


def test_full_server_is_waited_for_and_wrong_type_stops(scene, servers):
    table(scene)
    server = servers()
    conf = conf_of(scene, [target(server)], error_handling={"max_attempts": 0})
    engine = scene.engine(conf).start()
    server.call("CONFIG", "SET", "maxmemory", "1")
    insert(scene, 1, 5)
    wait_until(lambda: "OOM" in json.dumps(status_of(engine)), 30)
    assert server.call("EXISTS", "pgfan:public.t") == 0
    server.call("CONFIG", "SET", "maxmemory", "0")
    scene.caught_up()
    assert ids(server) == list(range(1, 6))
    server.call("RENAME", "pgfan:public.t", "kept")
    server.call("SET", "pgfan:public.t", "not a stream")
    insert(scene, 6, 9)
    wait_until(lambda: "WRONGTYPE" in json.dumps(engine.status()), 30)
    engine.wait_state("all", "ERROR")
    server.call("RENAME", "kept", "pgfan:public.t")
    assert pgfan("restart", "all", "-c", engine.conf_path).returncode == 0
    scene.caught_up()  # dead letters count as settled: they are on their way
    wait_until(lambda: ids(server) == list(range(1, 10)), 30, "all are delivered")


def test_unix_socket_database_field_trimming_and_acl(scene, servers):
    table(scene)
    server = servers()
    server.call("ACL", "SETUSER", "pgfan", "on", f">{SECRET}", "~cdc:*", "+xadd", "+multi", "+exec",
                "+ping", "+select", "+evalsha", "+script|load", "+zscore", "+zadd",
                "+zremrangebyrank")
    options = {"address": str(server.socket_path), "username": "pgfan", "password": SECRET,
               "database": 3, "stream": "cdc:${source}", "field": "payload", "max_length": 100,
               "dedup_window": 50}
    scene.engine(conf_of(scene, [{**target(server), **options}])).start()
    insert(scene, 1, 1000)
    scene.caught_up()
    assert server.call("EXISTS", "cdc:db") == 0, "nothing is in database 0"
    entries = server.entries("cdc:db", database=3)
    assert 100 <= len(entries) < 1000, "a stream is trimmed by whole nodes"
    last = [json.loads(fields["payload"])["after"]["id"] for _, fields in entries]
    assert last == list(range(1001 - len(last), 1001))
    assert server.call("ZCARD", "cdc:db:ids", database=3) == 50


def test_tls_is_verified(scene, servers, directory):
    table(scene)
    authority = make_certificate(directory, "ca", "a test")
    good = make_certificate(directory, "good", issuer=authority)
    client = make_certificate(directory, "client", "pgfan", issuer=authority)
    server = servers(tls=(*good, authority[0]), tls_auth_clients="yes")
    pair = {"client_cert": str(client[0]), "client_key": str(client[1])}
    tls = {**target(server), "address": f"localhost:{server.tls_port}", "tls": True}
    engine = scene.engine(conf_of(scene, [{**tls, **pair}])).start()
    insert(scene, 1, 5)
    engine.wait_state("all", "ERROR")
    assert "cannot trust" in engine.reason() and "certificate" in engine.reason()
    engine.kill9()
    engine.rewrite(conf_of(scene, [{**tls, **pair, "ca": str(authority[0])}]))
    engine.launch()
    wait_until(lambda: pgfan("restart", "all", "-c", engine.conf_path).returncode == 0, 30)
    scene.caught_up()  # dead letters count as settled: they are on their way
    wait_until(lambda: ids(server) == list(range(1, 6)), 30, "all are delivered")
