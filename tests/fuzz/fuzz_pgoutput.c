/*
 * Feeds a sequence of pgoutput messages to the parser and to the cache of relations: whatever comes,
 * nothing outside the message is read, and a row that was accepted can be read column by column.
 *
 * Input: { Int16 length, message }*. Seeds were recorded from servers 14, 15 and 18 with
 * pg_logical_slot_get_binary_changes().
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/wire.h"
#include "model/row.h"
#include "sources/postgres/pgoutput.h"
#include "sources/postgres/relations.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool columns_of(const void *context, uint32_t relid, size_t *ret_columns)
{
    struct relations *relations = *(struct relations *const *)context;
    const struct relation *relation = relations_find(relations, relid);
    if (relation != NULL) {
        *ret_columns = relation->columns_count;
    }
    return relation != NULL;
}

static void describe(struct relations *relations, const struct pgoutput_relation *message)
{
    struct relation *draft;
    struct relation *current;
    bool changed;
    struct fan_error error;
    if (relations_draft(message, &draft, &error) != FAN_OK) {
        return;
    }
    struct link_column *facts = calloc(draft->columns_count + 1, sizeof(*facts));
    FAN_ASSERT(facts != NULL);
    if (relations_accept(relations, draft, facts, &current, &changed, &error) == FAN_OK) {
        FAN_ASSERT(relations_find(relations, message->relid) == current);
    }
    free(facts);
}

static void read_row(const uint8_t *payload, size_t size, uint32_t offset, size_t columns_max)
{
    struct row_reader row = row_open(payload + offset);
    struct row_value value;
    size_t columns = 0;
    volatile char sum = 0;
    while (row_next(&row, &value)) {
        FAN_ASSERT(++columns <= columns_max);
        FAN_ASSERT(row.at <= payload + size);
        for (uint32_t i = 0; i < value.size; i++) {
            sum = (char)(sum + value.text[i]);
        }
    }
}

static void one_message(struct relations *relations, const uint8_t *payload, size_t size)
{
    struct pgoutput_message message;
    struct fan_error error;
    if (pgoutput_parse(payload, size, columns_of, &relations, &message, &error) != FAN_OK) {
        FAN_ASSERT(error.text[0] != '\0');
        return;
    }
    if (message.tag == PGOUTPUT_RELATION) {
        describe(relations, &message.relation);
    }
    if (message.tag == PGOUTPUT_INSERT || message.tag == PGOUTPUT_UPDATE ||
        message.tag == PGOUTPUT_DELETE) {
        size_t columns_max = relations_find(relations, message.row.relid)->columns_count;
        if (message.row.old_offset != 0) {
            read_row(payload, size, message.row.old_offset, columns_max);
        }
        if (message.row.new_offset != 0) {
            read_row(payload, size, message.row.new_offset, columns_max);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct relations relations;
    relations_init(&relations);
    struct wire wire;
    wire_init(&wire, data, size);
    while (wire_remaining(&wire) >= 2) {
        size_t length = wire_u16(&wire);
        length = length < wire_remaining(&wire) ? length : wire_remaining(&wire);
        /* A copy of its own, so that the sanitizer sees every byte too many. */
        uint8_t *payload = malloc(length);
        FAN_ASSERT(payload != NULL || length == 0);
        const uint8_t *bytes = wire_bytes(&wire, length);
        if (length > 0) {
            memcpy(payload, bytes, length);
            one_message(&relations, payload, length);
        }
        free(payload);
    }
    relations_release(&relations);
    return 0;
}
