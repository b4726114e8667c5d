"""What the service manager hears of the engine (sd_notify): READY, STATUS, WATCHDOG, STOPPING, and
silence while a thread that the slot depends on is stuck."""

import socket
import time

import pytest

from pgfan_test.engine import BINARY
from pgfan_test.wait import holds_for, wait_until

LIBFAULT = BINARY.parent / "tests/tools/libfault.so"


class Manager:
    """The service manager's end: what it was told, one entry a line, with the time."""

    def __init__(self, directory, watchdog_seconds, abstract=False):
        self.name = f"{'@' if abstract else ''}{directory}/notify.sock"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind("\0" + self.name[1:] if abstract else self.name)
        self.env = {"NOTIFY_SOCKET": self.name,
                    "WATCHDOG_USEC": str(int(watchdog_seconds * 1000000))}
        self.told = []

    def hear(self):
        while True:
            try:
                text = self.socket.recv(4096).decode()
            except BlockingIOError:
                return self.told
            self.told += [(time.monotonic(), line) for line in text.split("\n")]

    def lines(self):
        return [line for _, line in self.hear()]

    def pings(self):
        return [at for at, line in self.hear() if line == "WATCHDOG=1"]

    def wait_line(self, line, timeout=30):
        wait_until(lambda: line in self.lines(), timeout, f"the manager hears {line}")


@pytest.fixture(params=[False, True], ids=["path", "abstract"])
def manager(request, directory):
    made = Manager(directory, 2, request.param)
    yield made
    made.socket.close()


@pytest.mark.sanitized
def test_the_manager_hears_ready_watchdog_status_and_stopping(scene, manager):
    scene.sql("CREATE TABLE a (id int PRIMARY KEY)")
    engine = scene.engine(env=manager.env).start()
    manager.wait_line("READY=1")
    manager.wait_line("STATUS=streaming: 1 of 1 sources, 1 of 1 pipelines")
    wait_until(lambda: len(manager.pings()) >= 4, 20, "four pings")
    gaps = [later - at for at, later in zip(manager.pings(), manager.pings()[1:])]
    assert all(gap < 2 for gap in gaps), gaps
    engine.command("all", "pause")
    manager.wait_line("STATUS=streaming: 1 of 1 sources, 0 of 1 pipelines; all: PAUSED")
    assert engine.stop() == 0
    assert manager.lines().count("READY=1") == 1
    end = manager.lines()[manager.lines().index("STOPPING=1"):]
    assert end == ["STOPPING=1", "STATUS=delivering what is queued",
                   "EXTEND_TIMEOUT_USEC=60000000", "WATCHDOG_USEC=60000000"], end


def test_a_primary_that_is_down_fails_no_unit(own_scene):
    scene = own_scene()
    scene.sql("CREATE TABLE a (id int PRIMARY KEY)")
    conf = scene.conf()
    scene.server.stop()
    manager = Manager(scene.directory, 2)
    engine = scene.engine(conf, env=manager.env).launch()
    manager.wait_line("READY=1")
    wait_until(lambda: len(manager.pings()) >= 3, 20, "it is alive")
    manager.wait_line("STATUS=streaming: 0 of 1 sources, 0 of 1 pipelines; all: INITIALIZING")
    scene.server.start()
    manager.wait_line("STATUS=streaming: 1 of 1 sources, 1 of 1 pipelines")
    assert engine.stop() == 0


@pytest.mark.skipif(not LIBFAULT.exists(), reason="a sanitized build has no libfault")
def test_pings_cease_while_the_store_thread_is_stuck(scene, manager):
    scene.sql("CREATE TABLE a (id int PRIMARY KEY)")
    gate = scene.directory / "gate"
    env = {**manager.env, "LD_PRELOAD": str(LIBFAULT), "LIBFAULT": "fdatasync@1+=HANG",
           "LIBFAULT_PATH": "pgfan.db", "LIBFAULT_GATE": str(gate)}
    engine = scene.engine(env=env).start()
    wait_until(lambda: len(manager.pings()) >= 2, 20, "it is alive")
    gate.touch()
    scene.sql("INSERT INTO a VALUES (1)")
    wait_until(lambda: "watchdog is not fed" in engine.stderr(), 30, "the sync hangs")
    before = len(manager.pings())
    holds_for(lambda: len(manager.pings()) == before, 4, "no ping for two patiences")
    assert 'reason="the store thread does not answer"' in engine.stderr()
    assert engine.get("/healthz")[0] == 200, "all else goes on"
    gate.unlink()
    wait_until(lambda: len(manager.pings()) > before, 20, "it is fed again")
    scene.caught_up()
    assert engine.stop() == 0


def test_a_notify_socket_that_cannot_be_used_is_refused(scene):
    engine = scene.engine(env={"NOTIFY_SOCKET": "notify.sock"}).launch()
    assert engine.wait_exit() == 78
    assert 'NOTIFY_SOCKET: "notify.sock" is no address of a unix socket' in engine.stderr()
