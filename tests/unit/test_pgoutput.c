/*
 * Property: the parser accepts what servers send, to the last byte, and refuses every prefix of it
 *           and every byte too many.
 * Oracle:   messages recorded from servers 14, 15 and 18 (tests/fuzz/corpus/pgoutput), whose SQL is
 *           known; and messages made by hand for what no server sends.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/row.h"
#include "sources/postgres/pgoutput.h"
#include "sources/postgres/relations.h"
#include "tests/unit/suite.h"

static const char *corpus; /* directory, from the command line */
static const char *const recordings[] = {"postgres-14", "postgres-15", "postgres-18"};

struct recording {
    uint8_t bytes[16384];
    size_t size;
    struct wire wire;
    struct relations relations;
};

static bool columns_of(const void *context, uint32_t relid, size_t *ret_columns)
{
    struct relations *relations = *(struct relations *const *)context;
    const struct relation *relation = relations_find(relations, relid);
    if (relation != NULL) {
        *ret_columns = relation->columns_count;
    }
    return relation != NULL;
}

static void recording_open(struct recording *recording, const char *name)
{
    char path[1024];
    (void)snprintf(path, sizeof(path), "%s/%s", corpus, name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "cannot open %s", path);
    recording->size = fread(recording->bytes, 1, sizeof(recording->bytes), file);
    ck_assert(fclose(file) == 0);
    ck_assert_uint_gt(recording->size, 1000);
    ck_assert_uint_lt(recording->size, sizeof(recording->bytes));
    wire_init(&recording->wire, recording->bytes, recording->size);
    relations_init(&recording->relations);
}

static enum fan_status parse(struct recording *recording, const uint8_t *payload, size_t size,
                             struct pgoutput_message *ret_message)
{
    struct relations *relations = &recording->relations;
    struct fan_error error;
    enum fan_status status =
        pgoutput_parse(payload, size, columns_of, &relations, ret_message, &error);
    if (status != FAN_OK) {
        ck_assert_str_eq(error.code, "PROTOCOL");
    }
    return status;
}

static void describe(struct recording *recording, const struct pgoutput_relation *message)
{
    struct relation *draft;
    struct relation *current;
    bool changed;
    struct fan_error error;
    ck_assert_int_eq(relations_draft(message, &draft, &error), FAN_OK);
    struct link_column facts[RELATION_COLUMNS_MAX] = {{.in_primary_key = true}};
    ck_assert_int_eq(
        relations_accept(&recording->relations, draft, facts, &current, &changed, &error), FAN_OK);
}

/* The next message of a recording that is accepted; its bytes in `ret_payload`. */
static bool recording_next(struct recording *recording, const uint8_t **ret_payload,
                           size_t *ret_size, struct pgoutput_message *ret_message)
{
    if (wire_remaining(&recording->wire) == 0) {
        return false;
    }
    *ret_size = wire_u16(&recording->wire);
    *ret_payload = wire_bytes(&recording->wire, *ret_size);
    ck_assert_ptr_nonnull(*ret_payload);
    ck_assert_int_eq(parse(recording, *ret_payload, *ret_size, ret_message), FAN_OK);
    if (ret_message->tag == PGOUTPUT_RELATION) {
        describe(recording, &ret_message->relation);
    }
    return true;
}

START_TEST(pgoutput_recording_is_accepted_whole)
{
    struct recording recording;
    recording_open(&recording, recordings[_i]);
    unsigned seen[128] = {0};
    const uint8_t *payload;
    size_t size;
    struct pgoutput_message message;
    uint64_t end = 0;
    while (recording_next(&recording, &payload, &size, &message)) {
        seen[message.tag]++;
        if (message.tag == PGOUTPUT_BEGIN) {
            ck_assert_uint_ge(message.begin.final_lsn.value, end);
        }
        if (message.tag == PGOUTPUT_COMMIT) {
            ck_assert_uint_gt(message.commit.end_lsn.value, message.commit.commit_lsn.value);
            end = message.commit.end_lsn.value;
        }
    }
    ck_assert_uint_eq(seen['B'], seen['C']);
    for (const char *tag = "BCRYIUDTM"; *tag != '\0'; tag++) {
        ck_assert_uint_gt(seen[(int)*tag], 0);
    }
    relations_release(&recording.relations);
}
END_TEST

START_TEST(pgoutput_prefix_and_surplus_are_refused)
{
    struct recording recording;
    recording_open(&recording, recordings[_i]);
    const uint8_t *payload;
    size_t size;
    struct pgoutput_message message;
    while (recording_next(&recording, &payload, &size, &message)) {
        for (size_t cut = 0; cut < size; cut++) {
            uint8_t *part = malloc(cut + 1);
            memcpy(part, payload, cut);
            ck_assert_int_eq(parse(&recording, part, cut, &message), FAN_FATAL);
            free(part);
        }
        uint8_t *more = malloc(size + 1);
        memcpy(more, payload, size);
        more[size] = 0;
        ck_assert_int_eq(parse(&recording, more, size + 1, &message), FAN_FATAL);
        free(more);
    }
    relations_release(&recording.relations);
}
END_TEST

