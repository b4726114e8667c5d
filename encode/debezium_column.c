#include "encode/debezium_column.h"

enum {
    MODIFIER_HEADER = 4, /* VARHDRSZ, which numeric's modifier is counted from */
    VARBIT_LENGTH = 2147483647,
    MONEY_SCALE = 2,
};

/* OIDs of built-in types never change (src/include/catalog/pg_type.dat). */
enum type_oid {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_CHAR = 18,
    OID_NAME = 19,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_OID = 26,
    OID_JSON = 114,
    OID_XML = 142,
    OID_POINT = 600,
    OID_LSEG = 601,
    OID_PATH = 602,
    OID_BOX = 603,
    OID_POLYGON = 604,
    OID_LINE = 628,
    OID_CIDR = 650,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_CIRCLE = 718,
    OID_MACADDR8 = 774,
    OID_MONEY = 790,
    OID_MACADDR = 829,
    OID_INET = 869,
    OID_BPCHAR = 1042,
    OID_VARCHAR = 1043,
    OID_DATE = 1082,
    OID_TIME = 1083,
    OID_TIMESTAMP = 1114,
    OID_TIMESTAMPTZ = 1184,
    OID_INTERVAL = 1186,
    OID_TIMETZ = 1266,
    OID_BIT = 1560,
    OID_VARBIT = 1562,
    OID_NUMERIC = 1700,
    OID_UUID = 2950,
    OID_TSVECTOR = 3614,
    OID_JSONB = 3802,
    OID_INT4RANGE = 3904,
    OID_NUMRANGE = 3906,
    OID_TSRANGE = 3908,
    OID_TSTZRANGE = 3910,
    OID_DATERANGE = 3912,
    OID_INT8RANGE = 3926,
};

/* The types whose form no setting changes. `element`: Debezium has arrays of them. */
static const struct fixed_kind {
    uint32_t oid;
    enum debezium_kind kind;
    bool element;
} fixed_kinds[] = {
    {OID_BOOL, DEBEZIUM_BOOLEAN, true},       {OID_CHAR, DEBEZIUM_STRING, true},
    {OID_NAME, DEBEZIUM_STRING, false},       {OID_INT8, DEBEZIUM_INT64, true},
    {OID_INT2, DEBEZIUM_INT16, true},         {OID_INT4, DEBEZIUM_INT32, true},
    {OID_TEXT, DEBEZIUM_STRING, true},        {OID_OID, DEBEZIUM_INT64, true},
    {OID_JSON, DEBEZIUM_JSON, true},          {OID_XML, DEBEZIUM_XML, false},
    {OID_POINT, DEBEZIUM_POINT, false},       {OID_LSEG, DEBEZIUM_LSEG, true},
    {OID_PATH, DEBEZIUM_PATH, true},          {OID_BOX, DEBEZIUM_BOX, true},
    {OID_POLYGON, DEBEZIUM_POLYGON, true},    {OID_LINE, DEBEZIUM_LINE, true},
    {OID_CIDR, DEBEZIUM_STRING, true},        {OID_FLOAT4, DEBEZIUM_FLOAT32, true},
    {OID_FLOAT8, DEBEZIUM_FLOAT64, true},     {OID_CIRCLE, DEBEZIUM_CIRCLE, true},
    {OID_MACADDR8, DEBEZIUM_STRING, true},    {OID_MACADDR, DEBEZIUM_STRING, true},
    {OID_INET, DEBEZIUM_STRING, true},        {OID_BPCHAR, DEBEZIUM_STRING, true},
    {OID_VARCHAR, DEBEZIUM_STRING, true},     {OID_UUID, DEBEZIUM_UUID, true},
    {OID_TSVECTOR, DEBEZIUM_TSVECTOR, false}, {OID_JSONB, DEBEZIUM_JSON, true},
    {OID_INT4RANGE, DEBEZIUM_STRING, true},   {OID_NUMRANGE, DEBEZIUM_STRING, true},
    {OID_TSRANGE, DEBEZIUM_STRING, true},     {OID_TSTZRANGE, DEBEZIUM_STRING, true},
    {OID_DATERANGE, DEBEZIUM_STRING, true},   {OID_INT8RANGE, DEBEZIUM_STRING, true},
};

