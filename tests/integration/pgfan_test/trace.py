"""trace.py - what strace saw of the engine: syncs, writes, and what was confirmed, in one order."""

import re

LINE = re.compile(r"^(?P<pid>\d+) +(?P<rest>.*)$")
CALL = re.compile(r'(?P<name>\w+)\((?P<fd>\d+)<(?P<path>(?:\\.|[^>])*)>(?:, "(?P<data>[^"]*)")?')
RESULT = re.compile(r"\) += (-?\d+)")
# -xx prints every byte as \xNN. A status update: d, length 38, r, write, flush, apply, …
STATUS = re.compile(r"\\x64\\x00\\x00\\x00\\x26\\x72(?:\\x..){8}((?:\\x..){8})")

COMMAND = ("strace", "-f", "-qq", "-y", "-xx", "-s", "256", "-e", "signal=none", "-e",
           "trace=fsync,fdatasync,write,pwrite64,writev,sendto", "-o")


def decode(text):
    return bytes.fromhex(text.replace("\\x", "")).decode("utf-8", "replace")


def events(path):
    """Yields (what, detail) in order: write (path, size), sync (path, None), confirm (lsn, None).

    A write counts when it is done and a sync covers what was written before it began, so a sync is
    reported twice: sync_start and sync_end, with the path.
    """
    pending = {}
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        match = LINE.match(line)
        if not match:
            continue
        pid, rest = match["pid"], match["rest"]
        if "resumed>" in rest:
            call = pending.pop(pid, None)
        else:
            call = CALL.match(rest)
            if call and call["name"] in ("fsync", "fdatasync"):
                yield "sync_start", decode(call["path"])
            if call and call["name"] in ("sendto", "write"):
                for status in STATUS.finditer(call["data"] or ""):
                    yield "confirm", int(status.group(1).replace("\\x", ""), 16)
            if rest.endswith("<unfinished ...>"):
                pending[pid] = call
                continue
        result = RESULT.search(rest)
        if call and result and int(result.group(1)) >= 0:
            if call["name"] in ("fsync", "fdatasync"):
                yield "sync_end", decode(call["path"])
            elif call["name"] != "sendto":
                yield "write", (decode(call["path"]), int(result.group(1)))
