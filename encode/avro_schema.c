/*
 * avro_schema.c - walks the Connect schema, which jansson has read.
 *
 * NOTES
 * Every json_* setter here fails only when memory is out, and so does whatever gets a NULL of one: a
 * NULL spreads up to avro_schema_make(), which tells the two reasons apart by making.status.
 */
#include "encode/avro_schema.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "encode/json.h"

#define CONNECT_DATA "org.apache.kafka.connect.data."
#define PRECISION_PARAMETER "connect.decimal.precision"
/* Where records without a name of their own are, as Confluent's converter has them. */
#define NAMELESS_SPACE "io.confluent.connect.avro"

enum {
    NAME_MAX_SIZE = 4096,
    PRECISION_DEFAULT = 64, /* of a Decimal that does not say its own: that of the converter */
};

struct making {
    enum avro_names names;
    json_t *defined; /* the full names of the records so far, each with its Connect fields */
    bool columns;    /* the fields at hand are columns, whose names are made fit */
    enum fan_status status;
    struct fan_error *reterr;
};

static json_t *type_of(struct making *making, const json_t *node, const char *space);

static json_t *fail(struct making *making, const char *what)
{
    making->status = fan_fail(making->reterr, FAN_POISON, "cannot make an Avro schema: %s", what);
    fan_error_annotate(making->reterr, "NO_FORM", NULL);
    return NULL;
}

/* ---- names ---- */

