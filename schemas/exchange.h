/*
 * exchange.h - one question to a schema registry, over HTTP.
 *
 * Ownership:  the exchange borrows its settings. exchange_release() accepts a zeroed one.
 * Threading:  one thread at a time; registry_exchange_ask() blocks it. `*stop` may be set by any.
 * Limits:     an answer of 1 MiB more than the schema.
 */
#ifndef SCHEMAS_EXCHANGE_H
#define SCHEMAS_EXCHANGE_H

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/redactor.h"
#include "base/status.h"
#include "conf/settings.h"

struct registry_exchange {
    const struct settings_avro *settings;
    const _Atomic bool *stop; /* ends a question that is under way */
    CURL *handle;
    struct curl_slist *headers;
    struct redactor redactor;
    struct bytes url;
    struct bytes question;
    struct bytes answer;
    char library_text[CURL_ERROR_SIZE];
};

enum fan_status registry_exchange_init(struct registry_exchange *exchange,
                                       const struct settings_avro *settings,
                                       const _Atomic bool *stop,
                                       struct fan_error *reterr) FAN_MUST_CHECK;
void registry_exchange_release(struct registry_exchange *exchange);

/* Statuses as registry_reply_read() has them; FAN_RETRY also when there is no answer. */
enum fan_status registry_exchange_ask(struct registry_exchange *exchange, const char *subject,
                                      const char *schema, size_t schema_size, uint32_t *ret_id,
                                      struct fan_error *reterr) FAN_MUST_CHECK;

#endif
