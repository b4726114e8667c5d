#include "encode/debezium_schema.h"

#include <string.h>

#include "encode/json.h"

#define CONNECT "org.apache.kafka.connect.data."
#define DEBEZIUM "io.debezium."
#define POINT_NAME DEBEZIUM "data.geometry.Point"
#define POINT_DOC "Geometry (POINT)"

/* Type and semantic name of each kind; a NULL name: the type says it all. */
static const struct kind_schema {
    const char *type;
    const char *name;
} kinds[DEBEZIUM_KINDS] = {
    [DEBEZIUM_STRING] = {"string", NULL},
    [DEBEZIUM_BOOLEAN] = {"boolean", NULL},
    [DEBEZIUM_INT16] = {"int16", NULL},
    [DEBEZIUM_INT32] = {"int32", NULL},
    [DEBEZIUM_INT64] = {"int64", NULL},
    [DEBEZIUM_FLOAT32] = {"float", NULL},
    [DEBEZIUM_FLOAT64] = {"double", NULL},
    [DEBEZIUM_DECIMAL] = {"bytes", CONNECT "Decimal"},
    [DEBEZIUM_VARIABLE_DECIMAL] = {"struct", DEBEZIUM "data.VariableScaleDecimal"},
    [DEBEZIUM_DECIMAL_AS_DOUBLE] = {"double", NULL},
    [DEBEZIUM_DECIMAL_AS_STRING] = {"string", NULL},
    [DEBEZIUM_MONEY] = {"bytes", CONNECT "Decimal"},
    [DEBEZIUM_MONEY_AS_DOUBLE] = {"double", NULL},
    [DEBEZIUM_MONEY_AS_STRING] = {"string", NULL},
    [DEBEZIUM_BYTES] = {"bytes", NULL},
    [DEBEZIUM_BYTES_AS_STRING] = {"string", NULL},
    [DEBEZIUM_BIT] = {"boolean", NULL},
    [DEBEZIUM_BITS] = {"bytes", DEBEZIUM "data.Bits"},
    [DEBEZIUM_DATE] = {"int32", DEBEZIUM "time.Date"},
    [DEBEZIUM_DATE_CONNECT] = {"int32", CONNECT "Date"},
    [DEBEZIUM_DATE_ISO] = {"string", DEBEZIUM "time.IsoDate"},
    [DEBEZIUM_DATE_STRUCT] = {"struct", DEBEZIUM "time.StructuredDate"},
    [DEBEZIUM_TIME_MILLIS] = {"int32", DEBEZIUM "time.Time"},
    [DEBEZIUM_TIME_MICROS] = {"int64", DEBEZIUM "time.MicroTime"},
    [DEBEZIUM_TIME_NANOS] = {"int64", DEBEZIUM "time.NanoTime"},
    [DEBEZIUM_TIME_OF_CONNECT] = {"int32", CONNECT "Time"},
    [DEBEZIUM_TIME_ISO] = {"string", DEBEZIUM "time.IsoTime"},
    [DEBEZIUM_TIME_STRUCT] = {"struct", DEBEZIUM "time.StructuredTime"},
    [DEBEZIUM_TIMESTAMP_MILLIS] = {"int64", DEBEZIUM "time.Timestamp"},
    [DEBEZIUM_TIMESTAMP_MICROS] = {"int64", DEBEZIUM "time.MicroTimestamp"},
    [DEBEZIUM_TIMESTAMP_NANOS] = {"int64", DEBEZIUM "time.NanoTimestamp"},
    [DEBEZIUM_TIMESTAMP_CONNECT] = {"int64", CONNECT "Timestamp"},
    [DEBEZIUM_TIMESTAMP_ISO] = {"string", DEBEZIUM "time.IsoTimestamp"},
    [DEBEZIUM_TIMESTAMP_STRUCT] = {"struct", DEBEZIUM "time.StructuredTimestamp"},
    [DEBEZIUM_ZONED_TIMESTAMP] = {"string", DEBEZIUM "time.ZonedTimestamp"},
    [DEBEZIUM_ZONED_TIMESTAMP_STRUCT] = {"struct", DEBEZIUM "time.StructuredZonedTimestamp"},
    [DEBEZIUM_ZONED_TIME] = {"string", DEBEZIUM "time.ZonedTime"},
    [DEBEZIUM_ZONED_TIME_STRUCT] = {"struct", DEBEZIUM "time.StructuredZonedTime"},
    [DEBEZIUM_DURATION] = {"int64", DEBEZIUM "time.MicroDuration"},
    [DEBEZIUM_DURATION_STRUCT] = {"struct", DEBEZIUM "time.StructuredDuration"},
    [DEBEZIUM_INTERVAL_TEXT] = {"string", DEBEZIUM "time.Interval"},
    [DEBEZIUM_UUID] = {"string", DEBEZIUM "data.Uuid"},
    [DEBEZIUM_JSON] = {"string", DEBEZIUM "data.Json"},
    [DEBEZIUM_XML] = {"string", DEBEZIUM "data.Xml"},
    [DEBEZIUM_ENUM] = {"string", DEBEZIUM "data.Enum"},
    [DEBEZIUM_TSVECTOR] = {"string", DEBEZIUM "data.Tsvector"},
    [DEBEZIUM_LTREE] = {"string", DEBEZIUM "data.Ltree"},
    [DEBEZIUM_HSTORE_AS_JSON] = {"string", DEBEZIUM "data.Json"},
    [DEBEZIUM_HSTORE_AS_MAP] = {"map", NULL},
    [DEBEZIUM_POINT] = {"struct", POINT_NAME},
    [DEBEZIUM_BOX] = {"struct", DEBEZIUM "data.geometry.Geometry"},
    [DEBEZIUM_LSEG] = {"struct", DEBEZIUM "data.geometry.Geometry"},
    [DEBEZIUM_PATH] = {"struct", DEBEZIUM "data.geometry.Geometry"},
    [DEBEZIUM_POLYGON] = {"struct", DEBEZIUM "data.geometry.Geometry"},
    [DEBEZIUM_CIRCLE] = {"struct", DEBEZIUM "data.geometry.Circle"},
    [DEBEZIUM_LINE] = {"struct", DEBEZIUM "data.geometry.Line"},
    [DEBEZIUM_GEOMETRY] = {"struct", DEBEZIUM "data.geometry.Geometry"},
    [DEBEZIUM_GEOGRAPHY] = {"struct", DEBEZIUM "data.geometry.Geography"},
    [DEBEZIUM_VECTOR] = {"array", DEBEZIUM "data.DoubleVector"},
    [DEBEZIUM_HALF_VECTOR] = {"array", DEBEZIUM "data.FloatVector"},
    [DEBEZIUM_SPARSE_VECTOR] = {"struct", DEBEZIUM "data.SparseDoubleVector"},
    [DEBEZIUM_ARRAY] = {"array", NULL},
};

