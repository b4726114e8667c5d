"""receiver.py - takes events over HTTP, keeps each id once, and shows what came.

    receiver.py             listens on port 8080
    receiver.py --count     prints what the one that listens has, by path and operation

GET / answers the counts. What was taken is in /var/lib/webhook/events.jsonl, written and synced
before it is answered; a repetition is answered and not kept.
"""

import collections
import http.server
import json
import os
import sys
import threading
import urllib.request

PORT, FILE = 8080, "/var/lib/webhook/events.jsonl"


class Book:
    """The events that were taken."""

    def __init__(self):
        self.lock, self.ids, self.counts = threading.Lock(), set(), collections.Counter()
        self.file = open(FILE, "a+b")  # pylint: disable=consider-using-with
        self.file.seek(0)
        for line in self.file:
            if line.endswith(b"\n"):
                self.note(**json.loads(line))

    def note(self, path, event):
        self.ids.add((path, event["id"]))
        self.counts[f"{path} {event['op']}"] += 1

    def take(self, path, events):
        with self.lock:
            news = {event["id"]: event for event in events if (path, event["id"]) not in self.ids}
            for event in news.values():
                self.file.write(json.dumps({"path": path, "event": event}).encode() + b"\n")
                self.note(path, event)
            self.file.flush()
            os.fsync(self.file.fileno())
        for event in news.values():
            print(path, event["op"], event.get("table"), event["id"])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Quiet: the events are shown."""

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        with self.server.book.lock:
            counts = dict(sorted(self.server.book.counts.items()))
        self.answer(200, json.dumps(counts).encode() + b"\n")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            events = json.loads(body)
            self.server.book.take(self.path, events if isinstance(events, list) else [events])
        except (ValueError, KeyError, TypeError):
            self.answer(400, b'{"error": "no event"}\n')
            return
        self.answer(200, b"{}\n")


def main():
    if sys.argv[1:] == ["--count"]:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=5) as answer:
            print(answer.read().decode(), end="")
        return
    server = http.server.ThreadingHTTPServer(("", PORT), Handler)
    server.book = Book()
    server.serve_forever()


main()
