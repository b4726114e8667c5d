"""server.py - a throw-away PostgreSQL server of any supported major."""

import atexit
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import psycopg2
import psycopg2.extensions

from . import process
from .wait import wait_until

DEFAULT_MAJOR = os.environ.get("PGFAN_TEST_POSTGRES", "15")
SETTINGS = {
    "wal_level": "logical", "max_wal_senders": 40, "max_replication_slots": 40,
    "max_connections": 200, "listen_addresses": "'127.0.0.1'", "fsync": "off",
    "full_page_writes": "off", "shared_buffers": "64MB", "log_min_messages": "warning",
    "autovacuum": "off", "max_wal_size": "2GB", "log_line_prefix": "'%m [%p] '",
    "wal_sender_timeout": "60s",
}


def binaries(major):
    """The directory of postgres and initdb, readable by the user that runs them."""
    debian = pathlib.Path(f"/usr/lib/postgresql/{major}/bin")
    if (debian / "postgres").exists():
        return debian
    home = process.ROOT / ".deps/postgres" / major
    if not (home / "bin/postgres").exists():
        raise RuntimeError(f"no PostgreSQL {major}: scripts/test installs it")
    reachable = subprocess.run(["test", "-x", str(home / "bin/postgres")], check=False,
                               **process.unprivileged()).returncode == 0
    if reachable:
        return home / "bin"
    # A clone inside a private directory: the servers' user cannot come in, so a copy goes out.
    copy = pathlib.Path(f"/var/tmp/pgfan-postgres-{major}-{os.getuid()}")
    if not (copy / "bin/postgres").exists():
        shutil.copytree(home, copy, symlinks=True, dirs_exist_ok=True)
        os.chmod(copy, 0o755)
    return copy / "bin"


