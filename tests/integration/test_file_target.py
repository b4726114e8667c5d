"""The file target: whole lines, segments, retention, and files that change under it (reliability 62)."""

import json
import os

import pytest

from pgfan_test import verify, workload
from pgfan_test.engine import pgfan
from pgfan_test.wait import wait_until
from pgfan_test.workload import Workload


def target(scene, **more):
    return [{"name": "out", "type": "file", "path": f"{scene.directory}/out.jsonl", **more}]


def segments(scene):
    return [path for path in scene.records().files() if path.name != "out.jsonl"]


@pytest.mark.matrix
def test_rotation_by_size_loses_nothing_over_kills(scene):
    workload.create(scene.server, scene.database)
    engine = scene.engine(scene.conf(workload.TABLES, targets=target(
        scene, rotate_bytes="100kB"))).start()
    load = Workload(scene.server, scene.database, seed=62)
    for round_number in range(1, 6):
        scene.wait_records(500 * round_number)
        engine.kill9()
        engine.start()
    load.stop()
    scene.caught_up()
    assert len(segments(scene)) >= 3
    for path in segments(scene):
        data = path.read_bytes()
        assert data.endswith(b"\n") and all(json.loads(line) for line in data.splitlines())
    verify.workload(scene.server, scene.database, scene.records().all())


def test_what_a_power_cut_may_lose_is_shown(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    engine = scene.engine(scene.conf(targets=target(scene, fsync="os") + [
        {"name": "safe", "type": "file", "path": f"{scene.directory}/safe.jsonl"},
        {"name": "none", "type": "null"}])).start()
    targets = engine.pipeline()["status"]["targets"]
    assert [entry["durability"] for entry in targets] == ["os", "disk", None]
    text = pgfan("status", "-c", engine.conf_path).stdout
    assert "pipeline all, target out: durability: os" in text and "target safe" not in text


def test_closed_segments_never_change(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
    engine = scene.engine(scene.conf(targets=target(scene, rotate_bytes="64KiB"))).start()
    kept = {}
    for round_number in range(4):
        first = round_number * 1000
        scene.sql("INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(%s, %s) i", first,
                  first + 999)
        scene.caught_up()
        for path in segments(scene):
            data = path.read_bytes()
            assert kept.setdefault(path.name, data) == data
        if round_number == 2:
            engine.kill9()
            engine.start()
    assert len(kept) >= 3 and scene.records().count() == 4000


def test_rotation_by_time(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    scene.engine(scene.conf(targets=target(scene, rotate_interval="1s"))).start()
    for i in range(3):
        scene.sql("INSERT INTO t VALUES (%s)", i)
        wait_until(lambda count=i + 1: len(segments(scene)) >= count, 15, "a segment is closed")
    assert [event["after"]["id"] for event in scene.records().all()] == [0, 1, 2]


def test_retention_removes_only_closed_segments(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
    scene.engine(scene.conf(targets=target(scene, rotate_bytes="64KiB", keep_segments=2))).start()
    for i in range(10):
        scene.sql("INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(%s, %s) i",
                  i * 500, i * 500 + 499)
        scene.caught_up()
    wait_until(lambda: len(segments(scene)) <= 2, 15)
    ids = [event["after"]["id"] for event in scene.records().all()]
    assert ids == list(range(ids[0], 5000)) and ids[0] > 0


@pytest.mark.parametrize("what", ["renamed", "deleted", "replaced"])
def test_62_a_file_that_goes_away_is_noticed(scene, what):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    scene.engine(scene.conf(targets=target(scene, fsync="batch"))).start()
    path = scene.directory / "out.jsonl"
    moved = scene.directory / "moved"
    scene.sql("INSERT INTO t SELECT generate_series(1, 100)")
    scene.caught_up()
    if what == "deleted":
        moved.write_bytes(path.read_bytes())
        path.unlink()
    else:
        os.rename(path, moved)
        if what == "replaced":
            path.write_bytes(b"")
    scene.sql("INSERT INTO t SELECT generate_series(101, 200)")
    scene.caught_up()
    scene.sql("INSERT INTO t VALUES (201)")
    scene.caught_up()
    lines = moved.read_bytes().splitlines() + (path.read_bytes().splitlines() if path.exists()
                                               else [])
    ids = sorted({json.loads(line)["after"]["id"] for line in lines})
    assert ids == list(range(1, 202)), f"{len(ids)} of 201 are there"
    assert path.exists(), "a new file was made at the configured path"


def test_a_file_with_foreign_content_is_not_overwritten(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    path = scene.directory / "out.jsonl"
    path.write_bytes(b"mine\n")
    engine = scene.engine().launch()
    scene.server.log()
    wait_until(lambda: not engine.running or engine.get("/readyz")[0] == 200, 30)
    if engine.running:
        scene.sql("INSERT INTO t VALUES (1)")
        scene.caught_up()
    assert path.read_bytes().startswith(b"mine\n")


def test_a_missing_directory_is_said_at_start(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    conf = scene.conf(targets=[{"type": "file", "path": f"{scene.directory}/none/out.jsonl"}])
    engine = scene.engine(conf).launch()
    wait_until(lambda: f"{scene.directory}/none" in engine.stderr(), 30)


def test_k2_two_targets_in_one_format_write_the_same_bytes(scene):
    workload.create(scene.server, scene.database)
    both = target(scene) + [{"name": "copy", "type": "file",
                             "path": f"{scene.directory}/copy.jsonl"},
                            {"name": "nothing", "type": "null"}]
    scene.engine(scene.conf(workload.TABLES, targets=both)).start()
    workload.Worker(scene.server.dsn(scene.database), 2).run(300)
    scene.caught_up()
    assert (scene.directory / "out.jsonl").read_bytes() == (
        scene.directory / "copy.jsonl").read_bytes()
