/*
 * answer.h - reads members of what an engine answered; a missing one or one of another kind is
 * told from every value that an engine gives.
 *
 * A `path` is a key, or keys with dots between: "status.state" is "state" of the object "status".
 *
 * Ownership:  texts are the answer's.
 */
#ifndef CLI_ANSWER_H
#define CLI_ANSWER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* NULL when there is none. */
const json_t *answer_member(const json_t *object, const char *path);

/* "" when it is no text. */
const char *answer_text(const json_t *object, const char *path);
/* -1 when it is no integer. */
int64_t answer_number(const json_t *object, const char *path);
/* -1 when it is no number. */
double answer_seconds(const json_t *object, const char *path);
/* false when it is no boolean. */
bool answer_flag(const json_t *object, const char *path);

#endif