static enum debezium_kind date_kind(enum debezium_time mode)
{
    switch (mode) {
    case DEBEZIUM_TIME_CONNECT:
        return DEBEZIUM_DATE_CONNECT;
    case DEBEZIUM_TIME_ISOSTRING:
        return DEBEZIUM_DATE_ISO;
    case DEBEZIUM_TIME_STRUCTURED:
        return DEBEZIUM_DATE_STRUCT;
    case DEBEZIUM_TIME_ADAPTIVE:
    case DEBEZIUM_TIME_ADAPTIVE_TIME_MICROSECONDS:
    case DEBEZIUM_TIME_MICROSECONDS:
    case DEBEZIUM_TIME_NANOSECONDS:
        break;
    }
    return DEBEZIUM_DATE;
}

static bool in_millis(int32_t precision)
{
    return precision >= 0 && precision <= 3;
}

static enum debezium_kind time_kind(enum debezium_time mode, int32_t precision)
{
    switch (mode) {
    case DEBEZIUM_TIME_CONNECT:
        return DEBEZIUM_TIME_OF_CONNECT;
    case DEBEZIUM_TIME_ISOSTRING:
        return DEBEZIUM_TIME_ISO;
    case DEBEZIUM_TIME_STRUCTURED:
        return DEBEZIUM_TIME_STRUCT;
    case DEBEZIUM_TIME_NANOSECONDS:
        return DEBEZIUM_TIME_NANOS;
    case DEBEZIUM_TIME_ADAPTIVE:
        return in_millis(precision) ? DEBEZIUM_TIME_MILLIS : DEBEZIUM_TIME_MICROS;
    case DEBEZIUM_TIME_ADAPTIVE_TIME_MICROSECONDS:
    case DEBEZIUM_TIME_MICROSECONDS:
        break;
    }
    return DEBEZIUM_TIME_MICROS;
}

static enum debezium_kind timestamp_kind(enum debezium_time mode, int32_t precision)
{
    switch (mode) {
    case DEBEZIUM_TIME_CONNECT:
        return DEBEZIUM_TIMESTAMP_CONNECT;
    case DEBEZIUM_TIME_ISOSTRING:
        return DEBEZIUM_TIMESTAMP_ISO;
    case DEBEZIUM_TIME_STRUCTURED:
        return DEBEZIUM_TIMESTAMP_STRUCT;
    case DEBEZIUM_TIME_NANOSECONDS:
        return DEBEZIUM_TIMESTAMP_NANOS;
    case DEBEZIUM_TIME_ADAPTIVE:
    case DEBEZIUM_TIME_ADAPTIVE_TIME_MICROSECONDS:
        return in_millis(precision) ? DEBEZIUM_TIMESTAMP_MILLIS : DEBEZIUM_TIMESTAMP_MICROS;
    case DEBEZIUM_TIME_MICROSECONDS:
        break;
    }
    return DEBEZIUM_TIMESTAMP_MICROS;
}

/* numeric(p,s): p in the upper half of the modifier, s with 11 bits and a sign in the lower. */
static enum debezium_kind numeric_kind(const struct debezium_settings *settings, int32_t modifier,
                                       struct debezium_column *plan)
{
    bool fixed = modifier >= MODIFIER_HEADER;
    if (fixed) {
        uint32_t packed = (uint32_t)(modifier - MODIFIER_HEADER);
        plan->precision = (int32_t)(packed >> 16);
        plan->scale = (int32_t)((packed & 0x7ff) ^ 0x400) - 0x400;
    }
    switch (settings->decimal) {
    case DEBEZIUM_DECIMAL_DOUBLE:
        return DEBEZIUM_DECIMAL_AS_DOUBLE;
    case DEBEZIUM_DECIMAL_STRING:
        return DEBEZIUM_DECIMAL_AS_STRING;
    case DEBEZIUM_DECIMAL_PRECISE:
        break;
    }
    return fixed ? DEBEZIUM_DECIMAL : DEBEZIUM_VARIABLE_DECIMAL;
}

static enum debezium_kind money_kind(const struct debezium_settings *settings,
                                     struct debezium_column *plan)
{
    plan->scale = MONEY_SCALE;
    switch (settings->decimal) {
    case DEBEZIUM_DECIMAL_DOUBLE:
        return DEBEZIUM_MONEY_AS_DOUBLE;
    case DEBEZIUM_DECIMAL_STRING:
        return DEBEZIUM_MONEY_AS_STRING;
    case DEBEZIUM_DECIMAL_PRECISE:
        break;
    }
    return DEBEZIUM_MONEY;
}

static enum debezium_kind bits_kind(uint32_t oid, int32_t modifier, struct debezium_column *plan)
{
    plan->length = modifier > 0 ? modifier : oid == OID_BIT ? 1 : VARBIT_LENGTH;
    return plan->length == 1 ? DEBEZIUM_BIT : DEBEZIUM_BITS;
}

