"""The engine's own death and its disk (E1, E12, reliability 33, 34, 37, 38, 41–44). libfault.so makes
the Nth write, sync or send fail or kill; the verifier compares after the restart."""

import contextlib
import os
import random
import resource
import subprocess

import pytest

from pgfan_test import process, verify, workload
from pgfan_test.engine import BINARY
from pgfan_test.records import position
from pgfan_test.wait import holds_for, pause, wait_until
from pgfan_test.workload import Worker, Workload

LIBFAULT = BINARY.parent / "tests/tools/libfault.so"
plain_build = pytest.mark.skipif(not LIBFAULT.exists(), reason="a sanitized build has no libfault")


def fault(spec, path=None, log=None):
    """The environment of an engine that meets this fault."""
    assert LIBFAULT.exists(), f"{LIBFAULT} is missing: build it first"
    return {"LD_PRELOAD": str(LIBFAULT), "LIBFAULT": spec,
            **({"LIBFAULT_PATH": str(path)} if path else {}),
            **({"LIBFAULT_LOG": str(log)} if log else {})}


@pytest.mark.matrix
@pytest.mark.sanitized
def test_33_kill_9_under_load_again_and_again(scene):
    workload.create(scene.server, scene.database)
    engine = scene.engine(scene.conf(workload.TABLES)).start()
    load = Workload(scene.server, scene.database, seed=33)
    chance = random.Random(33)
    for _ in range(8):
        count = scene.records().count() + chance.randint(1, 400)
        scene.wait_records(count)
        engine.kill9()
        engine.launch()
    load.stop()
    engine.wait_ready()
    scene.caught_up()
    verify.workload(scene.server, scene.database, scene.records().all())


def killed_runs(scene, specs, path=None):
    """One engine run a spec, each ended by its fault or, when the fault is not met, by kill -9."""
    workload.create(scene.server, scene.database)
    conf = scene.conf(workload.TABLES, targets=[{
        "name": "out", "type": "file", "path": f"{scene.directory}/out.jsonl", "fsync": "batch",
        "rotate_bytes": "64KiB"}])
    engine = scene.engine(conf).start()
    engine.stop()
    met = 0
    for number, spec in enumerate(specs):
        engine.env = fault(spec, path)
        engine.launch()
        Worker(scene.server.dsn(scene.database), 1000 + number).run(40)
        wanted = scene.server.current_lsn()
        wait_until(lambda: not engine.running or scene.server.confirmed(scene.slot) >= wanted, 60)
        if engine.running:
            engine.kill9()
        else:
            met += 1
            process.stop(engine.child)
    engine.env = {}
    engine.start()
    scene.caught_up()
    verify.workload(scene.server, scene.database, scene.records().all())
    return met


@plain_build
@pytest.mark.parametrize("call, what, path", [
    ("write", "KILL", None), ("write", "TORN", "out"), ("fdatasync", "KILL", None),
    ("fdatasync", "KILLED", None), ("fsync", "KILL", None), ("send", "KILL", None),
    ("rename", "KILL", None), ("rename", "KILLED", None), ("ftruncate", "KILL", None),
    ("open", "KILL", "out")])
def test_34_43_killed_at_the_nth_call(scene, call, what, path):
    counts = [1, 2, 3, 4, 5, 7, 10, 14, 20, 30, 45, 70]
    killed_runs(scene, [f"{call}@{count}={what}" for count in counts], path)


@plain_build
@pytest.mark.parametrize("spec", ["write@{}=EIO", "write@{}=SHORT", "fdatasync@{}=EIO",
                                  "write@{}=EINTR"])
def test_42_43_a_faulty_call_on_the_file_loses_nothing(scene, spec):
    killed_runs(scene, [spec.format(count) for count in (1, 2, 3, 5, 9, 17)], "out")


@plain_build
@pytest.mark.parametrize("spec", ["write@{}=EIO", "fsync@{}=EIO", "fdatasync@{}=EIO",
                                  "write@{}=ENOSPC"])
def test_42_a_faulty_call_on_the_store_loses_nothing(scene, spec):
    killed_runs(scene, [spec.format(count) for count in (4, 6, 9, 14, 22)], "/data/")


