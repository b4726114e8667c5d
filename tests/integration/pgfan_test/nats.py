"""nats.py - a throw-away NATS server with JetStream, and a client of a few lines that is not the engine's.

    server = NatsServer(directory).start()
    server.add_stream("CDC", ["cdc.>"])
    server.messages("CDC")                  # [(subject, {header: value}, body)]
"""

import base64
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess

from . import process
from .wait import wait_until

BINARY = shutil.which("nats-server", path=os.environ.get("PATH", "") + ":/usr/sbin")


class Client:
    """One connection; only requests, one after the other."""

    def __init__(self, port, login=None, tls=None):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.stream = self.socket.makefile("rb")
        assert self.stream.readline().startswith(b"INFO")
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
            self.stream = self.socket.makefile("rb")
        options = {"verbose": False, "headers": True, "no_responders": True, "protocol": 1,
                   **(login or {})}
        self._send(b"CONNECT " + json.dumps(options).encode() + b"\r\nSUB in.* 1\r\nPING\r\n")
        assert self.stream.readline().strip() == b"PONG"

    def _send(self, data):
        self.socket.sendall(data)

    def request(self, subject, body=b""):
        self._send(b"PUB %s in.1 %d\r\n%s\r\n" % (subject.encode(), len(body), body))
        while True:
            words = self.stream.readline().split()
            if not words:
                raise ConnectionError("the server went away")
            if words[0] in (b"MSG", b"HMSG"):
                data = self.stream.read(int(words[-1]) + 2)[:-2]
                head = data[:int(words[-2])] if words[0] == b"HMSG" else b""
                return head, data[len(head):]
            if words[0] == b"PING":
                self._send(b"PONG\r\n")
            assert words[0] != b"-ERR", words

    def close(self):
        self.stream.close()
        self.socket.close()


class NatsServer:
    """A server in a directory of its own, on a free loopback port."""

    def __init__(self, directory, name="nats", tls=None, users="", **settings):
        self.directory = pathlib.Path(directory) / name
        self.directory.mkdir()
        self.port = process.free_port()
        self.settings, self.users, self.tls, self.child = settings, users, tls, None
        self.login = {}
        self._client = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self, timeout=30, ready=True):
        lines = [f"listen: 127.0.0.1:{self.port}",
                 f'jetstream: {{store_dir: "{self.directory}"}}', self.users]
        if self.tls:
            certificate, key, authority = self.tls
            lines.append(f'tls: {{cert_file: "{certificate}", key_file: "{key}", '
                         f'ca_file: "{authority}", verify: true}}')
        lines += [f"{key}: {value}" for key, value in self.settings.items()]
        conf = self.directory / "nats.conf"
        conf.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.child = process.spawn([BINARY, "-c", conf], stderr=subprocess.STDOUT,
                                   stdout=(self.directory / "nats.log").open("ab"))
        if ready:
            wait_until(lambda: self.api("INFO")["memory"] >= 0, timeout, "JetStream answers")
        return self

    def stop(self, how=signal.SIGTERM):
        if self._client:
            self._client.close()
            self._client = None
        if self.child is not None and self.child.poll() is None:
            process.stop(self.child, how)

    def kill9(self):
        self.stop(signal.SIGKILL)

    def _tls_context(self):
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=str(self.tls[2]))
        context.load_cert_chain(*map(str, self.tls[:2]))
        return context

    def api(self, verb, body=None):
        """A request to the JetStream API. A connection that fails is made anew by the next one."""
        assert self.child.poll() is None, (self.directory / "nats.log").read_text()
        try:
            self._client = self._client or Client(self.port, self.login, self._tls_context())
            _, raw = self._client.request(f"$JS.API.{verb}", json.dumps(body or {}).encode())
        except Exception:
            self._client = None
            raise
        answer = json.loads(raw)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def add_stream(self, name, subjects, **more):
        self.api(f"STREAM.CREATE.{name}", {"name": name, "subjects": subjects, "storage": "file",
                                           "retention": "limits", "num_replicas": 1, **more})

    def count(self, name):
        return self.api(f"STREAM.INFO.{name}")["state"]["messages"]

    def messages(self, name):
        """[(subject, {header: value}, event)] in the stream's order."""
        state, found = self.api(f"STREAM.INFO.{name}")["state"], []
        for sequence in range(state["first_seq"], state["last_seq"] + 1):
            message = self.api(f"STREAM.MSG.GET.{name}", {"seq": sequence})["message"]
            lines = base64.b64decode(message.get("hdrs", "")).decode().split("\r\n")[1:]
            headers = dict(line.split(": ", 1) if ": " in line else line.split(":", 1)
                           for line in lines if line)
            found.append((message["subject"], headers,
                          json.loads(base64.b64decode(message["data"]))))
        return found

    def events(self, name):
        return [event for _, _, event in self.messages(name)]
