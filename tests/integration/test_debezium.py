"""The debezium envelope on a real server (formats.md section 2): every type, both with the bytes of a
table of expected values, and through Kafka Connect's own JsonConverter, which checks each event
against its schema, and writes it again as it would itself."""

import base64
import hashlib
import json
import uuid

import pytest
from pgfan_test.engine import pgfan

MARKER = "__debezium_unavailable_value"

GEOMETRY = "io.debezium.data.geometry.Geometry"
LINE_STRING, POLYGON = "0102000000", "0103000000"
ZERO, ONE = "0000000000000000", "000000000000f03f"
SEGMENT = "02000000" + ZERO + ZERO + ZERO + ONE
RECTANGLE = "05000000" + ONE + ONE + ONE + ZERO + ZERO + ZERO + ZERO + ONE + ONE + ONE


def shape(wkb, **extensions):
    """The struct of a shape whose bytes in well-known binary are given in hexadecimal digits."""
    return {"wkb": base64.b64encode(bytes.fromhex(wkb)).decode(), "srid": None,
            "extensions": extensions}


# type, literal of SQL, JSON value in the default settings, Connect's type and name, its value
TYPES = [
    ("bool", "true", True, "boolean", None, "true"),
    ("int2", "-32768", -32768, "int16", None, "-32768"),
    ("int4", "2147483647", 2147483647, "int32", None, "2147483647"),
    ("int8", "9223372036854775807", 9223372036854775807, "int64", None, "9223372036854775807"),
    ("oid", "4000000000", 4000000000, "int64", None, "4000000000"),
    ("float4", "0.5", 0.5, "float32", None, "0.5"),
    ("float8", "1e300", 1e300, "float64", None, "1.0E300"),
    ("numeric(3,2)", "1.10", "bg==", "bytes", "org.apache.kafka.connect.data.Decimal", "1.10"),
    ("numeric(6,4)", "22.2200", "A2P4", "bytes", "org.apache.kafka.connect.data.Decimal", "22.2200"),
    ("numeric(38,10)", "-1234567890123456789012345678.0123456789", None, "bytes",
     "org.apache.kafka.connect.data.Decimal", "-1234567890123456789012345678.0123456789"),
    ("numeric", "10.1111", {"scale": 4, "value": "AYr3"}, "struct",
     "io.debezium.data.VariableScaleDecimal", "{scale=4,value=018af7}"),
    ("money", "'-1234.11'", "/h3t", "bytes", "org.apache.kafka.connect.data.Decimal", "-1234.11"),
    ("char(5)", "'ab'", "ab   ", "string", None, "ab   "),
    ("varchar(5)", "'abc'", "abc", "string", None, "abc"),
    ("text", "E'a\"b\\\\c\\n\\té\\u2028😀'", 'a"b\\c\n\té\u2028😀', "string", None,
     'a"b\\c\n\té\u2028😀'),
    ("citext", "'Hi'", "Hi", "string", None, "Hi"),
    ("bytea", "'\\x010203'", "AQID", "bytes", None, "010203"),
    ("bit", "B'1'", True, "boolean", None, "true"),
    ("bit(7)", "B'1000000'", "QA==", "bytes", "io.debezium.data.Bits", "40"),
    ("varbit(9)", "B'101'", "BQ==", "bytes", "io.debezium.data.Bits", "05"),
    ("date", "'2016-11-04'", 17109, "int32", "io.debezium.time.Date", "17109"),
    ("time(3)", "'13:51:30.123'", 49890123, "int32", "io.debezium.time.Time", "49890123"),
    ("time", "'24:00:00'", 86400000000, "int64", "io.debezium.time.MicroTime", "86400000000"),
    ("timetz", "'13:51:30.123789+02'", "11:51:30.123789Z", "string", "io.debezium.time.ZonedTime",
     "11:51:30.123789Z"),
    ("timestamp(3)", "'2016-11-04 13:51:30.123'", 1478267490123, "int64",
     "io.debezium.time.Timestamp", "1478267490123"),
    ("timestamp", "'2016-11-04 13:51:30.123456'", 1478267490123456, "int64",
     "io.debezium.time.MicroTimestamp", "1478267490123456"),
    ("timestamp", "'infinity'", 9223372036825200000, "int64", "io.debezium.time.MicroTimestamp",
     "9223372036825200000"),
    ("timestamp", "'4713-12-31 23:59:59.999999 BC'", -210831897600000001, "int64",
     "io.debezium.time.MicroTimestamp", "-210831897600000001"),
    ("timestamptz", "'2016-11-04 13:51:02+02'", "2016-11-04T11:51:02.000000Z", "string",
     "io.debezium.time.ZonedTimestamp", "2016-11-04T11:51:02.000000Z"),
    ("timestamptz(0)", "'21016-11-04 11:51:02+00'", "+21016-11-04T11:51:02Z", "string",
     "io.debezium.time.ZonedTimestamp", "+21016-11-04T11:51:02Z"),
    ("interval", "'P1Y2M3DT4H5M6.78S'", 37091106780000, "int64", "io.debezium.time.MicroDuration",
     "37091106780000"),
    ("uuid", "'00000000-0000-0000-0000-00000000000a'", "00000000-0000-0000-0000-00000000000a",
     "string", "io.debezium.data.Uuid", "00000000-0000-0000-0000-00000000000a"),
    ("json", "' {\"b\" : 1}'", ' {"b" : 1}', "string", "io.debezium.data.Json", ' {"b" : 1}'),
    ("jsonb", "'{\"bar\":\"baz\"}'", '{"bar": "baz"}', "string", "io.debezium.data.Json",
     '{"bar": "baz"}'),
    ("xml", "'<a/>'", "<a/>", "string", "io.debezium.data.Xml", "<a/>"),
    ("mood", "'so so'", "so so", "string", "io.debezium.data.Enum", "so so"),
    ("inet", "'192.168.2.0/12'", "192.168.2.0/12", "string", None, "192.168.2.0/12"),
    ("int4range", "'[1,5)'", "[1,5)", "string", None, "[1,5)"),
    ("hstore", "'a=>b,c=>NULL'", '{"a":"b","c":null}', "string", "io.debezium.data.Json",
     '{"a":"b","c":null}'),
    ("ltree", "'Top.A'", "Top.A", "string", "io.debezium.data.Ltree", "Top.A"),
    ("tsvector", "'direct:6'::tsvector", "'direct':6", "string", "io.debezium.data.Tsvector",
     "'direct':6"),
    ("point", "'(1,1)'",
     {"x": 1, "y": 1, "wkb": "AQEAAAAAAAAAAADwPwAAAAAAAPA/", "srid": None}, "struct",
     "io.debezium.data.geometry.Point",
     "{x=1.0,y=1.0,wkb=0101000000000000000000f03f000000000000f03f,srid=null}"),
    ("box", "'(0,0),(1,1)'", shape(POLYGON + "01000000" + RECTANGLE, type="box"), "struct", GEOMETRY,
     "{wkb=" + POLYGON + "01000000" + RECTANGLE + ",srid=null,extensions={type=box}}"),
    ("lseg", "'[(0,0),(0,1)]'", shape(LINE_STRING + SEGMENT, type="lseg"), "struct", GEOMETRY,
     "{wkb=" + LINE_STRING + SEGMENT + ",srid=null,extensions={type=lseg}}"),
    ("path", "'[(0,0),(0,1)]'", shape(LINE_STRING + SEGMENT, type="path", closed="false"),
     "struct", GEOMETRY,
     "{wkb=" + LINE_STRING + SEGMENT + ",srid=null,extensions={closed=false,type=path}}"),
    ("path", "'((0,0),(0,1))'", shape(LINE_STRING + SEGMENT, type="path", closed="true"),
     "struct", GEOMETRY,
     "{wkb=" + LINE_STRING + SEGMENT + ",srid=null,extensions={closed=true,type=path}}"),
    ("polygon", "'((1,1),(1,0),(0,0),(0,1))'",
     shape(POLYGON + "01000000" + RECTANGLE, type="polygon"), "struct", GEOMETRY,
     "{wkb=" + POLYGON + "01000000" + RECTANGLE + ",srid=null,extensions={type=polygon}}"),
    ("circle", "'<(1,1),10>'",
     {"center": {"x": 1, "y": 1, "wkb": "AQEAAAAAAAAAAADwPwAAAAAAAPA/", "srid": None}, "radius": 10},
     "struct", "io.debezium.data.geometry.Circle",
     "{center={x=1.0,y=1.0,wkb=0101000000000000000000f03f000000000000f03f,srid=null},radius=10.0}"),
    ("line", "'(0,0),(0,1)'", {"a": -1, "b": 0, "c": 0}, "struct",
     "io.debezium.data.geometry.Line", "{a=-1.0,b=0.0,c=0.0}"),
    ("box[]", "ARRAY[box '(0,0),(1,1)', NULL]",
     [shape(POLYGON + "01000000" + RECTANGLE, type="box"), None], "array", None,
     "[{wkb=" + POLYGON + "01000000" + RECTANGLE + ",srid=null,extensions={type=box}},null]"),
    ("price", "1.5", "AJY=", "bytes", "org.apache.kafka.connect.data.Decimal", "1.50"),
    ("best_price", "1.5", "AJY=", "bytes", "org.apache.kafka.connect.data.Decimal", "1.50"),
    ("int4[]", "'{1,NULL,3}'", [1, None, 3], "array", None, "[1,null,3]"),
    ("text[]", "ARRAY['a,b', '\"', '', 'NULL', NULL]", ["a,b", '"', "", "NULL", None], "array", None,
     "[a,b,\",,NULL,null]"),
    ("numeric(3,2)[]", "'{1.1,NULL}'", ["bg==", None], "array", None, "[1.10,null]"),
    ("timestamptz(3)[]", "ARRAY['2016-11-04 11:51:02+00'::timestamptz]",
     ["2016-11-04T11:51:02.000Z"], "array", None, "[2016-11-04T11:51:02.000Z]"),
    ("bytea[]", "ARRAY['\\x0102'::bytea]", ["AQI="], "array", None, "[0102]"),
    ("mood[]", "'{sad,\"so so\"}'", ["sad", "so so"], "array", None, "[sad,so so]"),
    ("hstore[]", "ARRAY['a=>\"b\\\"c\"'::hstore]", ['{"a":"b\\"c"}'], "array", None,
     '[{"a":"b\\"c"}]'),
    ("pair", "(1,'x')", "(1,x)", "string", None, "(1,x)"),
    ("int4multirange", "'{[1,2),[5,9)}'", "{[1,2),[5,9)}", "string", None, "{[1,2),[5,9)}"),
    ("text", "NULL", None, "string", None, None),
]
SETUP = """CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree;
CREATE TYPE mood AS ENUM ('sad', 'so so'); CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN price AS numeric(6,2); CREATE DOMAIN best_price AS price;"""


