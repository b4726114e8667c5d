/*
 * reply.h - what a schema registry's answer means.
 *
 * Source:     the REST interface of Confluent's Schema Registry, which Apicurio, Karapace and Redpanda
 *             speak, too: an answer is JSON, {"id":42} or {"error_code":40401,"message":"..."}.
 * Threading:  stateless.
 */
#ifndef SCHEMAS_REPLY_H
#define SCHEMAS_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/redactor.h"
#include "base/status.h"

/*
 * FAN_OK      `*ret_id` is the schema's number.
 * FAN_POISON  the registry does not take this schema: it does not fit to the subject's earlier ones
 *             (409), or is none (422), or is not there and was only looked for (404).
 * FAN_RETRY   it may say something else later: 5xx, 429, wrong credentials, no registry there.
 *
 * `registering`: the schema was to be registered, not only looked for. `subject` goes into messages, and
 * the registry's own words without the secrets of `redactor`.
 */
enum fan_status registry_reply_read(long http_status, const char *body, size_t body_size,
                                    bool registering, const char *subject,
                                    const struct redactor *redactor, uint32_t *ret_id,
                                    struct fan_error *reterr) FAN_MUST_CHECK;

#endif