/* The inside of a node, for the structs that are always the same. */
static const char source_fields[] =
    "{\"type\":\"string\",\"optional\":false,\"field\":\"version\"},"
    "{\"type\":\"string\",\"optional\":false,\"field\":\"connector\"},"
    "{\"type\":\"string\",\"optional\":false,\"field\":\"name\"},"
    "{\"type\":\"int64\",\"optional\":false,\"field\":\"ts_ms\"},"
    "{\"type\":\"string\",\"optional\":true,\"name\":\"io.debezium.data.Enum\",\"version\":1,"
    "\"parameters\":{\"allowed\":\"true,first,first_in_data_collection,last_in_data_collection,"
    "last,false,incremental\"},\"default\":\"false\",\"field\":\"snapshot\"},"
    "{\"type\":\"string\",\"optional\":false,\"field\":\"db\"},"
    "{\"type\":\"string\",\"optional\":true,\"field\":\"sequence\"},"
    "{\"type\":\"int64\",\"optional\":true,\"field\":\"ts_us\"},"
    "{\"type\":\"int64\",\"optional\":true,\"field\":\"ts_ns\"},"
    "{\"type\":\"string\",\"optional\":false,\"field\":\"schema\"},"
    "{\"type\":\"string\",\"optional\":false,\"field\":\"table\"},"
    "{\"type\":\"int64\",\"optional\":true,\"field\":\"txId\"},"
    "{\"type\":\"int64\",\"optional\":true,\"field\":\"lsn\"},"
    "{\"type\":\"int64\",\"optional\":true,\"field\":\"xmin\"},"
    "{\"type\":\"string\",\"optional\":true,\"field\":\"origin\"},"
    "{\"type\":\"int64\",\"optional\":true,\"field\":\"origin_lsn\"}";

