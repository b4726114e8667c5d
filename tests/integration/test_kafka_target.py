"""The Kafka target on Apache Kafka itself (I21, I22, reliability 49–54)."""

import collections
import json
import os
import random

import pytest

from pgfan_test import verify, workload
from pgfan_test.engine import pgfan
from pgfan_test.kafka import Broker, run, versions
from pgfan_test.process import free_port
from pgfan_test.wait import holds_for, pause, wait_until
from pgfan_test.workload import Workload

FAST = {"backoff": "50ms", "backoff_max": "500ms", "max_attempts": 3}


@pytest.fixture
def own_broker(directory):
    made = []

    def make(**options):
        made.append(Broker(directory / f"kafka{len(made)}", **options))
        return made[-1].start()

    yield make
    for broker in made:
        if broker.child is not None:
            broker.kill()


def kafka(scene, broker, **more):
    return {"name": "bus", "type": "kafka", "brokers": [broker.brokers],
            "topic": scene.slot + ".${schema}.${table}", "topic_other": f"{scene.slot}.other", **more}


def conf_of(scene, target, tables=("public.%",), **pipeline):
    errors = {**FAST, **pipeline.pop("error_handling", {})}
    return scene.conf(tables, targets=[target], error_handling=errors, **pipeline)


def table(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")


def values(records):
    return [record.value and json.loads(record.value) for record in records]


def letters(engine):
    done = pgfan("dlq", "list", "--json", "-c", engine.conf_path)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["dead_letters"]


def by_key(records):
    """{key: its values, in order}: a key is in one partition, and that in order."""
    keys = collections.defaultdict(list)
    for record in records:
        keys[record.key].append(record)
    return keys


def test_i21_records_have_key_topic_and_headers(scene, cluster):
    table(scene)
    scene.sql("CREATE TABLE plain (n int)")
    scene.sql("ALTER TABLE plain REPLICA IDENTITY FULL")
    target = kafka(scene, cluster, headers={"op": "${op}", "where": "${schema}/${table}"},
                   tombstones=True)
    engine = scene.engine(conf_of(scene, target, messages=["%"])).start()
    scene.sql("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    scene.sql("UPDATE t SET id = 3 WHERE id = 2")
    scene.sql("DELETE FROM t WHERE id = 1")
    scene.sql("INSERT INTO plain VALUES (7)")
    scene.sql("SELECT pg_logical_emit_message(true, 'hello', 'world')")
    scene.sql("TRUNCATE t")
    scene.caught_up()
    rows = cluster.read(f"{scene.slot}.public.t")
    assert [(r.key, r.value and json.loads(r.value)["op"]) for r in rows] == [
        ('{"id":1}', "c"), ('{"id":2}', "c"), ('{"id":3}', "u"), ('{"id":2}', None),
        ('{"id":1}', "d"), ('{"id":1}', None), ("public.t", "t")]
    first = rows[0]
    assert first.headers == {"pgfan-id": json.loads(first.value)["id"], "op": "c",
                             "where": "public/t"}
    plain = cluster.read(f"{scene.slot}.public.plain")
    assert [(r.key, json.loads(r.value)["after"]) for r in plain] == [("public.plain", {"n": 7})]
    other = cluster.read(f"{scene.slot}.other")
    assert [(r.key, json.loads(r.value)["op"]) for r in other] == [(None, "m")]
    assert engine.state() == "STREAMING" and letters(engine) == []

    def figures():
        return engine.pipeline()["status"]["targets"][0]["figures"]

    wait_until(lambda: figures()["brokers_up"] >= 1 and figures()["records_sent"] >= 9, 20)
    shown = {labels["name"]: value for labels, value in engine.metrics()["pgfan_target_figure"]}
    assert shown["records_sent"] >= 9


def first_deliveries(records):
    """Events in the order of the log, each once; each key went forward where it was delivered first."""
    first, last = {}, {}
    for record in records:
        event = json.loads(record.value)
        if event["id"] not in first:
            here, key = verify.position(event), (record.topic, record.key)
            assert last.get(key, (-1, -1)) < here, f"{key} went back at {event['id']}"
            last[key] = here
            first[event["id"]] = event
        assert first[event["id"]] == event, f"the id {event['id']} stands for two different events"
    return sorted(first.values(), key=verify.position)


@pytest.mark.parametrize("version", versions())
def test_i21_every_change_through_restarts_of_both(scene, own_broker, version):
    """kill -9 of the broker and of the engine in the middle of a workload."""
    broker = own_broker(version=version, **{"num.partitions": 3})
    workload.create(scene.server, scene.database)
    conf = conf_of(scene, kafka(scene, broker, deadline="5s"), workload.TABLES)
    engine = scene.engine(conf).start()
    load = Workload(scene.server, scene.database, 11, rate=100)
    wait_until(lambda: len(broker.read(scene.slot)) > 200, 60, "changes arrive")
    broker.kill()
    holds_for(lambda: engine.running, 1, "the engine stays")
    broker.start()
    before = len(broker.read(scene.slot))
    wait_until(lambda: len(broker.read(scene.slot)) > before + 100, 60, "changes arrive again")
    engine.kill9()
    engine.start()
    before = len(broker.read(scene.slot))
    wait_until(lambda: len(broker.read(scene.slot)) > before + 100, 60, "and once more")
    load.stop()
    scene.caught_up(timeout=120)
    assert letters(engine) == []
    events = first_deliveries(broker.read(scene.slot))
    assert verify.workload(scene.server, scene.database, events) > 300


def test_a_broker_that_is_down_is_waited_for(scene, directory):
    table(scene)
    broker = Broker(directory / "kafka")
    target = kafka(scene, broker, deadline="1s")
    engine = scene.engine(conf_of(scene, target)).start()
    scene.sql("INSERT INTO t VALUES (1, 'a')")
    wait_until(lambda: engine.state() == "ERROR", 60, "the policy acts")
    assert "KAFKA" in json.dumps(engine.pipeline()) or "refused" in engine.reason(), engine.reason()
    broker.start()
    try:
        wait_until(lambda: engine.state() == "STREAMING", 60, "it comes back by itself")
        scene.caught_up()
        assert [v["after"]["id"] for v in values(broker.read(scene.slot))] == [1]
    finally:
        broker.kill()


def test_i22_events_without_a_topic_are_dead_letters(scene, cluster):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
    scene.sql('CREATE TABLE "no topic" (id int PRIMARY KEY)')
    scene.sql("CREATE TABLE other (k int PRIMARY KEY)")
    target = kafka(scene, cluster, topic=scene.slot + ".${table}.${key.id}")
    engine = scene.engine(conf_of(scene, target)).start()
    scene.sql("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    scene.sql('INSERT INTO "no topic" VALUES (1)')
    scene.sql("INSERT INTO other VALUES (1)")
    scene.sql("INSERT INTO t VALUES (3, 'c')")
    scene.caught_up()
    found = [(entry["table"], entry["code"]) for entry in letters(engine)]
    assert found == [("public.no topic", "KAFKA_TOPIC"), ("public.other", "KAFKA_TEMPLATE")], found
    assert sorted(r.topic for r in cluster.read(scene.slot)) == [
        f"{scene.slot}.t.{n}" for n in (1, 2, 3)]


def test_53_a_record_that_is_too_large_is_a_dead_letter(scene, cluster):
    """Once by the target's own bound, once by the topic's, which the broker refuses as a batch."""
    table(scene)
    target = kafka(scene, cluster, topics={"create": True, "config": {"max.message.bytes": "20000"}},
                   properties={"message.max.bytes": "200000"})
    engine = scene.engine(conf_of(scene, target)).start()
    scene.sql("""INSERT INTO t SELECT i, CASE i WHEN 30 THEN repeat('x', 300000)
                 WHEN 60 THEN repeat('x', 30000) ELSE 'fine' END FROM generate_series(1, 100) i""")
    scene.caught_up()
    found = [(entry["key"], entry["code"]) for entry in letters(engine)]
    assert found == [('{"id":30}', "KAFKA_MSG_SIZE_TOO_LARGE"),
                     ('{"id":60}', "KAFKA_MSG_SIZE_TOO_LARGE")], found
    keys = by_key(cluster.read(scene.slot))
    assert set(keys) == {f'{{"id":{i}}}' for i in range(1, 101) if i not in (30, 60)}
    assert engine.state() == "STREAMING"


def test_54_a_missing_topic_is_said_and_waited_for(scene, own_broker):
    table(scene)
    broker = own_broker(**{"auto.create.topics.enable": "false"})
    target = kafka(scene, broker, deadline="2s",
                   properties={"topic.metadata.propagation.max.ms": "500"})
    engine = scene.engine(conf_of(scene, target)).start()
    scene.sql("INSERT INTO t VALUES (1, 'a')")
    wait_until(lambda: engine.state() == "ERROR", 60, "the policy acts")
    assert "create the topic" in json.dumps(engine.pipeline()) or "topic" in engine.reason()
    engine.stop()
    conf = conf_of(scene, {**target, "topics": {"create": True, "partitions": 3}})
    engine = scene.engine(conf).start()
    scene.caught_up(timeout=60)
    assert len(broker.read(scene.slot)) == 1


def test_topics_are_created_as_the_conf_says(scene, own_broker):
    table(scene)
    broker = own_broker(**{"auto.create.topics.enable": "false"})
    target = kafka(scene, broker, topics={"create": True, "partitions": 4})
    scene.engine(conf_of(scene, target)).start()
    scene.sql("INSERT INTO t SELECT i, 'a' FROM generate_series(1, 100) i")
    scene.caught_up()
    records = broker.read(scene.slot)
    assert {record.partition for record in records} == {0, 1, 2, 3}
    assert len(by_key(records)) == len(records) == 100


@pytest.mark.parametrize("properties, said", [
    ({"sasl.mechanims": "PLAIN"}, "did you mean \"sasl.mechanism"),
    ({"bootstrap.servers": "x:1"}, "use `brokers`"),
    ({"acks": "1"}, "all replicas in sync"),
    ({"security.protocol": "sasl_tsl"}, "refuses"),
])
def test_properties_are_tried_when_the_conf_is_read(scene, properties, said):
    target = {"name": "bus", "type": "kafka", "brokers": ["127.0.0.1:1"], "properties": properties}
    engine = scene.engine(conf_of(scene, target))
    done = pgfan("check", "-c", engine.conf_path)
    assert done.returncode != 0 and said in done.stderr + done.stdout, done.stderr + done.stdout


def test_an_unknown_broker_is_said(scene):
    table(scene)
    target = {"name": "bus", "type": "kafka", "brokers": [f"no-such-host.invalid:{free_port()}"],
              "deadline": "1s"}
    engine = scene.engine(conf_of(scene, target)).start()
    scene.sql("INSERT INTO t VALUES (1, 'a')")
    wait_until(lambda: engine.state() == "ERROR", 60, "the policy acts")
    assert "no-such-host.invalid" in engine.reason(), engine.reason()


PASSWORD = "S3CR3T-right"


@pytest.fixture(scope="module")
def guarded(session_directory):
    """A node that asks who comes."""
    broker = Broker(session_directory / "guarded", users={"alice": PASSWORD}).start()
    yield broker
    broker.stop()


def sasl(password):
    return {"security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN",
            "sasl.username": "alice", "sasl.password": password}


def test_credentials_open_the_door_and_are_never_shown(scene, guarded):
    table(scene)
    target = kafka(scene, guarded, deadline="20s", properties=sasl("S3CR3T-wrong"))
    engine = scene.engine(conf_of(scene, target)).start()
    scene.sql("INSERT INTO t VALUES (1, 'a')")
    wait_until(lambda: engine.state() == "ERROR", 15, "it fails at once, and not with the deadline")
    assert "authentication" in engine.reason().lower(), engine.reason()
    status = json.dumps(engine.status()) + pgfan("config", "-c", engine.conf_path).stdout
    assert engine.stop() == 0
    assert "S3CR3T" not in engine.stderr() + status
    engine.rewrite(conf_of(scene, {**target, "properties": sasl(PASSWORD)}))
    engine.launch()
    wait_until(lambda: pgfan("restart", "all", "-c", engine.conf_path).returncode == 0, 60)
    wait_until(lambda: engine.state() == "STREAMING", 60, "it gets what it missed")
    found = guarded.read(scene.slot)
    assert [v["after"]["id"] for v in values(found)] == [1]
    assert "S3CR3T" not in engine.stderr()


ROUNDS = {"engine": int(os.environ.get("PGFAN_EXACTLY_ROUNDS", "10")),
          "broker": int(os.environ.get("PGFAN_EXACTLY_BROKER_ROUNDS", "2"))}


def exactly(scene, broker, **more):
    return kafka(scene, broker, delivery="exactly_once", deadline="10s",
                 topics={"create": True, "partitions": 2}, **more)


def test_k8_every_change_once_after_kill_9_of_engine_and_broker(own_scene, own_broker):
    """Rounds in the middle of a workload; a reader of committed records finds each change once."""
    scene, broker = own_scene(), own_broker()
    workload.create(scene.server, scene.database)
    chance = random.Random(7)
    conf = conf_of(scene, exactly(scene, broker), workload.TABLES, batch={"max_events": 50})
    engine = scene.engine(conf).start()
    load = Workload(scene.server, scene.database, 12, rate=100)
    rounds = ["engine"] * ROUNDS["engine"] + ["broker"] * ROUNDS["broker"]
    chance.shuffle(rounds)
    for what in rounds:
        before = scene.server.confirmed(scene.slot)
        wait_until(lambda: scene.server.confirmed(scene.slot) > before, 60, "changes are delivered")
        pause(chance.random() * 0.5)
        if what == "engine":
            engine.kill9()
            engine.launch()
        else:
            broker.kill()
            broker.start()
    load.stop()
    scene.caught_up(timeout=120)
    wait_until(lambda: engine.state() == "STREAMING", 60, "no backlog is left")
    assert letters(engine) == []
    records = broker.read(scene.slot, committed=True)
    assert len({record.headers["pgfan-id"] for record in records}) == len(records)
    changes = verify.workload(scene.server, scene.database, first_deliveries(records))
    print(f"exactly once: {changes} changes through {ROUNDS['engine']} kills of the engine and "
          f"{ROUNDS['broker']} of the broker: none missing, none twice")
    assert changes > 100


def test_k8_poison_in_a_batch_leaves_the_others_once(scene, cluster):
    table(scene)
    target = exactly(scene, cluster, properties={"message.max.bytes": "20000"})
    engine = scene.engine(conf_of(scene, target)).start()
    scene.sql("""INSERT INTO t SELECT i, CASE WHEN i % 40 = 0 THEN repeat('x', 30000) ELSE 'y' END
                 FROM generate_series(1, 100) i""")
    scene.caught_up()
    engine.kill9()
    engine.start()
    scene.sql("INSERT INTO t VALUES (101, 'y')")
    scene.caught_up()
    assert [entry["key"] for entry in letters(engine)] == ['{"id":40}', '{"id":80}']
    found = [v["after"]["id"] for v in values(cluster.read(scene.slot, committed=True))]
    assert sorted(found) == [i for i in range(1, 102) if i not in (40, 80)]


def test_k8_dead_letters_are_written_although_they_lie_before_the_place(scene, cluster):
    table(scene)
    small = {"message.max.bytes": "20000"}
    engine = scene.engine(conf_of(scene, exactly(scene, cluster, properties=small))).start()
    scene.sql("INSERT INTO t VALUES (1, 'y'), (2, repeat('x', 30000)), (3, 'z')")
    scene.caught_up()
    assert engine.stop() == 0
    engine.rewrite(conf_of(scene, exactly(scene, cluster)))
    engine.start()
    done = pgfan("dlq", "replay", "-c", engine.conf_path)
    assert "1 succeeded, 0 failed" in done.stdout, done.stdout + done.stderr
    found = [v["after"]["id"] for v in values(cluster.read(scene.slot, committed=True))]
    assert sorted(found) == [1, 2, 3]


def test_k8_another_engine_of_the_same_pipeline_is_fenced(scene, cluster):
    """The older one stops, and says why; whatever it had open is not committed."""
    table(scene)
    engine = scene.engine(conf_of(scene, exactly(scene, cluster))).start()
    scene.sql("INSERT INTO t VALUES (1, 'a')")
    scene.caught_up()
    system, = scene.server.sql(scene.database, "SELECT system_identifier FROM pg_control_system()")
    run("kafkafence", cluster.brokers, f"pgfan/{system[0]}/{scene.slot}/all/bus")
    scene.sql("INSERT INTO t VALUES (2, 'b')")
    wait_until(lambda: engine.state() == "ERROR", 60, "the older one stops")
    assert "another pgfan" in json.dumps(engine.pipeline()) or "fenced" in engine.reason().lower()


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_i20_cloudevents_have_their_attributes_where_the_binding_says(scene, cluster, mode):
    table(scene)
    target = kafka(scene, cluster, format="cloudevents", cloudevents={"mode": mode})
    scene.engine(conf_of(scene, target)).start()
    scene.sql("INSERT INTO t VALUES (1, 'a')")
    scene.caught_up()
    record, = cluster.read(scene.slot)
    body = json.loads(record.value)
    if mode == "structured":
        assert record.headers["content-type"].startswith("application/cloudevents+json")
        attributes, data = body, body["data"]
    else:
        assert record.headers["content-type"] == "application/json"
        attributes = {name[3:]: value for name, value in record.headers.items()
                      if name.startswith("ce_")}
        data = body
    assert attributes["specversion"] == "1.0" and attributes["subject"] == "public.t"
    assert attributes["type"] == "io.pgfan.change.create"
    assert attributes["id"] == record.headers["pgfan-id"]
    assert record.key == attributes["partitionkey"] == '{"id":1}'
    assert data["after"] == {"id": 1, "v": "a"}


@pytest.mark.parametrize("tombstones", ["auto", False])
def test_i20_debezium_has_records_of_its_own(scene, cluster, tombstones):
    """A delete is two, a change of the key three; the tombstones can be left out."""
    table(scene)
    target = kafka(scene, cluster, format="debezium", tombstones=tombstones)
    scene.engine(conf_of(scene, target)).start()
    scene.sql("INSERT INTO t VALUES (1, 'a')")
    scene.sql("UPDATE t SET id = 2 WHERE id = 1")
    scene.sql("DELETE FROM t WHERE id = 2")
    scene.caught_up()
    records = cluster.read(scene.slot)
    found = [(json.loads(r.key)["id"], r.value and json.loads(r.value)["op"]) for r in records]
    whole = [(1, "c"), (1, "d"), (1, None), (2, "c"), (2, "d"), (2, None)]
    assert found == [one for one in whole if one[1] or tombstones]
    changed = json.loads(records[1].value)
    assert changed["before"]["id"] == 1 and changed["after"] is None
    keys = [{name: value for name, value in r.headers.items() if name.startswith("__debezium")}
            for r in records]
    new, old = {"__debezium.newkey": '{"id":2}'}, {"__debezium.oldkey": '{"id":1}'}
    assert keys == [header for header, one in zip([{}, new, new, old, {}, {}], whole)
                    if one[1] or tombstones]


def marked(scene, broker, target=None, **debezium):
    """Debezium's envelope with marks, whose topic has the prefix that all topics of the scene have."""
    return kafka(scene, broker, format="debezium", transactions=True,
                 debezium={"topic_prefix": scene.slot, "transaction_metadata": True, **debezium},
                 **(target or {}))


def transactions(records, slot):
    """{id: (its events' tables and orders, what its END counts)}, after checks of the marks."""
    events, marks = collections.defaultdict(list), collections.defaultdict(list)
    for record in records:
        value = json.loads(record.value)
        if record.topic == f"{slot}.transaction":
            assert json.loads(record.key) == {"id": value["id"]} and record.headers == {}
            marks[value["id"]].append(value)
        else:
            events[value["transaction"]["id"]].append(
                (f'{value["source"]["schema"]}.{value["source"]["table"]}',
                 value["transaction"]["total_order"]))
    assert set(events) == set(marks)
    for begin, end in marks.values():
        assert (begin["status"], end["status"]) == ("BEGIN", "END")
        assert begin["event_count"] is None and begin["data_collections"] is None
        assert begin["ts_ms"] == end["ts_ms"]
    return {name: (sorted(events[name]), marks[name][1]) for name in marks}


def test_i20_marks_of_transactions_go_to_debeziums_topic(scene, cluster):
    """One that no batch holds comes in parts; a counted event is an event of the topics."""
    table(scene)
    scene.sql("CREATE TABLE u (id int PRIMARY KEY)")
    engine = scene.engine(conf_of(scene, marked(scene, cluster, {"topics": {"create": True}}),
                                  batch={"max_bytes": "20kB"})).start()
    scene.sql("INSERT INTO t VALUES (1, 'a'); INSERT INTO u VALUES (1), (2); "
              "SELECT pg_logical_emit_message(true, 'not', 'wanted')")
    scene.sql("UPDATE t SET id = 2 WHERE id = 1")
    scene.sql("INSERT INTO t SELECT i, 'x' FROM generate_series(1001, 2000) i")
    scene.sql("INSERT INTO u VALUES (3)")
    scene.caught_up()
    assert letters(engine) == []
    records = [record for record in cluster.read(scene.slot) if record.value is not None]
    found = transactions(records, scene.slot)
    counted = [{one["data_collection"]: one["event_count"] for one in end["data_collections"]}
               for _, end in found.values()]
    assert counted == [{"public.t": 1, "public.u": 2}, {"public.t": 1}, {"public.t": 1000},
                       {"public.u": 1}]
    for index, (events, end) in enumerate(found.values()):
        assert end["event_count"] == sum(counted[index].values())
        assert len(events) == end["event_count"] + (index == 1)  # a change of the key is two
        assert [order for _, order in events][-1] == end["event_count"]


def test_i20_kafka_connect_reads_marks_and_headers_with_schemas(scene, cluster, connect):
    """Keys and values pass their schemas, and a header is what Connect would have made of the key."""
    scene.sql("""CREATE TABLE t (id int, word text, at timestamptz, flag boolean,
                 PRIMARY KEY (id, word, at, flag))""")
    scene.engine(conf_of(scene, marked(scene, cluster, schemas=True))).start()
    scene.sql("""INSERT INTO t VALUES (1, 'a "b" \\ c/\u00e9', '2026-01-02 03:04:05Z', true)""")
    scene.sql("UPDATE t SET id = 2, flag = false")
    scene.caught_up()
    records = cluster.read(scene.slot)
    lines = [text + "\n" for record in records for text in (record.key, record.value) if text]
    answers = connect(lines)
    assert [answer.get("fault") for answer in answers] == [None] * len(lines)
    for line, answer in zip(lines, answers):
        assert answer["back"] == json.loads(line)
    marks = [(record.key, record.value) for record in records
             if record.topic == f"{scene.slot}.transaction"]
    assert [json.loads(part)["schema"]["name"].split(".")[-1] for pair in marks for part in pair] == [
        "TransactionMetadataKey", "TransactionMetadataValue"] * 4
    shown = {line.rstrip("\n"): answer["header"] for line, answer in zip(lines, answers)}
    first, gone, tombstone, come = [r for r in records if r.topic == f"{scene.slot}.public.t"]
    assert gone.key == tombstone.key == first.key != come.key
    assert (gone.headers["__debezium.newkey"] == tombstone.headers["__debezium.newkey"]
            == shown[come.key])
    assert come.headers["__debezium.oldkey"] == shown[gone.key]


def test_k8_marks_are_there_once(scene, cluster):
    """With their events: through kill -9, and out of the dead letters."""
    table(scene)
    once = {"delivery": "exactly_once", "deadline": "10s", "topic_transactions": f"{scene.slot}.marks",
            "properties": {"message.max.bytes": "20000"}}
    conf = conf_of(scene, marked(scene, cluster, once), batch={"max_events": 5})
    engine = scene.engine(conf).start()
    for first in range(0, 100, 2):
        scene.sql("INSERT INTO t VALUES (%s, 'x'), (%s, repeat('x', %s))", first, first + 1,
                  30000 if first == 60 else 1)
        if first in (20, 50):
            engine.kill9()
            engine.launch()
    scene.caught_up()
    wait_until(lambda: engine.state() == "STREAMING", 60)
    assert [entry["key"] for entry in letters(engine)] == ['{"id":60}', '{"id":61}']
    assert engine.stop() == 0
    del once["properties"]
    engine.rewrite(conf_of(scene, marked(scene, cluster, once), batch={"max_events": 5}))
    engine.start()
    done = pgfan("dlq", "replay", "-c", engine.conf_path)
    assert "2 succeeded, 0 failed" in done.stdout, done.stdout + done.stderr
    records = cluster.read(scene.slot, committed=True)
    marks = [json.loads(r.value) for r in records if r.topic == f"{scene.slot}.marks"]
    statuses = collections.defaultdict(list)
    for mark in marks:
        statuses[mark["id"]].append((mark["status"], mark["event_count"]))
    assert list(statuses.values()) == [[("BEGIN", None), ("END", 2)]] * 50
    rows = [json.loads(r.value) for r in records if r.topic == f"{scene.slot}.public.t"]
    assert sorted(row["after"]["id"] for row in rows) == list(range(100))
    assert {row["transaction"]["id"] for row in rows} == set(statuses)


def test_marks_of_other_envelopes_are_refused(scene):
    conf = conf_of(scene, {"name": "bus", "type": "kafka", "brokers": ["127.0.0.1:1"],
                           "transactions": True})
    engine = scene.engine(conf)
    done = pgfan("check", "-c", engine.conf_path)
    assert done.returncode != 0 and "only debezium and avro" in done.stderr + done.stdout, done
