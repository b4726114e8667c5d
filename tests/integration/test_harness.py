"""The harness itself: servers of every major start, stop, crash and come back."""

import psycopg2
import pytest

from pgfan_test import verify, workload
from pgfan_test.proxy import Proxy
from pgfan_test.records import fold
from pgfan_test.server import lsn
from pgfan_test.wait import wait_until
from pgfan_test.workload import Worker


@pytest.mark.matrix
def test_server_survives_every_way_of_stopping(own_server):
    server = own_server()
    assert server.value("postgres", "SHOW wal_level") == "logical"
    assert int(server.value("postgres", "SHOW server_version_num")) // 10000 == server.major
    server.sql("postgres", "CREATE TABLE t(id int); INSERT INTO t VALUES (1)")
    for mode in ("fast", "immediate", "kill"):
        server.restart(mode)
        assert server.value("postgres", "SELECT count(*) FROM t") == 1


@pytest.mark.matrix
def test_server_over_tls(own_server):
    server = own_server(tls=True)
    with server.connect(tcp=True, sslmode="require") as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            assert cursor.fetchone()[0] is True


def test_scene_has_a_database_of_its_own(scene):
    scene.sql("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", scene.slot)
    assert wait_until(lambda: scene.server.confirmed(scene.slot)) <= scene.server.current_lsn()
    assert scene.server.walsenders(scene.slot) == []


def test_fold_follows_keys_and_keeps_unchanged_values():
    events = [
        {"op": "c", "table": "t", "key": {"id": 1}, "after": {"id": 1, "v": "a", "doc": "long"}},
        {"op": "u", "table": "t", "key": {"id": 2}, "before": {"id": 1},
         "after": {"id": 2, "v": "b"}, "unchanged": ["doc"]},
        {"op": "c", "table": "t", "key": {"id": 3}, "after": {"id": 3}},
        {"op": "d", "table": "t", "key": {"id": 3}, "before": {"id": 3}},
    ]
    assert fold(events) == {'{"id": 2}': {"id": 2, "v": "b", "doc": "long"}}
    assert fold(events + [{"op": "t", "table": "t"}]) == {}
    assert lsn("1/A") == (1 << 32) + 10


def test_workload_writes_its_own_oracle(scene):
    workload.create(scene.server, scene.database, keys=20)
    Worker(scene.server.dsn(scene.database), 1, 20).run(300)
    events, position = [], 0
    # The oracle and the table agree; the verifier finds a lost, a made-up and a misplaced change.
    for op, k, gen, n in scene.sql("SELECT op, k, gen, n FROM o ORDER BY seq"):
        position += 1
        events.append({"op": op, "table": "public.w", "id": str(position), "lsn": "0/1",
                       "seq": position, "key": {"id": k},
                       **({} if op == "d" else {"after": {"k": k, "gen": gen, "n": n}})})
    assert len(events) > 500 and {event["op"] for event in events} == {"c", "u", "d"}
    oracle = scene.sql("SELECT op, k, gen, n FROM o ORDER BY seq")
    verify.completeness(events, oracle)
    verify.order(events)
    verify.positions(events)
    index = next(i for i, event in enumerate(events) if event["op"] == "u")
    with pytest.raises(AssertionError, match="missing"):
        verify.completeness(events[:index] + events[index + 1:], oracle)
    with pytest.raises(AssertionError, match="never committed"):
        verify.completeness(events, oracle[:index] + oracle[index + 1:])
    with pytest.raises(AssertionError, match="expected"):
        verify.order(events[:index] + events[index + 1:])
    with pytest.raises(AssertionError, match="re-deliveries"):
        verify.deduplicated(events + [events[0]])


def test_proxy_cuts_slices_and_swallows(scene, directory):
    proxy = Proxy(directory, scene.server.port)
    connection = psycopg2.connect(scene.server.dsn(port=proxy.port))
    cursor = connection.cursor()
    proxy.tell(slice=[1, 3])
    cursor.execute("SELECT repeat('x', 5000)")
    assert len(cursor.fetchone()[0]) == 5000
    proxy.tell(slice=None, reset=True)
    with pytest.raises(psycopg2.OperationalError):
        cursor.execute("SELECT 1")
    proxy.tell(refuse=True)
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(scene.server.dsn(port=proxy.port))
    proxy.stop()
