/*
 * type.h - what a PostgreSQL column type means to an encoder.
 *
 * Values travel as PostgreSQL's text; a kind says how that text becomes a value of a format.
 * Kinds of built-in types follow from their OID (src/include/catalog/pg_type.dat); those of other
 * types from what the catalog said (typtype, typelem, typbasetype, typdelim).
 */
#ifndef MODEL_TYPE_H
#define MODEL_TYPE_H

#include <stdbool.h>
#include <stdint.h>

enum type_kind {
    TYPE_TEXT = 0, /* everything without a rule of its own: PostgreSQL's text as a string */
    TYPE_INT,      /* int2, int4 */
    TYPE_INT8,
    TYPE_FLOAT, /* float4, float8: NaN, Infinity and -Infinity are possible */
    TYPE_NUMERIC,
    TYPE_BOOL,  /* t or f */
    TYPE_JSON,  /* json, jsonb */
    TYPE_BYTEA, /* \x and hexadecimal digits */
    TYPE_TIMESTAMP,
    TYPE_TIMESTAMPTZ, /* the session's zone is UTC: +00 at the end */
    TYPE_ARRAY,       /* of `element`, split by `delimiter` */
};

/* Types without an OID of their own that some envelope has a form for. */
enum type_family {
    TYPE_FAMILY_NONE = 0,
    TYPE_FAMILY_ENUM,
    TYPE_FAMILY_CITEXT,
    TYPE_FAMILY_HSTORE,
    TYPE_FAMILY_LTREE,
    TYPE_FAMILY_GEOMETRY, /* of PostGIS */
    TYPE_FAMILY_GEOGRAPHY,
    TYPE_FAMILY_VECTOR, /* of pgvector */
    TYPE_FAMILY_HALF_VECTOR,
    TYPE_FAMILY_SPARSE_VECTOR,
};

struct type_info {
    enum type_kind kind;
    enum type_kind element;  /* of an array; never TYPE_ARRAY */
    char delimiter;          /* of an array: ',' for all but box */
    enum type_family family; /* of an array: that of its element */
    uint32_t oid;            /* behind all domains; 0 if nobody has looked */
    uint32_t element_oid;    /* of an array, behind all domains; 0 as above */
    int32_t modifier;        /* that a domain lays down, such as numeric(6,2) */
    bool has_modifier;
};

/* The info of a built-in type, or of TYPE_TEXT for an OID that is not built in. */
struct type_info type_builtin(uint32_t type_oid);

/* The info of an array whose elements have the type info `element`. */
struct type_info type_array_of(struct type_info element, char delimiter);

#endif