def debezium(scene, **section):
    target = {"name": "out", "type": "file", "path": f"{scene.directory}/out.jsonl",
              "format": "debezium", "debezium": section}
    return scene.conf(targets=[target])


def all_types(scene, **section):
    scene.sql(SETUP)
    columns = ", ".join(f"c{i} {case[0]}" for i, case in enumerate(TYPES))
    scene.sql(f"CREATE TABLE t (id int PRIMARY KEY, {columns})")
    scene.engine(debezium(scene, **section)).start()
    values = ", ".join(f"({case[1]})::{case[0]}" for case in TYPES)
    scene.sql(f"INSERT INTO t VALUES (1, {values}); UPDATE t SET id = 2; DELETE FROM t;"
              "TRUNCATE t")
    scene.caught_up()
    return [line.decode("utf-8") for line in scene.records().lines()]


@pytest.mark.matrix
def test_i20_every_type_has_the_value_that_debezium_gives_it(scene):
    insert, update, delete, truncate = map(json.loads, all_types(scene))
    wrong = [f"{case[0]} {case[1]}: {insert['after'][f'c{i}']!r} is not {case[2]!r}"
             for i, case in enumerate(TYPES)
             if (case[2] is not None or case[1] == "NULL") and insert["after"][f"c{i}"] != case[2]]
    assert not wrong, "\n".join(wrong)
    assert list(insert) == ["before", "after", "source", "transaction", "op", "ts_ms", "ts_us",
                            "ts_ns"]
    assert [event["op"] for event in (insert, update, delete, truncate)] == ["c", "u", "d", "t"]
    source = insert["source"]
    assert list(source) == ["version", "connector", "name", "ts_ms", "snapshot", "db", "sequence",
                            "ts_us", "ts_ns", "schema", "table", "txId", "lsn", "xmin", "origin",
                            "origin_lsn"]
    assert (source["name"], source["db"], source["schema"], source["table"]) == (
        "db", scene.database, "public", "t")
    assert json.loads(source["sequence"])[1] == str(source["lsn"])
    assert update["before"]["id"] == 1 and update["after"]["id"] == 2
    assert set(update["before"].values()) == {1, None}
    assert delete["before"]["id"] == 2 and delete["after"] is None
    assert truncate["before"] is None and truncate["after"] is None


