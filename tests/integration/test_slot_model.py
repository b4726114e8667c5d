"""The simulator's model of a slot sends what a real server sends, on the same script.

Compared: kinds and order of messages, tables, kinds of tuples, order of LSNs, and which
transactions a START at some position after some confirmation sends again.
"""

import subprocess

import psycopg2.extras
import pytest

from pgfan_test.engine import BINARY
from pgfan_test.wait import wait_until

TOOL = BINARY.parent / "tests/sim/slot_script"
WORK = """
insert 0 0
insert 0 1
insert 1 1
commit 1
update 0 0
key 0 0
delete 0 0
commit 0
insert 0 2
update 0 2
delete 0 2
commit 0
insert 0 0
abort 0
empty 0
loose
insert 1 0
insert 2 1
loose
message 1
insert 1 0
commit 2
commit 1
truncate 0 2
commit 0
insert 0 3
alter 0 3
insert 0 3
update 0 3
commit 0
insert 0 3
commit 0
insert 0 1
insert 0 1
insert 0 1
commit 0
loose
"""
# What is confirmed, and where the session starts; positions are of transactions of the first one.
SESSIONS = """
start 0
start commit 3
start end 3
ack end 1
start 0
start end 0
start commit 4
ack commit 4
start 0
ack end 4
start 0
"""


def cstring(data, at):
    end = data.index(b"\0", at)
    return data[at:end].decode(), end + 1


def number(data, at, size):
    return int.from_bytes(data[at:at + size], "big")


class Printer:
    """Turns data messages into lines that do not depend on the server's LSNs and row values."""

    def __init__(self):
        self.tables, self.last_end, self.commit, self.transactions = {}, 0, 0, []

    def table(self, payload, at=1):
        return self.tables[number(payload, at, 4)]

    def line(self, payload):
        tag = chr(payload[0])
        return getattr(self, f"on_{tag}")(payload)

    def on_B(self, payload):
        self.commit = number(payload, 1, 8)
        assert self.commit >= self.last_end, "a transaction commits before the one before ended"
        return "B"

    def on_C(self, payload):
        commit, self.last_end = number(payload, 2, 8), number(payload, 10, 8)
        assert commit == self.commit < self.last_end
        self.transactions.append((commit, self.last_end))
        return "C"

    def on_R(self, payload):
        schema, at = cstring(payload, 5)
        name, at = cstring(payload, at)
        words = [f"R {schema}.{name} {chr(payload[at])}"]
        self.tables[number(payload, 1, 4)] = name
        columns, at = number(payload, at + 1, 2), at + 3
        for _ in range(columns):
            flags, (column, end) = payload[at], cstring(payload, at + 1)
            words.append(f"{column}/{flags}/{number(payload, end, 4)}")
            at = end + 8
        return " ".join(words)

    def on_Y(self, payload):
        del payload
        return "Y"

    def on_I(self, payload):
        return f"I {self.table(payload)}"

    def on_U(self, payload):
        return f"U {self.table(payload)} {chr(payload[5])}"

    def on_D(self, payload):
        return f"D {self.table(payload)} {chr(payload[5])}"

    def on_T(self, payload):
        count = number(payload, 1, 4)
        return "T " + " ".join(self.table(payload, 6 + 4 * i) for i in range(count))

    def on_M(self, payload):
        lsn = number(payload, 2, 8)
        if payload[1] == 0:
            assert lsn >= self.last_end, "a message before the end of the last transaction"
        return f"M {payload[1]}"


def model_sessions(script, major):
    options = ["--14"] if major == 14 else []
    done = subprocess.run([TOOL, *options], input=script, capture_output=True, text=True,
                          check=True)
    sessions = []
    for line in done.stdout.splitlines():
        word, _, rest = line.partition(" ")
        if word == "session":
            sessions.append([])
            printer = Printer()
        else:
            sessions[-1].append(printer.line(bytes.fromhex(rest)[25:]))
    return sessions


