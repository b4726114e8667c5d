/*
 * json.h - small additions to jansson for building answers.
 *
 * A value that memory does not suffice for is left out of its object, so that builders need not
 * check each step; a member that a program relies on is then missing and not wrong.
 *
 * Threading:  stateless.
 */
#ifndef API_JSON_H
#define API_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "model/lsn.h"

/* A string whose bytes outside UTF-8 became U+FFFD; JSON null for NULL. */
json_t *json_text(const char *text);

void json_put_text(json_t *object, const char *key, const char *text);
void json_put_bool(json_t *object, const char *key, bool value);
/* Beyond 2^63-1 the greatest number: no counter gets there. */
void json_put_count(json_t *object, const char *key, uint64_t count);
/* null when negative: unknown. */
void json_put_known(json_t *object, const char *key, int64_t number);
/* Microseconds as seconds; null when negative. */
void json_put_seconds(json_t *object, const char *key, int64_t us);
/* As 0/16B3748; null for no position. */
void json_put_lsn(json_t *object, const char *key, struct fan_lsn lsn);
/* A time of the wall clock in UTC; null for 0. */
void json_put_time(json_t *object, const char *key, int64_t wall_us);
/* Takes `value`. */
void json_put(json_t *object, const char *key, json_t *value);
void json_push(json_t *array, json_t *value);

#endif