@pytest.mark.matrix
def test_i20_kafka_connect_reads_every_type_and_writes_the_same(scene, connect):
    lines = all_types(scene, schemas=True, transaction_metadata=True)
    answers = connect(lines)
    assert [answer.get("fault") for answer in answers] == [None] * 4
    for line, answer in zip(lines, answers):
        assert answer["back"] == json.loads(line)
    found = answers[0]["after"]
    wrong = [f"{case[0]} {case[1]}: {found[f'c{i}']} is not {case[3:]}"
             for i, case in enumerate(TYPES)
             if (found[f"c{i}"]["type"], found[f"c{i}"]["name"], found[f"c{i}"]["value"])
             != case[3:]]
    assert not wrong, "\n".join(wrong)
    blocks = [json.loads(line)["payload"]["transaction"] for line in lines]
    assert [block["total_order"] for block in blocks] == [1, 2, 3, 4]
    assert [block["data_collection_order"] for block in blocks] == [1, 2, 3, 4]


@pytest.mark.parametrize("section", [
    {"decimal": "double", "time": "connect", "binary": "hex", "interval": "string", "hstore": "map"},
    {"decimal": "string", "time": "microseconds", "binary": "base64-url-safe"},
    {"time": "adaptive_time_microseconds", "binary": "base64"},
    {"time": "structured"}])
