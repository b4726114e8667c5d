"""kafka.py - P3: P1's backlog to one topic of Kafka, beside librdkafka alone sending the same bytes.

The broker, PostgreSQL and the client share the cores. pgfan's time is from exec until its target says
that everything is delivered; the other side's from exec to its end, when every record has its report.

Each run has a topic of its own, which the broker creates: librdkafka alone then waits a second for it.
Two more lines say what that hides: the same into one topic that is there, and beside pgfan with a target
that does nothing, which is what the walsender gives on these cores.
"""

import collections
import json
import os
import shutil
import subprocess
import time

from pgfan_test.engine import UnixConnection
from pgfan_test.kafka import Broker

from .clients import Pgfan, file_target, pipeline
from .drain import TIMEOUT, Files, check, pairs_of
from .procs import BenchError, Child, wait_until
from .report import Line
from .world import Orders

BATCH = {"max_events": 10000}


def records(world, broker, topic):
    """How many records a topic holds."""
    child = Child([world.build / "tests/tools/kafkaread", "--count", broker.brokers, topic],
                  stdout=subprocess.PIPE)
    usage = child.wait(60)
    text = child.process.stdout.read()
    child.process.stdout.close()
    if usage.status != 0:
        raise BenchError(f"cannot count the records of {topic}")
    return int(text)


def delivered(client):
    connection = UnixConnection(client.socket, 5)
    try:
        connection.request("GET", "/pipelines/all")
        status = json.loads(connection.getresponse().read())["status"]
        return status["counters"]["delivered"]
    except (OSError, KeyError, ValueError):
        return 0  # it is not that far
    finally:
        connection.close()


def sample(backlog, seconds, usage, events):
    return {"seconds": round(seconds, 3), "cpu": round(usage.cpu, 3), "events": events,
            "rate": round(backlog.events / seconds)}


def pgfan(world, backlog, target, is_over):
    directory = world.dir / "p3"
    shutil.rmtree(directory, ignore_errors=True)
    slot = world.copy_slot(backlog.database, backlog.slot, f"{backlog.slot}_run")
    client = Pgfan(world, directory, world.dsn(backlog.database), slot,
                   [{**pipeline("all", backlog.tables, target), "batch": BATCH}])
    try:
        child = client.start()
        wait_until(lambda: is_over(client), TIMEOUT, "everything is delivered", child=child)
        seconds = time.monotonic() - child.started
        return seconds, client.stop()
    finally:
        if client.child is not None:
            client.child.kill()
        world.drop_slot(slot)


def p3(world):
    backlog = world.backlog(Orders)
    world.make("bench/kafkasend", "tests/tools/kafkaread")
    os.environ["PGFAN_BUILD"] = str(world.build)  # where the broker's tools are
    lines = world.dir / "p3.jsonl"
    cpu_of_file = []
    broker = Broker(world.dir / "kafka").start()
    numbers = iter(range(1000))
    held = collections.Counter()  # records of a topic before the next run

    def to_file():
        lines.unlink(missing_ok=True)
        files = Files([lines])
        _, usage = pgfan(world, backlog, file_target("out", lines), lambda _: files.all_ended())
        return usage.cpu

    def all_delivered(client):
        return delivered(client) >= backlog.events

    def checked(topic, name, seconds, usage):
        before, held[topic] = held[topic], records(world, broker, topic)
        return check(sample(backlog, seconds, usage, held[topic] - before), backlog.events, name)

    def ours(topic):
        target = {"name": "bus", "type": "kafka", "brokers": [broker.brokers], "topic": topic,
                  "id_header": ""}
        return checked(topic, "pgfan", *pgfan(world, backlog, target, all_delivered))

    def theirs(topic):
        child = Child([world.build / "bench/kafkasend", broker.brokers, topic, lines],
                      stdout=subprocess.DEVNULL)
        usage = child.wait(TIMEOUT)
        seconds = time.monotonic() - child.started
        if usage.status != 0:
            raise BenchError("kafkasend did not deliver everything")
        return checked(topic, "kafkasend", seconds, usage)

    def nowhere():
        seconds, usage = pgfan(world, backlog, {"name": "out", "type": "null"}, all_delivered)
        return sample(backlog, seconds, usage, backlog.events)

    def beside_file():
        cpu_of_file.append(to_file())
        return ours(new())

    def new():
        return f"new{next(numbers)}"

    try:
        to_file()
        theirs("there")  # the broker has run before, and the topic is there
        pairs = pairs_of(world, "P3", beside_file, lambda: theirs(new()))
        there = pairs_of(world, "P3, the topic is there", lambda: ours("there"),
                         lambda: theirs("there"))
        source = pairs_of(world, "P3, no target", lambda: ours("there"), nowhere)
    finally:
        broker.stop()
    return [
        Line("P3", f"backlog of {backlog.events:,} events to Kafka: events/s beside librdkafka alone "
             "with the same bytes", ratios(pairs), ">=", 0.7, reach=0.9, runs=pairs),
        Line("P3", "the same: client CPU beside the file target's",
             [a["cpu"] / cpu for (a, _), cpu in zip(pairs, cpu_of_file)], "<=", 2.0),
        Line("P3", "the same, to a topic that is there: events/s beside librdkafka alone",
             ratios(there), runs=there),
        Line("P3", "the same: events/s beside pgfan's own to a target that does nothing",
             ratios(source), runs=source)]


def ratios(pairs):
    return [a["rate"] / b["rate"] for a, b in pairs]
