"""Every type in the native envelope (formats.md section 1), special values included, and database
settings that must not leak into values (reliability 29). The oracle is the table below."""

import contextlib
import json

import pytest

pytestmark = pytest.mark.matrix

# type, literal of SQL, the JSON text of the value
VALUES = [
    ("bool", "true", "true"), ("int2", "-32768", "-32768"), ("int4", "2147483647", "2147483647"),
    ("int8", "9223372036854775807", "9223372036854775807"), ("oid", "4294967295", '"4294967295"'),
    ("float4", "0.1", "0.1"), ("float8", "0.1::float8 + 0.2", "0.30000000000000004"),
    ("float8", "'NaN'", '"NaN"'), ("float8", "'-Infinity'", '"-Infinity"'),
    ("float4", "'Infinity'", '"Infinity"'), ("float8", "'-0'", "-0"),
    ("float8", "1e300", "1e+300"), ("float8", "5e-324", "5e-324"),
    ("numeric", "123456789012345678901234567890.123", '"123456789012345678901234567890.123"'),
    ("numeric(6,2)", "1.5", '"1.50"'), ("numeric", "'NaN'", '"NaN"'),
    ("text", "E'a\"b\\\\c\\n\\t\\x01é\\u2028😀'", None), ("varchar(5)", "'abc'", '"abc"'),
    ("char(5)", "'ab'", '"ab   "'), ("text", "''", '""'), ("text", "NULL", "null"),
    ("name", "'n'", '"n"'), ("bytea", "'\\x00ff10'", '"AP8Q"'), ("bytea", "''", '""'),
    ("json", "' {\"b\" : 1,  \"a\": [1, 2.0 ]}'", '{"b":1,"a":[1,2.0]}'),
    ("jsonb", "'{\"b\": 1, \"a\": [1, 2.50], \"s\": \"x y\"}'",
     '{"a":[1,2.50],"b":1,"s":"x y"}'),
    ("jsonb", "'1e400'", None), ("jsonb", "'null'", "null"),
    ("date", "'2024-02-29'", '"2024-02-29"'), ("date", "'infinity'", '"infinity"'),
    ("date", "'0044-03-15 BC'", '"0044-03-15 BC"'),
    ("time", "'23:59:59.123456'", '"23:59:59.123456"'),
    ("timetz", "'12:00+05:30'", '"12:00:00+05:30"'),
    ("timestamp", "'2026-01-01 00:00:00'", '"2026-01-01T00:00:00"'),
    ("timestamp", "'2026-01-01 00:00:00.5'", '"2026-01-01T00:00:00.5"'),
    ("timestamp", "'-infinity'", '"-infinity"'),
    ("timestamptz", "'2026-01-01 02:00:00+02'", '"2026-01-01T00:00:00Z"'),
    ("timestamptz", "'infinity'", '"infinity"'),
    ("interval", "'1 year 2 months -3 days 04:05:06.789'", '"P1Y2M-3DT4H5M6.789S"'),
    ("uuid", "'00000000-0000-0000-0000-00000000000a'",
     '"00000000-0000-0000-0000-00000000000a"'),
    ("inet", "'::1/64'", '"::1/64"'), ("cidr", "'10.0.0.0/8'", '"10.0.0.0/8"'),
    ("macaddr", "'08:00:2b:01:02:03'", '"08:00:2b:01:02:03"'), ("bit(3)", "B'101'", '"101"'),
    ("varbit", "B''", '""'), ("point", "'(1,2)'", '"(1,2)"'), ("money", "'12.34'", '"$12.34"'),
    ("xml", "'<a/>'", '"<a/>"'), ("tsvector", "'a:1 b:2'", None),
    ("int4range", "'[1,5)'", '"[1,5)"'), ("int4multirange", "'{[1,2),[5,9)}'", None),
    ("pg_lsn", "'0/10'", '"0/10"'),
    ("int4[]", "'{1,NULL,3}'", "[1,null,3]"), ("int4[]", "'{}'", "[]"),
    ("int4[]", "'{{1,2},{3,4}}'", "[[1,2],[3,4]]"), ("int4[]", "'[0:1]={1,2}'", '"[0:1]={1,2}"'),
    ("text[]", "ARRAY['a,b', '\"', '', 'NULL', NULL, '{}']", '["a,b","\\"","","NULL",null,"{}"]'),
    ("numeric[]", "'{1.0,NaN}'", '["1.0","NaN"]'), ("bool[]", "'{t,f}'", "[true,false]"),
    ("float8[]", "'{0.5,Infinity}'", '[0.5,"Infinity"]'),
    ("jsonb[]", "ARRAY['{\"a\": 1}'::jsonb]", '[{"a":1}]'),
    ("timestamptz[]", "ARRAY['2026-01-01 00:00+00'::timestamptz]", '["2026-01-01T00:00:00Z"]'),
    ("bytea[]", "ARRAY['\\x00'::bytea]", '["AA=="]'), ("box[]", "'{(1,1),(0,0);(2,2),(0,0)}'", None),
    ("mood", "'so so'", '"so so"'), ("mood[]", "'{sad,\"so so\"}'", '["sad","so so"]'),
    ("positive", "7", "7"), ("positive_list", "'{1,2}'", None), ("pair", "(1,'x')", '"(1,x)"'),
    ("pair[]", "ARRAY[ROW(1,'x')::pair]", '["(1,x)"]'), ("hostile", "1", None),
]
TYPES = """CREATE TYPE mood AS ENUM ('sad', 'so so'); CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN positive_list AS int[]; CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN hostile AS int"""