static const char transaction_field[] =
    "{\"type\":\"struct\",\"fields\":["
    "{\"type\":\"string\",\"optional\":false,\"field\":\"id\"},"
    "{\"type\":\"int64\",\"optional\":false,\"field\":\"total_order\"},"
    "{\"type\":\"int64\",\"optional\":false,\"field\":\"data_collection_order\"}],"
    "\"optional\":true,\"name\":\"event.block\",\"version\":1,\"field\":\"transaction\"}";

static const char op_field[] = "{\"type\":\"string\",\"optional\":false,\"field\":\"op\"}";

static const char times_fields[] = "{\"type\":\"int64\",\"optional\":true,\"field\":\"ts_ms\"},"
                                   "{\"type\":\"int64\",\"optional\":true,\"field\":\"ts_us\"},"
                                   "{\"type\":\"int64\",\"optional\":true,\"field\":\"ts_ns\"}";

static const char nothing_field[] = "{\"type\":\"struct\",\"fields\":[],\"optional\":true,";

static void append_source(struct bytes *out)
{
    BYTES_APPEND_LITERAL(out, "{\"type\":\"struct\",\"fields\":[");
    BYTES_APPEND_LITERAL(out, source_fields);
    BYTES_APPEND_LITERAL(out, "],\"optional\":false,\"name\":"
                              "\"io.debezium.connector.postgresql.Source\",\"version\":1,"
                              "\"field\":\"source\"}");
}

static void append_number(int64_t number, struct bytes *out)
{
    bytes_append_format(out, "%lld", (long long)number);
}

#define NEEDED(type, name) "{\"type\":\"" type "\",\"optional\":false,\"field\":\"" name "\"}"
#define FIELD(type, name) "{\"type\":\"" type "\",\"optional\":true,\"field\":\"" name "\"}"
#define DATE_FIELDS FIELD("int32", "year") "," FIELD("int8", "month") "," FIELD("int8", "day")
#define TIME_FIELDS                                                                                \
    FIELD("int8", "hour")                                                                          \
    "," FIELD("int8", "minute") "," FIELD("int8", "second") "," FIELD("int32", "nanos")
#define OFFSET_FIELD "," FIELD("int32", "offsetSeconds")
#define SPECIAL_FIELD "," FIELD("string", "specialValue")
#define PRECISION_FIELD "," FIELD("int32", "precision")

