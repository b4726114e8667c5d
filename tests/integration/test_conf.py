"""The conf file and the checks before a start (A9–A11, A13–A16). What a user sees is compared:
exit statuses, `file:line:column: error:` lines, the effective conf."""

import os
import re

import pytest

from pgfan_test import conf as confs
from pgfan_test.engine import pgfan

FAULT = re.compile(r"^(?P<file>.+?):(?P<line>\d+):(?P<column>\d+): error: (?P<text>.+)$", re.M)
MINIMAL = """\
data_dir: {directory}/data
sources:
  shop: {{type: postgres, dsn: "{dsn}", allow_superuser: true}}
pipelines:
  - name: orders
    source: shop
    tables: [public.orders]
    targets:
      - {{type: file, path: "{directory}/orders.jsonl"}}
"""


def write(directory, text, name="pgfan.yaml"):
    path = directory / name
    path.write_text(text, encoding="utf-8")
    os.chmod(path, 0o600)
    return path


def minimal(directory, dsn="host=/tmp dbname=shop", **changes):
    text = MINIMAL.format(directory=directory, dsn=dsn)
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    return write(directory, text)


def faults(path, *arguments, verb="check", status=78):
    done = pgfan(verb, "-c", path, *arguments)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return [(int(match["line"]), int(match["column"]), match["text"])
            for match in FAULT.finditer(done.stdout + done.stderr)]


def test_a11_a_valid_conf_passes(directory):
    done = pgfan("check", "-c", minimal(directory))
    assert done.returncode == 0, done.stderr
    assert not (directory / "data").exists(), "a check touches nothing"


def test_a11_all_faults_of_a_file_in_one_go_at_their_places(directory):
    path = write(directory, f"""\
data_dir: {directory}/data
sources:
  shop: {{type: postgres, dsn: "dbname=x", wal_sender_timeout: fast}}
pipelines:
  - name: orders
    source: shopp
    tables: [public.orders]
    bufer: {{max_events: 10}}
    batch: {{max_bytes: 16 GiB, max_events: -1}}
    targets:
      - {{type: file}}
""")
    found = faults(path)
    lines = [line for line, _, _ in found]
    assert {3, 6, 8, 9, 11} <= set(lines), found
    texts = " ".join(text for _, _, text in found)
    for word in ("fast", "shopp", "bufer", "path"):
        assert word in texts, found
    # The faulty line with a caret below, and a suggestion where a name is near.
    shown = pgfan("check", "-c", path)
    assert "^" in shown.stdout + shown.stderr
    assert re.search(r"did you mean.*buffer", shown.stdout + shown.stderr)
    assert not (directory / "data").exists()
    for verb in ("run", "config"):
        assert pgfan(verb, "-c", path).returncode == 78


@pytest.mark.parametrize("text, line", [
    ("data_dir: [", 1), ("a: b: c\n", 1), ("data_dir: /x\n\tlog: y\n", 1), ("%YAML 9\n---\n", 1),
    ("data_dir: *x\n", 1), ("data_dir: /x\ndata_dir: /y\n", 2), ("data_dir: \xff\n", 1),
    ("", 1), ("- a\n", 1), ("\x00", 1)],
    ids=["open", "colons", "tab", "directive", "alias", "twice", "latin1", "empty", "list", "nul"])
def test_a11_a_syntax_fault_is_shown_at_its_place(directory, text, line):
    path = directory / "pgfan.yaml"
    path.write_bytes(text.encode("latin-1"))
    os.chmod(path, 0o600)
    found = faults(path)
    assert any(where in (line, line + 1) for where, _, _ in found), found


@pytest.mark.parametrize("line, word", [
    ("snapshoot: never", "snapshoot"), ("bufer: {max_events: 1}", "bufer"),
    ("batch: {max_event: 1}", "max_event"), ("flush_interval: 1s", "flush_interval")])
def test_a13_an_unknown_key_is_refused_by_name(directory, line, word):
    path = minimal(directory, change=("    targets:", f"    {line}\n    targets:"))
    found = faults(path)
    assert len(found) == 1 and found[0][0] == 8 and word in found[0][2], found


