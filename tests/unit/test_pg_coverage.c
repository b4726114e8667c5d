/*
 * Property: from one look at the publication to the next, no table's changes go missing unnoticed:
 *           a table is whole up to the last look that saw it held.
 * Oracle:   looks written out by hand.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "sources/postgres/coverage.h"
#include "sources/postgres/preflight.h"
#include "tests/unit/suite.h"

static struct preflight_table table_of(uint32_t oid, const char *name, enum table_cover cover)
{
    struct preflight_table table = {.oid = oid, .cover = cover, .schema = "public"};
    (void)snprintf(table.name, sizeof(table.name), "%s", name);
    return table;
}

/* One look: recalls what is known, then takes its place. */
static void look(struct coverage *coverage, struct preflight_table *tables, size_t count,
                 uint64_t lsn)
{
    struct preflight preflight = {.tables = tables, .tables_count = count};
    coverage_recall(coverage, (struct fan_lsn){50}, &preflight);
    ck_assert_int_eq(coverage_take(coverage, &preflight, (struct fan_lsn){lsn}), FAN_OK);
}

START_TEST(pg_coverage_table_that_left_is_whole_up_to_the_last_look)
{
    struct coverage coverage = {0};
    struct preflight_table tables[] = {table_of(9, "b", COVER_HELD), table_of(7, "a", COVER_HELD)};
    look(&coverage, tables, 2, 100);
    coverage_hold(&coverage, (struct fan_lsn){150});
    tables[0].cover = COVER_LEFT;
    look(&coverage, tables, 2, 200);
    ck_assert(tables[0].own && tables[0].was_held && tables[0].streamed);
    ck_assert_uint_eq(tables[0].whole.value, 150);
    coverage_hold(&coverage, (struct fan_lsn){250}); /* does not make it whole */
    look(&coverage, tables, 2, 300);
    ck_assert(tables[0].own && !tables[0].was_held);
    ck_assert_uint_eq(tables[0].whole.value, 150);
    ck_assert_uint_eq(tables[1].whole.value, 250);
    tables[0].cover = COVER_HELD;
    look(&coverage, tables, 2, 400);
    look(&coverage, tables, 2, 500);
    ck_assert_uint_eq(tables[0].whole.value, 400);
    coverage_release(&coverage);
}
END_TEST

START_TEST(pg_coverage_table_made_again_is_whole_as_the_one_before_it)
{
    struct coverage coverage = {0};
    struct preflight_table before = table_of(7, "a", COVER_HELD);
    look(&coverage, &before, 1, 100);
    struct preflight_table again = table_of(8, "a", COVER_ADD);
    look(&coverage, &again, 1, 200);
    ck_assert(again.streamed && !again.own);
    ck_assert_uint_eq(again.whole.value, 100);
    look(&coverage, &again, 1, 300); /* it could not be added */
    ck_assert(again.streamed && !again.own);
    ck_assert_uint_eq(again.whole.value, 100);
    coverage_release(&coverage);
}
END_TEST

START_TEST(pg_coverage_new_table_is_whole_up_to_the_look_before)
{
    struct coverage coverage = {0};
    struct preflight_table tables[] = {table_of(7, "a", COVER_HELD),
                                       table_of(8, "b", COVER_UNSAFE)};
    look(&coverage, tables, 2, 100);
    ck_assert_uint_eq(tables[1].whole.value, 50); /* a new process knows what was confirmed */
    ck_assert(!tables[1].streamed && !tables[1].own);
    struct preflight_table later[] = {tables[0], tables[1], table_of(9, "c", COVER_ADD)};
    look(&coverage, later, 3, 200);
    ck_assert_uint_eq(later[1].whole.value, 50);
    ck_assert_uint_eq(later[2].whole.value, 100);
    coverage_release(&coverage);
}
END_TEST

int main(void)
{
    TCase *looks = tcase_create("looks");
    tcase_add_test(looks, pg_coverage_table_that_left_is_whole_up_to_the_last_look);
    tcase_add_test(looks, pg_coverage_table_made_again_is_whole_as_the_one_before_it);
    tcase_add_test(looks, pg_coverage_new_table_is_whole_up_to_the_look_before);
    return suite_run("pg_coverage", looks);
}