/* The fields of a date or time of `time: structured`; nothing of any other kind. */
static void append_structured(enum debezium_kind kind, struct bytes *out)
{
    switch (kind) {
    case DEBEZIUM_DATE_STRUCT:
        BYTES_APPEND_LITERAL(out, ",\"fields\":[" DATE_FIELDS SPECIAL_FIELD "]");
        break;
    case DEBEZIUM_TIME_STRUCT:
        BYTES_APPEND_LITERAL(out, ",\"fields\":[" TIME_FIELDS PRECISION_FIELD "]");
        break;
    case DEBEZIUM_ZONED_TIME_STRUCT:
        BYTES_APPEND_LITERAL(out, ",\"fields\":[" TIME_FIELDS OFFSET_FIELD PRECISION_FIELD "]");
        break;
    case DEBEZIUM_TIMESTAMP_STRUCT:
        BYTES_APPEND_LITERAL(out, ",\"fields\":[" DATE_FIELDS
                                  "," TIME_FIELDS SPECIAL_FIELD PRECISION_FIELD "]");
        break;
    case DEBEZIUM_ZONED_TIMESTAMP_STRUCT:
        BYTES_APPEND_LITERAL(out, ",\"fields\":[" DATE_FIELDS "," TIME_FIELDS OFFSET_FIELD
                                  "," FIELD("string", "zoneId") SPECIAL_FIELD PRECISION_FIELD "]");
        break;
    case DEBEZIUM_DURATION_STRUCT:
        BYTES_APPEND_LITERAL(
            out,
            ",\"fields\":[" FIELD("int32", "years") "," FIELD("int32", "months") "," FIELD(
                "int32",
                "days") "," FIELD("int32",
                                  "hours") "," FIELD("int32",
                                                     "minutes") "," FIELD("int64",
                                                                          "seconds") "," FIELD("int"
                                                                                               "32",
                                                                                               "nan"
                                                                                               "os")
                PRECISION_FIELD "]");
        break;
    default:
        break;
    }
}

#define POINT_FIELDS                                                                               \
    ",\"fields\":[" NEEDED("double", "x") "," NEEDED("double", "y") "," FIELD(                     \
        "bytes", "wkb") "," FIELD("int32", "srid") "]"

/* What is inside of a node that is no plain value, behind its type. */
static void append_inside(enum debezium_kind kind, struct bytes *out)
{
    switch (kind) {
    case DEBEZIUM_HSTORE_AS_MAP:
        BYTES_APPEND_LITERAL(out, ",\"keys\":{\"type\":\"string\",\"optional\":false},"
                                  "\"values\":{\"type\":\"string\",\"optional\":true}");
        break;
    case DEBEZIUM_VARIABLE_DECIMAL:
        BYTES_APPEND_LITERAL(out, ",\"fields\":["
                                  "{\"type\":\"int32\",\"optional\":false,\"field\":\"scale\"},"
                                  "{\"type\":\"bytes\",\"optional\":false,\"field\":\"value\"}]");
        break;
    case DEBEZIUM_POINT:
        BYTES_APPEND_LITERAL(out, POINT_FIELDS);
        break;
    case DEBEZIUM_CIRCLE:
        BYTES_APPEND_LITERAL(out, ",\"fields\":[{\"type\":\"struct\"" POINT_FIELDS
                                  ",\"optional\":false,\"name\":\"" POINT_NAME
                                  "\",\"version\":1,\"doc\":\"" POINT_DOC
                                  "\",\"field\":\"center\"}," NEEDED("double", "radius") "]");
        break;
    case DEBEZIUM_LINE:
        BYTES_APPEND_LITERAL(out, ",\"fields\":[" NEEDED("double", "a") "," NEEDED(
                                      "double", "b") "," NEEDED("double", "c") "]");
        break;
    case DEBEZIUM_BOX:
    case DEBEZIUM_LSEG:
    case DEBEZIUM_PATH:
    case DEBEZIUM_POLYGON:
    case DEBEZIUM_GEOMETRY:
        BYTES_APPEND_LITERAL(
            out, ",\"fields\":[" NEEDED("bytes", "wkb") "," FIELD(
                     "int32", "srid") ",{\"type\":\"map\","
                                      "\"keys\":{\"type\":\"string\",\"optional\":false},"
                                      "\"values\":{\"type\":\"string\",\"optional\":false},"
                                      "\"optional\":true,\"field\":\"extensions\"}]");
        break;
    case DEBEZIUM_GEOGRAPHY:
        BYTES_APPEND_LITERAL(out,
                             ",\"fields\":[" NEEDED("bytes", "wkb") "," FIELD("int32", "srid") "]");
        break;
    case DEBEZIUM_VECTOR:
        BYTES_APPEND_LITERAL(out, ",\"items\":{\"type\":\"double\",\"optional\":false}");
        break;
    case DEBEZIUM_HALF_VECTOR:
        BYTES_APPEND_LITERAL(out, ",\"items\":{\"type\":\"float\",\"optional\":false}");
        break;
    case DEBEZIUM_SPARSE_VECTOR:
        BYTES_APPEND_LITERAL(
            out, ",\"fields\":[" NEEDED(
                     "int16", "dimensions") ",{\"type\":\"map\","
                                            "\"keys\":{\"type\":\"int16\",\"optional\":false},"
                                            "\"values\":{\"type\":\"double\",\"optional\":false},"
                                            "\"optional\":false,\"field\":\"vector\"}]");
        break;
    default:
        append_structured(kind, out);
        break;
    }
}