@pytest.mark.parametrize("line, key", [
    ("snapshot: initial", "snapshot"), ("processors: [{sql: {where: 'x'}}]", "processors"),
    ("schema_changes: pause", "schema_changes"), ("ttl: {field: x}", "ttl")])
def test_a13_a_key_of_a_later_feature_is_refused_and_never_ignored(directory, line, key):
    path = minimal(directory, change=("    targets:", f"    {line}\n    targets:"))
    found = faults(path)
    assert found and found[0][0] == 8, found
    text = pgfan("check", "-c", path).stderr + pgfan("check", "-c", path).stdout
    assert "not available in this version" in text and key in text, text


def test_a9_references_are_expanded_and_an_unset_one_is_named(directory):
    path = minimal(directory, dsn="${env:SHOP_DSN}")
    (found,) = faults(path)
    assert "SHOP_DSN" in found[2] and found[0] == 3
    done = pgfan("config", "-c", path, env={"SHOP_DSN": "host=h dbname=fromenv"})
    assert done.returncode == 0 and "fromenv" in done.stdout
    secret = write(directory, "host=h dbname=fromfile\n", "dsn")
    path = minimal(directory, dsn=f"${{file:{secret}}}")
    done = pgfan("config", "-c", path)
    assert done.returncode == 0 and "fromfile" in done.stdout


def test_a9_a_secret_file_that_others_may_read_is_refused(directory):
    secret = write(directory, "dbname=x\n", "dsn")
    os.chmod(secret, 0o644)
    (found,) = faults(minimal(directory, dsn=f"${{file:{secret}}}"))
    assert "dsn" in found[2]


def test_a9_templates_of_unknown_references_are_faults(directory):
    (found,) = faults(minimal(directory, dsn="${nope:X}"))
    assert "nope" in found[2]


def test_a9_a_directory_of_confs_is_merged_in_name_order(directory):
    path = minimal(directory)
    (directory / "conf.d").mkdir()
    write(directory / "conf.d", "pipelines:\n  - name: later\n    source: shop\n"
          "    tables: [public.b]\n    targets: [{type: 'null'}]\n", "20.yaml")
    write(directory / "conf.d", "log: {level: debug}\n", "10.yaml")
    done = pgfan("config", "-c", path)
    assert done.returncode == 0, done.stderr
    assert "later" in done.stdout and "orders" in done.stdout and "debug" in done.stdout
    write(directory / "conf.d", "log: {level: loud}\n", "30.yaml")
    text = pgfan("check", "-c", path)
    assert text.returncode == 78 and "30.yaml:1:" in text.stdout + text.stderr


def test_a10_later_layers_win(directory):
    path = minimal(directory)
    default = pgfan("config", "-c", path).stdout
    assert re.search(r"level:\s*\"?info", default)
    write(directory, path.read_text() + "log: {level: warn}\n")
    assert re.search(r"level:\s*\"?warn", pgfan("config", "-c", path).stdout)
    (directory / "conf.d").mkdir()
    write(directory / "conf.d", "log: {level: error}\n", "a.yaml")
    assert re.search(r"level:\s*\"?error", pgfan("config", "-c", path).stdout)
    last = pgfan("config", "-c", path, "--set", "log.level=debug")
    assert re.search(r"level:\s*\"?debug", last.stdout), last.stderr


def test_a10_a_faulty_set_names_the_option(directory):
    done = pgfan("config", "-c", minimal(directory), "--set", "log.levle=debug")
    assert done.returncode in (64, 78) and "levle" in done.stderr


def test_a14_the_effective_conf_shows_defaults_and_masks_secrets(directory):
    secret = "S3CR3T-hunter2"
    path = minimal(directory, dsn=f"host=h dbname=d user=u password={secret}")
    done = pgfan("config", "-c", path)
    assert done.returncode == 0
    assert secret not in done.stdout + done.stderr and "***" in done.stdout
    for default in ("max_events: 10000", "max_events: 2000", "max_inflight: 1"):
        assert default in done.stdout, done.stdout
    # The address form, too.
    path = minimal(directory, dsn=f"postgresql://u:{secret}@h/d?sslpassword={secret}")
    done = pgfan("config", "-c", path)
    assert done.returncode == 0 and secret not in done.stdout + done.stderr


