"""`pgfan dlq` on the file, when no engine runs (F7, F9, F11): letters that Python has put into the
store are listed, shown, exported and purged; the directory's lock and the names are respected."""

import fcntl
import json
import os
import pathlib
import sqlite3
import stat

import pytest

from pgfan_test.engine import pgfan

VERSION_ONE = pathlib.Path(__file__).parent.parent / "unit" / "data" / "store-v1.db"
COLUMNS = ("pipeline, target, source, commit_lsn, seq, hold_lsn, commit_time_us, op, txn_end, id,"
           " format, cause, code, error, attempts, first_us, last_us, label, payload")
POISON, PARKED, ISOLATED = 1, 2, 3
NOON_US = 1_700_000_000_000_000  # 2023-11-14T22:13:20Z


class Store:
    """A data directory and its store, into which letters are put while no engine runs."""

    def __init__(self, directory):
        self.directory = directory
        self.path = directory / "pgfan.db"

    def make(self):
        self.directory.mkdir(mode=0o700)
        self.path.write_bytes(VERSION_ONE.read_bytes())
        self.path.chmod(0o600)
        assert self.dlq("purge", "--confirm", "all").returncode == 0  # brings it to this version
        return self

    def dlq(self, verb, *arguments):
        return pgfan("dlq", verb, "--data-dir", self.directory, *arguments)

    def json(self, verb, *arguments):
        done = self.dlq(verb, "--json", *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def sql(self, text, rows=None):
        """Runs a query, or a statement once for each of `rows`."""
        connection = sqlite3.connect(self.path)
        try:
            if rows is None:
                return connection.execute(text).fetchall()
            connection.executemany(text, rows)
            connection.commit()
            return []
        finally:
            connection.close()

    def add(self, *numbers, cause=None, pipeline="orders", target="bus", payload=None,
            table="orders"):
        """Letters of these numbers; every third is a parked one unless `cause` says otherwise."""
        self.sql(f"INSERT INTO letter ({COLUMNS}) VALUES ({', '.join('?' * 19)})", [
            (pipeline, target, "shop", 0x2000000 + number, 0, 0, NOON_US, ord("c"), 1,
             f"7301-pgfan_shop-{0x2000000 + number:016X}-00000000", "native",
             cause or (PARKED if number % 3 == 0 else POISON), "HTTP_422", "the target said no", 5,
             NOON_US, NOON_US + number * 1_000_000,
             f'public\0{table}\0{{"id":{number}}}\0'.encode(),
             payload or json.dumps({"after": {"id": number}}).encode())
            for number in numbers])

    def numbers(self, *arguments):
        return [letter["number"] for letter in self.json("list", *arguments)["dead_letters"]]


@pytest.fixture
def store(directory):
    return Store(directory / "data").make()


@pytest.fixture
def stopped(scene):
    """An engine that has run and was stopped, and its store."""
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    engine = scene.engine().start()
    assert engine.stop() == 0
    name = engine.conf["pipelines"][0]["name"]
    target = engine.conf["pipelines"][0]["targets"][0]
    return engine, Store(engine.data_dir), name, target.get("name", target["type"])


def test_f7_a_store_without_letters_says_so(store):
    for verb in ("list", "count"):
        done = store.dlq(verb)
        assert (done.returncode, done.stdout) == (0, "there are no dead letters\n")
    done = store.dlq("purge", "--confirm", "all")
    assert (done.returncode, done.stdout) == (0, "there are no dead letters\n")
    assert store.dlq("export").stdout == ""
    assert store.json("list")["dead_letters"] == []


def test_f7_the_list_is_a_table_with_the_oldest_first(store):
    store.add(*range(1, 8))
    done = store.dlq("list", "--limit", "5")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["NUMBER", "PIPELINE", "TARGET", "TABLE", "KEY", "OP", "CAUSE",
                                "CODE", "ATTEMPTS", "LAST", "ERROR"]
    assert [line.split()[0] for line in lines[1:6]] == ["1", "2", "3", "4", "5"]
    assert lines[1].split()[1:9] == ["orders", "bus", "public.orders", '{"id":1}', "c", "poison",
                                     "HTTP_422", "5"]
    assert "--after 5" in lines[6]
    assert "--after" not in store.dlq("list").stdout


def test_f7_selectors_select_and_the_count_agrees(store):
    store.add(*range(1, 8))
    store.add(8, cause=ISOLATED, target="search", table="lines")
    for arguments, expected in (
            ((), [1, 2, 3, 4, 5, 6, 7, 8]),
            (("--cause", "parked"), [3, 6]),
            (("--pipeline", "orders", "--target", "search"), [8]),
            (("--table", "public.lines"), [8]),
            (("--key", '{"id":4}'), [4]),
            (("--error", "SAID"), [1, 2, 3, 4, 5, 6, 7, 8]),
            (("--error", "timeout"), []),
            (("--since", "2023-11-14T22:13:27Z"), [7, 8]),
            (("--since", "1h"), []),
            (("--after", "6"), [7, 8])):
        assert store.numbers(*arguments) == expected, arguments
        assert store.json("count", *arguments)["count"] == len(expected), arguments
    assert store.json("count")["by_cause"] == {"poison": 5, "parked": 2, "isolated": 1}
    nothing = store.dlq("list", "--error", "timeout")
    assert (nothing.returncode, nothing.stdout) == (0, "no dead letters match\n")


def test_f7_more_than_a_page_is_gathered(store):
    store.add(*range(1, 1204))
    assert store.numbers("--limit", "2000") == list(range(1, 1204))
    assert len(store.dlq("export").stdout.splitlines()) == 1203
    assert len(store.dlq("export", "--limit", "1100").stdout.splitlines()) == 1100


def test_f11_show_cuts_what_it_prints_only(store):
    payload = b'{"text":"' + b"x" * 100_000 + b'"}'
    store.add(1, payload=payload)
    store.add(2, payload=b"\xff\x00\xfe")
    cut = store.json("show", "1")
    assert len(cut["payload"]) == 65536 and cut["payload_truncated"]
    assert cut["payload_bytes"] == len(payload)
    assert store.json("show", "1", "--full")["payload"].encode() == payload
    binary = store.json("show", "2")
    assert (binary["payload"], binary["payload_encoding"]) == ("/wD+", "base64")
    shown = store.dlq("show", "1").stdout
    assert "dead letter 1\n" in shown and "--full" in shown and "HTTP_422" in shown
    missing = store.dlq("show", "77")
    assert missing.returncode == 64 and "no dead letter 77" in missing.stderr


def test_f7_an_export_is_one_object_a_line_in_a_private_file(store, directory):
    store.add(1, 2, 3)
    path = directory / "letters.jsonl"
    done = store.dlq("export", "--output", path)
    assert done.returncode == 0 and "3 dead letters exported" in done.stdout, done.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    letters = [json.loads(line) for line in path.read_text().splitlines()]
    assert [json.loads(letter["payload"])["after"]["id"] for letter in letters] == [1, 2, 3]
    assert store.dlq("export").stdout == path.read_text()
    again = store.dlq("export", "--output", path)
    assert again.returncode == 1 and "none is written over" in again.stderr
    assert store.numbers() == [1, 2, 3]


def test_f9_a_purge_is_confirmed_and_leaves_gap_rows(store):
    store.add(*range(1, 7), payload=b"jane.doe@example.org")
    for arguments in ((), ("--confirm", "orders"), ("--pipeline", "orders", "--confirm", "all")):
        done = store.dlq("purge", *arguments)
        assert done.returncode == 64 and "--confirm" in done.stderr
    assert store.dlq("purge", "--dry-run").stdout == "6 dead letters match\n"
    done = store.dlq("purge", "--pipeline", "orders", "--confirm", "orders", "--limit", "4")
    assert done.returncode == 0 and done.stdout.startswith("4 dead letters purged")
    assert store.numbers() == [5, 6]
    gaps = store.sql("SELECT first_lsn, last_lsn, count FROM gap WHERE gap_id < 0")
    assert gaps == [(0x2000001, 0x2000004, 4)]
    assert store.json("purge", "--confirm", "all") == {"purged": 2}
    assert sum(row[0] for row in store.sql("SELECT count FROM gap WHERE gap_id < 0")) == 6
    for path in store.directory.iterdir():
        assert b"jane.doe" not in path.read_bytes() or path.name.endswith(".bak")


def test_f8_a_replay_needs_an_engine(store):
    store.add(1)
    done = store.dlq("replay")
    assert done.returncode == 1 and "no engine runs" in done.stderr
    assert store.dlq("replay", "--dry-run").stdout == "1 dead letter matches\n"
    assert store.numbers() == [1]


def test_the_lock_of_the_data_directory_is_respected(store):
    store.add(1)
    with open(store.directory / "pgfan.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        for verb in ("list", "count", "export"):
            done = store.dlq(verb)
            assert done.returncode == 78 and f"in use by process {os.getpid()}" in done.stderr
        assert store.dlq("purge", "--confirm", "all").returncode == 78
    assert store.numbers() == [1]


def test_malformed_selectors_and_unknown_names_are_usage_errors(store):
    store.add(1)
    for arguments, said in (
            (("--pipeline", "ordres"), "did you mean orders?"),
            (("--target", "buss"), "did you mean bus?"),
            (("--table", "orders"), "public.orders"),
            (("--since", "yesterday"), "2h"),
            (("--cause", "dead"), "parked"),
            (("--key", "7"), '{"id":7}'),
            (("--limit", "0"), "number from 1"),
            (("--after", "x"), "number")):
        done = store.dlq("list", *arguments)
        assert done.returncode == 64 and said in done.stderr, (arguments, done.stderr)
    done = store.dlq("show", "one")
    assert done.returncode == 64 and "not the number" in done.stderr


def test_a_store_of_the_version_before_is_read_and_left_as_it_is(store):
    before = VERSION_ONE.read_bytes()
    store.path.write_bytes(before)
    done = store.dlq("list")
    assert (done.returncode, done.stdout) == (0, "there are no dead letters\n"), done.stderr
    assert store.path.read_bytes() == before


def test_without_a_store_or_behind_a_named_socket_nothing_is_guessed(store, directory):
    missing = pgfan("dlq", "list", "--data-dir", directory / "elsewhere")
    assert missing.returncode == 78 and "elsewhere" in missing.stderr
    named = store.dlq("list", "--socket", directory / "no.sock")
    assert named.returncode == 1 and "no engine answers" in named.stderr


def test_f7_f9_f12_a_running_engine_is_asked(stopped):
    engine, store, pipeline, target = stopped
    store.add(*range(1, 8), pipeline=pipeline, target=target)
    engine.start()
    assert store.numbers() == [1, 2, 3, 4, 5, 6, 7]
    assert store.numbers("--cause", "parked", "--pipeline", pipeline) == [3, 6]
    assert store.json("count")["count"] == 7
    assert json.loads(store.json("show", "2")["payload"]) == {"after": {"id": 2}}
    assert len(store.dlq("export").stdout.splitlines()) == 7
    assert store.dlq("list", "--pipeline", pipeline + "x").returncode == 64
    assert store.json("purge", "--cause", "poison", "--confirm", "all") == {"purged": 5}
    assert store.numbers() == [3, 6]
    engine.kill9()
    assert store.numbers() == [3, 6]  # from the file now
    assert sum(row[0] for row in store.sql("SELECT count FROM gap WHERE gap_id < 0")) == 5


def test_letters_of_a_removed_target_hold_the_start_until_it_is_forgotten(stopped):
    engine, store, pipeline, target = stopped
    store.add(1, 2, pipeline=pipeline, target=target)
    store.add(3, pipeline=pipeline, target="gone")
    engine.launch()
    assert engine.wait_exit() == 78
    assert f"--forget {pipeline}/gone" in engine.stderr()
    assert store.numbers() == [1, 2, 3]
    engine.start("--forget", f"{pipeline}/gone")
    assert store.numbers() == [1, 2]
