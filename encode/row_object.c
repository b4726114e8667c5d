#include "encode/row_object.h"

#include "encode/json.h"

struct row_pair row_pair_old(const struct change *change)
{
    struct row_pair pair = {.relation = change->relation};
    if (change->old_offset != 0) {
        pair.row = row_open(message_payload(change->message) + change->old_offset);
    }
    return pair;
}

struct row_pair row_pair_new(const struct change *change)
{
    struct row_pair pair = {.relation = change->relation};
    if (change->new_offset != 0) {
        pair.row = row_open(message_payload(change->message) + change->new_offset);
        if (change->old_offset != 0) {
            pair.old = row_pair_old(change).row;
            pair.old_kind = (enum old_row)change->old_row;
        }
    }
    return pair;
}

static void write_column(struct value_writer *values, const struct relation_column *column,
                         const struct row_value *value, bool first, struct bytes *out)
{
    uint8_t *at = json_room(out, column->json_name_size + 1 + RELATION_JSON_PAD);
    if (at == NULL) {
        return;
    }
    if (!first) {
        *at++ = ',';
    }
    json_done(out, json_write_padded(at, column->json_name, column->json_name_size));
    value_write(values, &column->type, value, out);
}

bool row_object_write(struct value_writer *values, struct row_pair pair, enum columns columns,
                      struct bytes *out)
{
    const struct relation *relation = pair.relation;
    size_t count = columns == COLUMNS_KEY ? relation->key_end : relation->columns_count;
    bool first = true;
    bool unchanged = false;
    bytes_append_char(out, '{');
    for (size_t i = 0; i < count; i++) {
        const struct relation_column *column = &relation->columns[i];
        struct row_value value;
        if (!row_pair_next(&pair, column, &value)) {
            break;
        }
        if ((columns == COLUMNS_KEY && !column->in_key) ||
            (columns == COLUMNS_IDENTITY && !column->in_identity)) {
            continue;
        }
        if (value.kind == ROW_UNCHANGED) {
            unchanged = true;
            continue;
        }
        write_column(values, column, &value, first, out);
        first = false;
    }
    bytes_append_char(out, '}');
    return unchanged;
}

void row_object_unchanged(struct row_pair pair, struct bytes *out)
{
    bool first = true;
    BYTES_APPEND_LITERAL(out, ",\"unchanged\":[");
    for (size_t i = 0; i < pair.relation->columns_count; i++) {
        const struct relation_column *column = &pair.relation->columns[i];
        struct row_value value;
        if (!row_pair_next(&pair, column, &value)) {
            break;
        }
        if (value.kind == ROW_UNCHANGED) {
            if (!first) {
                bytes_append_char(out, ',');
            }
            bytes_append(out, column->json_name, column->json_name_size - 1); /* no colon */
            first = false;
        }
    }
    bytes_append_char(out, ']');
}