def test_a14_the_effective_conf_can_be_read_again(directory):
    path = minimal(directory)
    first = pgfan("config", "-c", path).stdout
    again = write(directory, first, "again.yaml")
    second = pgfan("config", "-c", again)
    assert second.returncode == 0, second.stderr
    assert second.stdout == first


def test_a11_the_conf_of_others_with_a_secret_inside_is_refused(directory):
    path = minimal(directory, dsn="host=h dbname=d password=x")
    os.chmod(path, 0o644)
    done = pgfan("check", "-c", path)
    assert done.returncode == 78 and "password" not in done.stdout


def test_usage_faults_have_their_own_status(directory):
    for arguments in (["frobnicate"], ["run", "extra"], ["run", "--no-such-option"], ["pause"],
                      ["check", "-c"]):
        done = pgfan(*arguments)
        assert done.returncode == 64, (arguments, done)
    done = pgfan("chek", "-c", "x")
    assert "check" in done.stderr, "a near command is suggested"
    assert pgfan("check", "-c", directory / "missing.yaml").returncode == 78


def test_help_names_every_command_and_every_exit_status():
    text = pgfan("help").stdout
    for word in ("run", "check", "config", "status", "pause", "resume", "stop", "start", "slot",
                 "version"):
        assert re.search(rf"^\s+{word}\b", text, re.M), word
    for status in ("64", "69", "70", "74", "75", "78"):
        assert status in text, status
    for command in ("run", "check", "config", "status", "slot list", "slot drop"):
        done = pgfan("help", *command.split())
        assert done.returncode == 0 and done.stdout
    assert re.match(r"pgfan \d+\.\d+\.\d+", pgfan("version").stdout)


@pytest.fixture
def online(scene):
    """A function: the output of `check --online` over the scene's conf with one change."""
    scene.sql("CREATE TABLE orders (id int PRIMARY KEY); CREATE TABLE order_1 (id int PRIMARY KEY);"
              "CREATE SCHEMA s; CREATE TABLE s.audit (id int PRIMARY KEY);"
              "CREATE TABLE audit (id int PRIMARY KEY)")

    def run(conf, status):
        path = write(scene.directory, confs.text(conf))
        done = pgfan("check", "-c", path, "--online")
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        assert scene.server.slot(scene.slot) is None, "a check makes no slot"
        return done.stdout + done.stderr

    return run


def test_a15_a_missing_table_is_named_before_any_slot(scene, online):
    text = online(scene.conf(["public.nope"]), 69)
    assert "TABLE_NOT_FOUND" in text and "public.nope" in text
    engine = scene.engine(scene.conf(["public.nope"])).launch()
    assert engine.wait_exit() == 69
    assert "TABLE_NOT_FOUND" in engine.stderr() and scene.server.slot(scene.slot) is None


def test_a15_a_role_without_replication_is_told_the_sql(scene, online):
    scene.sql(f"CREATE ROLE {scene.slot}_poor LOGIN")
    conf = confs.changed(scene.conf(["public.orders"]), "sources.db.dsn",
                         scene.server.dsn(scene.database, user=f"{scene.slot}_poor"))
    text = online(conf, 69)
    assert "PERMISSION_DENIED" in text and "ALTER ROLE" in text and "REPLICATION" in text
    scene.sql(f"DROP ROLE {scene.slot}_poor")


def test_a15_a_superuser_is_refused_unless_allowed(scene, online):
    text = online(confs.changed(scene.conf(["public.orders"]), "sources.db.allow_superuser", False),
                  69)
    assert "superuser" in text


def test_a15_wal_level_is_checked_with_the_setting_that_mends_it(own_scene):
    scene = own_scene(settings={"wal_level": "replica"})
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    engine = scene.engine().launch()
    assert engine.wait_exit() == 69
    assert "wal_level" in engine.stderr() and "logical" in engine.stderr()


