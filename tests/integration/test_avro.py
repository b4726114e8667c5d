"""The envelope avro on a real server, a real broker and a real schema registry (I22): what an
implementation of Avro that is not ours reads is what the envelope debezium says."""

import base64
import json
import urllib.error

import pytest

from pgfan_test.engine import pgfan
from pgfan_test.process import free_port
from pgfan_test.redis import RedisServer
from pgfan_test.registry import Registry
from pgfan_test.wait import holds_for, wait_until
from test_debezium import SETUP, TYPES

FAST = {"backoff": "50ms", "backoff_max": "500ms", "max_attempts": 3}


@pytest.fixture(scope="module")
def shared_registry(session_directory):
    registry = Registry(session_directory / "registry").start()
    yield registry
    registry.stop()


@pytest.fixture
def own_registry(directory):
    """Not started."""
    registry = Registry(directory / "registry")
    yield registry
    registry.stop()


def bus(scene, broker, registry, section=None, **avro):
    """Subjects of a test of its own: they begin with its slot's name."""
    return {"name": "bus", "type": "kafka", "brokers": [broker.brokers], "format": "avro",
            "topic": scene.slot + ".${schema}.${table}", "topic_other": f"{scene.slot}.other",
            "tombstones": True, "avro": {"registry": registry.url, **avro},
            "debezium": {"topic_prefix": scene.slot, **(section or {})}}


def oracle(scene, section=None):
    return {"name": "out", "type": "file", "path": f"{scene.directory}/out.jsonl",
            "format": "debezium", "debezium": {"topic_prefix": scene.slot, **(section or {})}}


def conf_of(scene, *targets, **pipeline):
    return scene.conf(["public.%"], targets=list(targets), error_handling=FAST, **pipeline)


def octets(part):
    """Of a key or value as kafkaread prints it."""
    return None if part is None else bytes.fromhex(part["hex"]) if isinstance(part, dict) \
        else part.encode()


def records(scene, broker):
    return [(octets(record.key), octets(record.value)) for record in broker.read(f"{scene.slot}.")]


@pytest.mark.parametrize("section", [
    {}, {"decimal": "double", "time": "connect", "binary": "hex", "interval": "string",
         "hstore": "map", "transaction_metadata": True},
    {"decimal": "string", "time": "nanoseconds"}, {"time": "isostring"},
    {"time": "structured"}], ids=["default", "connect", "nanoseconds", "isostring", "structured"])
def test_i22_every_type_in_avro_is_what_debezium_says(scene, cluster, shared_registry, section):
    scene.sql(SETUP)
    types = [case for case in TYPES if section.get("time") != "nanoseconds"
             or not case[0].startswith(("timestamp", "date", "time", "interval"))]
    columns = ", ".join(f"c{i} {case[0]}" for i, case in enumerate(types))
    scene.sql(f"CREATE TABLE t (id int PRIMARY KEY, {columns})")
    scene.engine(conf_of(scene, bus(scene, cluster, shared_registry, section),
                         oracle(scene, section))).start()
    literals = ", ".join(f"({case[1]})::{case[0]}" for case in types)
    scene.sql(f"INSERT INTO t VALUES (1, {literals}); UPDATE t SET c0 = NULL; DELETE FROM t")
    scene.caught_up()
    said = [json.loads(line) for line in scene.records().lines()]
    got = records(scene, cluster)
    assert len(said) == 3 and len(got) == 4 and got[3][1] is None  # the tombstone
    for expected, (key, value) in zip(said, got):
        assert shared_registry.decode(value)[1] == expected
        assert shared_registry.decode(key)[1] == {"id": 1}
    assert got[3][0] == got[2][0]
    topic = f"{scene.slot}.public.t"
    assert shared_registry.ask(f"/subjects/{topic}-value/versions") == [1]
    stored = json.loads(shared_registry.ask(f"/subjects/{topic}-key/versions/1")["schema"])
    assert (stored["namespace"], stored["name"]) == (topic, "Key")