def test_i20_kafka_connect_reads_every_mode(scene, connect, section):
    lines = all_types(scene, schemas=True, **section)
    answers = connect(lines)
    assert [answer.get("fault") for answer in answers] == [None] * 4
    for line, answer in zip(lines, answers):
        assert answer["back"] == json.loads(line)


def stand_in(scene, name, delimiter=","):
    """Makes a base type of that name which keeps any text, as that of an extension would print it."""
    scene.sql(f"CREATE TYPE {name}; "
              f"CREATE FUNCTION {name}_in(cstring) RETURNS {name} AS 'textin' LANGUAGE internal "
              f"IMMUTABLE STRICT; CREATE FUNCTION {name}_out({name}) RETURNS cstring AS 'textout' "
              f"LANGUAGE internal IMMUTABLE STRICT; CREATE TYPE {name} (INPUT = {name}_in, "
              f"OUTPUT = {name}_out, LIKE = text, DELIMITER = '{delimiter}')")


def test_i20_values_of_postgis_are_bytes_with_their_srid(scene, connect):
    for name in ("geometry", "geography"):
        stand_in(scene, name, ":")
    point = "0101000020730C00001C7C613255DE6540787AA52C435C42C0"
    line = "010200000002000000A779C7293A2465400B462575025A46C0C66D3480B7FC6440C3D32B65195246C0"
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, a geometry NOT NULL, b geometry, "
              "c geography NOT NULL, d geometry[])")
    scene.engine(debezium(scene, schemas=True)).start()
    scene.sql(f"INSERT INTO t VALUES (1, '{point}', '{line}', '{point}', '{{{point}:NULL}}');"
              "DELETE FROM t; INSERT INTO t VALUES (2, '0101', NULL, '', NULL)")
    scene.caught_up()
    lines = [line.decode("utf-8") for line in scene.records().lines()]
    answers = connect(lines)
    assert [answer.get("fault") for answer in answers] == [None] * 2  # the last one has no form
    assert [answer["back"] for answer in answers] == [json.loads(line) for line in lines]
    after = {name: (column["name"], column["value"])
             for name, column in answers[0]["after"].items()}
    assert after == {
        "id": (None, "1"),
        "a": (GEOMETRY, f"{{wkb={point.lower()},srid=3187,extensions=null}}"),
        "b": (GEOMETRY, f"{{wkb={line.lower()},srid=null,extensions=null}}"),
        "c": ("io.debezium.data.geometry.Geography", f"{{wkb={point.lower()},srid=3187}}"),
        "d": (None, f"[{{wkb={point.lower()},srid=3187,extensions=null}},null]")}


