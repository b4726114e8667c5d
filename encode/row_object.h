/*
 * row_object.h - a row of a change as a JSON object of its columns.
 *
 * Threading:  as the value writer that is used.
 * Errors:     sticky in `out` and in the value writer.
 */
#ifndef ENCODE_ROW_OBJECT_H
#define ENCODE_ROW_OBJECT_H

#include <stdbool.h>

#include "base/bytes.h"
#include "encode/value.h"
#include "model/change.h"
#include "model/row.h"

/* The old and the new row side by side; a row that is not there has no columns. */
struct row_pair {
    const struct relation *relation;
    struct row_reader row;
    struct row_reader old;
    enum old_row old_kind; /* what fills an unchanged column; OLD_ROW_NONE: nothing */
};

/* Which columns of a row an object shows. */
enum columns { COLUMNS_ALL, COLUMNS_IDENTITY, COLUMNS_KEY };

/* The rows of a change; of one that the change does not carry the reader must not be used. */
struct row_pair row_pair_old(const struct change *change);
struct row_pair row_pair_new(const struct change *change);

/*
 * Reads the next column, and fills it from the old row if the new row does not carry it. In a key
 * tuple null means "not sent", and only identity columns are real.
 */
static inline bool row_pair_next(struct row_pair *pair, const struct relation_column *column,
                                 struct row_value *ret_value)
{
    if (!row_next(&pair->row, ret_value)) {
        return false;
    }
    if (pair->old_kind == OLD_ROW_NONE) {
        return true;
    }
    struct row_value old;
    if (row_next(&pair->old, &old) && ret_value->kind == ROW_UNCHANGED &&
        (pair->old_kind == OLD_ROW_FULL || (column->in_identity && old.kind != ROW_NULL))) {
        *ret_value = old;
    }
    return true;
}

/* Writes one row as an object. Returns whether columns were left out as unchanged. */
bool row_object_write(struct value_writer *values, struct row_pair pair, enum columns columns,
                      struct bytes *out);

/* Writes `,"unchanged":[...]` with the columns that row_object_write() left out. */
void row_object_unchanged(struct row_pair pair, struct bytes *out);

#endif
