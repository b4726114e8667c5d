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
            .kind = (type_kind), .oid = (type_oid)                                                 \
        }                                                                                          \
    }
#define ARRAY(type_oid, of_oid, element_kind, split_by)                                            \
    {                                                                                              \
        (type_oid),                                                                                \
        {                                                                                          \
            .kind = TYPE_ARRAY, .element = (element_kind), .delimiter = (split_by),                \
            .oid = (type_oid), .element_oid = (of_oid)                                             \
        }                                                                                          \
    }

/*
 * Every built-in type that is not plain text, by rising OID: the scalars with a rule of their own
 * and all arrays with their elements (OIDs of built-in types never change). int2vector and
 * oidvector look like arrays in the catalog, but print "1 2 3", so they are text.
 */
static const struct builtin builtins[] = {
    /* clang-format off */
    SCALAR(16, TYPE_BOOL), /* bool */
    SCALAR(17, TYPE_BYTEA), /* bytea */
    SCALAR(20, TYPE_INT8), /* int8 */
    SCALAR(21, TYPE_INT), /* int2 */
    SCALAR(23, TYPE_INT), /* int4 */
    SCALAR(114, TYPE_JSON), /* json */
    ARRAY(143, 142, TYPE_TEXT, ','), /* xml */
    ARRAY(199, 114, TYPE_JSON, ','), /* json */
    ARRAY(210, 71, TYPE_TEXT, ','), /* pg_type */
    ARRAY(270, 75, TYPE_TEXT, ','), /* pg_attribute */
    ARRAY(271, 5069, TYPE_TEXT, ','), /* xid8 */
    ARRAY(272, 81, TYPE_TEXT, ','), /* pg_proc */
    ARRAY(273, 83, TYPE_TEXT, ','), /* pg_class */
    ARRAY(629, 628, TYPE_TEXT, ','), /* line */
    ARRAY(651, 650, TYPE_TEXT, ','), /* cidr */
    SCALAR(700, TYPE_FLOAT), /* float4 */
    SCALAR(701, TYPE_FLOAT), /* float8 */
    ARRAY(719, 718, TYPE_TEXT, ','), /* circle */
    ARRAY(775, 774, TYPE_TEXT, ','), /* macaddr8 */
    ARRAY(791, 790, TYPE_TEXT, ','), /* money */
    ARRAY(1000, 16, TYPE_BOOL, ','), /* bool */
    ARRAY(1001, 17, TYPE_BYTEA, ','), /* bytea */
    ARRAY(1002, 18, TYPE_TEXT, ','), /* char */
    ARRAY(1003, 19, TYPE_TEXT, ','), /* name */
    ARRAY(1005, 21, TYPE_INT, ','), /* int2 */
    ARRAY(1006, 22, TYPE_TEXT, ','), /* int2vector */
    ARRAY(1007, 23, TYPE_INT, ','), /* int4 */
    ARRAY(1008, 24, TYPE_TEXT, ','), /* regproc */
    ARRAY(1009, 25, TYPE_TEXT, ','), /* text */
    ARRAY(1010, 27, TYPE_TEXT, ','), /* tid */
    ARRAY(1011, 28, TYPE_TEXT, ','), /* xid */
    ARRAY(1012, 29, TYPE_TEXT, ','), /* cid */
    ARRAY(1013, 30, TYPE_TEXT, ','), /* oidvector */
    ARRAY(1014, 1042, TYPE_TEXT, ','), /* bpchar */
    ARRAY(1015, 1043, TYPE_TEXT, ','), /* varchar */
    ARRAY(1016, 20, TYPE_INT8, ','), /* int8 */
    ARRAY(1017, 600, TYPE_TEXT, ','), /* point */
    ARRAY(1018, 601, TYPE_TEXT, ','), /* lseg */
    ARRAY(1019, 602, TYPE_TEXT, ','), /* path */
    ARRAY(1020, 603, TYPE_TEXT, ';'), /* box */
    ARRAY(1021, 700, TYPE_FLOAT, ','), /* float4 */
    ARRAY(1022, 701, TYPE_FLOAT, ','), /* float8 */
    ARRAY(1027, 604, TYPE_TEXT, ','), /* polygon */
    ARRAY(1028, 26, TYPE_TEXT, ','), /* oid */
    ARRAY(1034, 1033, TYPE_TEXT, ','), /* aclitem */
    ARRAY(1040, 829, TYPE_TEXT, ','), /* macaddr */
    ARRAY(1041, 869, TYPE_TEXT, ','), /* inet */
    SCALAR(1114, TYPE_TIMESTAMP), /* timestamp */
    ARRAY(1115, 1114, TYPE_TIMESTAMP, ','), /* timestamp */
    ARRAY(1182, 1082, TYPE_TEXT, ','), /* date */
    ARRAY(1183, 1083, TYPE_TEXT, ','), /* time */
    SCALAR(1184, TYPE_TIMESTAMPTZ), /* timestamptz */
    ARRAY(1185, 1184, TYPE_TIMESTAMPTZ, ','), /* timestamptz */
    ARRAY(1187, 1186, TYPE_TEXT, ','), /* interval */
    ARRAY(1231, 1700, TYPE_NUMERIC, ','), /* numeric */
    ARRAY(1263, 2275, TYPE_TEXT, ','), /* cstring */
    ARRAY(1270, 1266, TYPE_TEXT, ','), /* timetz */
    ARRAY(1561, 1560, TYPE_TEXT, ','), /* bit */
    ARRAY(1563, 1562, TYPE_TEXT, ','), /* varbit */
    SCALAR(1700, TYPE_NUMERIC), /* numeric */
    ARRAY(2201, 1790, TYPE_TEXT, ','), /* refcursor */
    ARRAY(2207, 2202, TYPE_TEXT, ','), /* regprocedure */
    ARRAY(2208, 2203, TYPE_TEXT, ','), /* regoper */
    ARRAY(2209, 2204, TYPE_TEXT, ','), /* regoperator */
    ARRAY(2210, 2205, TYPE_TEXT, ','), /* regclass */
    ARRAY(2211, 2206, TYPE_TEXT, ','), /* regtype */
    ARRAY(2949, 2970, TYPE_TEXT, ','), /* txid_snapshot */
    ARRAY(2951, 2950, TYPE_TEXT, ','), /* uuid */
    ARRAY(3221, 3220, TYPE_TEXT, ','), /* pg_lsn */
    ARRAY(3643, 3614, TYPE_TEXT, ','), /* tsvector */
    ARRAY(3644, 3642, TYPE_TEXT, ','), /* gtsvector */
    ARRAY(3645, 3615, TYPE_TEXT, ','), /* tsquery */
    ARRAY(3735, 3734, TYPE_TEXT, ','), /* regconfig */
    ARRAY(3770, 3769, TYPE_TEXT, ','), /* regdictionary */
    SCALAR(3802, TYPE_JSON), /* jsonb */
    ARRAY(3807, 3802, TYPE_JSON, ','), /* jsonb */
    ARRAY(3905, 3904, TYPE_TEXT, ','), /* int4range */
    ARRAY(3907, 3906, TYPE_TEXT, ','), /* numrange */
    ARRAY(3909, 3908, TYPE_TEXT, ','), /* tsrange */
    ARRAY(3911, 3910, TYPE_TEXT, ','), /* tstzrange */
    ARRAY(3913, 3912, TYPE_TEXT, ','), /* daterange */
    ARRAY(3927, 3926, TYPE_TEXT, ','), /* int8range */
    ARRAY(4073, 4072, TYPE_TEXT, ','), /* jsonpath */
    ARRAY(4090, 4089, TYPE_TEXT, ','), /* regnamespace */
    ARRAY(4097, 4096, TYPE_TEXT, ','), /* regrole */
    ARRAY(4192, 4191, TYPE_TEXT, ','), /* regcollation */
    ARRAY(5039, 5038, TYPE_TEXT, ','), /* pg_snapshot */
    ARRAY(6150, 4451, TYPE_TEXT, ','), /* int4multirange */
    ARRAY(6151, 4532, TYPE_TEXT, ','), /* nummultirange */
    ARRAY(6152, 4533, TYPE_TEXT, ','), /* tsmultirange */
    ARRAY(6153, 4534, TYPE_TEXT, ','), /* tstzmultirange */
    ARRAY(6155, 4535, TYPE_TEXT, ','), /* datemultirange */
    ARRAY(6157, 4536, TYPE_TEXT, ','), /* int8multirange */
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
    return (struct type_info){.kind = TYPE_TEXT, .oid = type_oid};
}

struct type_info type_array_of(struct type_info element, char delimiter)
{
    /* An element that is an array itself (a domain over an array) prints as one quoted text. */
    return (struct type_info){
        .kind = TYPE_ARRAY,
        .element = element.kind == TYPE_ARRAY ? TYPE_TEXT : element.kind,
        .delimiter = delimiter,
        .family = element.family,
        .element_oid = element.oid,
    };
}