START_TEST(pgoutput_flipped_byte_never_reads_outside)
{
    struct recording recording;
    recording_open(&recording, recordings[_i]);
    const uint8_t *payload;
    size_t size;
    struct pgoutput_message message;
    while (recording_next(&recording, &payload, &size, &message)) {
        uint8_t *copy = malloc(size);
        for (size_t at = 0; at < size; at++) {
            memcpy(copy, payload, size);
            copy[at] ^= 0xff;
            (void)parse(&recording, copy, size, &message); /* the sanitizer is the oracle */
        }
        free(copy);
    }
    relations_release(&recording.relations);
}
END_TEST

static const struct relation *find_named(struct recording *recording,
                                         const struct pgoutput_message *message, const char *name)
{
    const struct relation *relation = relations_find(&recording->relations, message->row.relid);
    ck_assert_ptr_nonnull(relation);
    return strcmp(relation->name, name) == 0 ? relation : NULL;
}

/* The kinds of a tuple's columns as a text such as "tun". */
static void kinds_of(const uint8_t *tuple, char *kinds, size_t kinds_size)
{
    struct row_reader row = row_open(tuple);
    struct row_value value;
    size_t count = 0;
    while (row_next(&row, &value) && count + 1 < kinds_size) {
        kinds[count++] = (char)value.kind;
    }
    kinds[count] = '\0';
}

START_TEST(pgoutput_identities_are_as_the_server_sends_them)
{
    struct recording recording;
    recording_open(&recording, recordings[_i]);
    const uint8_t *payload;
    size_t size;
    struct pgoutput_message message;
    unsigned toast = 0;
    unsigned full = 0;
    unsigned by_index = 0;
    while (recording_next(&recording, &payload, &size, &message)) {
        char kinds[32];
        if (message.tag == PGOUTPUT_UPDATE && find_named(&recording, &message, "big") != NULL) {
            kinds_of(payload + message.row.new_offset, kinds, sizeof(kinds));
            ck_assert_str_eq(kinds, "tut"); /* the document was not touched */
            ck_assert_int_eq(message.row.old_kind, 0);
            toast++;
        }
        if (message.tag == PGOUTPUT_DELETE && find_named(&recording, &message, "f") != NULL) {
            ck_assert_int_eq(message.row.old_kind, 'O');
            full++;
        }
        if (message.tag == PGOUTPUT_DELETE && find_named(&recording, &message, "ix") != NULL) {
            kinds_of(payload + message.row.old_offset, kinds, sizeof(kinds));
            ck_assert_int_eq(message.row.old_kind, 'K');
            ck_assert_str_eq(kinds, "ntn");
            by_index++;
        }
    }
    ck_assert_uint_eq(toast, 1);
    ck_assert_uint_eq(full, 1);
    ck_assert_uint_eq(by_index, 1);
    relations_release(&recording.relations);
}
END_TEST

START_TEST(pgoutput_unknown_tags_are_refused)
{
    struct recording recording;
    recording_open(&recording, recordings[0]);
    struct pgoutput_message message;
    for (int tag = 0; tag < 256; tag++) {
        uint8_t payload[64] = {(uint8_t)tag};
        if (tag != 0 && strchr("BCORYIUDTM", tag) != NULL) {
            continue;
        }
        ck_assert_int_eq(parse(&recording, payload, sizeof(payload), &message), FAN_FATAL);
    }
    relations_release(&recording.relations);
}
END_TEST

START_TEST(pgoutput_commit_with_flags_is_refused)
{
    struct recording recording;
    recording_open(&recording, recordings[0]);
    struct pgoutput_message message;
    uint8_t payload[26] = {'C'};
    ck_assert_int_eq(parse(&recording, payload, sizeof(payload), &message), FAN_OK);
    payload[1] = 1;
    ck_assert_int_eq(parse(&recording, payload, sizeof(payload), &message), FAN_FATAL);
    relations_release(&recording.relations);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: test_pgoutput CORPUS-DIRECTORY\n");
        return 64;
    }
    corpus = argv[1];
    int count = (int)(sizeof(recordings) / sizeof(recordings[0]));
    TCase *parser = tcase_create("parser");
    tcase_add_loop_test(parser, pgoutput_recording_is_accepted_whole, 0, count);
    tcase_add_loop_test(parser, pgoutput_prefix_and_surplus_are_refused, 0, count);
    tcase_add_loop_test(parser, pgoutput_flipped_byte_never_reads_outside, 0, count);
    tcase_add_loop_test(parser, pgoutput_identities_are_as_the_server_sends_them, 0, count);
    tcase_add_test(parser, pgoutput_unknown_tags_are_refused);
    tcase_add_test(parser, pgoutput_commit_with_flags_is_refused);
    return suite_run("pgoutput", parser);
}