def columns():
    return ", ".join(f"c{i} {kind}" for i, (kind, _, _) in enumerate(VALUES))


def values():
    return ", ".join(f"({literal})::{kind}" for kind, literal, _ in VALUES)


def raw_values(line):
    """The JSON text of each column, as it stands in the line."""
    text = line.decode("utf-8")
    decoder = json.JSONDecoder(parse_float=lambda word: _Raw(word), parse_int=lambda word: _Raw(word),
                               parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    after = decoder.decode(text)["after"]
    return {name: _dump(value) for name, value in after.items()}


class _Raw(str):
    """A number with the digits it was written with."""


def _dump(value):
    if isinstance(value, _Raw):
        return str(value)
    if isinstance(value, list):
        return f"[{','.join(map(_dump, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(key)}:{_dump(item)}' for key, item in value.items())}}}"
    return json.dumps(value, ensure_ascii=False)


def test_b16_every_type_has_its_documented_form(scene):
    scene.sql(TYPES)
    scene.sql(f"CREATE TABLE t (id int PRIMARY KEY, {columns()})")
    scene.engine().start()
    scene.sql(f"INSERT INTO t VALUES (1, {values()})")
    scene.caught_up()
    (line,) = scene.records().lines()
    found = raw_values(line)
    wrong = [f"{kind} {literal}: {found[f'c{i}']} is not {wanted}"
             for i, (kind, literal, wanted) in enumerate(VALUES)
             if wanted is not None and not same(found[f"c{i}"], wanted)]
    assert not wrong, "\n".join(wrong)
    assert json.loads(found["c16"]) == 'a"b\\c\n\t\x01é\u2028😀'


def same(found, wanted):
    """Escapes may be written in more than one way: strings are compared decoded."""
    return found == wanted or json.loads(found) == json.loads(wanted) and wanted.startswith('"')


@pytest.mark.parametrize("setting", [
    "datestyle = 'SQL, DMY'", "intervalstyle = 'sql_standard'", "bytea_output = 'escape'",
    "timezone = 'Asia/Kolkata'", "extra_float_digits = -10", "lc_monetary = 'C'",
    "xmlbinary = 'hex'", "search_path = 'nowhere'", "client_encoding = 'LATIN1'",
    "statement_timeout = '2s'", "default_transaction_read_only = 'off'"])
def test_29_database_settings_do_not_leak_into_values(scene, setting):
    scene.sql(TYPES)
    scene.sql(f"CREATE TABLE t (id int PRIMARY KEY, {columns()})")
    scene.server.sql("postgres", f"ALTER DATABASE {scene.database} SET {setting}")
    scene.engine().start()
    with contextlib.closing(scene.connect()) as connection:
        connection.set_client_encoding("UTF8")
        cursor = connection.cursor()
        cursor.execute("SET search_path = public; RESET timezone; SET datestyle = 'ISO, MDY';"
                       "SET intervalstyle = 'postgres'")
        cursor.execute(f"INSERT INTO t VALUES (1, {values()})")
    (_,) = scene.wait_records(1)
    (line,) = scene.records().lines()
    found = raw_values(line)
    wrong = [f"{kind}: {found[f'c{i}']} is not {wanted}"
             for i, (kind, _, wanted) in enumerate(VALUES)
             if wanted is not None and not same(found[f"c{i}"], wanted)]
    assert not wrong, "\n".join(wrong)


def test_b1_a_row_of_many_columns_and_large_values(scene):
    many = ", ".join(f"c{i} int" for i in range(1500))
    scene.sql(f"CREATE TABLE t (id int PRIMARY KEY, {many}); CREATE TABLE big (id int PRIMARY KEY,"
              "v text, b bytea)")
    scene.engine().start()
    scene.sql("INSERT INTO t (id, c1499) VALUES (1, 7);"
              "INSERT INTO big VALUES (1, repeat('é', 20000000), decode(repeat('ab', 9000000), 'hex'))")
    first, second = scene.wait_records(2, timeout=120)
    assert len(first["after"]) == 1501 and first["after"]["c1499"] == 7
    assert second["after"]["v"] == "é" * 20000000 and len(second["after"]["b"]) == 12000000
