"""Fixtures of the integration tests. PGFAN_TEST_POSTGRES picks the major, PGFAN_BINARY the engine."""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from pgfan_test import conf as confs  # noqa: E402
from pgfan_test import process  # noqa: E402
from pgfan_test.engine import Engine  # noqa: E402
from pgfan_test.kafka import Broker  # noqa: E402
from pgfan_test.records import Records  # noqa: E402
from pgfan_test.server import Server  # noqa: E402
from pgfan_test.wait import wait_until  # noqa: E402


def pytest_configure(config):
    for marker in ("matrix: runs on every PostgreSQL major",
                   "sanitized: runs on sanitized builds of the engine, too",
                   "rounds: kill -9 rounds, a stage of their own"):
        config.addinivalue_line("markers", marker)


@pytest.fixture(scope="session")
def session_directory():
    # Short: the path of a unix socket ends at 107 bytes.
    path = pathlib.Path(tempfile.mkdtemp(prefix="pgfan-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_server(session_directory):
    """One server for all tests that do not stop or reconfigure it."""
    server = Server(session_directory / "pg").start()
    yield server
    server.stop("immediate")


@pytest.fixture(scope="session")
def connect(session_directory):
    """A function: JSON with schemas in, a line each, and what Kafka Connect makes of it out; see
    tests/tools/connect/ReadEvents.java."""
    java, javac, jars = shutil.which("java"), shutil.which("javac"), process.ROOT / ".deps/connect"
    assert java and javac and jars.is_dir(), "run deps_test of scripts/lib/deps.sh"
    classes = session_directory / "classes"
    source = process.ROOT / "tests/tools/connect/ReadEvents.java"
    subprocess.run([javac, "-cp", f"{jars}/*", "-d", classes, source], check=True)

    def read(lines):
        done = subprocess.run([java, "-Xmx512m", "-cp", f"{classes}:{jars}/*", "ReadEvents"],
                              input="".join(lines).encode(), stdout=subprocess.PIPE, check=True,
                              stderr=subprocess.DEVNULL, timeout=120)
        return [json.loads(line) for line in done.stdout.decode("utf-8").split("\n") if line]

    return read


@pytest.fixture
def directory(session_directory, request):
    """A directory of this test."""
    name = re.sub(r"\W+", "_", request.node.name)[:24]
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=session_directory))
    path.chmod(0o755)  # a server of this test runs as another user
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def own_server(directory):
    """A function that makes a server of this test, with its own settings."""
    made = []

    def make(**options):
        server = Server(directory / f"pg{len(made)}", **options)
        made.append(server)
        return server.start()

    yield make
    for server in made:
        if server.child is not None and server.child.poll() is None:
            server.stop("immediate")


@pytest.fixture(scope="session")
def cluster(session_directory):
    """A node of Kafka that tests share: topics are told apart by their prefix."""
    broker = Broker(session_directory / "kafka").start()
    yield broker
    broker.stop()


_databases = [0]
_engines = []  # of the test that runs


class Scene:
    """What most tests start from: a server, a database of its own, a conf, engines, records."""

    def __init__(self, server, directory):
        self.server, self.directory = server, directory
        _databases[0] += 1
        self.database = server.create_database(f"t{_databases[0]}")
        self.slot = self.database
        self.engines = []

    def sql(self, text, *arguments):
        return self.server.sql(self.database, text, *arguments)

    def connect(self, **more):
        return self.server.connect(self.database, **more)

    def conf(self, tables=("public.%",), **pipeline):
        return confs.base(self.server, self.database, self.directory, tables, self.slot,
                          **pipeline)

    def engine(self, conf=None, name="engine", **options):
        """An engine that is not started yet; ended with the test."""
        engine = Engine(conf if conf is not None else self.conf(), self.directory / name, **options)
        self.engines.append(engine)
        _engines.append(engine)
        return engine

    def records(self, name="out"):
        return Records(self.directory / f"{name}.jsonl")

    def caught_up(self, timeout=60):
        """Waits until everything committed by now is confirmed: keepalives move an idle slot."""
        wanted = self.server.current_lsn()
        wait_until(lambda: self.server.confirmed(self.slot) >= wanted, timeout,
                   f"slot {self.slot} is confirmed up to {wanted:X}")

    def wait_records(self, count, name="out", timeout=60):
        """Waits for that many events in a file target and returns all that are there."""
        records = self.records(name)
        wait_until(lambda: records.count() >= count, timeout, f"{count} events in {name}")
        return records.all()

    def close(self):
        for engine in self.engines:
            if engine.running:
                engine.kill9()
        if self.server.child.poll() is None:
            self.server.sql("postgres", """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = %s AND pid <> pg_backend_pid()""", self.database)
            for (name,) in self.server.sql("postgres", """
                    SELECT slot_name FROM pg_replication_slots WHERE database = %s""",
                                           self.database):
                self._drop_slot(name)
            self.server.sql("postgres", f'DROP DATABASE IF EXISTS "{self.database}" WITH (FORCE)')

    def _drop_slot(self, name):
        def drop():
            self.server.kill_walsender(name)
            self.server.sql("postgres", "SELECT pg_drop_replication_slot(slot_name) FROM "
                            "pg_replication_slots WHERE slot_name = %s", name)
            return True

        wait_until(drop, 15, f"slot {name} is dropped")


@pytest.fixture
def scene(shared_server, directory):
    made = Scene(shared_server, directory)
    yield made
    made.close()


@pytest.fixture
def own_scene(own_server, directory):
    """A function: a scene on a server of its own, which the test may stop, kill and reconfigure."""
    made = []

    def make(server=None, **options):
        scene_made = Scene(server or own_server(**options), directory)
        made.append(scene_made)
        return scene_made

    yield make
    for scene_made in made:
        for engine in scene_made.engines:
            if engine.running:
                engine.kill9()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failing test shows the last words of its engines."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for engine in _engines:
            report.sections.append((f"stderr of {engine.directory.name}", engine.stderr()[-6000:]))
    if report.when == "teardown":
        _engines.clear()


_ = process  # its atexit hook stops every child that a crash of a test left behind