@plain_build
@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_41_a_full_disk_holds_the_pipeline_until_there_is_space(scene, call):
    workload.create(scene.server, scene.database)
    # The path is counted from the second call on: the first opens the day.
    log = scene.directory / "faults"
    engine = scene.engine(scene.conf(workload.TABLES),
                          env=fault(f"{call}@20+=ENOSPC", "out.jsonl", log)).start()
    load = Workload(scene.server, scene.database, seed=41, workers=1)
    wait_until(log.exists, 60, "the disk is full")
    assert engine.running
    wait_until(lambda: "No space left" in engine.reason() or "disk full" in engine.reason().lower()
               or "no space" in engine.reason().lower(), 30, "the reason is shown")
    pause(3)  # what was written before may still become durable
    held, written = scene.server.confirmed(scene.slot), scene.records().count()
    load.stop()
    assert scene.server.confirmed(scene.slot) == held, "nothing more is confirmed"
    engine.kill9()
    engine.env = {}
    engine.start()
    scene.caught_up()
    events = scene.records().all()
    assert all(position(event)[0] >= held for event in events[written:])
    verify.workload(scene.server, scene.database, events)


@pytest.fixture
def small_disk(directory):
    """A file system of 4 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    place = directory / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("what", ["file", "store"])
def test_41_a_full_file_system_holds_the_slot_and_space_lets_it_go_on(scene, small_disk, what):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
    conf = scene.conf()
    if what == "file":
        conf["pipelines"][0]["targets"][0]["path"] = f"{small_disk}/out.jsonl"
    else:
        conf["data_dir"] = f"{small_disk}/data"
    ballast = small_disk / "ballast"
    engine = scene.engine(conf).start()
    size = os.statvfs(small_disk)
    ballast.write_bytes(b"x" * (size.f_bavail * size.f_frsize - 65536))
    scene.sql("INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 1000) i")
    if what == "store":
        with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as stream:
            while True:
                stream.write(b"x" * 4096)
        scene.sql("INSERT INTO t SELECT i, 'late' FROM generate_series(1001, 1100) i")
    written = scene.server.current_lsn()
    holds_for(lambda: engine.running and (
        what == "store" or scene.server.confirmed(scene.slot) < written), 4, "the slot is held")
    ballast.unlink()
    scene.caught_up(90)
    path = small_disk if what == "file" else scene.directory
    lines = (path / "out.jsonl").read_bytes().splitlines()
    assert len(lines) == (1000 if what == "file" else 1100) == len(set(lines))


def test_38_few_file_descriptors_are_enough(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    engine = scene.engine().launch(limits={resource.RLIMIT_NOFILE: 40})
    engine.wait_ready()
    connections = []
    from pgfan_test.engine import UnixConnection
    for _ in range(40):
        try:
            connection = UnixConnection(engine.socket_path, 2)
            connection.connect()
            connections.append(connection)
        except OSError:
            break
    scene.sql("INSERT INTO t SELECT generate_series(1, 1000)")
    scene.wait_records(1000)
    scene.server.kill_walsender(scene.slot)
    for connection in connections:
        connection.close()
    scene.sql("INSERT INTO t SELECT generate_series(1001, 2000)")
    scene.wait_records(2000)
    wait_until(lambda: engine.get("/readyz")[0] == 200, 30)


def test_37_out_of_memory_never_confirms(scene):
    workload.create(scene.server, scene.database)
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
    engine = scene.engine(scene.conf()).start()
    engine.stop()
    used = 700 << 20  # of address space: threads and libraries take most of it
    engine.launch(limits={resource.RLIMIT_AS: used})
    scene.sql("INSERT INTO t SELECT i, repeat('x', 60000000) FROM generate_series(1, 6) i")
    wanted = scene.server.current_lsn()
    # Enough or not depends on how the threads interleave: both ends are right, and neither spins.
    wait_until(lambda: not engine.running or "out of memory" in engine.stderr() or
               scene.server.confirmed(scene.slot) >= wanted, 90)
    if engine.running:
        engine.kill9()
    else:
        process.stop(engine.child)
    engine.start()
    scene.caught_up()
    events = scene.records().all()
    assert [event["after"]["id"] for event in events] == [1, 2, 3, 4, 5, 6]
