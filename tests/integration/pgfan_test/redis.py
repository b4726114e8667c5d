"""redis.py - a throw-away Redis server, and a client of a few lines that is not the engine's.

    server = RedisServer(directory).start()
    server.call("XLEN", "pgfan:public.t")
    server.entries("pgfan:public.t")        # [(entry id, {field: value})]

Every write is on disk before it is answered (appendfsync always), so what was answered survives
kill -9.
"""

import json
import pathlib
import signal
import socket

from . import process
from .wait import wait_until


class RedisError(Exception):
    """An error reply."""


class Client:
    """One connection; replies are bytes, ints, lists and None."""

    def __init__(self, path, password=None, username=None):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(path))
        self.stream = self.socket.makefile("rb")
        if password is not None:
            self.call("AUTH", *([username] if username else []), password)

    def call(self, *words):
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(parts) + b"".join(
            b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        return self._reply()

    def _reply(self):
        line = self.stream.readline()
        if not line:
            raise ConnectionError("the server went away")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.stream.read(int(rest) + 2)[:-2]
        return None if rest == b"-1" else [self._reply() for _ in range(int(rest))]

    def close(self):
        self.stream.close()
        self.socket.close()


class RedisServer:
    """A server in a directory of its own, on a unix socket and a free loopback port."""

    def __init__(self, directory, name="redis", tls=None, password=None, **settings):
        self.directory = pathlib.Path(directory) / name
        self.directory.mkdir()
        self.password = password
        self.port = process.free_port()
        self.tls_port = process.free_port() if tls else None
        self.socket_path = self.directory / "redis.sock"
        self.child = None
        self.settings = {"appendonly": "yes", "appendfsync": "always", "save": '""',
                         "bind": "127.0.0.1", "port": self.port, "daemonize": "no",
                         "unixsocket": self.socket_path, "dir": self.directory}
        if password:
            self.settings["requirepass"] = password
        if tls:
            certificate, key, authority = tls
            self.settings.update({
                "tls-port": self.tls_port, "tls-cert-file": certificate, "tls-key-file": key,
                "tls-ca-cert-file": authority, "tls-auth-clients": "optional"})
        self.settings.update({key.replace("_", "-"): value for key, value in settings.items()})

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self, timeout=30):
        conf = self.directory / "redis.conf"
        conf.write_text("".join(f"{key} {value}\n" for key, value in self.settings.items()),
                        encoding="utf-8")
        self.child = process.spawn(["redis-server", conf],
                                   stdout=(self.directory / "redis.log").open("ab"), stderr=-2)
        wait_until(self._answers, timeout, "Redis answers")
        return self

    def _answers(self):
        assert self.child.poll() is None, (self.directory / "redis.log").read_text()
        return self.call("PING") == b"PONG"

    def stop(self, how=signal.SIGTERM):
        if self.child is not None and self.child.poll() is None:
            process.stop(self.child, how)

    def kill9(self):
        self.stop(signal.SIGKILL)

    def call(self, *words, database=0):
        client = Client(self.socket_path, self.password)
        try:
            client.call("SELECT", database)
            return client.call(*words)
        finally:
            client.close()

    def entries(self, stream, database=0):
        """[(entry id, {field: value})] of one stream, in its order."""
        found = []
        for name, fields in self.call("XRANGE", stream, "-", "+", database=database):
            pairs = zip(fields[::2], fields[1::2])
            found.append((name.decode(), {key.decode(): value.decode() for key, value in pairs}))
        return found

    def events(self, stream, field="event"):
        return [json.loads(fields[field]) for _, fields in self.entries(stream)]

    def count(self, stream):
        return self.call("XLEN", stream)
