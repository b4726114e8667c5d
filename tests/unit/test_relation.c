/*
 * Property: a relation knows its key and its JSON names; types follow from built-in OIDs.
 * Oracle:   reliability.md 1.7 for the key; pg_type of a PostgreSQL 15 server for the OIDs.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/relation.h"
#include "tests/unit/suite.h"

struct key_case {
    enum replica_identity identity;
    const char *identity_columns; /* a letter a column: x is flagged */
    const char *primary_columns;
    const char *key_columns;
    size_t key_end;
};

static const struct key_case key_cases[] = {
    {REPLICA_IDENTITY_DEFAULT, "x--", "x--", "x--", 1},
    {REPLICA_IDENTITY_DEFAULT, "x-x", "x-x", "x-x", 3},
    {REPLICA_IDENTITY_DEFAULT, "---", "---", "---", 0},
    {REPLICA_IDENTITY_INDEX, "-x-", "x--", "-x-", 2},
    {REPLICA_IDENTITY_FULL, "xxx", "-x-", "-x-", 2},
    {REPLICA_IDENTITY_FULL, "xxx", "---", "---", 0},
    {REPLICA_IDENTITY_NOTHING, "---", "x--", "---", 0},
    {REPLICA_IDENTITY_NOTHING, "x--", "x--", "---", 0},
};

START_TEST(relation_key_follows_the_replica_identity)
{
    const struct key_case *key = &key_cases[_i];
    struct relation *relation = NULL;
    struct fan_error error;
    ck_assert_int_eq(relation_create(1, "public", "t", key->identity, 3, &relation, &error),
                     FAN_OK);
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(relation->columns[i].name, RELATION_NAME_MAX, "c%zu", i); /* fits */
        relation->columns[i].in_identity = key->identity_columns[i] == 'x';
        relation->columns[i].in_primary_key = key->primary_columns[i] == 'x';
    }
    ck_assert_int_eq(relation_finish(relation, &error), FAN_OK);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(relation->columns[i].in_key, key->key_columns[i] == 'x');
    }
    ck_assert_uint_eq(relation->key_end, key->key_end);
    ck_assert_int_eq(relation->has_key, key->key_end > 0);
    relation_destroy(relation);
}
END_TEST

START_TEST(relation_names_become_json)
{
    struct relation *relation = NULL;
    struct fan_error error;
    ck_assert_int_eq(
        relation_create(7, "My \"S\"", "t.x", REPLICA_IDENTITY_DEFAULT, 1, &relation, &error),
        FAN_OK);
    memset(relation->columns[0].name, 1, RELATION_NAME_MAX - 1);
    ck_assert_int_eq(relation_finish(relation, &error), FAN_OK);
    ck_assert_str_eq(relation->json_table, "\"My \\\"S\\\".t.x\"");
    ck_assert_uint_eq(relation->json_table_size, strlen(relation->json_table));
    ck_assert_uint_eq(relation->columns[0].json_name_size, 63 * 6 + 3);
    ck_assert_str_eq(relation->columns[0].json_name + 63 * 6, "1\":");
    relation_destroy(relation);
    relation_destroy(NULL);
}
END_TEST

START_TEST(relation_longest_names_fit_and_longer_are_refused)
{
    char name[RELATION_NAME_MAX + 1];
    memset(name, 1, sizeof(name));
    name[RELATION_NAME_MAX - 1] = '\0';
    struct relation *relation = NULL;
    struct fan_error error;
    ck_assert_int_eq(relation_create(7, name, name, REPLICA_IDENTITY_FULL, 0, &relation, &error),
                     FAN_OK);
    ck_assert_int_eq(relation_finish(relation, &error), FAN_OK);
    ck_assert_uint_eq(relation->json_table_size, 2 * 63 * 6 + 3);
    relation_destroy(relation);
    name[RELATION_NAME_MAX - 1] = 'x';
    name[RELATION_NAME_MAX] = '\0';
    relation = NULL;
    ck_assert_int_eq(relation_create(7, "s", name, REPLICA_IDENTITY_FULL, 0, &relation, &error),
                     FAN_FATAL);
    ck_assert_int_eq(relation_create(7, name, "t", REPLICA_IDENTITY_FULL, 0, &relation, &error),
                     FAN_FATAL);
    ck_assert_int_eq(relation_create(7, "s", "t", REPLICA_IDENTITY_FULL, RELATION_COLUMNS_MAX + 1,
                                     &relation, &error),
                     FAN_FATAL);
    ck_assert_ptr_null(relation);
}
END_TEST

