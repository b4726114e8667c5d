"""The envelope `cloudevents` over files and HTTP, in both modes.

The oracle of what a CloudEvent is, is the npm package `cloudevents`; that of the data a target of the
same pipeline with the native envelope."""

import json
import subprocess
import urllib.parse

import pytest

from pgfan_test import process
from pgfan_test.engine import pgfan
from pgfan_test.receiver import Receiver
from pgfan_test.server import lsn
from pgfan_test.wait import wait_until

NODE_MODULES = process.ROOT / ".deps/node/node_modules"
PARSE = """
const {HTTP, CloudEvent} = require(process.argv[1] + '/cloudevents');
const messages = JSON.parse(require('fs').readFileSync(0));
console.log(JSON.stringify(messages.map((message) => {
  try {
    const parsed = HTTP.toEvent(message);
    const events = Array.isArray(parsed) ? parsed : [parsed];
    events.forEach((event) => new CloudEvent({...event}, true).validate());
    return events;
  } catch (error) { return String(error); }
})));
"""
ODD = 'O\'dd "täble" 100%\n\U0001f600'
ODD_SUBJECT = 'public.O\'dd "täble" 100%\ufffd\U0001f600'
STRUCTURED = "application/cloudevents+json; charset=utf-8"
BATCH = "application/cloudevents-batch+json; charset=utf-8"
TYPES = {"c": "change.create", "u": "change.update", "d": "change.delete", "t": "change.truncate",
         "m": "message", "begin": "transaction.begin", "commit": "transaction.commit"}


def parse(messages):
    """The events of each message, as the SDK reads them."""
    done = subprocess.run(["node", "-e", PARSE, NODE_MODULES], input=json.dumps(messages), text=True,
                          capture_output=True, timeout=60, check=True)
    parsed = json.loads(done.stdout)
    assert all(isinstance(events, list) for events in parsed), parsed
    return parsed


def parse_one(messages):
    return [event for events in parse(messages) for event in events]


@pytest.fixture
def receivers(directory):
    """A function that makes an endpoint of this test."""
    made = []

    def make(name="hook", **options):
        made.append(Receiver(directory, name, **options))
        return made[-1]

    yield make
    for receiver in made:
        receiver.stop()


def file_target(scene, name, **more):
    return {"name": name, "type": "file", "path": f"{scene.directory}/{name}.jsonl", **more}


def cloud_file(scene, name="cloud", **more):
    return file_target(scene, name, format="cloudevents", **more)


def http(receiver, name, **more):
    return {"name": name, "type": "http", "url": receiver.url("/" + name), "allow_private": True,
            "allow_http": True, "format": "cloudevents", **more}


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def every_operation(scene):
    """A table of each kind of name, and the events of all that the stream has."""
    for name in ("t", ODD):
        scene.sql(f"CREATE TABLE {quoted(name)} (id int PRIMARY KEY, v text, j jsonb)")


def change_everything(scene):
    for name in ("t", ODD):
        table = quoted(name)
        scene.sql(f"INSERT INTO {table} VALUES (1, 'é\"\\', '{{\"a\": [1, 2]}}'), (2, NULL, NULL)")
        scene.sql(f"UPDATE {table} SET id = 3 WHERE id = 2")
        scene.sql(f"DELETE FROM {table} WHERE id = 1")
        scene.sql(f"TRUNCATE {table}")
    scene.sql("SELECT pg_logical_emit_message(true, 'app', 'text')")
    scene.sql("SELECT pg_logical_emit_message(true, 'app', '\\xff00'::bytea)")
    scene.sql("SELECT pg_logical_emit_message(false, 'app', 'outside')")


def subject_of(native):
    if "table" not in native:
        return None
    return native["table"] if native["table"] == "public.t" else ODD_SUBJECT


def expected(native, source="/pgfan/db"):
    """The CloudEvent that says the same as an event of the native envelope."""
    members = ("key", "before", "after", "unchanged", "cascade", "restart_identity", "prefix",
               "content", "encoding", "transactional", "txid")
    event = {
        "id": native["id"], "source": source, "specversion": "1.0",
        "type": "io.pgfan." + TYPES[native["op"]], "subject": subject_of(native),
        "time": native["ts"], "datacontenttype": "application/json", "lsn": native["lsn"],
        "data": {name: native[name] for name in members if name in native}}
    if "seq" in native:
        place = f"{lsn(native['lsn']):016x}"
        event["seq"] = str(native["seq"])
        event["sequence"] = place if native["seq"] < 0 else f"{place}-{native['seq']:016x}"
    if native.get("key"):
        event["partitionkey"] = json.dumps(native["key"], separators=(",", ":"))
    return {name: value for name, value in event.items() if value is not None}


def wait_same(scene, count, native="native"):
    """Waits for the events of the native target, and returns what they are as CloudEvents."""
    return [expected(event) for event in scene.wait_records(count, native)]


def assert_same(parsed, wanted):
    """The SDK keeps milliseconds of a time, and gives an event without one that of its arrival."""
    assert len(parsed) == len(wanted)
    for event, other in zip(parsed, wanted):
        time = other.get("time", event["time"])
        assert event == {**other, "time": time[:23].removesuffix("Z") + "Z"}


def decoded(event):
    """The SDK leaves the percent-encoding of headers as it is."""
    return {name: urllib.parse.unquote(value) if isinstance(value, str) and name != "source"
            else value for name, value in event.items()}


EVENTS = 13  # of change_everything()


