"""Health, metrics, logs, secrets, the control socket (J1, J2, J5, J7, J11, J13, reliability 4.3, 4.4)."""

import json
import os
import re
import socket
import threading
import time

import pytest

from pgfan_test import conf as confs
from pgfan_test import process
from pgfan_test.engine import Engine, parse_line, pgfan
from pgfan_test.wait import wait_until


@pytest.fixture
def running(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
    return scene.engine().start()


def total(metrics, *words, **labels):
    """The one series whose name holds all words, with these labels."""
    found = [(name, value) for name, series in metrics.items() for shown, value in series
             if all(word in name for word in words)
             and all(shown.get(key) == wanted for key, wanted in labels.items())]
    assert found, f"no metric named like {words} in {sorted(metrics)}"
    return sum(value for _, value in found)


@pytest.mark.matrix
def test_j1_j2_health_and_readiness(scene, running):
    for path in ("/healthz", "/health", "/health/live", "/readyz", "/ready", "/health/ready"):
        assert running.get(path)[0] == 200, path
    code, body = running.get("/readyz")
    assert [(entry["name"], entry["state"]) for entry in body["pipelines"]] == [
        ("all", "STREAMING")]
    running.command("all", "pause")
    assert running.get("/readyz")[1]["pipelines"][0]["state"] == "PAUSED"
    running.command("all", "resume")
    scene.server.kill_walsender(scene.slot)
    wait_until(lambda: running.get("/readyz")[0] == 503 or running.source()["reconnects"] == 1, 10)
    wait_until(lambda: running.get("/readyz")[0] == 200, 30)
    assert code == 200


def test_j1_liveness_fails_when_every_pipeline_has_failed(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
    conf = scene.conf(targets=[{"name": "pipe", "type": "stdout"}],
                      buffer={"max_events": 10, "policy": "error"}, batch={"max_events": 5})
    engine = scene.engine(conf, pipe=True).start()
    for i in range(300):
        scene.sql("INSERT INTO t VALUES (%s, repeat('x', 500))", i)
    engine.wait_state("all", "ERROR")
    code, body = engine.get("/healthz")
    assert code == 503 and body["failed_pipelines"][0]["name"] == "all"
    assert engine.get("/readyz")[0] == 503
    # Still there for inspection.
    assert pgfan("status", "-c", engine.conf_path).returncode == 0
    engine.reader.release()


@pytest.mark.matrix
def test_j4_j7_metrics_parse_and_add_up(scene, running):
    scene.sql("INSERT INTO t SELECT i, 'x' FROM generate_series(1, 100) i; UPDATE t SET v = 'y';"
              "DELETE FROM t WHERE id <= 50; TRUNCATE t")
    scene.caught_up()
    counters = running.pipeline()["status"]["counters"]
    assert (counters["inserts"], counters["updates"], counters["deletes"],
            counters["truncates"]) == (100, 100, 50, 1)
    assert counters["read"] == 251 == counters["delivered"] + counters["gap"] + (
        counters["filtered"] + counters["pending"])
    metrics = running.metrics()
    assert metrics and all(re.match(r"pgfan_|process_", name) for name in metrics), metrics.keys()
    assert total(metrics, "read", pipeline="all") >= 251
    assert scene.records().count() == 251


def test_j11_every_error_has_a_code_and_a_message(running):
    for method, path, status in (("GET", "/nope", 404), ("POST", "/healthz", 405),
                                 ("DELETE", "/pipelines/all", 405), ("GET", "/pipelines/x", 404),
                                 ("POST", "/pipelines/x/pause", 404),
                                 ("GET", "/pipelines/%zz", 400)):
        found, body = running.request(method, path)
        assert found == status, (method, path, found, body)
        assert set(body) >= {"code", "message"} and re.fullmatch(r"[A-Z_]+", body["code"])
        assert not body["message"].endswith(".")


def raw(engine, request):
    """What the socket answers to these bytes, until it closes or a second passes."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(3)
        peer.connect(str(engine.socket_path))
        peer.sendall(request)
        answer = b""
        try:
            while chunk := peer.recv(65536):
                answer += chunk
                if b"\r\n\r\n" in answer:
                    break
        except (TimeoutError, ConnectionError):
            pass
        return answer


@pytest.mark.parametrize("request_bytes", [
    b"POST /pipelines/all/pause HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /pipelines/all/pause HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
    b"Content-Length: 5\r\n\r\n",
    b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20000 + b"\r\n",
    b"\x16\x03\x01\x00\x00", b"GET / HTTP/9.9\r\n\r\n"],
    ids=["both lengths", "two lengths", "long line", "many headers", "tls", "http 9"])
def test_requests_that_no_client_sends_are_refused(running, request_bytes):
    try:
        answer = raw(running, request_bytes)
    except (BrokenPipeError, ConnectionError):
        answer = b""  # closed before all of it was sent: refused as well
    assert not re.match(rb"HTTP/1\.\d 2", answer), answer[:200]
    assert running.state() == "STREAMING" and running.get("/healthz")[0] == 200


def test_many_slow_connections_do_not_lock_others_out(running):
    peers = []
    for _ in range(30):
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(str(running.socket_path))
        peer.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
        peers.append(peer)
    assert running.get("/healthz")[0] == 200
    for peer in peers:
        peer.close()


def test_the_socket_is_private_and_tcp_is_off_by_default(scene, running):
    assert running.socket_path.stat().st_mode & 0o007 == 0
    inodes = {os.readlink(f"/proc/{running.child.pid}/fd/{fd}")
              for fd in os.listdir(f"/proc/{running.child.pid}/fd")}
    with open("/proc/net/tcp", encoding="ascii") as table:
        listening = [line.split()[9] for line in table if line.split()[3] == "0A"]
    assert not any(f"socket:[{inode}]" in inodes for inode in listening)


def test_a_probe_is_answered_while_a_verb_waits(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
    conf = scene.conf(targets=[{"name": "out", "type": "stdout"}])
    engine = scene.engine(conf, pipe=True).start()
    scene.sql("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 1000) i")
    wait_until(lambda: engine.pipeline()["status"]["counters"]["pending"] > 0)
    answers = []
    verb = threading.Thread(target=lambda: answers.append(
        engine.request("POST", "/pipelines/all/stop", timeout=30)))
    verb.start()
    slowest = 0
    while not answers:  # the stop of a target that takes nothing waits for some seconds
        begun = time.monotonic()
        assert engine.get("/healthz")[0] == 200
        slowest = max(slowest, time.monotonic() - begun)
    assert slowest < 1, (slowest, answers)
    engine.reader.release()
    verb.join()
    assert answers[0][0] in (200, 503), answers


def test_tcp_serves_only_get_and_checks_host(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    port = process.free_port()
    conf = confs.changed(scene.conf(), "api", {"listen": f"127.0.0.1:{port}"})
    scene.engine(conf).start()

    def ask(method, path, host):
        with socket.create_connection(("127.0.0.1", port), 5) as peer:
            peer.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
                         "Content-Length: 0\r\n\r\n".encode())
            return int(peer.makefile("rb").readline().split()[1])

    assert ask("GET", "/healthz", f"127.0.0.1:{port}") == 200
    assert ask("GET", "/healthz", "evil.example") in (400, 403, 421)
    assert ask("POST", "/pipelines/all/pause", f"127.0.0.1:{port}") in (403, 405)


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_j13_logs_are_one_line_an_event_in_both_forms(scene, form):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    engine = scene.engine(scene.conf(), arguments=["--log-format", form]).start()
    engine.command("all", "pause")
    engine.command("all", "resume")
    scene.server.kill_walsender(scene.slot)
    wait_until(lambda: engine.source()["reconnects"] == 1, 30)
    engine.stop()
    lines = engine.stderr().splitlines()
    parsed = [parse_line(line) for line in lines]
    assert all(line.startswith("{") == (form == "json") for line in lines), lines[:3]
    for fields in parsed:
        assert {"level", "msg"} <= set(fields) and ("time" in fields or "ts" in fields), fields
        assert fields["level"] in ("debug", "info", "warn", "error")
    said = " ".join(lines)
    for state in ("PAUSED", "STREAMING"):
        assert state in said, "each change of state is a line"


def test_j13_the_level_can_be_changed_while_running(scene, running):
    code, _ = running.request("POST", "/log-level", body=json.dumps({"level": "debug"}),
                              headers={"Content-Type": "application/json"})
    assert code == 200
    assert running.status()["log_level"] == "debug"
    code, body = running.request("POST", "/log-level", body='{"level":"loud"}',
                                 headers={"Content-Type": "application/json"})
    assert code == 400 and body["code"]


@pytest.mark.matrix
def test_secrets_and_values_appear_nowhere(own_scene):
    secret = "S3CR3T-4f9d1c"
    scene = own_scene()
    (scene.server.data / "pg_hba.conf").write_text(
        "local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    scene.server.sql("postgres", f"CREATE ROLE cdc LOGIN SUPERUSER PASSWORD '{secret}'")
    scene.server.restart()
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, email text UNIQUE)")
    conf = confs.changed(scene.conf(), "sources.db.dsn", scene.server.dsn(
        scene.database, user="cdc", tcp=True, password=secret))
    engine = scene.engine(conf, arguments=["--log-level", "debug"]).start()
    scene.sql("INSERT INTO t VALUES (1, 'ROWVALUE-77')")
    scene.caught_up()
    scene.server.kill_walsender(scene.slot)
    wait_until(lambda: engine.source()["reconnects"] == 1, 30)
    seen = [engine.stderr(), json.dumps(engine.status()), engine.get("/metrics")[1],
            json.dumps(engine.get("/pipelines")[1]), pgfan("config", "-c", engine.conf_path).stdout,
            pgfan("status", "-c", engine.conf_path).stdout]
    with open(f"/proc/{engine.child.pid}/cmdline", encoding="utf-8") as command:
        seen.append(command.read())
    engine.stop()
    seen += [path.read_bytes().decode("latin-1") for path in engine.data_dir.rglob("*")
             if path.is_file()]
    for text in seen:
        assert secret not in text
    assert "ROWVALUE-77" not in engine.stderr()


def test_status_without_an_engine_says_so(scene):
    engine = Engine(scene.conf(), scene.directory / "none")
    done = pgfan("status", "-c", engine.conf_path)
    assert done.returncode != 0 and "pgfan run" in done.stderr


def test_the_engine_runs_over_tls(own_scene):
    scene = own_scene(tls=True)
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    tls = {"tcp": True, "sslmode": "verify-full", "sslrootcert": scene.server.data / "server.crt"}

    def conf(**more):
        return confs.changed(scene.conf(), "sources.db.dsn",
                             scene.server.dsn(scene.database, **{**tls, **more}))

    # Nobody asks this role for a password, so there is nothing to bind to the session.
    engine = scene.engine(conf())
    done = pgfan("check", "--online", "-c", engine.conf_path)
    assert done.returncode != 0
    assert "CHANNEL_BINDING" in done.stdout + done.stderr, done.stdout + done.stderr
    assert "channel_binding=prefer" in done.stdout + done.stderr
    engine.rewrite(conf(channel_binding="prefer"))
    assert pgfan("check", "--online", "-c", engine.conf_path).returncode == 0
    # Only verify-full requires it.
    engine.rewrite(conf(sslmode="require"))
    assert pgfan("check", "--online", "-c", engine.conf_path).returncode == 0
    scene.sql("SET password_encryption = 'scram-sha-256'; CREATE ROLE scram LOGIN SUPERUSER "
              "PASSWORD 'secret'; SET password_encryption = 'md5'; CREATE ROLE old LOGIN SUPERUSER "
              "PASSWORD 'secret'")
    (scene.server.data / "pg_hba.conf").write_text(
        "local all postgres trust\nhost all scram all scram-sha-256\nhost all old all md5\n"
        "host all postgres all trust\n")
    scene.server.sql("postgres", "SELECT pg_reload_conf()")
    engine.rewrite(conf(user="old", password="secret"))
    assert pgfan("check", "--online", "-c", engine.conf_path).returncode != 0
    engine.rewrite(conf(user="scram", password="secret"))
    engine.start()
    scene.sql("INSERT INTO t SELECT generate_series(1, 1000)")
    assert len(scene.wait_records(1000)) == 1000
    assert scene.sql("SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_replication r USING (pid) "
                     "WHERE s.ssl") == [(1,)]
    assert engine.source()["insecure_tls"] is False
    engine.stop()
    engine.rewrite(confs.changed(conf(user="scram", password="secret"), "sources.db.insecure_tls",
                                 True))
    engine.start()
    assert engine.source()["insecure_tls"] is True
