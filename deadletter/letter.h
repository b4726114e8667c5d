/*
 * letter.h - what the files of this folder share: letters as rows of the store, and gap rows.
 */
#ifndef DEADLETTER_LETTER_H
#define DEADLETTER_LETTER_H

#include "deadletter/deadletter.h"
#include "store/letter.h"

/* Both borrow what the other has. */
struct store_letter letter_to_row(const struct deadletter *letter);
struct deadletter letter_of_row(const struct store_letter *row);

/* Records that this event will never reach its target. Inside a transaction. */
enum fan_status letter_give_up(struct store *store, const struct store_letter *letter,
                               const char *cause, int64_t now_us, struct fan_error *reterr);

/* Whether the filter selects it; its number and place in a list are the caller's business. */
bool letter_matches(const struct deadletter *letter, const struct deadletter_filter *filter);

/* Ends a transaction that went well so far, or takes it back. Returns what to return. */
enum fan_status letter_end(struct store *store, enum fan_status status, struct fan_error *reterr);

#endif