def test_i20_vectors_are_numbers(scene, connect):
    for name in ("vector", "halfvec", "sparsevec"):
        stand_in(scene, name)
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, a vector NOT NULL, b halfvec NOT NULL, "
              "c sparsevec NOT NULL, d vector[])")
    scene.engine(debezium(scene, schemas=True)).start()
    scene.sql("INSERT INTO t VALUES (1, '[1,2,3.5]', '[101,102]', '{1:201,9:209}/3000',"
              "ARRAY['[7,8]'::vector]); DELETE FROM t;"
              "INSERT INTO t VALUES (2, '[1]', '[1]', '{}/32768')")
    scene.caught_up()
    lines = [line.decode("utf-8") for line in scene.records().lines()]
    answers = connect(lines)
    assert [answer.get("fault") for answer in answers] == [None] * 2  # the last one has no form
    assert [answer["back"] for answer in answers] == [json.loads(line) for line in lines]
    after = {name: (column["name"], column["value"])
             for name, column in answers[0]["after"].items()}
    assert after == {
        "id": (None, "1"), "a": ("io.debezium.data.DoubleVector", "[1.0,2.0,3.5]"),
        "b": ("io.debezium.data.FloatVector", "[101.0,102.0]"),
        "c": ("io.debezium.data.SparseDoubleVector", "{dimensions=3000,vector={1=201.0,9=209.0}}"),
        "d": (None, "[[7.0,8.0]]")}
    assert json.loads(lines[0])["payload"]["after"]["c"] == {
        "dimensions": 3000, "vector": [[1, 201], [9, 209]]}


# type, literal of SQL, the parts that are not null
STRUCTURED = [
    ("date", "2016-11-04", {"year": 2016, "month": 11, "day": 4}),
    ("date", "4713-01-01 BC", {"year": -4712, "month": 1, "day": 1}),
    ("date", "infinity", {"specialValue": "POSITIVE_INFINITY"}),
    ("time", "24:00:00", {"hour": 24, "minute": 0, "second": 0, "nanos": 0, "precision": 6}),
    ("time(3)", "04:05:11.789",
     {"hour": 4, "minute": 5, "second": 11, "nanos": 789000000, "precision": 3}),
    ("timetz", "24:00:00+05:30", {"hour": 24, "minute": 0, "second": 0, "nanos": 0,
                                  "offsetSeconds": 19800, "precision": 6}),
    ("timetz", "04:05:11 PST", {"hour": 4, "minute": 5, "second": 11, "nanos": 0,
                                "offsetSeconds": -28800, "precision": 6}),
    ("timestamp(6)", "294276-12-31 23:59:59.999999",
     {"year": 294276, "month": 12, "day": 31, "hour": 23, "minute": 59, "second": 59,
      "nanos": 999999000, "precision": 6}),
    ("timestamp(3)", "-infinity", {"specialValue": "NEGATIVE_INFINITY", "precision": 3}),
    ("timestamptz(0)", "2016-11-04 13:51:02+02",
     {"year": 2016, "month": 11, "day": 4, "hour": 11, "minute": 51, "second": 2, "nanos": 0,
      "offsetSeconds": 0, "zoneId": "Z", "precision": 0}),
    ("timestamptz", "infinity", {"specialValue": "POSITIVE_INFINITY", "precision": 6}),
    ("interval", "1 year 2 months 3 days 04:05:06.789",
     {"years": 1, "months": 2, "days": 3, "hours": 4, "minutes": 5, "seconds": 6,
      "nanos": 789000000, "precision": 6}),
    ("interval(3)", "-0.5 s", {"years": 0, "months": 0, "days": 0, "hours": 0, "minutes": 0,
                               "seconds": 0, "nanos": -500000000, "precision": 3}),
    ("interval year to month", "3 years", {"years": 3, "months": 0, "days": 0, "hours": 0,
                                           "minutes": 0, "seconds": 0, "nanos": 0,
                                           "precision": 6}),
]


@pytest.mark.matrix
def test_i20_structured_times_keep_their_parts(scene, connect):
    columns = ", ".join(f"c{i} {case[0]} NOT NULL" for i, case in enumerate(STRUCTURED))
    scene.sql(f"CREATE TABLE t (id int PRIMARY KEY, {columns}, days date[], at timetz[])")
    scene.engine(debezium(scene, schemas=True, time="structured")).start()
    values = ", ".join(f"'{case[1]}'" for case in STRUCTURED)
    scene.sql(f"INSERT INTO t VALUES (1, {values}, '{{2016-11-04,NULL}}', '{{01:02:03+02}}');"
              "DELETE FROM t")
    scene.caught_up()
    lines = [line.decode("utf-8") for line in scene.records().lines()]
    answers = connect(lines)
    assert [answer.get("fault") for answer in answers] == [None] * 2
    assert [answer["back"] for answer in answers] == [json.loads(line) for line in lines]
    after = json.loads(lines[0])["payload"]["after"]
    for i, case in enumerate(STRUCTURED):
        parts = {name: part for name, part in after[f"c{i}"].items() if part is not None}
        assert (case[:2], parts) == (case[:2], case[2])
    assert after["days"] == [{"year": 2016, "month": 11, "day": 4, "specialValue": None}, None]
    assert after["at"][0]["hour"] == 1 and after["at"][0]["offsetSeconds"] == 7200