def test_i22_lines_are_base64_and_marks_and_messages_have_schemas(scene, shared_registry):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    target = {"name": "lines", "type": "file", "path": f"{scene.directory}/lines.jsonl",
              "format": "avro", "transactions": True, "avro": {"registry": shared_registry.url},
              "debezium": {"topic_prefix": scene.slot}}
    scene.engine(conf_of(scene, target, {**oracle(scene), "transactions": True},
                         messages=["%"])).start()
    scene.sql("BEGIN; INSERT INTO t VALUES (1), (2);"
              "SELECT pg_logical_emit_message(true, 'p', 'content'); COMMIT;"
              "SELECT pg_logical_emit_message(false, 'p', 'content')")
    scene.caught_up()
    lines = (scene.directory / "lines.jsonl").read_text().splitlines()
    said = [json.loads(line) for line in scene.records().lines()]
    assert len(said) == 6
    assert [shared_registry.decode(base64.b64decode(json.loads(line)))[1] for line in lines] == said


def test_i22_redis_gets_messages_as_they_are(scene, directory, shared_registry):
    server = RedisServer(directory).start()
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    target = {"name": "redis", "type": "redis", "address": server.address, "stream": "cdc",
              "format": "avro", "avro": {"registry": shared_registry.url},
              "debezium": {"topic_prefix": scene.slot}}
    scene.engine(conf_of(scene, target)).start()
    scene.sql("INSERT INTO t SELECT generate_series(1, 300)")
    scene.caught_up()
    events = [dict(zip(fields[::2], fields[1::2]))[b"event"]
              for _, fields in server.call("XRANGE", "cdc", "-", "+")]
    server.kill9()
    assert [shared_registry.decode(event)[1]["after"]["id"] for event in events] == [
        *range(1, 301)]


def test_i22_marks_and_headers_go_to_kafka(scene, cluster, shared_registry):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text DEFAULT 'x')")
    target = {**bus(scene, cluster, shared_registry, {"defaults": True}), "transactions": True}
    scene.engine(conf_of(scene, target)).start()
    scene.sql("BEGIN; INSERT INTO t VALUES (1); UPDATE t SET id = 2; COMMIT")
    scene.caught_up()
    marks = cluster.read(f"{scene.slot}.transaction")
    assert [(shared_registry.decode(octets(mark.key))[1]["id"] != "",
             shared_registry.decode(octets(mark.value))[1]["status"]) for mark in marks] == [
                 (True, "BEGIN"), (True, "END")]
    insert, delete, tombstone, create = cluster.read(f"{scene.slot}.public.t")
    assert shared_registry.decode(octets(create.value))[1]["after"] == {"id": 2, "v": "x"}
    assert tombstone.value is None and shared_registry.decode(octets(insert.key))[1] == {"id": 1}
    assert "__debezium.newkey" in delete.headers and "__debezium.oldkey" in create.headers


def test_i22_a_table_that_changes_gets_a_new_schema(scene, cluster, shared_registry):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    scene.engine(conf_of(scene, bus(scene, cluster, shared_registry))).start()
    scene.sql("INSERT INTO t VALUES (1)")
    scene.sql("ALTER TABLE t ADD COLUMN note text")
    scene.sql("INSERT INTO t VALUES (2, 'new')")
    scene.caught_up()
    first, second = [shared_registry.decode(value) for _, value in records(scene, cluster)]
    assert first[0] != second[0]
    assert first[1]["after"] == {"id": 1} and second[1]["after"] == {"id": 2, "note": "new"}
    assert shared_registry.ask(f"/subjects/{scene.slot}.public.t-value/versions") == [1, 2]
    assert shared_registry.ask(f"/subjects/{scene.slot}.public.t-key/versions") == [1]


def status_error(engine, name="bus"):
    targets = engine.pipeline()["status"]["targets"]
    return next(target for target in targets if target["name"] == name).get("last_error") or ""