/* Of version 2 of io.debezium.data.geometry.Geometry, which has extensions. */
static bool is_geometry(enum debezium_kind kind)
{
    return kind == DEBEZIUM_BOX || kind == DEBEZIUM_LSEG || kind == DEBEZIUM_PATH ||
           kind == DEBEZIUM_POLYGON || kind == DEBEZIUM_GEOMETRY;
}

static const char *doc_of(enum debezium_kind kind)
{
    switch (kind) {
    case DEBEZIUM_VARIABLE_DECIMAL:
        return "Variable scaled decimal";
    case DEBEZIUM_POINT:
        return POINT_DOC;
    case DEBEZIUM_CIRCLE:
        return "Geometry (CIRCLE)";
    case DEBEZIUM_LINE:
        return "Geometry (LINE)";
    case DEBEZIUM_GEOGRAPHY:
        return "Geography";
    case DEBEZIUM_SPARSE_VECTOR:
        return "Sparse double vector";
    default:
        return is_geometry(kind) ? "Geometry" : NULL;
    }
}

/* The keys of a node that is no array, up to doc and parameters. */
static void append_node(const struct debezium_column *column, enum debezium_kind kind,
                        bool optional, struct bytes *out)
{
    BYTES_APPEND_LITERAL(out, "{\"type\":\"");
    bytes_append_text(out, kinds[kind].type);
    bytes_append_char(out, '"');
    append_inside(kind, out);
    bytes_append_text(out, optional ? ",\"optional\":true" : ",\"optional\":false");
    if (kinds[kind].name != NULL) {
        BYTES_APPEND_LITERAL(out, ",\"name\":\"");
        bytes_append_text(out, kinds[kind].name);
        bytes_append_text(out, is_geometry(kind) ? "\",\"version\":2" : "\",\"version\":1");
    }
    if (doc_of(kind) != NULL) {
        BYTES_APPEND_LITERAL(out, ",\"doc\":\"");
        bytes_append_text(out, doc_of(kind));
        bytes_append_char(out, '"');
    } else if (kind == DEBEZIUM_BITS) {
        BYTES_APPEND_LITERAL(out, ",\"parameters\":{\"length\":\"");
        append_number(column->length, out);
        BYTES_APPEND_LITERAL(out, "\"}");
    } else if (kind == DEBEZIUM_ENUM && column->column->labels != NULL) {
        BYTES_APPEND_LITERAL(out, ",\"parameters\":{\"allowed\":\"");
        json_write_escaped(out, column->column->labels, strlen(column->column->labels));
        BYTES_APPEND_LITERAL(out, "\"}");
    } else if (kind == DEBEZIUM_DECIMAL || kind == DEBEZIUM_MONEY) {
        BYTES_APPEND_LITERAL(out, ",\"parameters\":{\"scale\":\"");
        append_number(column->scale, out);
        if (kind == DEBEZIUM_DECIMAL) {
            BYTES_APPEND_LITERAL(out, "\",\"connect.decimal.precision\":\"");
            append_number(column->precision, out);
        }
        BYTES_APPEND_LITERAL(out, "\"}");
    }
}

/* Debezium's schemas of these may be null also in a column that may not; a value never is there. */
static bool is_always_optional(enum debezium_kind kind)
{
    return is_geometry(kind) || kind == DEBEZIUM_CIRCLE || kind == DEBEZIUM_LINE;
}

