"""The harness itself: servers of every major start, stop, crash and come back."""

import pytest

from pgfan_test.records import fold
from pgfan_test.server import lsn
from pgfan_test.wait import wait_until


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