def test_i20_not_null_columns_of_a_key_only_row_pass_the_schema(scene, connect):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, a text NOT NULL, b numeric NOT NULL, "
              "c numeric(4,2) NOT NULL, d timestamptz NOT NULL, e bytea NOT NULL, f int[] NOT NULL,"
              "g jsonb NOT NULL, h interval NOT NULL, i point NOT NULL, j bool NOT NULL,"
              "k box NOT NULL, l lseg NOT NULL, m path NOT NULL, n polygon NOT NULL,"
              "o circle NOT NULL, p line NOT NULL)")
    scene.engine(debezium(scene, schemas=True)).start()
    scene.sql("INSERT INTO t VALUES (1, 'x', 1, 1, now(), '', '{}', '{}', '1 s', '(0,0)', true,"
              "'(0,0),(1,1)', '[(0,0),(1,1)]', '[(0,0)]', '((0,0))', '<(0,0),1>', '{1,2,3}');"
              "DELETE FROM t; SELECT pg_logical_emit_message(true, 'p', 'content')")
    scene.caught_up()
    lines = [line.decode("utf-8") for line in scene.records().lines()]
    answers = connect(lines)
    assert len(lines) == 2 and [answer.get("fault") for answer in answers] == [None] * 2
    assert answers[1]["back"] == json.loads(lines[1])
    assert json.loads(lines[1])["payload"]["before"]["d"] == "1970-01-01T00:00:00Z"


def test_i20_messages_and_marks_pass_the_schema(scene, connect):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)")
    conf = debezium(scene, schemas=True)
    conf["pipelines"][0]["messages"] = ["%"]
    conf["pipelines"][0]["targets"][0]["transactions"] = True
    scene.engine(conf).start()
    scene.sql("BEGIN; INSERT INTO t VALUES (1), (2); INSERT INTO u VALUES (1);"
              "SELECT pg_logical_emit_message(true, 'p', 'content'); COMMIT;")
    scene.sql("SELECT pg_logical_emit_message(false, 'p', 'content')")
    scene.caught_up()
    lines = [line.decode("utf-8") for line in scene.records().lines()]
    answers = connect(lines)
    assert [answer.get("fault") for answer in answers] == [None] * len(lines)
    for line, answer in zip(lines, answers):
        assert answer["back"] == json.loads(line)
    events = [json.loads(line)["payload"] for line in lines]
    assert [event.get("op", event.get("status")) for event in events] == [
        "BEGIN", "c", "c", "c", "m", "END", "m"]
    assert events[5]["event_count"] == 4 and events[5]["data_collections"] == [
        {"data_collection": "public.t", "event_count": 2},
        {"data_collection": "public.u", "event_count": 1},
        {"data_collection": "LOGICAL_DECODING_MESSAGE", "event_count": 1}]


def node(line, name):
    """The schema of a column, as the event has it."""
    fields = {field["field"]: field for field in json.loads(line)["schema"]["fields"]}
    return next(field for field in fields["after"]["fields"] if field["field"] == name)


