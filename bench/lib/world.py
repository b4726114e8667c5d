"""world.py - what the runs stand on: paths, the machine line, a server, a backlog, its slots."""

import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time

import psycopg2

from .procs import BenchError, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/integration"))

from pgfan_test.server import Server  # noqa: E402  pylint: disable=wrong-import-position

# fsync is off, so that the server's disk is in no figure: it would be the larger part of a latency,
# and the same in both programs. wal_level and connections come from the tests' Server.
SETTINGS = {
    "shared_buffers": "512MB", "max_wal_size": "32GB", "checkpoint_timeout": "1h",
    "synchronous_commit": "on", "logical_decoding_work_mem": "64MB", "wal_sender_timeout": "60s",
}
PUBLICATION = "bench"
END = "this is the end"  # the text of the last row of every backlog


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class World:
    """Everything that one call of bench/run shares: the build, a directory, a server."""

    def __init__(self, options):
        self.scale, self.pairs = options.scale, options.pairs
        self.options = options
        self.build = ROOT / options.build
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="pgfan-bench-", dir=options.dir))
        os.chmod(self.dir, 0o755)
        self.fast = pathlib.Path(tempfile.mkdtemp(prefix="pgfan-bench-", dir=options.fast_dir))
        self.server = None
        self._backlogs = {}

    def make_build(self):
        """A release build; assertions stay on, as in the product."""
        if not (self.build / "build.ninja").exists():
            run("meson", "setup", self.build, ROOT, "--buildtype=release")
        self.make("pgfan", "bench/pipeclock")

    def make(self, *targets):
        run("ninja", "-C", self.build, *targets)

    @property
    def pgfan(self):
        return self.build / "pgfan"

    @property
    def pipeclock(self):
        return self.build / "bench/pipeclock"

    def fill_page_cache(self):
        """Brings memory into the state of a server that has been up for days: full of page cache.

        A guest that has just started, or has much free memory, gets each new page from its host,
        which makes a write into the page cache ten times as dear as it is later: that would be the
        host's figure, not the programs'. Reading the hole of a sparse file costs no disk.
        """
        free = next(int(line.split()[1]) for line in open("/proc/meminfo", encoding="ascii")
                    if line.startswith("MemAvailable:")) * 1024
        hole = self.dir / "hole"
        with open(hole, "wb") as file:
            file.truncate(max(0, free - (1 << 30)))
        say(f"filling the page cache: {(free >> 30)} GiB")
        buffer = bytearray(1 << 20)
        with open(hole, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass

    def start(self):
        self.make_build()
        if not self.options.cold:
            self.fill_page_cache()
        self.server = Server(self.dir / "pg", settings=SETTINGS)
        self.server.start()
        return self

    def close(self):
        if self.server is not None and self.server.child is not None:
            self.server.stop("immediate")
        shutil.rmtree(self.dir, ignore_errors=True)
        shutil.rmtree(self.fast, ignore_errors=True)

    def rows(self, count):
        """A count of rows at this scale, never less than a hundred."""
        return max(100, int(count * self.scale))

    def seconds(self, full, least):
        return max(least, full * self.scale)

    # ---- databases, slots, backlogs ----

    def sql(self, database, text, *arguments):
        return self.server.sql(database, text, *arguments)

    def dsn(self, database, transport="tcp"):
        host = "127.0.0.1" if transport == "tcp" else self.server.directory
        return f"host={host} port={self.server.port} user=postgres dbname={database} sslmode=disable"

    def database(self, name, tables):
        """A new database with the tables (SQL) and a publication of all of them."""
        self.server.create_database(name)
        self.sql(name, tables)
        self.sql(name, f"CREATE PUBLICATION {PUBLICATION} FOR ALL TABLES")

    def make_slot(self, database, name):
        self.sql(database, "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", name)
        return name

    def copy_slot(self, database, base, name):
        """A slot that stands where `base` stands. While that one moves, copying may have to be tried again."""
        for attempt in range(50):
            try:
                self.sql(database, "SELECT pg_copy_logical_replication_slot(%s, %s)", base, name)
                return name
            except psycopg2.Error as error:
                if attempt == 49:
                    raise BenchError(f"could not copy slot {base}: {error}") from None
                time.sleep(0.002)
        return name

    def drop_slot(self, name):
        """Drops it once its walsender has left."""
        wait_until(lambda: not (self.server.slot(name) or {"active": False})["active"], 60,
                   f"slot {name} is free", 0.05)
        if self.server.slot(name):
            self.sql("postgres", "SELECT pg_drop_replication_slot(%s)", name)

    def backlog(self, maker):
        """The backlog that `maker` makes, made once."""
        if maker.name not in self._backlogs:
            started = time.monotonic()
            say(f"making backlog \"{maker.name}\"")
            self._backlogs[maker.name] = maker(self)
            say(f"  {self._backlogs[maker.name].events} events, {time.monotonic() - started:.0f} s")
        return self._backlogs[maker.name]

    def forget(self, maker):
        """Drops the slot of a backlog, so that the server lets go of its WAL."""
        backlog = self._backlogs.pop(maker.name, None)
        if backlog is not None:
            self.drop_slot(backlog.slot)
            self.sql("postgres", f'DROP DATABASE "{backlog.database}" WITH (FORCE)')
            self.sql("postgres", "CHECKPOINT")


ORDERS = """(id bigint PRIMARY KEY, customer int NOT NULL, status text NOT NULL,
    total numeric(12,2) NOT NULL, placed_at timestamptz NOT NULL, note text)"""
ROW = """SELECT i, (i::bigint * 7919 %% 100000)::int, (ARRAY['new','paid','sent','done'])[1 + i %% 4],
    (i %% 100000) / 100.0, timestamptz '2026-01-01' + i * interval '1 second',
    'order number ' || i || ' of the bench'"""


class Orders:
    """P1's backlog: large, middling and single-row transactions, then updates and deletes."""

    name = database = slot = "orders"

    def __init__(self, world):
        big, middling = world.rows(1_500_000), world.rows(100_000)
        single, updates, deletes = (world.rows(n) for n in (500_000, 1_000_000, 500_000))
        updates, deletes = min(updates, big), min(deletes, big)
        self.tables = ["public.orders"]
        world.database(self.database, f"CREATE TABLE orders {ORDERS}; " + """
            CREATE PROCEDURE singles(first bigint, last bigint) LANGUAGE plpgsql AS $$
            BEGIN
                FOR i IN first..last LOOP
                    INSERT INTO orders VALUES (i, i % 1000, 'new', i % 500, now(), 'one at a time');
                    COMMIT;
                END LOOP;
            END $$""")
        world.make_slot(self.database, self.slot)
        connection = world.server.connect(self.database)
        cursor = connection.cursor()
        cursor.execute("SET synchronous_commit = off")

        def insert(first, last):
            cursor.execute(f"INSERT INTO orders {ROW} FROM generate_series(%s, %s) AS i",
                           (first, last))

        insert(1, big)
        at = big
        for _ in range(10):
            insert(at + 1, at + middling)
            at += middling
        cursor.execute("CALL singles(%s, %s)", (at + 1, at + single))
        cursor.execute("UPDATE orders SET status = 'changed', total = total + 1 WHERE id <= %s",
                       (updates,))
        cursor.execute("DELETE FROM orders WHERE id <= %s", (deletes,))
        cursor.execute("INSERT INTO orders VALUES (0, 0, 'end', 0, now(), %s)", (END,))
        connection.close()
        self.events = big + 10 * middling + single + updates + deletes + 1


class Hundred:
    """P7's backlog: the same shape of changes in a hundred tables."""

    name = database = slot = "hundred"
    COUNT = 100

    def __init__(self, world):
        names = [f"t{n:03d}" for n in range(1, self.COUNT + 1)]
        self.tables = [f"public.{name}" for name in names]
        rounds = max(2, int(100 * world.scale))
        world.database(self.database, "; ".join(f"CREATE TABLE {name} {ORDERS}" for name in names))
        world.make_slot(self.database, self.slot)
        connection = world.server.connect(self.database, autocommit=False)
        cursor = connection.cursor()
        cursor.execute("SET synchronous_commit = off")
        for number in range(rounds):
            first = number * 200 + 1
            for name in names:  # a transaction of 100 rows for each table
                cursor.execute(f"INSERT INTO {name} {ROW} FROM generate_series(%s, %s) AS i",
                               (first, first + 99))
                connection.commit()
            for _ in range(5):  # transactions that touch every table
                first += 100 if _ == 0 else 20
                for name in names:
                    cursor.execute(f"INSERT INTO {name} {ROW} FROM generate_series(%s, %s) AS i",
                                   (first, first + 19))
                connection.commit()
        for name in names:
            cursor.execute(f"INSERT INTO {name} VALUES (0, 0, 'end', 0, now(), %s)", (END,))
        connection.commit()
        connection.close()
        self.events = rounds * 200 * self.COUNT + self.COUNT


def run(*command):
    done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True,
                          timeout=900, check=False)
    if done.returncode != 0:
        raise BenchError(f"{command[0]} failed: {(done.stdout + done.stderr)[-800:]}")
    return done.stdout


def machine(world):
    """One line that says where figures come from."""
    model = next((line.split(":", 1)[1].strip() for line in
                  pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
                  if line.startswith("model name")), "unknown CPU")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    version = world.sql("postgres", "SHOW server_version")[0][0]
    commit = run("git", "log", "-1", "--format=%h", "--", ".").strip()
    dirty = run("git", "status", "--porcelain", "--untracked-files=no", "--", "*.c", "*.h").strip()
    return {"cores": os.cpu_count(), "cpu": model, "memory_gib": round(memory),
            "kernel": platform.release(), "postgresql": version.split()[0],
            "commit": commit + (" with changes" if dirty else ""),
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "load_before": round(os.getloadavg()[0], 2)}


def machine_line(facts):
    return (f"{facts['cores']} cores {facts['cpu']}, {facts['memory_gib']} GiB, Linux "
            f"{facts['kernel']}, PostgreSQL {facts['postgresql']}, commit {facts['commit']}, "
            f"{facts['date']}")
