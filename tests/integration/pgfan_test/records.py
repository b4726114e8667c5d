"""records.py - what a file target holds, read as a follower of the file would read it."""

import json
import os
import pathlib
import re

from .server import lsn


class Records:
    """The events of a file target, its closed segments first. Reads on from where it stood."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def files(self):
        """Closed segments in order, then the live file: out.000001.jsonl, …, out.jsonl."""
        closed = re.compile(rf"{re.escape(self.path.stem)}\.(\d{{6,}}){re.escape(self.path.suffix)}")
        found = []
        for path in self.path.parent.iterdir():
            match = closed.fullmatch(path.name)
            if match:
                found.append((int(match.group(1)), path))
        live = [self.path] if self.path.exists() else []
        return [path for _, path in sorted(found)] + live

    def _unseen(self, seen):
        """(path, inode) of the files not read yet; None when one moved while it was looked at."""
        try:
            found = [(path, path.stat().st_ino) for path in self.files()]
        except FileNotFoundError:
            return None
        return [(path, inode) for path, inode in found if inode not in seen]

    def lines(self):
        """Every whole line. A segment that is closed between listing and opening is found again."""
        seen = set()
        while (unseen := self._unseen(seen)) != []:
            for path, inode in unseen or ():
                try:
                    stream = path.open("rb")
                except FileNotFoundError:
                    break
                with stream:
                    if os.fstat(stream.fileno()).st_ino != inode:
                        break  # the name belongs to the next segment by now
                    seen.add(inode)
                    yield from (line for line in stream if line.endswith(b"\n"))

    def all(self):
        """Every whole event. A last line without its end is still being written."""
        return [json.loads(line) for line in self.lines()]

    def changes(self):
        """Only events of rows and truncates."""
        return [event for event in self.all() if event["op"] in "rcudt"]

    def count(self):
        return sum(1 for _ in self.lines())

    def of(self, table):
        return [event for event in self.changes() if event["table"] == table]


def position(event):
    """What events are ordered by."""
    return lsn(event["lsn"]), event["seq"]


def fold(events, table=None):
    """Rebuilds tables from events: {key as JSON: row}. An unchanged TOASTed value is kept."""
    rows = {}

    def name(event, key):
        return json.dumps(key, sort_keys=True)

    for event in events:
        if table is not None and event.get("table") != table:
            continue
        operation = event["op"]
        if operation == "t":
            rows.clear()
        elif operation == "d":
            rows.pop(name(event, event["key"]), None)
        elif operation in ("c", "r", "u"):
            old = name(event, _old_key(event))
            row = dict(rows.get(old, {})) if operation == "u" else {}
            row.update(event["after"])
            if operation == "u":
                rows.pop(old, None)
            rows[name(event, event["key"])] = row
    return rows


def _old_key(event):
    """The key before the event: `before` carries it when the key changed."""
    before = event.get("before")
    if not before or not event["key"]:
        return event["key"]
    return {column: before.get(column, value) for column, value in event["key"].items()}
