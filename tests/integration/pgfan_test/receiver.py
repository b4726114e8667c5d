"""receiver.py - an HTTP endpoint that records every request and misbehaves as it is told.

    receiver = Receiver(directory)
    receiver.answer(status=503, headers={"retry-after": "1"})   # the next request; then back to 200
    receiver.poison.add("needle")                               # 400 if a body holds this word
    receiver.events()                                           # what it has taken, in order

A request is on disk (fsync) before it is answered, so what a sender was told is what is recorded. A
step of the script holds any of

    status, body, headers   of the answer; 200 and "ok" by default
    failed                  {word: retry}: events that hold the word are named as failed
    delay                   seconds before the answer
    drip                    seconds between the bytes of the answer
    act                     reset | close  before the answer, after the request is recorded
                            half           sends half of the answer, then resets
                            hang           says nothing until the peer goes
    accept                  whether the events count as taken when `act` hides the answer
"""

import collections
import gzip
import http.server
import json
import os
import pathlib
import socket
import ssl
import struct
import subprocess
import threading
import time

from .wait import pause, wait_until


def make_certificate(directory, name, common_name="localhost", issuer=None, names=None):
    """(certificate, key): self-signed, or signed by `issuer`, such a pair."""
    directory = pathlib.Path(directory)
    key, certificate = directory / f"{name}.key", directory / f"{name}.crt"
    names = names or "DNS:localhost,IP:127.0.0.1"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
               f"/CN={common_name}", "-addext", f"subjectAltName={names}", "-keyout", str(key),
               "-out", str(certificate)]
    if issuer:
        command += ["-CA", str(issuer[0]), "-CAkey", str(issuer[1]), "-addext",
                    "basicConstraints=critical,CA:false"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return certificate, key


class Receiver:
    """The endpoint; `port` stays the same over down() and up()."""

    def __init__(self, directory, name="receiver", tls=None, client_ca=None, tls_version=None):
        self.path = pathlib.Path(directory) / f"{name}.jsonl"
        self.tls, self.client_ca, self.tls_version = tls, client_ca, tls_version
        self.script, self.poison, self.failed = collections.deque(), set(), {}
        self.lock, self.stopping = threading.Lock(), threading.Event()
        self.log = self.path.open("ab")
        self.server, self.thread, self.port, self.connections = None, None, 0, 0
        self.sockets = set()
        self.up()

    def url(self, path="/", host="127.0.0.1"):
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{path}"

    def answer(self, count=1, **step):
        """The next `count` requests are answered like that."""
        with self.lock:
            self.script.extend([step] * count)

    def up(self):
        self.stopping.clear()
        self.server = _Server(("127.0.0.1", self.port), _Handler)
        self.server.receiver = self
        self.port = self.server.server_address[1]
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*map(str, self.tls))
            if self.tls_version:
                context.set_ciphers("DEFAULT@SECLEVEL=0")
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.maximum_version = self.tls_version
            if self.client_ca:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(str(self.client_ca))
            self.server.context = context
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def down(self):
        """Nobody listens any more, and every connection is cut."""
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        with self.lock:
            for peer in self.sockets:
                _cut(peer)

    def stop(self):
        self.down()
        self.log.close()

    def requests(self):
        """Every recorded request, as a dictionary."""
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]

    def wait_requests(self, count, timeout=30):
        return wait_until(lambda: len(self.requests()) >= count and self.requests(), timeout,
                          f"{count} requests")

    def events(self):
        """Every event that was taken, in order, with its repetitions."""
        return [event for request in self.requests() for event in request["taken"]]

    def decide(self, text, events):
        """The step of this request, and which of its events are taken."""
        with self.lock:
            step = dict(self.script.popleft()) if self.script else {}
        failed = {**self.failed, **step.get("failed", {})}
        if any(word in text for word in self.poison):
            step = {"status": 400, "body": "a poison word"}
        refused = [(event, retry) for event in events for word, retry in failed.items()
                   if word in json.dumps(event)]
        if refused and "status" not in step and "body" not in step:
            step["body"] = json.dumps({"failed": [
                {"id": event["id"], "retry": retry, "error": "asked to"}
                for event, retry in refused]})
        fine = 200 <= step.get("status", 200) < 300 and step.get("accept", True)
        names = [event["id"] for event, _ in refused]
        return step, [event for event in events
                      if fine and not (isinstance(event, dict) and event.get("id") in names)]

    def record(self, request):
        with self.lock:
            self.log.write(json.dumps(request).encode() + b"\n")
            self.log.flush()
            os.fsync(self.log.fileno())


def _cut(peer):
    """Ends a connection that another thread uses."""
    try:
        peer.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _reset(peer):
    """The peer sees ECONNRESET, not the end of a stream."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(peer.detach())  # close() would wait for the files that were made of it


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads, allow_reuse_address, request_queue_size = True, True, 128
    context = None

    def process_request_thread(self, request, client_address):
        # The handshake belongs to the connection's thread: a slow peer holds nobody.
        try:
            if self.context:
                request.settimeout(10)
                request = self.context.wrap_socket(request, server_side=True)
                request.settimeout(None)
        except OSError:
            request.close()
            return
        with self.receiver.lock:
            self.receiver.connections += 1
            self.receiver.sockets.add(request)
        super().process_request_thread(request, client_address)
        with self.receiver.lock:
            self.receiver.sockets.discard(request)

    def handle_error(self, request, client_address):
        """A peer that goes away is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Quiet: the record has it all."""

    def _serve(self):
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        plain = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
        text = plain.decode(errors="replace")
        events = _events_of(self.headers.get("content-type", ""), text)
        step, taken = receiver.decide(text, events)
        receiver.record({"time": time.monotonic(), "method": self.command, "path": self.path, "text": text, "taken": taken,
                         "headers": {k.lower(): v for k, v in self.headers.items()},
                         "size": len(body), "status": step.get("status", 200)})
        self._reply(receiver, step)

    do_POST = do_PUT = do_PATCH = _serve

    def _reply(self, receiver, step):
        if "delay" in step:
            receiver.stopping.wait(step["delay"])
        body = step.get("body", "ok")
        body = body if isinstance(body, bytes) else body.encode()
        headers = {"content-length": len(body), **step.get("headers", {})}
        lines = [f"HTTP/1.1 {step.get('status', 200)} Scripted"]
        answer = "\r\n".join(lines + [f"{k}: {v}" for k, v in headers.items()] + ["", ""])
        answer = answer.encode() + body
        act = step.get("act")
        if act == "hang":
            self.close_connection = True
            while not receiver.stopping.is_set() and self.rfile.read(1):
                pass
        elif act in ("reset", "half"):
            if act == "half":
                self.wfile.write(answer[:len(answer) // 2])
            self.close_connection = True
            _reset(self.connection)
        elif act == "close":
            self.close_connection = True
        elif "drip" in step:
            for byte in answer:
                self.wfile.write(bytes([byte]))
                pause(step["drip"])
        else:
            self.wfile.write(answer)


def _events_of(content_type, text):
    """The events of a body: an array, lines, or one."""
    try:
        if "ndjson" in content_type:
            return [json.loads(line) for line in text.splitlines()]
        value = json.loads(text)
    except ValueError:
        return []
    return value if isinstance(value, list) else [value]
