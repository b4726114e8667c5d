"""kafka.py - Apache Kafka itself, one KRaft node on loopback, and what its topics hold.

    broker = Broker(directory).start()
    broker.read("cdc.")                # [Record, ...] of every topic that begins so, now
    broker.kill(); broker.start()      # the same ports, the same logs

PGFAN_TEST_KAFKA picks the version, as .deps/kafka/<version> has it.
"""

import collections
import json
import os
import pathlib
import signal
import subprocess

from .process import ROOT, free_ports, spawn, stop
from .wait import wait_until

DEPS = ROOT / ".deps" / "kafka"
Record = collections.namedtuple("Record", "topic partition offset key value headers")


def versions():
    return sorted(path.name for path in DEPS.iterdir()) if DEPS.exists() else []


def run(tool, *words):
    """A tool of tests/tools: what it prints."""
    path = ROOT / os.environ.get("PGFAN_BUILD", "build") / "tests" / "tools" / tool
    done = subprocess.run([path, *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(brokers, prefix, committed=False, **properties):
    properties["isolation.level"] = "read_committed" if committed else "read_uncommitted"
    pairs = [f"{name}={value}" for name, value in properties.items()]
    lines = run("kafkaread", brokers, prefix, *pairs).splitlines()
    return [Record(**json.loads(line)) for line in lines]


class Broker:
    """One node, broker and controller; `config` are further lines of its server.properties."""

    def __init__(self, directory, version=None, users=None, **config):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        version = version or os.environ.get("PGFAN_TEST_KAFKA") or versions()[0]
        self.jars = f"{DEPS / version}/*"
        (self.port, self.controller, inner_port), self.child = free_ports(3), None
        self.brokers = f"127.0.0.1:{self.port}"
        client, inner = f"CLIENT://{self.brokers}", f"INNER://127.0.0.1:{inner_port}"
        protocol = "SASL_PLAINTEXT" if users else "PLAINTEXT"
        if users:
            login = " ".join(f'user_{name}="{word}"' for name, word in users.items())
            config["listener.name.client.sasl.enabled.mechanisms"] = "PLAIN"
            config["listener.name.client.plain.sasl.jaas.config"] = (
                f"org.apache.kafka.common.security.plain.PlainLoginModule required {login};")
        self.properties_of_reader = {}
        if users:
            name, word = next(iter(users.items()))
            self.properties_of_reader = {"security.protocol": "sasl_plaintext",
                                         "sasl.mechanism": "PLAIN", "sasl.username": name,
                                         "sasl.password": word}
        self.config = {
            "process.roles": "broker,controller", "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller}",
            "listeners": f"{client},{inner},CONTROLLER://127.0.0.1:{self.controller}",
            "advertised.listeners": f"{client},{inner}", "inter.broker.listener.name": "INNER",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": 
                f"CONTROLLER:PLAINTEXT,INNER:PLAINTEXT,CLIENT:{protocol}",
            "log.dirs": self.directory / "data", "num.partitions": 1,
            "offsets.topic.replication.factor": 1, "offsets.topic.num.partitions": 1,
            "transaction.state.log.replication.factor": 1, "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 1, "group.initial.rebalance.delay.ms": 0,
            "log.cleaner.enable": "false", **config}
        self.properties = self.directory / "server.properties"
        self.properties.write_text("".join(f"{k}={v}\n" for k, v in self.config.items()))
        self.java("kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c",
                  self.properties)

    def java(self, *words):
        done = subprocess.run(["java", "-XX:TieredStopAtLevel=1", "-cp", self.jars,
                               *map(str, words)], capture_output=True, text=True, timeout=120,
                              cwd=self.directory, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, timeout=120):
        log = (self.directory / "broker.log").open("ab")
        self.child = spawn(["java", "-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp",
                            self.jars, "kafka.Kafka", self.properties], stdout=log,
                           stderr=log, cwd=self.directory)
        wait_until(lambda: self.child.poll() is not None or self.answers(), timeout, "Kafka runs")
        assert self.child.poll() is None, (self.directory / "broker.log").read_text()[-2000:]
        return self

    def answers(self):
        try:
            self.read("no such topic")
        except AssertionError:
            return False
        return True

    def read(self, prefix="", committed=False):
        return read(self.brokers, prefix, committed, **self.properties_of_reader)

    def stop(self):
        if self.child is not None:
            stop(self.child, timeout=60)
            self.child = None

    def kill(self):
        stop(self.child, signal.SIGKILL)
        self.child = None