class Real:
    """The same script on a server."""

    ALTER = "ALTER TABLE t{} ADD COLUMN extra int"

    def __init__(self, server, database):
        self.server, self.database, self.rows = server, database, 0
        self.users = [server.connect(database, autocommit=False) for _ in range(3)]
        self.transactions = None
        self.sessions = []
        setup = ["CREATE TABLE hidden (id bigint PRIMARY KEY)", "CREATE PUBLICATION model FOR "
                 "TABLE t0, t1, t2, t3"]
        for table in range(4):
            setup.insert(0, f"CREATE TABLE t{table} (id bigint PRIMARY KEY, note text); INSERT INTO "
                         f"t{table} SELECT i, 'before' FROM generate_series(1, 100) i")
        setup.insert(4, "ALTER TABLE t2 REPLICA IDENTITY FULL")
        for text in setup:
            server.sql(database, text)
        server.sql(database, "SELECT pg_create_logical_replication_slot('model', 'pgoutput')")

    def run(self, line):
        verb, *rest = line.split()
        words = [int(word) if word.isdigit() else word for word in rest]
        self.rows += 1
        if verb in ("ack", "start"):
            getattr(self, verb)(*words)
        elif verb == "loose":
            self.server.sql(self.database, "SELECT pg_logical_emit_message(false, 'sim', 'x')")
        else:
            self.users_do(verb, *words)

    def users_do(self, verb, user, table=0):
        connection, row = self.users[user], self.rows
        statements = {
            "insert": f"INSERT INTO t{table} VALUES ({1000 + row}, 'x')",
            "update": f"UPDATE t{table} SET note = 'y' WHERE id = {row}",
            "key": f"UPDATE t{table} SET id = {2000 + row} WHERE id = {row}",
            "delete": f"DELETE FROM t{table} WHERE id = {row}",
            "alter": self.ALTER.format(table),
            "truncate": "TRUNCATE " + ", ".join(f"t{at}" for at in range(table)),
            "message": "SELECT pg_logical_emit_message(true, 'sim', 'x')",
            "empty": f"INSERT INTO hidden VALUES ({row})",
        }
        if verb in statements:
            connection.cursor().execute(statements[verb])
        if verb == "abort":
            connection.rollback()
        elif verb in ("commit", "empty"):
            connection.commit()

    def place(self, what, index=0):
        return 0 if what == 0 else self.transactions[index][0 if what == "commit" else 1]

    def ack(self, what, index=0):
        """Confirms through a session, as a client does: the server believes any position."""
        position = self.place(what, index)
        with self.stream(0) as cursor:
            cursor.send_feedback(flush_lsn=position, write_lsn=position, force=True)
            wait_until(lambda: self.server.confirmed("model") == position, 20, "it is confirmed")

    def stream(self, start):
        connection = psycopg2.connect(
            self.server.dsn(self.database),
            connection_factory=psycopg2.extras.LogicalReplicationConnection)
        cursor = connection.cursor()
        cursor.start_replication(slot_name="model", decode=False, start_lsn=start, options={
            "proto_version": "1", "publication_names": "model", "messages": "true"})
        return Closing(connection, cursor, self.server)

    def start(self, what, index=0):
        marker = f"end-{self.rows}"
        self.server.sql(self.database, "SELECT pg_logical_emit_message(false, %s, '')", marker)
        printer, payloads = Printer(), []

        def read(cursor):
            message = cursor.read_message()
            if message is None:
                return False
            payload = bytes(message.payload)
            prefix = cstring(payload, 10)[0] if payload[0] == ord("M") else "sim"
            if prefix == "sim":
                payloads.append(payload)
            return prefix == marker

        with self.stream(self.place(what, index)) as cursor:
            wait_until(lambda: read(cursor), 30, "the session has sent everything", interval=0)
        lines = [printer.line(payload) for payload in payloads]
        self.transactions = self.transactions or printer.transactions
        self.sessions.append(lines)

    def close(self):
        for connection in self.users:
            connection.close()
        self.server.sql(self.database, "SELECT pg_drop_replication_slot('model')")


class Closing:
    """Closes the stream and waits until the slot is free again."""

    def __init__(self, connection, cursor, server):
        self.connection, self.cursor, self.server = connection, cursor, server

    def __enter__(self):
        return self.cursor

    def __exit__(self, *exception):
        self.connection.close()
        wait_until(lambda: not self.server.slot("model")["active"], 20, "the slot is free")


@pytest.mark.matrix
def test_model_of_slot_sends_what_a_real_server_sends(shared_server):
    database = shared_server.create_database("slot_model")
    script = WORK + SESSIONS  # an empty line parts them
    real = Real(shared_server, database)
    for line in filter(None, script.splitlines()):
        real.run(line)
    real.close()
    model = model_sessions(script, shared_server.major)
    assert len(model) == len(real.sessions) == SESSIONS.count("start")
    for index, (expected, got) in enumerate(zip(real.sessions, model)):
        assert got == expected, f"session {index}"