def test_i22_changes_wait_for_a_registry_that_is_down(scene, cluster, own_registry):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)")
    conf = {**conf_of(scene, bus(scene, cluster, own_registry)), "shutdown_timeout": "1s"}
    engine = scene.engine(conf).start()
    scene.sql("INSERT INTO t VALUES (1)")
    wait_until(lambda: "could not ask the schema registry" in status_error(engine), 30,
               "the status says what is waited for")
    own_registry.start()
    scene.caught_up()
    assert status_error(engine) == ""
    own_registry.stop()
    scene.sql("INSERT INTO t VALUES (2)")  # its number is known
    scene.caught_up()
    scene.sql("INSERT INTO u VALUES (1)")
    wait_until(lambda: "could not ask the schema registry" in status_error(engine), 30,
               "a new schema is waited for")
    engine.stop()  # what waits is read again
    own_registry.start()
    engine.start()
    scene.caught_up()
    (last,) = cluster.read(f"{scene.slot}.public.u")
    assert own_registry.decode(octets(last.value))[1]["source"]["table"] == "u"
    assert len(records(scene, cluster)) == 3


def test_i22_a_schema_that_is_refused_waits_until_it_fits(scene, cluster, shared_registry):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, n int)")
    engine = scene.engine(conf_of(scene, bus(scene, cluster, shared_registry))).start()
    scene.sql("INSERT INTO t VALUES (1, 1)")
    scene.caught_up()
    subject = f"{scene.slot}.public.t-value"
    shared_registry.ask(f"/config/{subject}", "PUT", {"compatibility": "BACKWARD"})
    scene.sql("ALTER TABLE t ALTER n TYPE text")
    scene.sql("INSERT INTO t VALUES (2, 'two')")
    wait_until(lambda: "answered 409" in status_error(engine), 30, "the schema is refused")
    assert subject in status_error(engine)
    holds_for(lambda: len(records(scene, cluster)) == 1, 1, "nothing goes past it")
    shared_registry.ask(f"/config/{subject}", "PUT", {"compatibility": "NONE"})
    scene.caught_up(timeout=90)
    assert [shared_registry.decode(value)[1]["after"] for _, value in records(scene, cluster)] == [
        {"id": 1, "n": 1}, {"id": 2, "n": "two"}]


def test_i22_schemas_are_only_looked_for(scene, cluster, shared_registry):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    engine = scene.engine(conf_of(scene, bus(scene, cluster, shared_registry, register=False)))
    engine.start()
    scene.sql("INSERT INTO t VALUES (1)")
    wait_until(lambda: "answered 404" in status_error(engine), 30, "there is no such schema")
    with pytest.raises(urllib.error.HTTPError):
        shared_registry.ask(f"/subjects/{scene.slot}.public.t-value/versions")


def test_i22_wrong_address_says_so(scene, cluster):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    nobody = Registry(scene.directory / "nobody", port=free_port())
    target = bus(scene, cluster, nobody, username="pgfan", password="s3cr3t-word",
                 allow_http=True)
    engine = scene.engine(conf_of(scene, target)).start()
    scene.sql("INSERT INTO t VALUES (1)")
    wait_until(lambda: "could not ask" in status_error(engine), 30, "nobody answers")
    assert f"http://127.0.0.1:{nobody.port}" in status_error(engine)
    assert "s3cr3t-word" not in engine.stderr() + json.dumps(engine.status())


def test_i22_a_value_without_a_form_is_a_letter_that_no_replay_sends(scene, cluster,
                                                                     shared_registry):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, n numeric)")
    engine = scene.engine(conf_of(scene, bus(scene, cluster, shared_registry))).start()
    scene.sql("INSERT INTO t VALUES (1, 1), (2, 'NaN'), (3, 3)")
    scene.caught_up()
    got = [shared_registry.decode(value)[1] for _, value in records(scene, cluster)]
    assert [event["after"]["id"] for event in got] == [1, 3]
    replayed = pgfan("dlq", "replay", "-c", engine.conf_path)
    assert replayed.returncode == 1, replayed.stderr
    (letter,) = json.loads(pgfan("dlq", "list", "--json", "-c", engine.conf_path).stdout)[
        "dead_letters"]
    assert letter["code"] == "NO_FORM" and "its payload is for people" in letter["error"]
    assert len(records(scene, cluster)) == 2