def test_i20_enums_have_their_labels_in_the_schema(scene, connect):
    """In the order of the type; as of when the table was described, which a new label is not news to."""
    scene.sql("""CREATE TYPE mood AS ENUM ('sad', 'o"k'); ALTER TYPE mood ADD VALUE 'fine' BEFORE 'o"k';
                 CREATE DOMAIN feeling AS mood;
                 CREATE TABLE t (id int PRIMARY KEY, m mood, f feeling, ms mood[], v text)""")
    engine = scene.engine(debezium(scene, schemas=True)).start()
    scene.sql("""INSERT INTO t VALUES (1, 'fine', 'sad', '{fine,"o\\"k"}', 'x')""")
    scene.caught_up()
    scene.sql("ALTER TYPE mood ADD VALUE 'new'")
    scene.sql("INSERT INTO t VALUES (2, 'new', NULL, NULL, NULL)")
    scene.caught_up()
    assert engine.stop() == 0
    engine.start()
    scene.sql("INSERT INTO t VALUES (3, 'new', NULL, NULL, NULL)")
    scene.caught_up()
    lines = [line.decode("utf-8") for line in scene.records().lines()]
    answers = connect(lines)
    assert [answer.get("fault") for answer in answers] == [None] * 3
    for line, answer in zip(lines, answers):
        assert answer["back"] == json.loads(line)
    for line, allowed in zip(lines, ['sad,fine,o"k', 'sad,fine,o"k', 'sad,fine,o"k,new']):
        nodes = node(line, "m"), node(line, "f"), node(line, "ms")["items"]
        assert [(one["name"], one["parameters"]) for one in nodes] == [
            ("io.debezium.data.Enum", {"allowed": allowed})] * 3
    assert json.loads(lines[1])["payload"]["after"]["m"] == "new"


@pytest.mark.matrix
def test_i20_schemas_have_the_defaults_that_debezium_takes(scene, connect):
    """As the server prints them; Connect's converter reads each by the type of its column."""
    scene.sql("CREATE TYPE mood AS ENUM ('sad', 'so so')")
    given = [("serial", None, 0), ("int8", "-5", -5), ("int2", "1.5", None), ("bool", "true", True),
             ("float8", "1.5", 1.5), ("numeric(5,2)", "1.5", "AJY="), ("numeric", "1.5", None),
             ("text", "'it''s \\ x'", "it's \\ x"), ("varchar(5)", "'ab'", "ab"),
             ("char(5)", "'ab'", "ab"), ("text", "current_user", None), ("text", "upper('x')", ""),
             ("json", "'{}'", "{}"), ("uuid", "'76019d1a-ad2e-4b22-96e9-1a6d6543c818'",
                                      "76019d1a-ad2e-4b22-96e9-1a6d6543c818"),
             ("date", "'2016-11-04'", 17109), ("time", "'00:00:01'", 1000000),
             ("timestamp", "'2016-11-04 13:51:30.123456'", 1478267490123456),
             ("timestamp", "now()", 0), ("timestamptz", "'2016-11-04 15:51:30+02'",
                                         "2016-11-04T13:51:30.000000Z"),
             ("timestamptz", "now()", "1970-01-01T00:00:00.000000Z"),
             ("interval", "'1 day'", 86400000000), ("bit(5)", "B'101'::bit(5)", None),
             ("varbit", "B'101'", "BQ=="), ("mood", "'so so'", "so so"), ("bytea", "'x'", None),
             ("int[]", "'{1}'", None), ("int", "GENERATED", None), ("int", None, None)]
    columns = [f"c{i} {kind}" + (f" GENERATED ALWAYS AS (id + 1) STORED" if default == "GENERATED"
                                 else f" DEFAULT {default}" if default else "")
               for i, (kind, default, _) in enumerate(given)]
    scene.sql(f"CREATE TABLE t (id int PRIMARY KEY, {', '.join(columns)})")
    scene.sql("CREATE TABLE u (id int PRIMARY KEY, a text NOT NULL DEFAULT 'x', b text DEFAULT 'y')")
    scene.engine(debezium(scene, schemas=True, defaults=True)).start()
    scene.sql("INSERT INTO t VALUES (1); INSERT INTO u VALUES (1, 'a', 'b'); DELETE FROM u")
    scene.caught_up()  # the catalog says what is so when it is asked
    scene.sql("ALTER TABLE u ALTER a SET DEFAULT 'z'")  # seen by others before the next begins
    scene.sql("INSERT INTO u VALUES (2, 'a', 'b')")
    scene.caught_up()
    lines = [line.decode("utf-8") for line in scene.records().lines()]
    answers = connect(lines)
    assert [answer.get("fault") for answer in answers] == [None] * 4
    names = [f"c{i}" for i, one in enumerate(given) if one[1] != "GENERATED"]
    shown = {name: node(lines[0], name).get("default") for name in names}
    assert shown == {f"c{i}": default for i, (_, what, default) in enumerate(given)
                     if what != "GENERATED"}
    assert json.loads(lines[2])["payload"]["before"] == {"id": 1, "a": "x", "b": None}
    assert node(lines[2], "a")["default"] == "x" and node(lines[3], "a")["default"] == "z"


