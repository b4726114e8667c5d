"""registry.py - a schema registry that is not ours (Apicurio, in memory), and what its schemas say of
messages, read with Apache's Avro for Python.

    registry = Registry(directory).start()
    registry.decode(message)           # (the schema's number, the value as plain JSON data)
    registry.stop(); registry.start()  # the same port, and nothing in it
"""

import base64
import io
import json
import pathlib
import urllib.error
import urllib.request

import avro.io
import avro.schema

from .process import ROOT, free_port, spawn, stop
from .wait import wait_until

HOME = ROOT / ".deps" / "registry"
TYPE = "application/vnd.schemaregistry.v1+json"


def plain(schema):
    """The same schema without logical types: values stay what the wire has."""
    if isinstance(schema, dict):
        return {key: plain(value) for key, value in schema.items() if key != "logicalType"}
    return [plain(part) for part in schema] if isinstance(schema, list) else schema


def as_json(value):
    """As Connect's JSON has it: octets as base64, NaN and infinities as strings."""
    if isinstance(value, dict):
        return {key: as_json(part) for key, part in value.items()}
    if isinstance(value, list):
        return [as_json(part) for part in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value


class Registry:
    def __init__(self, directory, port=None):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port, self.child = port or free_port(), None
        self.url = f"http://127.0.0.1:{self.port}/apis/ccompat/v7"
        self.known = {}

    def start(self, timeout=120):
        (jar,) = HOME.glob("*-runner.jar")
        log = (self.directory / "registry.log").open("ab")
        self.child = spawn(["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                            "-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={self.port}",
                            "-jar", jar], stdout=log, stderr=log, cwd=self.directory)
        wait_until(lambda: self.child.poll() is not None or self.answers(), timeout,
                   "the registry runs")
        assert self.child.poll() is None, (self.directory / "registry.log").read_text()[-2000:]
        self.known = {}
        return self

    def answers(self):
        try:
            self.ask("/subjects")
        except OSError:
            return False
        return True

    def ask(self, path, method="GET", body=None):
        """The answer's JSON; urllib.error.HTTPError for anything but 2xx."""
        request = urllib.request.Request(self.url + path, method=method,
                                         headers={"content-type": TYPE},
                                         data=None if body is None else json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def schema(self, number):
        if number not in self.known:
            text = self.ask(f"/schemas/ids/{number}")["schema"]
            self.known[number] = avro.schema.make_avsc_object(
                plain(json.loads(text)), avro.schema.Names(), validate_enum_symbols=False)
        return self.known[number]

    def decode(self, message):
        assert message[0] == 0
        number = int.from_bytes(message[1:5], "big")
        rest = io.BytesIO(message[5:])
        value = avro.io.DatumReader(self.schema(number)).read(avro.io.BinaryDecoder(rest))
        assert rest.read() == b""
        return number, as_json(value)

    def stop(self):
        if self.child is not None:
            stop(self.child, timeout=60)
            self.child = None