def test_file_has_structured_events(scene):
    every_operation(scene)
    scene.engine(scene.conf(messages=["%"], targets=[file_target(scene, "native"),
                                                     cloud_file(scene)])).start()
    change_everything(scene)
    wanted = wait_same(scene, EVENTS)
    events = scene.wait_records(EVENTS, "cloud")
    assert events == wanted
    assert len({(event["source"], event["id"]) for event in events}) == EVENTS
    assert {event["type"].removeprefix("io.pgfan.") for event in events} == {
        TYPES[op] for op in "cudtm"}
    inside = [event["sequence"] for event in events]
    assert inside == sorted(inside) and len(set(inside)) == EVENTS
    first = list(json.loads(next(iter(scene.records("cloud").lines()))))
    assert first == ["id", "source", "specversion", "type", "subject", "time", "datacontenttype",
                     "lsn", "seq", "sequence", "partitionkey", "data"]
    parsed = parse_one([{"headers": {"content-type": STRUCTURED}, "body": line.decode()}
                        for line in scene.records("cloud").lines()])
    assert_same(parsed, wanted)


def test_file_has_marks_of_transactions(scene):
    every_operation(scene)
    scene.engine(scene.conf(targets=[
        file_target(scene, "native", transactions=True),
        cloud_file(scene, transactions=True)])).start()
    scene.sql("INSERT INTO t VALUES (1), (2)")
    wanted = wait_same(scene, 4)
    events = scene.wait_records(4, "cloud")
    assert events == wanted and events[0]["type"] == "io.pgfan.transaction.begin"
    assert len(parse_one([{"headers": {"content-type": STRUCTURED}, "body": json.dumps(event)}
                          for event in events])) == 4


def test_compat_debezium_has_its_attributes(scene):
    every_operation(scene)
    scene.engine(scene.conf(targets=[cloud_file(scene, cloudevents={"compat": "debezium"})])).start()
    scene.sql("INSERT INTO t VALUES (1), (2)")
    events = scene.wait_records(2, "cloud")
    fields = ("version connector name tsms snapshot db sequence tsus tsns schema table txId lsn xmin "
              "origin originlsn txid txtotalorder txdatacollectionorder").split()
    for event in events:
        assert list(event) == ["id", "source", "specversion", "type", "time", "datacontenttype",
                               "iodebeziumop", *("iodebezium" + field for field in fields), "data"]
        assert event["source"] == "/debezium/postgresql/db" and event["iodebeziumtable"] == "t"
        assert len(event["time"]) == 24 and event["iodebeziumtsms"] == event["iodebeziumtsus"][:-3]
    assert events[0]["id"] != events[1]["id"]
    assert [event["data"] for event in events] == [
        {"before": None, "after": {"id": i, "v": None, "j": None}} for i in (1, 2)]


def test_http_receives_both_modes(scene, receivers):
    every_operation(scene)
    hook = receivers()
    scene.engine(scene.conf(messages=["%"], targets=[
        file_target(scene, "native"),
        http(hook, "binary", mode="single", cloudevents={"mode": "binary"}),
        http(hook, "packed", mode="single", compression="gzip", cloudevents={"mode": "binary"}),
        http(hook, "single", mode="single"), http(hook, "batch"),
        http(hook, "lines", body="ndjson")])).start()
    change_everything(scene)
    wanted = wait_same(scene, EVENTS)
    wait_until(lambda: len(hook.events()) >= 5 * EVENTS, 30, "every target has sent everything")
    requests = {name: [request for request in hook.requests() if request["path"] == "/" + name]
                for name in ("binary", "packed", "single", "batch", "lines")}
    types = {name: {request["headers"]["content-type"] for request in list_}
             for name, list_ in requests.items()}
    assert types == {"binary": {"application/json"}, "packed": {"application/json"},
                     "single": {STRUCTURED}, "batch": {BATCH}, "lines": {"application/x-ndjson"}}
    messages = {name: [{"headers": request["headers"], "body": request["text"]}
                       for request in list_] for name, list_ in requests.items()}
    for name in ("single", "batch"):
        assert_same(parse_one(messages[name]), wanted)
    for name in ("binary", "packed"):
        assert_same([decoded(event) for event in parse_one(messages[name])], wanted)
    assert [event for request in requests["lines"] for event in request["taken"]] == wanted
    for request in requests["binary"]:
        headers = {name: value for name, value in request["headers"].items() if "ce-" in name}
        assert all(" " < byte <= "~" for value in headers.values() for byte in value)
        assert "ce-datacontenttype" not in headers
        assert headers["ce-id"] == request["headers"]["webhook-id"]
        assert ("ce-time" in headers) == (headers["ce-seq"] != "-1")


def test_replayed_letter_in_binary_mode_has_its_attributes(scene, receivers):
    every_operation(scene)
    hook = receivers()
    hook.poison.add("needle")
    engine = scene.engine(scene.conf(targets=[
        file_target(scene, "native"),
        http(hook, "hook", mode="single", cloudevents={"mode": "binary"})])).start()
    scene.sql("INSERT INTO t VALUES (1, 'needle')")
    wanted = wait_same(scene, 1)
    scene.caught_up()
    refused = hook.requests()
    hook.poison.clear()
    assert "1 succeeded, 0 failed" in pgfan("dlq", "replay", "-c", engine.conf_path).stdout
    replayed = hook.requests()[len(refused):]
    messages = [{"headers": request["headers"], "body": request["text"]}
                for request in refused[:1] + replayed]
    assert_same([decoded(event) for event in parse_one(messages)], wanted * 2)


def test_file_cannot_have_binary_mode(scene):
    conf = scene.conf(targets=[cloud_file(scene, cloudevents={"mode": "binary"})])
    engine = scene.engine(conf)
    path = scene.directory / "binary.yaml"
    path.write_text(json.dumps(conf))
    path.chmod(0o600)
    done = pgfan("check", "-c", path)
    assert done.returncode != 0 and "has no headers" in done.stdout + done.stderr
    assert not engine.running
