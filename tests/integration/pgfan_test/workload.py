"""workload.py - a seeded workload that writes its own oracle in the same transactions.

Table w(id, k, gen, n, pad): `k` names a row for good, `id` is its primary key and may change
(id % SPREAD = k), `gen` counts its lives, and `n` its versions within a life: 1, 2, 3 … So the true
history of each k is known. Table o, never published, gets one row a change in the same transaction:
what is in o is exactly what was committed. Table side is filled and truncated.

Some transactions abort, some roll a savepoint back, some change one key twice; `pad` is long enough
to be stored out of line, and most updates leave it untouched.
"""

import random

import psycopg2

from . import process
from .wait import pause

SPREAD = 1_000_000
SCHEMA = """
CREATE TABLE w (id bigint PRIMARY KEY, k int NOT NULL, gen int NOT NULL, n bigint NOT NULL,
                pad text);
ALTER TABLE w ALTER COLUMN pad SET STORAGE EXTERNAL;
CREATE TABLE side (id bigserial PRIMARY KEY, v text);
CREATE TABLE keys (k int PRIMARY KEY, id bigint NOT NULL, gen int NOT NULL, n bigint NOT NULL,
                   alive boolean NOT NULL);
CREATE TABLE o (seq bigserial PRIMARY KEY, txid bigint NOT NULL DEFAULT txid_current(),
                op text NOT NULL, k int NOT NULL, gen int NOT NULL, n bigint NOT NULL);
"""
TABLES = ("public.w", "public.side")


def create(server, database, keys=200):
    server.sql(database, SCHEMA)
    server.sql(database, "INSERT INTO keys SELECT k, k, 0, 0, false FROM generate_series(1, %s) k",
               keys)


class Abort(Exception):
    """Raised inside a transaction that is meant to be rolled back."""


class Worker:
    """One client. The same seed makes the same choices."""

    def __init__(self, dsn, seed, keys=200, rate=0):
        self.dsn, self.keys, self.rate = dsn, keys, rate
        self.random = random.Random(seed)
        self.connection = None
        self.done = self.aborted = self.broken = 0

    def run(self, transactions=None, ended=lambda: False):
        """Transactions until `ended()` or so many were tried. Lost connections are opened again."""
        tried = 0
        while not ended() and (transactions is None or tried < transactions):
            tried += 1
            try:
                self._transaction()
                self.done += 1
            except Abort:
                self.aborted += 1
            except (psycopg2.errors.DeadlockDetected, psycopg2.errors.SerializationFailure):
                self.aborted += 1
            except psycopg2.Error as error:
                # The server went away: that a commit may have come through is what o is for. What
                # the server says itself has a code: class 57 is its going away, too.
                if error.pgcode is not None and not error.pgcode.startswith("57"):
                    raise
                self.broken += 1
                self.connection = None
                pause(0.1)
            if self.rate:
                pause(self.random.expovariate(self.rate))
        return self

    def _transaction(self):
        if self.connection is None:
            self.connection = psycopg2.connect(self.dsn)
        try:
            with self.connection.cursor() as cursor:
                self._changes(cursor)
            self.connection.commit()
        except Abort:
            self.connection.rollback()
            raise
        except psycopg2.Error as error:
            if error.pgcode is not None and not self.connection.closed:
                self.connection.rollback()
            raise

    def _changes(self, cursor):
        choose = self.random
        wanted = sorted(choose.sample(range(1, self.keys + 1), choose.randint(1, 6)))
        cursor.execute("SELECT k, id, gen, n, alive FROM keys WHERE k = ANY(%s) ORDER BY k "
                       "FOR UPDATE", (wanted,))
        states = {row[0]: row[1:] for row in cursor.fetchall()}
        for key in wanted:
            if choose.random() < 0.15:
                cursor.execute("SAVEPOINT s")
                self._change(cursor, key, states[key])
                cursor.execute("ROLLBACK TO SAVEPOINT s")
            states[key] = self._change(cursor, key, states[key])
            if choose.random() < 0.1:
                states[key] = self._change(cursor, key, states[key])
        if choose.random() < 0.05:
            self._side(cursor)
        if choose.random() < 0.08:
            raise Abort

    def _change(self, cursor, key, state):
        """One change of one row, its oracle row, and its new state."""
        row_id, gen, version, alive = state
        choice = self.random.random()
        if not alive:
            gen, version, alive, operation = gen + 1, 1, True, "c"
            cursor.execute("INSERT INTO w VALUES (%s, %s, %s, %s, %s)",
                           (row_id, key, gen, version, self._pad()))
        elif choice < 0.12:
            alive, operation = False, "d"
            cursor.execute("DELETE FROM w WHERE id = %s", (row_id,))
        elif choice < 0.2:
            version, operation = version + 1, "u"
            cursor.execute("UPDATE w SET id = id + %s, n = n + 1 WHERE id = %s", (SPREAD, row_id))
            row_id += SPREAD
        elif choice < 0.35:
            version, operation = version + 1, "u"
            cursor.execute("UPDATE w SET n = n + 1, pad = %s WHERE id = %s", (self._pad(), row_id))
        else:
            version, operation = version + 1, "u"
            cursor.execute("UPDATE w SET n = n + 1 WHERE id = %s", (row_id,))
        assert cursor.rowcount == 1
        cursor.execute("INSERT INTO o (op, k, gen, n) VALUES (%s, %s, %s, %s)",
                       (operation, key, gen, version))
        cursor.execute("UPDATE keys SET id = %s, gen = %s, n = %s, alive = %s WHERE k = %s",
                       (row_id, gen, version, alive, key))
        return row_id, gen, version, alive

    def _pad(self):
        size = self.random.choice((0, 20, 200, 3000, 9000))
        return None if size == 0 else f"{self.random.getrandbits(4 * size):0{size}x}"

    def _side(self, cursor):
        # Taken first, in one order: a TRUNCATE beside inserts would deadlock most of the time.
        cursor.execute("SELECT pg_advisory_xact_lock(7)")
        if self.random.random() < 0.3:
            cursor.execute("TRUNCATE side")
        cursor.execute("INSERT INTO side (v) SELECT md5(i::text) FROM generate_series(1, %s) i",
                       (self.random.randint(1, 5),))


class Workload:
    """Several workers, each a process of its own, until stop()."""

    def __init__(self, server, database, seed, workers=2, keys=200, rate=0, tcp=False):
        self.children = []
        for worker in range(workers):
            self.children.append(process.spawn(
                [process.ROOT / "tests/tools/workload", "--dsn", server.dsn(database, tcp=tcp),
                 "--seed", seed * 1000 + worker, "--keys", keys, "--rate", rate]))

    def stop(self):
        """Ends after the transaction in hand."""
        for child in self.children:
            assert process.stop(child) == 0, "a worker of the workload failed"
