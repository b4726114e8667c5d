#include "model/type.h"

#include <stddef.h>

struct builtin {
    uint32_t oid;
    struct type_info info;
};

#define SCALAR(type_oid, type_kind)                                                                \
    {                                                                                              \
        (type_oid),                                                                                \
        {                                                                                          \
            (type_kind), TYPE_TEXT, 0                                                              \
        }                                                                                          \
    }
#define ARRAY(type_oid, element_kind, delimiter)                                                   \
    {                                                                                              \
        (type_oid),                                                                                \
        {                                                                                          \
            TYPE_ARRAY, (element_kind), (delimiter)                                                \
        }                                                                                          \
    }

/*
 * Every built-in type that is not plain text, by rising OID: the scalars with a rule of their own
 * and all arrays (OIDs of built-in types never change). int2vector and oidvector look like arrays
 * in the catalog, but print "1 2 3", so they are text.
 */
static const struct builtin builtins[] = {
    /* clang-format off */
    SCALAR(16, TYPE_BOOL), /* bool */
    SCALAR(17, TYPE_BYTEA), /* bytea */
    SCALAR(20, TYPE_INT8), /* int8 */
    SCALAR(21, TYPE_INT), /* int2 */
    SCALAR(23, TYPE_INT), /* int4 */
    SCALAR(114, TYPE_JSON), /* json */
    ARRAY(143, TYPE_TEXT, ','), /* xml */
    ARRAY(199, TYPE_JSON, ','), /* json */
    ARRAY(210, TYPE_TEXT, ','), /* pg_type */
    ARRAY(270, TYPE_TEXT, ','), /* pg_attribute */
    ARRAY(271, TYPE_TEXT, ','), /* xid8 */
    ARRAY(272, TYPE_TEXT, ','), /* pg_proc */
    ARRAY(273, TYPE_TEXT, ','), /* pg_class */
    ARRAY(629, TYPE_TEXT, ','), /* line */
    ARRAY(651, TYPE_TEXT, ','), /* cidr */
    SCALAR(700, TYPE_FLOAT), /* float4 */
    SCALAR(701, TYPE_FLOAT), /* float8 */
    ARRAY(719, TYPE_TEXT, ','), /* circle */
    ARRAY(775, TYPE_TEXT, ','), /* macaddr8 */
    ARRAY(791, TYPE_TEXT, ','), /* money */
    ARRAY(1000, TYPE_BOOL, ','), /* bool */
    ARRAY(1001, TYPE_BYTEA, ','), /* bytea */
    ARRAY(1002, TYPE_TEXT, ','), /* char */
    ARRAY(1003, TYPE_TEXT, ','), /* name */
    ARRAY(1005, TYPE_INT, ','), /* int2 */
    ARRAY(1006, TYPE_TEXT, ','), /* int2vector */
    ARRAY(1007, TYPE_INT, ','), /* int4 */
    ARRAY(1008, TYPE_TEXT, ','), /* regproc */
    ARRAY(1009, TYPE_TEXT, ','), /* text */
    ARRAY(1010, TYPE_TEXT, ','), /* tid */
    ARRAY(1011, TYPE_TEXT, ','), /* xid */
    ARRAY(1012, TYPE_TEXT, ','), /* cid */
    ARRAY(1013, TYPE_TEXT, ','), /* oidvector */
    ARRAY(1014, TYPE_TEXT, ','), /* bpchar */
    ARRAY(1015, TYPE_TEXT, ','), /* varchar */
    ARRAY(1016, TYPE_INT8, ','), /* int8 */
    ARRAY(1017, TYPE_TEXT, ','), /* point */
    ARRAY(1018, TYPE_TEXT, ','), /* lseg */
    ARRAY(1019, TYPE_TEXT, ','), /* path */
    ARRAY(1020, TYPE_TEXT, ';'), /* box */
    ARRAY(1021, TYPE_FLOAT, ','), /* float4 */
    ARRAY(1022, TYPE_FLOAT, ','), /* float8 */
    ARRAY(1027, TYPE_TEXT, ','), /* polygon */
    ARRAY(1028, TYPE_TEXT, ','), /* oid */
    ARRAY(1034, TYPE_TEXT, ','), /* aclitem */
    ARRAY(1040, TYPE_TEXT, ','), /* macaddr */
    ARRAY(1041, TYPE_TEXT, ','), /* inet */
    SCALAR(1114, TYPE_TIMESTAMP), /* timestamp */
    ARRAY(1115, TYPE_TIMESTAMP, ','), /* timestamp */
    ARRAY(1182, TYPE_TEXT, ','), /* date */
    ARRAY(1183, TYPE_TEXT, ','), /* time */
    SCALAR(1184, TYPE_TIMESTAMPTZ), /* timestamptz */
    ARRAY(1185, TYPE_TIMESTAMPTZ, ','), /* timestamptz */
    ARRAY(1187, TYPE_TEXT, ','), /* interval */
    ARRAY(1231, TYPE_NUMERIC, ','), /* numeric */
    ARRAY(1263, TYPE_TEXT, ','), /* cstring */
    ARRAY(1270, TYPE_TEXT, ','), /* timetz */
    ARRAY(1561, TYPE_TEXT, ','), /* bit */
    ARRAY(1563, TYPE_TEXT, ','), /* varbit */
    SCALAR(1700, TYPE_NUMERIC), /* numeric */
    ARRAY(2201, TYPE_TEXT, ','), /* refcursor */
    ARRAY(2207, TYPE_TEXT, ','), /* regprocedure */
    ARRAY(2208, TYPE_TEXT, ','), /* regoper */
    ARRAY(2209, TYPE_TEXT, ','), /* regoperator */
    ARRAY(2210, TYPE_TEXT, ','), /* regclass */
    ARRAY(2211, TYPE_TEXT, ','), /* regtype */
    ARRAY(2949, TYPE_TEXT, ','), /* txid_snapshot */
    ARRAY(2951, TYPE_TEXT, ','), /* uuid */
    ARRAY(3221, TYPE_TEXT, ','), /* pg_lsn */
    ARRAY(3643, TYPE_TEXT, ','), /* tsvector */
    ARRAY(3644, TYPE_TEXT, ','), /* gtsvector */
    ARRAY(3645, TYPE_TEXT, ','), /* tsquery */
    ARRAY(3735, TYPE_TEXT, ','), /* regconfig */
    ARRAY(3770, TYPE_TEXT, ','), /* regdictionary */
    SCALAR(3802, TYPE_JSON), /* jsonb */
    ARRAY(3807, TYPE_JSON, ','), /* jsonb */
    ARRAY(3905, TYPE_TEXT, ','), /* int4range */
    ARRAY(3907, TYPE_TEXT, ','), /* numrange */
    ARRAY(3909, TYPE_TEXT, ','), /* tsrange */
    ARRAY(3911, TYPE_TEXT, ','), /* tstzrange */
    ARRAY(3913, TYPE_TEXT, ','), /* daterange */
    ARRAY(3927, TYPE_TEXT, ','), /* int8range */
    ARRAY(4073, TYPE_TEXT, ','), /* jsonpath */
    ARRAY(4090, TYPE_TEXT, ','), /* regnamespace */
    ARRAY(4097, TYPE_TEXT, ','), /* regrole */
    ARRAY(4192, TYPE_TEXT, ','), /* regcollation */
    ARRAY(5039, TYPE_TEXT, ','), /* pg_snapshot */
    ARRAY(6150, TYPE_TEXT, ','), /* int4multirange */
    ARRAY(6151, TYPE_TEXT, ','), /* nummultirange */
    ARRAY(6152, TYPE_TEXT, ','), /* tsmultirange */
    ARRAY(6153, TYPE_TEXT, ','), /* tstzmultirange */
    ARRAY(6155, TYPE_TEXT, ','), /* datemultirange */
    ARRAY(6157, TYPE_TEXT, ','), /* int8multirange */
    /* clang-format on */
};

struct type_info type_builtin(uint32_t type_oid)
{
    size_t low = 0;
    size_t high = sizeof(builtins) / sizeof(builtins[0]);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (builtins[middle].oid == type_oid) {
            return builtins[middle].info;
        }
        if (builtins[middle].oid < type_oid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return (struct type_info){.kind = TYPE_TEXT};
}

struct type_info type_array_of(struct type_info element, char delimiter)
{
    /* An element that is an array itself (a domain over an array) prints as one quoted text. */
    return (struct type_info){
        .kind = TYPE_ARRAY,
        .element = element.kind == TYPE_ARRAY ? TYPE_TEXT : element.kind,
        .delimiter = delimiter,
    };
}