static void append_column(const struct debezium_column *column, struct bytes *out)
{
    if (column->kind == DEBEZIUM_ARRAY) {
        BYTES_APPEND_LITERAL(out, "{\"type\":\"array\",\"items\":");
        append_node(column, column->element, true, out);
        bytes_append_text(out, column->optional ? "},\"optional\":true" : "},\"optional\":false");
    } else {
        append_node(column, column->kind, column->optional || is_always_optional(column->kind),
                    out);
    }
    if (column->default_json != NULL) {
        BYTES_APPEND_LITERAL(out, ",\"default\":");
        bytes_append_text(out, column->default_json);
    }
    BYTES_APPEND_LITERAL(out, ",\"field\":");
    bytes_append(out, column->column->json_name, column->column->json_name_size - 1); /* no colon */
    bytes_append_char(out, '}');
}

/* {"type":"struct","fields":[columns],"optional":...,"name":"<prefix>.<schema>.<table><suffix>" */
static void append_row(const struct debezium_schema_source *source, bool key, const char *suffix,
                       struct bytes *out)
{
    const struct relation *relation = source->relation;
    bool first = true;
    BYTES_APPEND_LITERAL(out, "{\"type\":\"struct\",\"fields\":[");
    for (size_t i = 0; i < relation->columns_count; i++) {
        if (key && !relation->columns[i].in_key) {
            continue;
        }
        if (!first) {
            bytes_append_char(out, ',');
        }
        append_column(&source->columns[i], out);
        first = false;
    }
    bytes_append_text(out, key ? "],\"optional\":false," : "],\"optional\":true,");
    BYTES_APPEND_LITERAL(out, "\"name\":\"");
    json_write_escaped(out, source->prefix, strlen(source->prefix));
    bytes_append_char(out, '.');
    json_write_escaped(out, relation->schema, strlen(relation->schema));
    bytes_append_char(out, '.');
    json_write_escaped(out, relation->name, strlen(relation->name));
    bytes_append_text(out, suffix);
}

void debezium_schema_envelope(const struct debezium_schema_source *source, struct bytes *out)
{
    const struct relation *relation = source->relation;
    BYTES_APPEND_LITERAL(out, "{\"type\":\"struct\",\"fields\":[");
    append_row(source, false, ".Value\",\"field\":\"before\"},", out);
    append_row(source, false, ".Value\",\"field\":\"after\"},", out);
    append_source(out);
    bytes_append_char(out, ',');
    BYTES_APPEND_LITERAL(out, transaction_field);
    bytes_append_char(out, ',');
    BYTES_APPEND_LITERAL(out, op_field);
    bytes_append_char(out, ',');
    BYTES_APPEND_LITERAL(out, times_fields);
    BYTES_APPEND_LITERAL(out, "],\"optional\":false,\"name\":\"");
    json_write_escaped(out, source->prefix, strlen(source->prefix));
    bytes_append_char(out, '.');
    json_write_escaped(out, relation->schema, strlen(relation->schema));
    bytes_append_char(out, '.');
    json_write_escaped(out, relation->name, strlen(relation->name));
    BYTES_APPEND_LITERAL(out, ".Envelope\",\"version\":2}");
}

void debezium_schema_key(const struct debezium_schema_source *source, struct bytes *out)
{
    append_row(source, true, ".Key\"}", out);
}

