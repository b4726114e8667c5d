"""What arrives: operations, order, tables, identities, TOAST, messages, partitions (A4–A7, B1, B2,
B17–B20, B22–B24, E10). The oracle is PostgreSQL itself and the format page."""

import datetime
import json
import re

import pytest

from pgfan_test import conf as confs
from pgfan_test import verify, workload
from pgfan_test.records import fold, position
from pgfan_test.server import lsn
from pgfan_test.wait import wait_until
from pgfan_test.workload import Workload

pytestmark = pytest.mark.matrix

NATIVE_KEYS = ["op", "table", "key", "before", "after", "unchanged", "lsn", "seq", "txid", "ts",
               "id", "source"]


@pytest.mark.sanitized
def test_b1_each_operation_arrives_once_with_its_values(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
    scene.engine().start()
    for statement in ("INSERT INTO t VALUES (1, 'a')", "UPDATE t SET v = 'b'", "DELETE FROM t",
                      "TRUNCATE t"):
        scene.sql(statement)
    scene.caught_up()
    insert, update, delete, truncate = scene.records().all()
    assert [insert["op"], update["op"], delete["op"], truncate["op"]] == ["c", "u", "d", "t"]
    assert {event["table"] for event in (insert, update, delete, truncate)} == {"public.t"}
    assert {event["source"] for event in (insert, update, delete, truncate)} == {"db"}
    assert insert["key"] == {"id": 1} and insert["after"] == {"id": 1, "v": "a"}
    assert update["key"] == {"id": 1} and update["after"] == {"id": 1, "v": "b"}
    assert "before" not in insert and "before" not in update
    assert delete["key"] == {"id": 1} and not delete.get("after")


def test_b1_keys_stand_in_the_documented_order(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text); ALTER TABLE t REPLICA IDENTITY FULL")
    scene.engine().start()
    scene.sql("INSERT INTO t VALUES (1, 'a'); UPDATE t SET v = 'b'; DELETE FROM t")
    scene.caught_up()
    lines = list(scene.records().lines())
    assert len(lines) == 3
    for line in lines:
        keys = list(json.loads(line))
        assert keys == [key for key in NATIVE_KEYS if key in keys]
        assert b'": ' not in line and b', "' not in line, "no white space between tokens"


@pytest.mark.sanitized
def test_b2_interleaved_writers_arrive_in_commit_order(scene):
    workload.create(scene.server, scene.database)
    scene.engine(scene.conf(workload.TABLES)).start()
    load = Workload(scene.server, scene.database, seed=2, workers=3)
    scene.wait_records(3000)
    load.stop()
    scene.caught_up()
    events = scene.records().all()
    verify.workload(scene.server, scene.database, events)
    # seq is dense over what this pipeline sees of each transaction: every change is its.
    by_commit = {}
    for event in events:
        by_commit.setdefault(event["lsn"], []).append(event["seq"])
    assert all(seqs == list(range(len(seqs))) for seqs in by_commit.values())


def test_b22_events_carry_commit_lsn_xid_and_commit_time_of_the_server(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    scene.engine().start()
    with scene.connect(autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO t VALUES (1), (2)")
        cursor.execute("SELECT pg_current_xact_id()::text::bigint, pg_current_wal_insert_lsn()::text")
        xid, before = cursor.fetchone()
        connection.commit()
        cursor.execute("SELECT pg_current_wal_insert_lsn()::text, clock_timestamp()")
        after, clock = cursor.fetchone()
    scene.caught_up()
    first, second = scene.records().all()
    assert first["txid"] == second["txid"] == xid % 2**32
    assert first["lsn"] == second["lsn"] and (first["seq"], second["seq"]) == (0, 1)
    assert lsn(before) <= lsn(first["lsn"]) < lsn(after)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", first["ts"])
    committed = datetime.datetime.fromisoformat(first["ts"].replace("Z", "+00:00"))
    assert 0 <= (clock - committed).total_seconds() < 5


def test_e10_ids_are_of_the_documented_form_and_unique(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    scene.engine().start()
    scene.sql("INSERT INTO t SELECT generate_series(1, 50)")
    scene.sql("INSERT INTO t VALUES (100)")
    scene.caught_up()
    events = scene.records().all()
    system = scene.server.value("postgres",
                                "SELECT system_identifier::text FROM pg_control_system()")
    for event in events:
        place = f"{lsn(event['lsn']):016x}-{event['seq']:08x}"
        assert event["id"].lower() == f"{system}-{scene.slot}-{place}"
    assert len({event["id"] for event in events}) == len(events) == 51


def test_a4_one_slot_and_one_walsender_for_three_pipelines(scene):
    scene.sql("".join(f"CREATE TABLE t{i} (id int PRIMARY KEY);" for i in range(3)))
    conf = scene.conf(["public.t0"], targets=[file_target(scene, "p0")])
    for i in (1, 2):
        confs.pipeline(conf, f"p{i}", [f"public.t{i}"], [file_target(scene, f"p{i}")])
    scene.engine(conf).start()
    slots = scene.sql("SELECT slot_name FROM pg_replication_slots WHERE database = %s",
                      scene.database)
    assert slots == [(scene.slot,)]
    senders = scene.sql("SELECT count(*) FROM pg_stat_replication r JOIN pg_replication_slots s "
                        "ON s.active_pid = r.pid WHERE s.database = %s", scene.database)
    assert senders == [(1,)]
    # A5: each change goes to its own pipeline and to no other.
    scene.sql("INSERT INTO t0 VALUES (1); INSERT INTO t1 SELECT generate_series(1, 10)")
    scene.caught_up()
    assert [scene.records(f"p{i}").count() for i in range(3)] == [1, 10, 0]


def file_target(scene, name, **more):
    return {"name": name, "type": "file", "path": f"{scene.directory}/{name}.jsonl", **more}


def test_a5_counters_of_other_pipelines_stay(scene):
    scene.sql("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)")
    conf = scene.conf(["public.a"], targets=[file_target(scene, "a")])
    confs.pipeline(conf, "b", ["public.b"], [file_target(scene, "b")])
    engine = scene.engine(conf).start()
    before = engine.pipeline("b")["status"]["counters"]
    scene.sql("INSERT INTO a SELECT generate_series(1, 500)")
    scene.caught_up()
    assert scene.records("a").count() == 500
    assert engine.pipeline("b")["status"]["counters"] == before
    assert engine.pipeline("all")["status"]["counters"]["inserts"] == 500


def test_a6_a7_every_target_of_a_table_gets_the_same_events_in_the_same_order(scene):
    workload.create(scene.server, scene.database)
    targets = [file_target(scene, f"t{i}") for i in range(3)]
    conf = scene.conf(workload.TABLES, targets=targets)
    confs.pipeline(conf, "again", workload.TABLES, [file_target(scene, "other")])
    scene.engine(conf).start()
    load = Workload(scene.server, scene.database, seed=6)
    scene.wait_records(1500, "t0")
    load.stop()
    scene.caught_up()
    first = list(scene.records("t0").lines())
    for name in ("t1", "t2", "other"):
        assert list(scene.records(name).lines()) == first
    verify.workload(scene.server, scene.database, scene.records("t0").all())


def test_b17_unchanged_toast_is_listed_and_never_null(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v int, doc text);"
              "ALTER TABLE t ALTER doc SET STORAGE EXTERNAL")
    scene.engine().start()
    scene.sql("INSERT INTO t VALUES (1, 1, repeat('x', 100000)); UPDATE t SET v = 2;"
              "UPDATE t SET doc = NULL")
    scene.caught_up()
    insert, update, nulled = scene.records().all()
    assert len(insert["after"]["doc"]) == 100000 and "unchanged" not in insert
    assert update["after"] == {"id": 1, "v": 2} and update["unchanged"] == ["doc"]
    assert nulled["after"] == {"id": 1, "v": 2, "doc": None} and "unchanged" not in nulled
    assert list(fold([insert, update]).values())[0]["doc"] == "x" * 100000


def test_b17_toasted_key_is_filled_from_the_old_key(scene):
    scene.sql("CREATE TABLE t (id text PRIMARY KEY, v int);"
              "ALTER TABLE t ALTER id SET STORAGE EXTERNAL")
    scene.engine().start()
    # Random text does not compress: the key is stored out of line and still fits the index.
    scene.sql("INSERT INTO t SELECT string_agg(md5(i::text), ''), 1 FROM generate_series(1, 75) i;"
              "UPDATE t SET v = 2")
    scene.caught_up()
    insert, update = scene.records().all()
    assert update["key"] == insert["key"] and len(update["key"]["id"]) == 2400
    assert update["after"]["v"] == 2


@pytest.mark.parametrize("identity", ["default", "full", "index", "nothing"])
def test_b18_old_values_as_each_replica_identity_gives_them(scene, identity):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, u int NOT NULL UNIQUE, v text)")
    clause = "USING INDEX t_u_key" if identity == "index" else identity.upper()
    scene.sql(f"ALTER TABLE t REPLICA IDENTITY {clause}")
    if identity == "nothing":
        # pgfan itself would refuse to publish it: the owner's updates would fail.
        scene.sql(f"CREATE PUBLICATION {scene.slot} FOR TABLE t WITH (publish = 'insert')")
    engine = scene.engine().start()
    scene.sql("INSERT INTO t VALUES (1, 10, 'a')")
    if identity == "nothing":
        scene.caught_up()
        (insert,) = scene.records().all()
        assert insert["key"] is None and insert["after"] == {"id": 1, "u": 10, "v": "a"}
        assert "t" in engine.stderr(), "a warning names the table without an identity"
        return
    scene.sql("UPDATE t SET v = 'b'; UPDATE t SET u = 11; UPDATE t SET id = 2; DELETE FROM t")
    scene.caught_up()
    insert, plain, unique, key, delete = scene.records().all()
    if identity == "full":
        assert plain["before"] == {"id": 1, "u": 10, "v": "a"} and plain["key"] == {"id": 1}
        assert delete["before"] == {"id": 2, "u": 11, "v": "b"} and delete["key"] == {"id": 2}
        assert key["before"]["id"] == 1 and key["key"] == {"id": 2}
    elif identity == "index":
        assert insert["key"] == {"u": 10} and "before" not in plain
        assert unique["before"] == {"u": 10} and unique["key"] == {"u": 11}
        assert "before" not in key and delete["key"] == {"u": 11}
    else:
        assert "before" not in plain and "before" not in unique
        assert key["before"] == {"id": 1} and key["key"] == {"id": 2}
        assert delete["key"] == {"id": 2}


def test_b19_a_changed_key_leaves_only_the_new_row(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
    scene.engine().start()
    scene.sql("INSERT INTO t VALUES (1, 'a'); UPDATE t SET id = 2 WHERE id = 1")
    scene.caught_up()
    insert, update = scene.records().all()
    assert update["before"] == {"id": 1} and update["key"] == {"id": 2}
    assert list(fold([insert, update]).values()) == [{"id": 2, "v": "a"}]


def test_28_rows_match_by_name_through_schema_changes(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, a text, b int)")
    scene.engine().start()
    scene.sql("INSERT INTO t VALUES (1, 'x', 1)")
    for statement in ("ALTER TABLE t ADD c text DEFAULT 'c'", "ALTER TABLE t RENAME a TO d",
                      "ALTER TABLE t DROP b",
                      "ALTER TABLE t ALTER c DROP DEFAULT, ALTER c TYPE jsonb USING '[1]'"):
        scene.sql(statement)
        scene.sql("INSERT INTO t (id) SELECT max(id) + 1 FROM t")
    with scene.connect(autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE t SET d = 'in' WHERE id = 5; ALTER TABLE t ADD e int;"
                       "UPDATE t SET e = 5 WHERE id = 5")
    scene.sql("DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, z text);")
    publication = scene.conf()["sources"]["db"]["publication"]["name"]
    scene.sql(f"ALTER PUBLICATION {publication} ADD TABLE t; INSERT INTO t VALUES (1, 'new')")
    scene.caught_up()
    events = scene.records().all()
    assert [event["after"] for event in events if event["op"] in "cu"] == [
        {"id": 1, "a": "x", "b": 1}, {"id": 2, "a": None, "b": None, "c": "c"},
        {"id": 3, "d": None, "b": None, "c": "c"}, {"id": 4, "d": None, "c": "c"},
        {"id": 5, "d": None, "c": None}, {"id": 5, "d": "in", "c": None},
        {"id": 5, "d": "in", "c": None, "e": 5}, {"id": 1, "z": "new"}]


def test_b23_logical_messages_of_configured_prefixes(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    scene.engine(scene.conf(messages=["outbox%"])).start()
    scene.sql("SELECT pg_logical_emit_message(false, 'outbox', 'at once')")
    scene.sql("""BEGIN; SELECT pg_logical_emit_message(true, 'other', 'unwanted');
        INSERT INTO t VALUES (1); SELECT pg_logical_emit_message(true, 'outbox.x', '{"a":1}');
        COMMIT""")
    scene.caught_up()
    events = scene.records().all()
    assert [event["op"] for event in events] == ["m", "c", "m"]
    at_once, insert, inside = events
    assert at_once["id"].endswith("-m") and inside["seq"] == 2 and insert["seq"] == 1
    assert "at once" in json.dumps(at_once) and "outbox.x" in json.dumps(inside)
    assert inside["lsn"] == insert["lsn"]


def test_b1_truncate_of_several_tables_is_one_event_each(scene):
    scene.sql("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)")
    scene.engine().start()
    scene.sql("BEGIN; INSERT INTO a VALUES (1); TRUNCATE a, b; INSERT INTO b VALUES (2); COMMIT")
    scene.caught_up()
    events = scene.records().all()
    assert [event["op"] for event in events] == ["c", "t", "t", "c"]
    assert [event["seq"] for event in events] == [0, 1, 2, 3]
    assert {event["table"] for event in events[1:3]} == {"public.a", "public.b"}


def test_b1_partitions_arrive_under_their_own_names(scene):
    scene.sql("""CREATE TABLE p (id int, k int, v text, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
        CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
        CREATE TABLE p2 (v text, k int NOT NULL, id int NOT NULL, PRIMARY KEY (id, k));
        ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20)""")
    scene.engine(scene.conf(["public.p1", "public.p2"])).start()
    scene.sql("INSERT INTO p VALUES (1, 5, 'a'); UPDATE p SET k = 15 WHERE id = 1")
    scene.caught_up()
    insert, delete, moved = scene.records().all()
    assert (insert["table"], insert["op"]) == ("public.p1", "c")
    assert (delete["table"], delete["op"]) == ("public.p1", "d")
    # Another column order in the partition: values follow their names.
    assert (moved["table"], moved["op"]) == ("public.p2", "c")
    assert moved["after"] == {"id": 1, "k": 15, "v": "a"} and delete["lsn"] == moved["lsn"]


def test_b1_partitions_arrive_under_the_root_when_it_is_published_so(scene):
    scene.sql("""CREATE TABLE p (id int, k int, v text, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
        CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
        CREATE TABLE p2 (v text, k int NOT NULL, id int NOT NULL, PRIMARY KEY (id, k));
        ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20);""")
    scene.sql(f"CREATE PUBLICATION {scene.slot} FOR TABLE p WITH (publish_via_partition_root)")
    scene.engine(scene.conf(["public.p"])).start()
    scene.sql("INSERT INTO p VALUES (1, 5, 'a'), (2, 15, 'b')")
    scene.caught_up()
    events = scene.records().all()
    assert [event["table"] for event in events] == ["public.p", "public.p"]
    assert events[1]["after"] == {"id": 2, "k": 15, "v": "b"}


def test_b1_bytes_that_are_not_utf8_follow_a_clear_policy(scene):
    scene.server.create_database(f"{scene.database}_ascii", ENCODING="'SQL_ASCII'",
                                 TEMPLATE="template0", LC_COLLATE="'C'", LC_CTYPE="'C'")
    database = f"{scene.database}_ascii"
    scene.server.sql(database, "CREATE TABLE t (id int PRIMARY KEY, v text)")
    conf = confs.base(scene.server, database, scene.directory)
    engine = scene.engine(conf).start()
    with scene.server.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO t VALUES (1, 'ok'), (2, E'caf\\xe9 x'), (3, 'after')")
    events = scene.wait_records(3)
    # A value never stops a stream: the faulty byte is replaced, the line is valid UTF-8.
    assert events[0]["after"]["v"] == "ok" and events[2]["after"]["v"] == "after"
    assert events[1]["after"]["v"] == "caf\ufffd x"
    engine.stop()
    wait_until(lambda: not scene.server.walsenders(database))
    scene.server.sql("postgres", f"SELECT pg_drop_replication_slot('{database}')")
    scene.server.sql("postgres", f"DROP DATABASE {database} WITH (FORCE)")


def test_b1_names_with_every_kind_of_character(scene):
    scene.sql('CREATE SCHEMA "S p.a""ce"; CREATE TABLE "S p.a""ce"."T\n\'é" '
              '("Id" int PRIMARY KEY, "co l""\\" text)')
    scene.engine(scene.conf(["%.%"])).start()
    scene.sql('INSERT INTO "S p.a""ce"."T\n\'é" VALUES (1, \'quote " backslash \\ tab \t nul-ish\')')
    scene.caught_up()
    (event,) = scene.records().all()
    assert event["table"] == 'S p.a"ce.T\n\'é'
    assert event["after"] == {"Id": 1, 'co l"\\': 'quote " backslash \\ tab \t nul-ish'}


def test_b24_23_a_million_rows_in_one_transaction_in_bounded_memory(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
    conf = scene.conf(buffer={"max_events": 2000, "max_bytes": "8MiB"})
    engine = scene.engine(conf).start()
    start = scene.server.confirmed(scene.slot)
    scene.sql("INSERT INTO t SELECT i, md5(i::text) FROM generate_series(1, 1000000) i")
    commit = scene.server.current_lsn()
    records, highest, seen = scene.records(), 0, [0]

    def grown():
        nonlocal highest
        highest = max(highest, engine.memory_kib())
        seen[0] = (scene.directory / "out.jsonl").stat().st_size
        if scene.server.confirmed(scene.slot) > commit:
            return True
        # The confirmed position stays before the transaction until all of it is durable.
        return False

    wait_until(grown, 180, "the whole transaction is confirmed")
    assert start <= commit
    assert highest < (8 + 64 + 64) * 1024, f"{highest} KiB resident"
    count, last = 0, (-1, -1)
    for line in records.lines():
        event = json.loads(line)
        here = position(event)
        assert here > last
        last, count = here, count + 1
    assert count == 1000000