static bool is_letter(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* The UTF-16 units of a sequence, which is what the modes of Debezium count in. */
static size_t units_of(const uint8_t *bytes, size_t size, uint16_t units[2])
{
    static const uint8_t masks[] = {0xff, 0x7f, 0x1f, 0x0f, 0x07}; /* 0: no sequence, a byte */
    uint32_t point = bytes[0] & masks[size];
    for (size_t i = 1; i < size; i++) {
        point = point << 6 | (bytes[i] & 0x3f);
    }
    if (point < 0x10000) {
        units[0] = (uint16_t)point;
        return 1;
    }
    units[0] = (uint16_t)(0xd800 + ((point - 0x10000) >> 10));
    units[1] = (uint16_t)(0xdc00 + ((point - 0x10000) & 0x3ff));
    return 2;
}

static void append_replaced(struct bytes *out, const uint8_t *bytes, size_t size,
                            enum avro_names names)
{
    uint16_t units[2];
    size_t count = units_of(bytes, size, units);
    for (size_t i = 0; i < count; i++) {
        if (names == AVRO_NAMES_UNICODE) {
            bytes_append_format(out, "_u%04x", units[i]);
        } else {
            bytes_append_char(out, '_');
        }
    }
}

static void append_name(struct bytes *out, const char *name, enum avro_names names, bool dots)
{
    const uint8_t *at = (const uint8_t *)name;
    const uint8_t *end = at + strlen(name);
    bool first = true; /* of a part: none may begin with a digit */
    while (at < end) {
        size_t size = utf8_sequence(at, (size_t)(end - at));
        bool underscore = *at == '_' && names == AVRO_NAMES_REPLACE;
        bool dot = *at == '.' && dots;
        if (dot || underscore || is_letter(*at) || (is_digit(*at) && !first)) {
            bytes_append_char(out, (char)*at);
        } else {
            append_replaced(out, at, size, names);
        }
        first = dot;
        at += size > 0 ? size : 1;
    }
}

void avro_name_append(struct bytes *out, const char *name, enum avro_names names)
{
    append_name(out, name, names, true);
}

void avro_topic_append(struct bytes *out, const char *name)
{
    const uint8_t *at = (const uint8_t *)name;
    const uint8_t *end = at + strlen(name);
    while (at < end) {
        size_t size = utf8_sequence(at, (size_t)(end - at));
        if (is_letter(*at) || is_digit(*at) || *at == '.' || *at == '_' || *at == '-') {
            bytes_append_char(out, (char)*at);
        } else {
            append_replaced(out, at, size, AVRO_NAMES_REPLACE);
        }
        at += size > 0 ? size : 1;
    }
}

/* A name made fit, as a new string value. */
static json_t *name_of(const struct making *making, const char *name, bool dots)
{
    struct bytes text;
    bytes_init(&text, NAME_MAX_SIZE);
    append_name(&text, name, making->names, dots);
    json_t *made = bytes_ok(&text) ? json_stringn((const char *)text.data, text.size) : NULL;
    bytes_release(&text);
    return made;
}

/* ---- the parts of a schema ---- */

static const char *text_at(const json_t *node, const char *key)
{
    const char *text = json_string_value(json_object_get(node, key));
    return text != NULL ? text : "";
}

static bool is_optional(const json_t *node)
{
    return json_is_true(json_object_get(node, "optional"));
}

static bool is_named(const json_t *node, const char *name)
{
    return strcmp(text_at(node, "name"), name) == 0;
}

static const char *primitive_of(const char *connect_type)
{
    static const char *const pairs[][2] = {
        {"int8", "int"},        {"int16", "int"},     {"int32", "int"},
        {"int64", "long"},      {"float", "float"},   {"double", "double"},
        {"boolean", "boolean"}, {"string", "string"}, {"bytes", "bytes"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (strcmp(pairs[i][0], connect_type) == 0) {
            return pairs[i][1];
        }
    }
    return NULL;
}

/* Octets in base64 as the characters U+0000 to U+00FF, which is how Avro's JSON has bytes. */
static json_t *octets_of(const json_t *value)
{
    const char *text = json_string_value(value);
    size_t size = text != NULL ? strlen(text) : 0;
    uint8_t *octets = malloc(size + 1);
    struct bytes out;
    json_t *made = NULL;
    bytes_init(&out, UINT32_MAX);
    if (octets != NULL && bytes_reserve(&out, 1)) {
        memcpy(octets, text != NULL ? text : "", size);
        if (!base64_decode(octets, &size)) {
            size = 0; /* the envelope writes none that is not */
        }
        for (size_t i = 0; i < size; i++) {
            if (octets[i] >= 0x80) {
                bytes_append_char(&out, (char)(0xc0 | octets[i] >> 6));
                bytes_append_char(&out, (char)(0x80 | (octets[i] & 0x3f)));
            } else {
                bytes_append_char(&out, (char)octets[i]);
            }
        }
        made = bytes_ok(&out) ? json_stringn((const char *)out.data, out.size) : NULL;
    }
    free(octets);
    bytes_release(&out);
    return made;
}

/* The default that a node has, in Avro's form; NULL: it has none that can be said. */
static json_t *default_of(const json_t *node)
{
    json_t *value = json_object_get(node, "default");
    const char *type = text_at(node, "type");
    if (value == NULL || json_is_null(value)) {
        return NULL;
    }
    if (strcmp(type, "bytes") == 0) {
        return octets_of(value);
    }
    if (strcmp(type, "float") == 0 || strcmp(type, "double") == 0) {
        /* 0.0, as Connect has it; NaN and infinities have no form in a schema. */
        return json_is_number(value) ? json_real(json_number_value(value)) : NULL;
    }
    return json_incref(value);
}

/* {"name":...,"type":...,"default":...} */
static json_t *field_of(struct making *making, const char *name, const json_t *node,
                        const char *space)
{
    json_t *field = json_object();
    json_t *fit = making->columns ? name_of(making, name, false) : json_string(name);
    json_t *made = field != NULL ? type_of(making, node, space) : NULL;
    json_t *value = default_of(node);
    if (value == NULL && is_optional(node)) {
        value = json_null();
    }
    if (made == NULL || json_object_set(field, "name", fit) != 0 ||
        json_object_set(field, "type", made) != 0 ||
        (value != NULL && json_object_set(field, "default", value) != 0)) {
        json_decref(field);
        field = NULL;
    }
    json_decref(value);
    json_decref(made);
    json_decref(fit);
    return field;
}

/* Appends the field, unless another one has its name. */
static bool add_field(struct making *making, json_t *fields, json_t *taken, json_t *field)
{
    const char *name = text_at(field, "name");
    if (field == NULL) {
        return false;
    }
    if (json_object_get(taken, name) != NULL) {
        making->status = fan_fail(making->reterr, FAN_POISON,
                                  "cannot make an Avro schema: two columns become \"%.128s\", "
                                  "because Avro's names have letters, digits and _ only",
                                  name);
        fan_error_annotate(making->reterr, "NO_FORM",
                           "set `avro: {names: unicode}` at the target, or rename a column");
        json_decref(field);
        return false;
    }
    return json_object_set_new(taken, name, json_true()) == 0 &&
           json_array_append_new(fields, field) == 0;
}

/* {"type":"record","name":...,"namespace":...}, or its name if it stands in the schema already; then
 * `*ret_known`. `space` is where the outer record is, `content` what Connect has in this one. */
static json_t *record_head(struct making *making, const char *full_name, json_t *content,
                           const char *space, bool *ret_known)
{
    const char *dot = strrchr(full_name, '.');
    size_t space_size = dot != NULL ? (size_t)(dot - full_name) : 0;
    const char *name = dot != NULL ? dot + 1 : full_name;
    bool same_space =
        space != NULL && strlen(space) == space_size && memcmp(space, full_name, space_size) == 0;
    const json_t *known = json_object_get(making->defined, full_name);
    *ret_known = known != NULL;
    if (known != NULL) {
        return json_equal(known, content)
                   ? json_string(same_space ? name : full_name)
                   : fail(making, "two records of one name have different fields");
    }
    json_t *record = json_pack("{s:s, s:s}", "type", "record", "name", name);
    bool fine = json_object_set(making->defined, full_name, content) == 0;
    if (!same_space && dot != NULL) {
        fine = json_object_set_new(record, "namespace", json_stringn(full_name, space_size)) == 0 &&
               fine;
    }
    if (!fine) {
        json_decref(record);
        return NULL;
    }
    return record;
}

/* Whether a struct is a row or a key of a table: its fields are columns, and only these have names that
 * Avro may not allow. */
static bool is_row(const char *full_name)
{
    const char *dot = strrchr(full_name, '.');
    return dot != NULL && (strcmp(dot, ".Value") == 0 || strcmp(dot, ".Key") == 0);
}

/* Where the records inside of that one are. */
static bool space_of(const char *full_name, char space[NAME_MAX_SIZE])
{
    const char *dot = strrchr(full_name, '.');
    size_t size = dot != NULL ? (size_t)(dot - full_name) : 0;
    memcpy(space, full_name, size);
    space[size] = '\0';
    return true;
}

static json_t *struct_fields(struct making *making, const json_t *node, const char *space)
{
    json_t *fields = json_array();
    json_t *taken = json_object();
    bool columns = is_row(text_at(node, "name"));
    size_t index;
    json_t *field;
    json_array_foreach(json_object_get(node, "fields"), index, field)
    {
        making->columns = columns; /* again: a field may have been a struct */
        json_t *made = field_of(making, text_at(field, "field"), field, space);
        if (!add_field(making, fields, taken, made)) {
            json_decref(fields);
            fields = NULL;
            break;
        }
    }
    json_decref(taken);
    return fields;
}

static json_t *struct_of(struct making *making, const json_t *node, const char *space,
                         bool *ret_known)
{
    const char *own = text_at(node, "name");
    char inner[NAME_MAX_SIZE];
    json_t *name = name_of(making, own[0] != '\0' ? own : NAMELESS_SPACE ".ConnectDefault", true);
    if (name == NULL) {
        return NULL;
    }
    json_t *record = record_head(making, json_string_value(name), json_object_get(node, "fields"),
                                 space, ret_known);
    if (record != NULL && !*ret_known && space_of(json_string_value(name), inner)) {
        json_t *fields = struct_fields(making, node, inner);
        if (fields == NULL || json_object_set_new(record, "fields", fields) != 0) {
            json_decref(record);
            record = NULL;
        }
    }
    json_decref(name);
    return record;
}

/* A map whose keys are no plain strings: Avro has none, so an array of pairs. */
static json_t *pairs_of(struct making *making, const json_t *node, const char *space)
{
    static const char entry[] = NAMELESS_SPACE ".MapEntry";
    bool known;
    json_t *keys = json_object_get(node, "keys");
    json_t *values = json_object_get(node, "values");
    json_t *content = json_pack("[O, O]", keys, values);
    json_t *record = content != NULL ? record_head(making, entry, content, space, &known) : NULL;
    json_decref(content);
    if (record != NULL && !known) {
        json_t *fields = json_array();
        making->columns = false;
        json_t *key = field_of(making, "key", keys, NAMELESS_SPACE);
        json_t *value = field_of(making, "value", values, NAMELESS_SPACE);
        bool fine = key != NULL && json_array_append(fields, key) == 0 && value != NULL &&
                    json_array_append(fields, value) == 0 &&
                    json_object_set(record, "fields", fields) == 0;
        json_decref(key);
        json_decref(value);
        json_decref(fields);
        if (!fine) {
            json_decref(record);
            return NULL;
        }
    }
    return json_pack("{s:s, s:o}", "type", "array", "items", record);
}

static json_t *map_of(struct making *making, const json_t *node, const char *space)
{
    const json_t *keys = json_object_get(node, "keys");
    if (strcmp(text_at(keys, "type"), "string") != 0 || is_optional(keys)) {
        return pairs_of(making, node, space);
    }
    return json_pack("{s:s, s:o}", "type", "map", "values",
                     type_of(making, json_object_get(node, "values"), space));
}

static json_t *bytes_of(const json_t *node)
{
    json_t *parameters = json_object_get(node, "parameters");
    if (!is_named(node, CONNECT_DATA "Decimal")) {
        return json_pack("{s:s}", "type", "bytes");
    }
    const char *precision = json_string_value(json_object_get(parameters, PRECISION_PARAMETER));
    return json_pack("{s:s, s:i, s:i}", "type", "bytes", "scale",
                     (int)strtol(text_at(parameters, "scale"), NULL, 10), "precision",
                     precision != NULL ? (int)strtol(precision, NULL, 10) : PRECISION_DEFAULT);
}

/* ---- what Connect knows of a type, as further keys ---- */

static bool copy_key(const json_t *node, const char *key, json_t *made, const char *made_key)
{
    json_t *value = json_object_get(node, key);
    return value == NULL || json_object_set(made, made_key, value) == 0;
}

static const char *logical_type_of(const json_t *node)
{
    static const char *const pairs[][2] = {
        {CONNECT_DATA "Decimal", "decimal"},
        {CONNECT_DATA "Date", "date"},
        {CONNECT_DATA "Time", "time-millis"},
        {CONNECT_DATA "Timestamp", "timestamp-millis"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (is_named(node, pairs[i][0])) {
            return pairs[i][1];
        }
    }
    return NULL;
}

static bool add_keys(const struct making *making, const json_t *node, json_t *made)
{
    const char *type = text_at(node, "type");
    const char *logical = logical_type_of(node);
    bool narrow = strcmp(type, "int8") == 0 || strcmp(type, "int16") == 0;
    json_t *value = default_of(node);
    bool fine =
        copy_key(node, "doc", made, "connect.doc") &&
        copy_key(node, "version", made, "connect.version") &&
        copy_key(node, "parameters", made, "connect.parameters") &&
        (value == NULL || json_object_set(made, "connect.default", value) == 0) &&
        (json_object_get(node, "name") == NULL ||
         json_object_set_new(made, "connect.name", name_of(making, text_at(node, "name"), true)) ==
             0) &&
        (!narrow || json_object_set_new(made, "connect.type", json_string(type)) == 0) &&
        (logical == NULL || json_object_set_new(made, "logicalType", json_string(logical)) == 0);
    json_decref(value);
    return fine;
}

/* The type, without its being optional. `*ret_known`: a record that is only named. */
static json_t *base_of(struct making *making, const json_t *node, const char *space,
                       bool *ret_known)
{
    const char *type = text_at(node, "type");
    const char *primitive = primitive_of(type);
    if (strcmp(type, "bytes") == 0) {
        return bytes_of(node);
    }
    if (primitive != NULL) {
        return json_pack("{s:s}", "type", primitive);
    }
    if (strcmp(type, "struct") == 0) {
        return struct_of(making, node, space, ret_known);
    }
    if (strcmp(type, "map") == 0) {
        return map_of(making, node, space);
    }
    if (strcmp(type, "array") == 0) {
        return json_pack("{s:s, s:o}", "type", "array", "items",
                         type_of(making, json_object_get(node, "items"), space));
    }
    return fail(making, "a schema has a type that is not known");
}

static json_t *type_of(struct making *making, const json_t *node, const char *space)
{
    bool known = false;
    json_t *made = base_of(making, node, space, &known);
    if (made == NULL) {
        return NULL;
    }
    if (!known && !add_keys(making, node, made)) {
        json_decref(made);
        return NULL;
    }
    if (!known && json_object_size(made) == 1) { /* {"type":"int"} is "int" */
        json_t *plain = json_incref(json_object_get(made, "type"));
        json_decref(made);
        made = plain;
    }
    if (!is_optional(node)) {
        return made;
    }
    json_t *value = default_of(node); /* of a union that of its first member */
    json_t *both =
        value != NULL ? json_pack("[o, s]", made, "null") : json_pack("[s, o]", "null", made);
    json_decref(value);
    return both;
}

static int append_dumped(const char *text, size_t size, void *context)
{
    struct bytes *out = context;
    bytes_append(out, text, size);
    return bytes_ok(out) ? 0 : -1;
}

enum fan_status avro_schema_make(const char *connect, size_t connect_size, enum avro_names names,
                                 struct bytes *out, struct fan_error *reterr)
{
    size_t start = out->size;
    struct making making = {
        .names = names, .defined = json_object(), .status = FAN_OK, .reterr = reterr};
    json_error_t fault;
    json_t *node = json_loadb(connect, connect_size, 0, &fault);
    if (node == NULL && json_error_code(&fault) != json_error_out_of_memory) {
        (void)fail(&making, fault.text); /* NULL, as `made` below */
    }
    json_t *made = making.defined != NULL && node != NULL ? type_of(&making, node, NULL) : NULL;
    bool fine = made != NULL &&
                json_dump_callback(made, append_dumped, out,
                                   JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17)) == 0;
    json_decref(made);
    json_decref(node);
    json_decref(making.defined);
    if (fine) {
        return FAN_OK;
    }
    bytes_truncate(out, start);
    return making.status != FAN_OK
               ? making.status
               : fan_fail(reterr, FAN_RETRY, "could not make an Avro schema: out of memory");
}
