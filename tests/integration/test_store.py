"""The data directory (reliability 45–48, the store's lines of the conf, a second engine). Each fault
of the store is refused with its reason, and nothing is replaced silently."""

import os
import shutil
import sqlite3
import subprocess

import pytest

from pgfan_test import conf as confs
from pgfan_test import process
from pgfan_test.wait import wait_until


@pytest.fixture
def stopped(scene):
    """A scene and an engine that has delivered ten rows and was stopped; and its store's path."""
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    engine = scene.engine().start()
    scene.sql("INSERT INTO t SELECT generate_series(1, 10)")
    scene.caught_up()
    assert engine.stop() == 0
    return scene, engine, store_of(engine)


def store_of(engine):
    found = [path for path in engine.data_dir.iterdir()
             if path.is_file() and path.read_bytes()[:15] == b"SQLite format 3"]
    assert len(found) == 1, found
    return found[0]


def refused(engine, *words, status=78):
    before = len(engine.stderr())
    engine.launch()
    assert engine.wait_exit() == status, engine.stderr()
    said = engine.stderr()[before:]
    for word in words:
        assert word.lower() in said.lower(), said
    return said


def test_the_data_directory_is_private(stopped):
    _, engine, store = stopped
    assert engine.data_dir.stat().st_mode & 0o777 == 0o700
    assert store.stat().st_mode & 0o077 == 0


def test_46_a_corrupt_store_is_refused_and_left_alone(stopped):
    scene, engine, store = stopped
    data = bytearray(store.read_bytes())
    for at in range(4096, len(data) - 64, 512):
        data[at:at + 64] = b"\xff" * 64
    store.write_bytes(data)
    refused(engine, "store")
    assert store.read_bytes() == bytes(data)
    assert scene.records().count() == 10


@pytest.mark.parametrize("content", [b"", b"not a database, but as long as a header would be" * 9])
def test_46_a_foreign_file_is_refused_and_left_alone(stopped, content):
    _, engine, store = stopped
    store.write_bytes(content)
    if not content:
        # An empty file is an empty database to SQLite, and a lost store to us.
        engine.launch()
        assert engine.wait_exit() in (69, 78), engine.stderr()
        return
    refused(engine, "store")
    assert store.read_bytes() == content


def test_46_a_store_of_a_newer_version_is_refused(stopped):
    _, engine, store = stopped
    connection = sqlite3.connect(store)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute(f"PRAGMA user_version = {version + 1}")
    connection.commit()
    connection.close()
    refused(engine, "newer")


@pytest.mark.matrix
def test_47_a_deleted_store_does_not_start_again_silently(stopped):
    scene, engine, _ = stopped
    shutil.rmtree(engine.data_dir)
    scene.sql("INSERT INTO t VALUES (11)")
    said = refused(engine, "--adopt-slot", status=69)
    assert scene.slot in said and scene.records().count() == 10


def test_47_an_older_copy_of_the_store_is_noticed(stopped):
    scene, engine, _ = stopped
    kept = engine.data_dir.with_name("kept")
    shutil.copytree(engine.data_dir, kept)
    engine.start()
    scene.sql("INSERT INTO t SELECT generate_series(11, 20)")
    scene.caught_up()
    engine.stop()
    shutil.rmtree(engine.data_dir)
    shutil.copytree(kept, engine.data_dir)
    scene.sql("INSERT INTO t VALUES (21)")
    engine.launch()
    assert engine.wait_exit() in (69, 78), engine.stderr()
    assert [event["after"]["id"] for event in scene.records().all()] == list(range(1, 21))


def test_48_a_directory_that_cannot_be_written_is_refused(scene, directory):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    conf = confs.changed(scene.conf(), "data_dir", "/proc/pgfan")
    engine = scene.engine(conf)
    refused(engine, "/proc/pgfan")
    if os.geteuid() == 0:
        place = directory / "readonly"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", place], check=True)
        try:
            refused(scene.engine(confs.changed(scene.conf(), "data_dir", f"{place}/data"), "two"),
                    "read-only")
        finally:
            subprocess.run(["umount", place], check=True)
    assert scene.server.slot(scene.slot) is None


def test_48_a_store_that_others_own_or_may_write_is_refused(stopped):
    _, engine, _ = stopped
    os.chmod(engine.data_dir, 0o777)
    refused(engine, str(engine.data_dir))


def test_10_a_second_engine_on_the_same_directory_is_refused(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    first = scene.engine().start()
    second = scene.engine(scene.conf(), "second").launch()
    assert second.wait_exit() == 78
    assert str(first.child.pid) in second.stderr() or "in use" in second.stderr()
    scene.sql("INSERT INTO t VALUES (1)")
    scene.wait_records(1)
    assert first.get("/readyz")[0] == 200, "the socket of the first is still there"


def test_45_a_store_locked_by_someone_else_delays_and_breaks_nothing(stopped):
    scene, engine, store = stopped
    holder = sqlite3.connect(store, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    engine.launch()
    holder_released = []

    def release():
        if not holder_released and len(engine.stderr()) > 0:
            holder.execute("ROLLBACK")
            holder.close()
            holder_released.append(True)
        return holder_released

    wait_until(release, 30)
    try:
        engine.wait_ready(30)
    except AssertionError:
        # Refusing with a clear line is right as well: one connection owns the file.
        assert engine.child.poll() in (74, 78) and "lock" in engine.stderr().lower()
        process.stop(engine.child)
        engine.start()
    scene.sql("INSERT INTO t VALUES (11)")
    scene.wait_records(11)


def test_a_socket_path_that_is_too_long_is_a_clear_error(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    conf = confs.changed(scene.conf(), "data_dir", f"{scene.directory}/{'d' * 120}")
    refused(scene.engine(conf), "107")
