#include "encode/label.h"

#include "encode/encoder.h"
#include "encode/row_object.h"

void label_writer_init(struct label_writer *writer)
{
    static const struct encode_settings defaults = {.special_values = SPECIAL_STRING};
    value_writer_init(&writer->values, &defaults);
}

void label_writer_release(struct label_writer *writer)
{
    value_writer_release(&writer->values);
}

/* Whether the server sent the key as it was before an update that changed it. Under FULL the old
 * row always comes, and only the two texts tell. */
static bool may_have_old_key(const struct change *change)
{
    return change->op == CHANGE_UPDATE && change->old_offset != 0;
}

bool label_write(struct label_writer *writer, const struct change *change, struct bytes *out)
{
    const struct relation *relation = change->relation;
    size_t start = out->size;
    if (relation != NULL) {
        bytes_append_text(out, relation->schema);
    }
    bytes_append_char(out, '\0');
    if (relation != NULL) {
        bytes_append_text(out, relation->name);
    }
    bytes_append_char(out, '\0');
    size_t key = out->size;
    bool keyed = relation != NULL && relation->has_key && change->op != CHANGE_TRUNCATE;
    if (keyed) {
        struct row_pair row = change->new_offset != 0 ? row_pair_new(change) : row_pair_old(change);
        /* Nothing of a key is left out as unchanged. */
        (void)row_object_write(&writer->values, row, COLUMNS_KEY, out);
    }
    size_t key_size = out->size - key;
    bytes_append_char(out, '\0');
    if (keyed && may_have_old_key(change)) {
        size_t old = out->size;
        (void)row_object_write(&writer->values, row_pair_old(change), COLUMNS_KEY, out);
        if (bytes_ok(out) && out->size - old == key_size &&
            memcmp(out->data + old, out->data + key, key_size) == 0) {
            bytes_truncate(out, old);
        }
    }
    if (!bytes_ok(out)) {
        bytes_truncate(out, start);
        return false;
    }
    return true;
}
