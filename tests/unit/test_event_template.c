/*
 * Texts that name the event.
 */
#include <check.h>
#include <string.h>

#include "targets/event_template.h"
#include "tests/unit/suite.h"

enum {
    EVERY = EVENT_SCHEMA | EVENT_TABLE | EVENT_SOURCE | EVENT_OP | EVENT_KEY_COLUMN | EVENT_KEY |
            EVENT_ID
};

static const struct encode_context encode = {.source = "shop", .system_id = "7", .slot = "s"};

/* Renders; NULL: a value is missing. */
static const char *render(const char *text, const char *key, event_escape *escape,
                          struct bytes *out)
{
    const struct batch_label label = {.schema = "public",
                                      .schema_size = 6,
                                      .table = "orders",
                                      .table_size = 6,
                                      .key = key,
                                      .key_size = strlen(key)};
    const struct batch_event event = {.op = 'u', .position = {{0x1a}, 3}};
    const struct event_subject subject = {.encode = &encode, .label = &label, .event = &event};
    struct event_template template;
    ck_assert_int_eq(event_template_parse(text, strlen(text), EVERY, &template),
                     EVENT_TEMPLATE_FINE);
    bytes_clear(out);
    const struct event_piece *missing = event_template_render(&template, &subject, escape, out);
    event_template_release(&template);
    return missing != NULL ? NULL : bytes_text(out);
}

static const struct {
    const char *text;
    const char *key;
    const char *expected; /* NULL: a value is missing */
} renderings[] = {
    {"plain", "", "plain"},
    {"", "", ""},
    {"cdc.${schema}.${table}", "", "cdc.public.orders"},
    {"${source}/${op}", "", "shop/u"},
    {"${key}", "{\"id\":7}", "{\"id\":7}"},
    {"${key}", "", NULL},
    {"a${key.id}b", "{\"id\":7,\"x\":\"y\"}", "a7b"},
    {"${key.x}", "{\"id\":7,\"x\":\"y z\"}", "y z"},
    {"${key.none}", "{\"id\":7}", NULL},
    {"${id}", "", "7-s-000000000000001a-00000003"},
    {"$ {table} $$ ${table}$", "", "$ {table} $$ orders$"},
};

START_TEST(event_template_renders)
{
    struct bytes out;
    bytes_init(&out, 1000);
    const char *made = render(renderings[_i].text, renderings[_i].key, NULL, &out);
    if (renderings[_i].expected == NULL) {
        ck_assert_ptr_null(made);
    } else {
        ck_assert_str_eq(made, renderings[_i].expected);
    }
    bytes_release(&out);
}
END_TEST

static void shout(struct bytes *out, size_t before)
{
    for (size_t at = before; at < out->size; at++) {
        out->data[at] = (uint8_t)(out->data[at] - 'a' < 26 ? out->data[at] - 32 : out->data[at]);
    }
}

START_TEST(event_template_escapes_values_only)
{
    struct bytes out;
    bytes_init(&out, 1000);
    ck_assert_str_eq(render("cdc.${schema}.x${table}", "", shout, &out), "cdc.PUBLIC.xORDERS");
    bytes_release(&out);
}
END_TEST

START_TEST(event_template_bounds_what_it_writes)
{
    struct bytes out;
    bytes_init(&out, 8);
    const struct batch_label label = {.table = "orders", .table_size = 6};
    const struct batch_event event = {.op = 'u'};
    const struct event_subject subject = {.encode = &encode, .label = &label, .event = &event};
    struct event_template template;
    ck_assert_int_eq(event_template_parse("abc${table}", 11, EVENT_TABLE, &template),
                     EVENT_TEMPLATE_FINE);
    ck_assert_ptr_null(event_template_render(&template, &subject, NULL, &out));
    ck_assert(!bytes_ok(&out));
    event_template_release(&template);
    bytes_release(&out);
}
END_TEST

static const struct {
    const char *text;
    enum event_template_fault fault;
} faults[] = {
    {"${table", EVENT_TEMPLATE_UNCLOSED},
    {"a${", EVENT_TEMPLATE_UNCLOSED},
    {"${}", EVENT_TEMPLATE_UNKNOWN},
    {"${tabel}", EVENT_TEMPLATE_UNKNOWN},
    {"${key.}", EVENT_TEMPLATE_UNKNOWN},
    {"${op}", EVENT_TEMPLATE_UNKNOWN},
    {"${table}${key}", EVENT_TEMPLATE_UNKNOWN},
};

START_TEST(event_template_faults_are_told)
{
    struct event_template template;
    ck_assert_int_eq(
        event_template_parse(faults[_i].text, strlen(faults[_i].text), EVENT_TABLE, &template),
        faults[_i].fault);
}
END_TEST

START_TEST(event_template_has_so_many_pieces_at_the_most)
{
    static const char name[] = "${table}";
    enum { SIZE = sizeof(name) - 1 };
    char text[SIZE * (EVENT_PIECES_MAX + 1)];
    for (size_t at = 0; at <= EVENT_PIECES_MAX; at++) {
        memcpy(text + at * SIZE, name, SIZE);
    }
    struct event_template template;
    ck_assert_int_eq(event_template_parse(text, sizeof(text), EVENT_TABLE, &template),
                     EVENT_TEMPLATE_TOO_LONG);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("event_template");
    tcase_add_loop_test(cases, event_template_renders, 0,
                        sizeof(renderings) / sizeof(renderings[0]));
    tcase_add_test(cases, event_template_escapes_values_only);
    tcase_add_test(cases, event_template_bounds_what_it_writes);
    tcase_add_loop_test(cases, event_template_faults_are_told, 0,
                        sizeof(faults) / sizeof(faults[0]));
    tcase_add_test(cases, event_template_has_so_many_pieces_at_the_most);
    return suite_run("event_template", cases);
}
