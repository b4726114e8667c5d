/*
 * ruling.h - what the end of one HTTP exchange means for the events that it carried.
 *
 * The only place that knows libcurl's error codes and the statuses of HTTP.
 *
 *     2xx, read to the end                    FAN_OK, but for what the answer names
 *     408, 429, 5xx, time-out, connection     FAN_RETRY, after what Retry-After asks for
 *     401, 403, 410, 3xx                      FAN_FATAL
 *     certificate, refused address, bad URL   FAN_FATAL
 *     other 4xx                               FAN_POISON
 *
 * A status that has come counts, even if the rest of its answer did not, unless it is a 2xx.
 *
 * Ownership:  `failed` of a ruling is the caller's.
 * Threading:  stateless.
 */
#ifndef TARGETS_HTTP_RULING_H
#define TARGETS_HTTP_RULING_H

#include "targets/http/reply.h"
#include "targets/http/verdicts.h"

/* How an exchange ended. */
struct exchange_end {
    int curl_code;         /* enum CURLcode */
    const char *curl_text; /* the library's own words; may be "" */
    const char *origin;    /* for messages */
    const struct reply *reply;
    bool address_refused; /* by the guard, and no other address was tried */
    int64_t wall_us;
};

struct ruling {
    enum fan_status status;
    int64_t retry_after_us;
    struct verdict *failed; /* of FAN_OK */
    size_t failed_count;
    struct fan_error error; /* of any status but FAN_OK */
};

void ruling_make(const struct exchange_end *end, const struct verdict_scope *scope,
                 struct ruling *ret_ruling);

#endif
