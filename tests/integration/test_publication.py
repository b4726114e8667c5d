"""Tables that come, go and cannot be published while the slot exists (B6, B12, reliability 1.7, 1.8).
A table never stops the others: it is left out, named in the log and in the status."""

import pytest

from pgfan_test import conf as confs
from pgfan_test.engine import pgfan
from pgfan_test.server import lsn
from pgfan_test.wait import wait_until

pytestmark = pytest.mark.matrix

PUBLISHED = "SELECT tablename FROM pg_publication_tables WHERE pubname = %s ORDER BY 1"


def reconnected(scene, engine):
    """The walsender is killed, and another one streams."""
    before = engine.source()["reconnects"]
    wait_until(lambda: scene.server.kill_walsender(scene.slot))
    wait_until(lambda: engine.source()["reconnects"] > before, 30)
    wait_until(lambda: engine.source()["state"] == "STREAMING", 30)


def published(scene):
    return [name for (name,) in scene.sql(PUBLISHED, scene.slot)]


def ready(engine):
    return engine.get("/readyz")[0] == 200


def test_a_table_without_identity_does_not_stop_a_running_engine(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    engine = scene.engine().start()
    scene.sql("CREATE TABLE scratch AS SELECT 1 AS id")
    reconnected(scene, engine)
    wait_until(lambda: engine.source()["code"] == "NO_REPLICA_IDENTITY", 30)
    assert "scratch" in engine.source()["reason"] and "PRIMARY KEY" in engine.source()["hint"]
    assert published(scene) == ["t"]
    scene.sql("UPDATE scratch SET id = 2; INSERT INTO t VALUES (1)")
    scene.wait_records(1)
    assert ready(engine) and engine.stderr().count("public.scratch has no primary key") == 1
    reconnected(scene, engine)
    assert engine.stderr().count("public.scratch has no primary key") == 1, "said once"
    engine.stop()
    engine.start()
    scene.sql("INSERT INTO t VALUES (2)")
    scene.wait_records(2)
    done = pgfan("check", "--online", "-c", engine.conf_path)
    assert done.returncode != 0 and "NO_REPLICA_IDENTITY" in done.stdout + done.stderr
    engine.stop()
    first = scene.engine(confs.changed(scene.conf(), "sources.db.slot.name", f"{scene.slot}_two"),
                         "fresh")
    first.rewrite(confs.changed(first.conf, "data_dir", f"{scene.directory}/fresh_data"))
    first.launch()
    assert first.wait_exit() == 69 and "NO_REPLICA_IDENTITY" in first.stderr()


def test_a_table_of_somebody_else_does_not_stop_a_running_engine(scene):
    scene.sql(f"CREATE ROLE {scene.slot} LOGIN REPLICATION;"
              f"GRANT CREATE ON DATABASE {scene.database} TO {scene.slot};"
              "CREATE TABLE t (id int PRIMARY KEY);"
              f"ALTER TABLE t OWNER TO {scene.slot}")
    conf = confs.changed(scene.conf(), "sources.db.dsn",
                         scene.server.dsn(scene.database, user=scene.slot))
    engine = scene.engine(conf).start()
    scene.sql("CREATE TABLE other (id int PRIMARY KEY)")
    reconnected(scene, engine)
    wait_until(lambda: engine.source()["code"] == "PERMISSION_DENIED", 30)
    assert engine.source()["hint"].startswith("ALTER PUBLICATION")
    assert "other" in engine.source()["hint"] and published(scene) == ["t"]
    scene.sql("INSERT INTO t VALUES (1)")
    scene.wait_records(1)
    engine.stop()
    engine.start()
    scene.sql("INSERT INTO t VALUES (2)")
    scene.wait_records(2)
    engine.kill9()
    scene.sql(f"DROP OWNED BY {scene.slot} CASCADE")


def test_a_dropped_table_does_not_stop_a_running_engine(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE gone (id int PRIMARY KEY)")
    engine = scene.engine(scene.conf(["public.t", "public.gone"])).start()
    scene.sql("DROP TABLE gone")
    reconnected(scene, engine)
    wait_until(lambda: engine.source()["code"] == "TABLE_NOT_FOUND", 30)
    assert "gone" in engine.source()["reason"] and ready(engine)
    engine.stop()
    engine.start()
    scene.sql("INSERT INTO t VALUES (1)")
    scene.wait_records(1)
    done = pgfan("check", "--online", "-c", engine.conf_path)
    assert done.returncode != 0 and "TABLE_NOT_FOUND" in done.stdout + done.stderr
    # It comes back without a key: asked for by name and not published, so not ready.
    scene.sql("CREATE TABLE gone (id int)")
    reconnected(scene, engine)
    wait_until(lambda: engine.source()["code"] == "NO_REPLICA_IDENTITY", 30)
    assert not ready(engine) and engine.source()["incomplete"]
    scene.sql("INSERT INTO t VALUES (2)")
    scene.wait_records(2)


def test_tables_that_may_not_be_added_do_not_stop_a_running_engine(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY);"
              f"CREATE PUBLICATION {scene.slot} FOR TABLE t")
    conf = confs.changed(scene.conf(), "sources.db.publication.create", False)
    engine = scene.engine(conf).start()
    scene.sql("CREATE TABLE later (id int PRIMARY KEY)")
    reconnected(scene, engine)
    wait_until(lambda: engine.source()["code"] == "PUBLICATION_TABLES", 30)
    assert "later" in engine.source()["hint"] and ready(engine)
    scene.sql(f"ALTER PUBLICATION {scene.slot} ADD TABLE later")
    reconnected(scene, engine)
    wait_until(lambda: not engine.source()["code"], 30)
    scene.sql("INSERT INTO later VALUES (1)")
    scene.wait_records(1)


def test_a_lock_on_a_new_table_does_not_hold_up_the_stream(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    engine = scene.engine().start()
    scene.sql("CREATE TABLE busy (id int PRIMARY KEY)")
    with scene.connect(autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE busy IN SHARE UPDATE EXCLUSIVE MODE")
        reconnected(scene, engine)
        scene.sql("INSERT INTO t VALUES (1)")
        scene.wait_records(1)


def test_a_standby_is_waited_for_until_it_is_promoted(own_scene):
    scene = own_scene()
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    engine = scene.engine().start()
    scene.sql("INSERT INTO t VALUES (1)")
    scene.caught_up()
    scene.server.stop("fast")
    signal = scene.server.data / "standby.signal"
    signal.touch()
    signal.chmod(0o666)
    scene.server.start()
    if scene.server.major < 16:  # later ones decode on a standby, too
        wait_until(lambda: engine.source()["code"] == "IN_RECOVERY", 60)
        assert engine.source()["state"] == "RECONNECTING" and not ready(engine)
    else:
        wait_until(lambda: ready(engine), 60)
    scene.server.sql("postgres", "SELECT pg_promote()")
    wait_until(lambda: not scene.server.value("postgres", "SELECT pg_is_in_recovery()"), 30)
    scene.sql("INSERT INTO t VALUES (2)")
    scene.wait_records(2, timeout=90)
    assert engine.running


def test_a_table_that_leaves_the_publication_is_shown_and_named_when_it_is_added_again(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)")
    engine = scene.engine().start()
    scene.sql("INSERT INTO t VALUES (1)")
    scene.caught_up()
    scene.sql(f"ALTER PUBLICATION {scene.slot} DROP TABLE t; INSERT INTO t VALUES (2)")
    wait_until(lambda: engine.source()["code"] == "PUBLICATION_TABLES", 30)
    source = engine.source()
    assert source["state"] == "STREAMING" and source["incomplete"] and not ready(engine)
    assert "public.t " in source["reason"] and "ADD TABLE ONLY" in source["hint"]
    scene.sql("INSERT INTO u VALUES (1)")
    scene.wait_records(2)
    assert engine.stderr().count("left publication") == 1
    assert published(scene) == ["u"], "it is not put back while somebody may have meant it"
    # The owner runs the SQL: what was written meanwhile is named.
    scene.sql(source["hint"].replace("; ", ";"))
    wait_until(lambda: ready(engine), 30)
    assert not engine.source()["code"]
    lost = [line for line in engine.log() if "not in the publication are lost" in line["msg"]]
    assert [line["table"] for line in lost] == ["public.t"]
    assert lsn(lost[0]["since"]) <= lsn(lost[0]["to"])
    scene.sql("INSERT INTO t VALUES (3)")
    scene.wait_records(3)


def test_a_table_that_is_added_again_at_a_restart_is_named(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)")
    engine = scene.engine().start()
    scene.sql("INSERT INTO t VALUES (1)")
    scene.caught_up()
    engine.stop()
    confirmed = scene.server.confirmed(scene.slot)
    scene.sql(f"ALTER PUBLICATION {scene.slot} DROP TABLE t; INSERT INTO t VALUES (2)")
    engine.start()
    lost = [line for line in engine.log() if "not in the publication are lost" in line["msg"]]
    assert [(line["table"], lsn(line["since"])) for line in lost] == [("public.t", confirmed)]
    assert lsn(lost[0]["to"]) > confirmed and lost[0]["level"] == "warn"
    assert published(scene) == ["t", "u"]


def test_a_new_table_of_a_wildcard_is_added_at_once(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    engine = scene.engine().start()
    scene.sql("CREATE TABLE fresh (id int PRIMARY KEY); CREATE TABLE scratch AS SELECT 1 AS id")
    wait_until(lambda: published(scene) == ["fresh", "t"], 30)
    scene.sql("INSERT INTO fresh VALUES (1); UPDATE scratch SET id = 2")
    (event,) = scene.wait_records(1)
    assert event["table"] == "public.fresh" and engine.source()["reconnects"] == 0
    wait_until(lambda: engine.source()["code"] == "NO_REPLICA_IDENTITY", 30)
    assert ready(engine)
    # With a key it can be published.
    scene.sql("ALTER TABLE scratch ADD PRIMARY KEY (id)")
    wait_until(lambda: published(scene) == ["fresh", "scratch", "t"], 30)
    wait_until(lambda: not engine.source()["code"], 30)


@pytest.mark.parametrize("pattern", ["public.%", "public.t"])
def test_a_table_that_is_made_again_is_added_and_named(scene, pattern):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    engine = scene.engine(scene.conf([pattern])).start()
    scene.sql("INSERT INTO t VALUES (1)")
    scene.caught_up()
    scene.sql("DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (2)")
    wait_until(lambda: published(scene) == ["t"], 30)
    scene.sql("INSERT INTO t VALUES (3)")
    events = scene.wait_records(2)
    assert [event["after"]["id"] for event in events] == [1, 3]
    wait_until(lambda: ready(engine), 30)
    lost = [line for line in engine.log() if "not in the publication are lost" in line["msg"]]
    assert [line["table"] for line in lost] == ["public.t"]


def test_a_new_table_that_may_not_be_added_comes_with_its_sql(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY);"
              f"CREATE PUBLICATION {scene.slot} FOR TABLE t")
    engine = scene.engine(confs.changed(scene.conf(), "sources.db.publication.create",
                                        False)).start()
    scene.sql("CREATE TABLE later (id int PRIMARY KEY)")
    wait_until(lambda: engine.source()["code"] == "PUBLICATION_TABLES", 30)
    assert ready(engine) and published(scene) == ["t"]
    scene.sql(engine.source()["hint"])
    wait_until(lambda: not engine.source()["code"], 30)


def test_a_new_table_that_is_locked_is_added_later(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    engine = scene.engine().start()
    with scene.connect(autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE busy (id int PRIMARY KEY)")
        connection.commit()
        cursor.execute("LOCK TABLE busy IN SHARE UPDATE EXCLUSIVE MODE")
        wait_until(lambda: engine.source()["code"] == "PUBLICATION_TABLES", 30)
        assert "lock timeout" in engine.source()["reason"] and ready(engine)
        scene.sql("INSERT INTO t VALUES (1)")
        scene.wait_records(1)
    wait_until(lambda: published(scene) == ["busy", "t"], 30)