class Server:
    """One cluster in a directory of its own, on a free loopback port and a unix socket there."""

    _templates = {}

    def __init__(self, directory, major=DEFAULT_MAJOR, settings=None, tls=False, other_cluster=False):
        self.major = int(major)
        self.bin = binaries(str(major))
        self.directory = pathlib.Path(directory)
        self.data = self.directory / "data"
        self.log_path = self.directory / "server.log"
        self.settings = {**SETTINGS, **(settings or {})}
        self.port = None
        self.child = None
        self._user = process.unprivileged()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._own(self.directory)
        os.chmod(self.directory, 0o755)
        self._make_cluster(other_cluster)
        if tls:
            self._make_certificate()

    def _own(self, path):
        if self._user:
            os.chown(path, self._user["user"], self._user["group"])

    def _run(self, *command):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                              check=False, cwd="/", **self._user)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def _make_cluster(self, other_cluster):
        """Copies a template: its clusters share a system identifier; another one has its own."""
        if other_cluster:
            self._initdb(self.data)
            return
        if self.major not in Server._templates:
            template = pathlib.Path(tempfile.mkdtemp(prefix=f"pgfan-template-{self.major}-"))
            atexit.register(shutil.rmtree, template, ignore_errors=True)
            self._own(template)
            self._initdb(template / "data")
            Server._templates[self.major] = template
        self._run("cp", "-a", Server._templates[self.major] / "data", self.data)

    def _initdb(self, data):
        self._run(self.bin / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync",
                  "--locale=C", "-E", "UTF8")

    def _make_certificate(self):
        key, certificate = self.data / "server.key", self.data / "server.crt"
        self._run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                  "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                  "-keyout", key, "-out", certificate)
        self.settings["ssl"] = "on"

    def start(self, timeout=60.0):
        """Starts and waits until the server accepts connections."""
        self.launch()
        wait_until(self._accepts, timeout, f"PostgreSQL {self.major} accepts connections")
        return self

    def launch(self):
        """Starts without waiting, for tests of a server that is still starting up."""
        if self.port is None:
            self.port = process.free_port()
        options = {**self.settings, "port": self.port,
                   "unix_socket_directories": f"'{self.directory}'"}
        (self.data / "postgresql.auto.conf").write_text(
            "".join(f"{key} = {value}\n" for key, value in options.items()), encoding="utf-8")
        self._own(self.data / "postgresql.auto.conf")
        self.child = process.spawn(
            [self.bin / "postgres", "-D", self.data], stdout=self.log_path.open("ab"),
            stderr=subprocess.STDOUT, cwd="/", **self._user)

    def _accepts(self):
        if self.child.poll() is not None:
            # After kill -9 the old children may hold the shared memory for a moment.
            self.launch()
            return False
        self.connect("postgres").close()
        return True

    def stop(self, mode="fast", timeout=60.0):
        """Stops: fast, immediate, or kill (-9 of the postmaster). Returns its exit status."""
        how = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT, "kill": signal.SIGKILL}[mode]
        backends = self._backends()
        status = process.stop(self.child, how, timeout)
        # After kill -9 the backends see the death of the postmaster by themselves and leave.
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in backends), 30,
                   "the backends have left")
        return status

    def _backends(self):
        """Pids of the postmaster's children."""
        listing = pathlib.Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children")
        return [int(word) for word in listing.read_text().split()]

    def restart(self, mode="fast"):
        self.stop(mode)
        return self.start()

    def copy_data(self, name):
        """Keeps a copy of a stopped server's data, as a backup would."""
        self._run("cp", "-a", self.data, self.directory / name)

    def restore_data(self, name):
        shutil.rmtree(self.data)
        self._run("cp", "-a", self.directory / name, self.data)

    def set(self, **settings):
        """Changes settings for the next start; see also sql("ALTER SYSTEM …")."""
        self.settings.update(settings)

    def dsn(self, database="postgres", user="postgres", tcp=False, port=None, **more):
        """A libpq connection string. `port` leads to a proxy."""
        host = "127.0.0.1" if tcp or port else str(self.directory)
        words = {"host": host, "port": port or self.port, "dbname": database, "user": user, **more}
        return " ".join(f"{key}={value}" for key, value in words.items())

    def connect(self, database="postgres", autocommit=True, **more):
        connection = psycopg2.connect(self.dsn(database, connect_timeout=10, **more))
        connection.autocommit = autocommit
        return connection

    def sql(self, database, text, *arguments):
        """Runs statements in one connection; returns the rows of the last one."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(text, arguments or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def value(self, database, text, *arguments):
        return self.sql(database, text, *arguments)[0][0]

    def create_database(self, name, **options):
        words = " ".join(f"{key} {value}" for key, value in options.items())
        self.sql("postgres", f'CREATE DATABASE "{name}" {words}')
        return name

    def slot(self, name):
        """The row of pg_replication_slots as a dictionary, or None."""
        rows = self.sql("postgres", "SELECT to_jsonb(s) FROM pg_replication_slots s "
                        "WHERE slot_name = %s", name)
        return rows[0][0] if rows else None

    def confirmed(self, name):
        """confirmed_flush_lsn as an integer."""
        slot = self.slot(name)
        return lsn(slot["confirmed_flush_lsn"]) if slot else None

    def current_lsn(self):
        return lsn(self.value("postgres", "SELECT pg_current_wal_flush_lsn()::text"))

    def retained_bytes(self, name):
        return int(self.value("postgres", "SELECT pg_current_wal_lsn() - restart_lsn "
                              "FROM pg_replication_slots WHERE slot_name = %s", name))

    def walsenders(self, slot=None):
        """Pids of walsenders, of one slot or of all."""
        rows = self.sql("postgres", "SELECT active_pid, slot_name FROM pg_replication_slots "
                        "WHERE active")
        return [pid for pid, name in rows if slot in (None, name)]

    def kill_walsender(self, slot, how=None):
        """Ends the walsender of a slot: pg_terminate_backend, or a signal such as SIGSTOP."""
        pids = self.walsenders(slot)
        for pid in pids:
            if how is None:
                self.sql("postgres", "SELECT pg_terminate_backend(%s)", pid)
            else:
                os.kill(pid, how)
        return pids

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")


def lsn(text):
    """'0/1A2B' as an integer."""
    match = re.fullmatch(r"([0-9A-Fa-f]+)/([0-9A-Fa-f]+)", text)
    return (int(match.group(1), 16) << 32) | int(match.group(2), 16)