void debezium_schema_message(const struct debezium_settings *settings, struct bytes *out)
{
    bool bytes = settings->binary == DEBEZIUM_BINARY_BYTES;
    BYTES_APPEND_LITERAL(out, "{\"type\":\"struct\",\"fields\":[");
    BYTES_APPEND_LITERAL(out, op_field);
    BYTES_APPEND_LITERAL(out, ",{\"type\":\"int64\",\"optional\":true,\"field\":\"ts_ms\"},");
    append_source(out);
    bytes_append_char(out, ',');
    BYTES_APPEND_LITERAL(out, transaction_field);
    BYTES_APPEND_LITERAL(out, ",{\"type\":\"struct\",\"fields\":["
                              "{\"type\":\"string\",\"optional\":true,\"field\":\"prefix\"},"
                              "{\"type\":\"");
    bytes_append_text(out, bytes ? "bytes" : "string");
    BYTES_APPEND_LITERAL(out, "\",\"optional\":true,\"field\":\"content\"}],\"optional\":false,"
                              "\"name\":\"io.debezium.connector.postgresql.Message\","
                              "\"version\":1,\"field\":\"message\"}],\"optional\":false,"
                              "\"name\":\"io.debezium.connector.postgresql.MessageValue\","
                              "\"version\":1}");
}

void debezium_schema_message_key(struct bytes *out)
{
    BYTES_APPEND_LITERAL(out, "{\"type\":\"struct\",\"fields\":["
                              "{\"type\":\"string\",\"optional\":true,\"field\":\"prefix\"}],"
                              "\"optional\":false,"
                              "\"name\":\"io.debezium.connector.postgresql.MessageKey\","
                              "\"version\":1}");
}

void debezium_schema_gap(struct bytes *out)
{
    BYTES_APPEND_LITERAL(out, "{\"type\":\"struct\",\"fields\":[");
    BYTES_APPEND_LITERAL(out, nothing_field);
    BYTES_APPEND_LITERAL(out, "\"field\":\"before\"},");
    BYTES_APPEND_LITERAL(out, nothing_field);
    BYTES_APPEND_LITERAL(out, "\"field\":\"after\"},");
    append_source(out);
    bytes_append_char(out, ',');
    BYTES_APPEND_LITERAL(out, transaction_field);
    bytes_append_char(out, ',');
    BYTES_APPEND_LITERAL(out, op_field);
    bytes_append_char(out, ',');
    BYTES_APPEND_LITERAL(out, times_fields);
    BYTES_APPEND_LITERAL(out, ",{\"type\":\"struct\",\"fields\":["
                              "{\"type\":\"string\",\"optional\":false,\"field\":\"from\"},"
                              "{\"type\":\"string\",\"optional\":false,\"field\":\"to\"},"
                              "{\"type\":\"int64\",\"optional\":false,\"field\":\"count\"}],"
                              "\"optional\":true,\"name\":\"pgfan.Gap\",\"version\":1,"
                              "\"field\":\"gap\"}],\"optional\":false,"
                              "\"name\":\"pgfan.GapEnvelope\",\"version\":1}");
}

void debezium_schema_transaction(struct bytes *out)
{
    BYTES_APPEND_LITERAL(
        out, "{\"type\":\"struct\",\"fields\":["
             "{\"type\":\"string\",\"optional\":false,\"field\":\"status\"},"
             "{\"type\":\"string\",\"optional\":false,\"field\":\"id\"},"
             "{\"type\":\"int64\",\"optional\":true,\"field\":\"event_count\"},"
             "{\"type\":\"array\",\"items\":{\"type\":\"struct\",\"fields\":["
             "{\"type\":\"string\",\"optional\":false,\"field\":\"data_collection\"},"
             "{\"type\":\"int64\",\"optional\":false,\"field\":\"event_count\"}],"
             "\"optional\":true,\"name\":\"event.collection\",\"version\":1},\"optional\":true,"
             "\"field\":\"data_collections\"},"
             "{\"type\":\"int64\",\"optional\":false,\"field\":\"ts_ms\"}],\"optional\":false,"
             "\"name\":\"io.debezium.connector.common.TransactionMetadataValue\",\"version\":1}");
}

void debezium_schema_transaction_key(struct bytes *out)
{
    BYTES_APPEND_LITERAL(out, "{\"type\":\"struct\",\"fields\":["
                              "{\"type\":\"string\",\"optional\":false,\"field\":\"id\"}],"
                              "\"optional\":false,"
                              "\"name\":\"io.debezium.connector.common.TransactionMetadataKey\","
                              "\"version\":1}");
}