@pytest.mark.matrix
def test_i20_a_table_that_is_locked_is_described_all_the_same(scene):
    """A migration that holds its table must not hold the slot: the catalog is read, the table is not."""
    scene.sql("CREATE TABLE t (id serial PRIMARY KEY, at timestamptz DEFAULT now(), v text DEFAULT 'x')")
    engine = scene.engine(debezium(scene, schemas=True, defaults=True)).start()
    scene.caught_up()
    assert engine.stop() == 0
    scene.sql("INSERT INTO t DEFAULT VALUES")
    with scene.connect() as holder, holder.cursor() as cursor:
        cursor.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        engine.start()
        (line,) = [json.dumps(event) for event in scene.wait_records(1, timeout=8)]
        assert node(line, "v")["default"] == "x"
        holder.rollback()


@pytest.mark.matrix
def test_i20_source_tells_where_a_transaction_came_from(scene):
    """What logical replication noted of it; nothing of a transaction of the server's own."""
    scene.sql("CREATE TABLE t (id int PRIMARY KEY)")
    scene.engine(debezium(scene)).start()
    name = f"north of {scene.slot}"
    scene.sql("INSERT INTO t VALUES (1)")
    scene.sql("SELECT pg_replication_origin_create(%s)", name)
    scene.sql(f"""SELECT pg_replication_origin_session_setup('{name}');
                  BEGIN; SELECT pg_replication_origin_xact_setup('0/1234', now());
                  INSERT INTO t VALUES (2); DELETE FROM t WHERE id = 2; COMMIT;
                  BEGIN; SELECT pg_replication_origin_xact_setup('1/0', now());
                  INSERT INTO t VALUES (3); DELETE FROM t WHERE id = 3; COMMIT;
                  SELECT pg_replication_origin_session_reset()""")
    scene.sql("INSERT INTO t VALUES (4)")
    scene.caught_up()
    scene.sql("SELECT pg_replication_origin_drop(%s)", name)
    sources = [event["source"] for event in scene.records().all()]
    assert [(source["origin"], source["origin_lsn"]) for source in sources] == [
        (None, None), (name, 0x1234), (name, 0x1234), (name, 1 << 32), (name, 1 << 32), (None, None)]


@pytest.mark.parametrize("setting, marker, text", [
    (MARKER, MARKER.encode(), MARKER), ("hex:41ff00", b"A\xff\0", "A\ufffd\0")])
def test_i20_unchanged_large_values_are_marked(scene, setting, marker, text):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, n int, a text, b bytea, c int[], d text[],"
              "e uuid[]); ALTER TABLE t ALTER a SET STORAGE EXTERNAL, ALTER b SET STORAGE EXTERNAL,"
              "ALTER c SET STORAGE EXTERNAL, ALTER d SET STORAGE EXTERNAL,"
              "ALTER e SET STORAGE EXTERNAL")
    scene.engine(debezium(scene, unavailable_value=setting)).start()
    scene.sql("INSERT INTO t SELECT 1, 1, repeat('x', 9000), decode(repeat('ab', 9000), 'hex'),"
              "array_agg(g), array_agg(repeat('y', 100)), array_agg(gen_random_uuid())"
              "FROM generate_series(1, 9000) g; UPDATE t SET n = 2")
    scene.caught_up()
    _, update = scene.records().all()
    (name,) = update["after"].pop("e")
    digest = hashlib.md5(marker, usedforsecurity=False).digest()
    assert name == str(uuid.UUID(bytes=digest, version=3))
    assert update["after"] == {
        "id": 1, "n": 2, "a": text, "b": base64.b64encode(marker).decode(),
        "c": [byte - 256 if byte > 127 else byte for byte in marker], "d": [text]}


def test_i20_a_value_without_a_form_becomes_a_dead_letter(scene):
    scene.sql("CREATE TABLE t (id int PRIMARY KEY, n numeric)")
    engine = scene.engine(debezium(scene)).start()
    scene.sql("INSERT INTO t VALUES (1, 1), (2, 'NaN'), (3, 3)")
    scene.caught_up()
    assert [event["after"]["id"] for event in scene.records().all()] == [1, 3]
    listed = pgfan("dlq", "list", "--json", "-c", engine.conf_path)
    (letter,) = json.loads(listed.stdout)["dead_letters"]
    assert (letter["cause"], letter["code"]) == ("poison", "NO_FORM")
    assert 'column "n"' in letter["error"]