static enum debezium_kind family_kind(const struct debezium_settings *settings,
                                      enum type_family family)
{
    switch (family) {
    case TYPE_FAMILY_ENUM:
        return DEBEZIUM_ENUM;
    case TYPE_FAMILY_LTREE:
        return DEBEZIUM_LTREE;
    case TYPE_FAMILY_HSTORE:
        return settings->hstore == DEBEZIUM_HSTORE_MAP ? DEBEZIUM_HSTORE_AS_MAP
                                                       : DEBEZIUM_HSTORE_AS_JSON;
    case TYPE_FAMILY_GEOMETRY:
        return DEBEZIUM_GEOMETRY;
    case TYPE_FAMILY_GEOGRAPHY:
        return DEBEZIUM_GEOGRAPHY;
    case TYPE_FAMILY_VECTOR:
        return DEBEZIUM_VECTOR;
    case TYPE_FAMILY_HALF_VECTOR:
        return DEBEZIUM_HALF_VECTOR;
    case TYPE_FAMILY_SPARSE_VECTOR:
        return DEBEZIUM_SPARSE_VECTOR;
    case TYPE_FAMILY_CITEXT:
    case TYPE_FAMILY_NONE:
        break;
    }
    return DEBEZIUM_STRING;
}

/* The kind of a type that is no array. `*ret_element`: Debezium has arrays of it. */
static enum debezium_kind scalar_kind(const struct debezium_settings *settings, uint32_t oid,
                                      enum type_family family, int32_t modifier,
                                      struct debezium_column *plan, bool *ret_element)
{
    bool structured = settings->time == DEBEZIUM_TIME_STRUCTURED;
    *ret_element = true;
    switch (oid) {
    case OID_BYTEA:
        return settings->binary == DEBEZIUM_BINARY_BYTES ? DEBEZIUM_BYTES
                                                         : DEBEZIUM_BYTES_AS_STRING;
    case OID_NUMERIC:
        return numeric_kind(settings, modifier, plan);
    case OID_DATE:
        return date_kind(settings->time);
    case OID_TIME:
        return time_kind(settings->time, modifier);
    case OID_TIMESTAMP:
        return timestamp_kind(settings->time, modifier);
    case OID_TIMESTAMPTZ:
        return structured ? DEBEZIUM_ZONED_TIMESTAMP_STRUCT : DEBEZIUM_ZONED_TIMESTAMP;
    case OID_TIMETZ:
        return structured ? DEBEZIUM_ZONED_TIME_STRUCT : DEBEZIUM_ZONED_TIME;
    default:
        break;
    }
    for (size_t i = 0; i < sizeof(fixed_kinds) / sizeof(fixed_kinds[0]); i++) {
        if (fixed_kinds[i].oid == oid) {
            *ret_element = fixed_kinds[i].element;
            return fixed_kinds[i].kind;
        }
    }
    *ret_element = family != TYPE_FAMILY_NONE;
    switch (oid) {
    case OID_MONEY:
        return money_kind(settings, plan);
    case OID_BIT:
    case OID_VARBIT:
        return bits_kind(oid, modifier, plan);
    case OID_INTERVAL:
        return structured                                       ? DEBEZIUM_DURATION_STRUCT
               : settings->interval == DEBEZIUM_INTERVAL_STRING ? DEBEZIUM_INTERVAL_TEXT
                                                                : DEBEZIUM_DURATION;
    default:
        return family_kind(settings, family);
    }
}

struct debezium_column debezium_column_plan(const struct debezium_settings *settings,
                                            const struct relation_column *column)
{
    const struct type_info *type = &column->type;
    bool own = column->type_modifier >= 0;
    int32_t modifier = own ? column->type_modifier : type->has_modifier ? type->modifier : -1;
    struct debezium_column plan = {
        .column = column, .optional = !column->not_null, .precision = modifier};
    uint32_t oid = type->oid != 0 ? type->oid : column->type_oid;
    bool has_arrays;
    if (type->kind != TYPE_ARRAY) {
        plan.kind = scalar_kind(settings, oid, type->family, modifier, &plan, &has_arrays);
        return plan;
    }
    plan.element =
        scalar_kind(settings, type->element_oid, type->family, modifier, &plan, &has_arrays);
    plan.kind = has_arrays ? DEBEZIUM_ARRAY : DEBEZIUM_STRING;
    return plan;
}