def test_a15_a_table_without_identity_is_refused_before_it_is_published(scene, online):
    scene.sql("CREATE TABLE plain (v int)")
    text = online(scene.conf(["public.plain"]), 69)
    assert "plain" in text and "REPLICA IDENTITY" in text
    # The application's writes still work: nothing was published.
    scene.sql("INSERT INTO plain VALUES (1); UPDATE plain SET v = 2; DELETE FROM plain")


@pytest.mark.parametrize("pattern, wanted", [
    ("public.order_%", {"public.order_1", "public.orders"}), ("public.orders", {"public.orders"}),
    ("s.%", {"s.audit"}), ("s.*", {"s.audit"}), ("%.audit", {"public.audit", "s.audit"}),
    ("orders", {"public.orders"})])
def test_a16_patterns_expand_to_tables(scene, online, pattern, wanted):
    text = online(scene.conf([pattern]), 0)
    found = set(re.findall(r"\b(?:public|s)\.[a-z_0-9]+", text))
    if pattern == "public.order_%":
        # An underscore stands for itself, or for any one character as in SQL: orders has six.
        assert "public.order_1" in found and found <= wanted, text
    else:
        assert found == wanted, text


def test_a15_synchronous_standby_names_that_match_are_a_finding(own_scene):
    scene = own_scene()
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    scene.server.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'")
    scene.server.sql("postgres", "SELECT pg_reload_conf()")
    path = write(scene.directory, confs.text(scene.conf()))
    done = pgfan("check", "-c", path, "--online")
    assert "synchronous_standby_names" in done.stdout + done.stderr


def test_two_sources_on_one_slot_are_a_fault(directory):
    """Whatever the database, the user and the form of the connection string."""
    path = write(directory, f"""
data_dir: {directory}/data
sources:
  one: {{type: postgres, dsn: "host=db.example port=5433 dbname=a user=x", slot: {{name: s}}}}
  two: {{type: postgres, dsn: "postgresql://y@db.example:5433/b", slot: {{name: s}}}}
  our-shop: {{type: postgres, dsn: "host=db.example"}}
  our_shop: {{type: postgres, dsn: "host=db.example"}}
  far: {{type: postgres, dsn: "host=far.example port=5433", slot: {{name: s}}}}
pipelines:
""" + "".join(f"  - {{name: p{i}, source: {name}, tables: [a], targets: [{{type: 'null'}}]}}\n"
              for i, name in enumerate(["one", "two", "our-shop", "our_shop", "far"])))
    done = pgfan("check", "-c", path)
    assert done.returncode == 78
    texts = [match["text"] for match in FAULT.finditer(done.stdout + done.stderr)]
    assert len(texts) == 2, (done.stdout, done.stderr)
    assert '"two"' in texts[0] and '"one"' in texts[0]
    assert '"our_shop"' in texts[1] and '"our-shop"' in texts[1]


def test_gss_encryption_is_off_unless_it_is_asked_for(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    tcp = scene.server.dsn(scene.database, tcp=True)
    engine = scene.engine(confs.changed(scene.conf(), "sources.db.dsn", tcp))
    done = pgfan("check", "--online", "-c", engine.conf_path)
    assert done.returncode == 0, done.stdout + done.stderr
    engine.rewrite(confs.changed(scene.conf(), "sources.db.dsn", f"{tcp} gssencmode=require"))
    done = pgfan("check", "--online", "-c", engine.conf_path)
    assert done.returncode != 0 and "GSSAPI" in done.stdout + done.stderr
    engine.rewrite(confs.changed(scene.conf(), "sources.db.dsn", tcp))
    done = pgfan("check", "--online", "-c", engine.conf_path, env={"PGGSSENCMODE": "require"})
    assert done.returncode != 0 and "GSSAPI" in done.stdout + done.stderr


def test_every_fault_of_a_slot_is_found_in_one_go(directory):
    path = write(directory, MINIMAL.format(directory=directory, dsn="host=localhost").replace(
        "allow_superuser: true", "slot: {name: Bad-Name, mode: ephemeral}"))
    done = pgfan("check", "-c", path)
    assert done.returncode == 78
    texts = [match["text"] for match in FAULT.finditer(done.stdout + done.stderr)]
    assert len(texts) == 2, (done.stdout, done.stderr)
    assert "a slot name has only" in texts[0] and "ephemeral" in texts[1]