START_TEST(relation_empty_schema_is_pg_catalog)
{
    struct relation *relation = NULL;
    struct fan_error error;
    ck_assert_int_eq(relation_create(7, "", "t", REPLICA_IDENTITY_DEFAULT, 0, &relation, &error),
                     FAN_OK);
    ck_assert_str_eq(relation->schema, "pg_catalog");
    relation_destroy(relation);
}
END_TEST

struct type_case {
    uint32_t oid;
    enum type_kind kind;
    enum type_kind element;
    char delimiter;
};

static const struct type_case type_cases[] = {
    {16, TYPE_BOOL, TYPE_TEXT, 0},
    {17, TYPE_BYTEA, TYPE_TEXT, 0},
    {20, TYPE_INT8, TYPE_TEXT, 0},
    {21, TYPE_INT, TYPE_TEXT, 0},
    {22, TYPE_TEXT, TYPE_TEXT, 0},
    {23, TYPE_INT, TYPE_TEXT, 0},
    {25, TYPE_TEXT, TYPE_TEXT, 0},
    {30, TYPE_TEXT, TYPE_TEXT, 0},
    {114, TYPE_JSON, TYPE_TEXT, 0},
    {143, TYPE_ARRAY, TYPE_TEXT, ','},
    {199, TYPE_ARRAY, TYPE_JSON, ','},
    {603, TYPE_TEXT, TYPE_TEXT, 0},
    {700, TYPE_FLOAT, TYPE_TEXT, 0},
    {701, TYPE_FLOAT, TYPE_TEXT, 0},
    {1000, TYPE_ARRAY, TYPE_BOOL, ','},
    {1001, TYPE_ARRAY, TYPE_BYTEA, ','},
    {1005, TYPE_ARRAY, TYPE_INT, ','},
    {1007, TYPE_ARRAY, TYPE_INT, ','},
    {1009, TYPE_ARRAY, TYPE_TEXT, ','},
    {1016, TYPE_ARRAY, TYPE_INT8, ','},
    {1020, TYPE_ARRAY, TYPE_TEXT, ';'},
    {1021, TYPE_ARRAY, TYPE_FLOAT, ','},
    {1022, TYPE_ARRAY, TYPE_FLOAT, ','},
    {1114, TYPE_TIMESTAMP, TYPE_TEXT, 0},
    {1115, TYPE_ARRAY, TYPE_TIMESTAMP, ','},
    {1184, TYPE_TIMESTAMPTZ, TYPE_TEXT, 0},
    {1185, TYPE_ARRAY, TYPE_TIMESTAMPTZ, ','},
    {1231, TYPE_ARRAY, TYPE_NUMERIC, ','},
    {1700, TYPE_NUMERIC, TYPE_TEXT, 0},
    {2951, TYPE_ARRAY, TYPE_TEXT, ','},
    {3802, TYPE_JSON, TYPE_TEXT, 0},
    {3807, TYPE_ARRAY, TYPE_JSON, ','},
    {6157, TYPE_ARRAY, TYPE_TEXT, ','},
    {0, TYPE_TEXT, TYPE_TEXT, 0},
    {16384, TYPE_TEXT, TYPE_TEXT, 0},
    {UINT32_MAX, TYPE_TEXT, TYPE_TEXT, 0},
};

START_TEST(relation_builtin_type_is_known)
{
    const struct type_case *type = &type_cases[_i];
    struct type_info info = type_builtin(type->oid);
    ck_assert_int_eq(info.kind, type->kind);
    ck_assert_int_eq(info.element, type->element);
    ck_assert_int_eq(info.delimiter, type->delimiter);
}
END_TEST

START_TEST(relation_array_of_array_type_has_text_elements)
{
    struct type_info inner = type_array_of(type_builtin(20), ',');
    ck_assert_int_eq(inner.kind, TYPE_ARRAY);
    ck_assert_int_eq(inner.element, TYPE_INT8);
    ck_assert_int_eq(type_array_of(inner, ';').element, TYPE_TEXT);
    ck_assert_int_eq(type_array_of(inner, ';').delimiter, ';');
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("relation");
    tcase_add_loop_test(tcase, relation_key_follows_the_replica_identity, 0,
                        (int)(sizeof(key_cases) / sizeof(key_cases[0])));
    tcase_add_test(tcase, relation_names_become_json);
    tcase_add_test(tcase, relation_longest_names_fit_and_longer_are_refused);
    tcase_add_test(tcase, relation_empty_schema_is_pg_catalog);
    tcase_add_loop_test(tcase, relation_builtin_type_is_known, 0,
                        (int)(sizeof(type_cases) / sizeof(type_cases[0])));
    tcase_add_test(tcase, relation_array_of_array_type_has_text_elements);
    return suite_run("relation", tcase);
}
