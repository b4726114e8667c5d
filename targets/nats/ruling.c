#include "targets/nats/ruling.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum {
    EXCERPT_MAX = 160,
    TOO_LARGE = 10054,    /* larger than the stream's max_msg_size */
    OTHER_STREAM = 10060, /* not the stream that is expected */
    SERVER_ERROR = 500,   /* and above: as in HTTP, the server cannot now */
};

/* The words of another side, fit to be shown, in `out`. */
static const char *show(const struct redactor *redactor, const char *words, struct bytes *out)
{
    bytes_init(out, FAN_ERROR_TEXT_MAX);
    redactor_append(redactor, out, words, strlen(words), EXCERPT_MAX);
    return bytes_text(out);
}

static enum fan_status rule_error(const json_t *error, const char *shown,
                                  const struct redactor *redactor, struct fan_error *reterr)
{
    json_int_t code = json_integer_value(json_object_get(error, "code"));
    json_int_t detail = json_integer_value(json_object_get(error, "err_code"));
    const char *words = json_string_value(json_object_get(error, "description"));
    enum fan_status status = detail == TOO_LARGE    ? FAN_POISON
                             : code >= SERVER_ERROR ? FAN_RETRY
                                                    : FAN_FATAL;
    const char *mend =
        detail == OTHER_STREAM ? ": check `stream`, and the subjects of the streams" : "";
    struct bytes excerpt;
    (void)fan_fail(reterr, status, "\"%.300s\" answered: %s%s", shown,
                   show(redactor, words != NULL ? words : "an error without words", &excerpt),
                   mend);
    bytes_release(&excerpt);
    char name[32];
    (void)snprintf(name, sizeof(name), "NATS_%" PRId64, (int64_t)detail); /* fits */
    fan_error_annotate(reterr, name, NULL);
    return status;
}

enum fan_status nats_rule_ack(const char *data, size_t size, const char *shown,
                              const struct redactor *redactor, struct fan_error *reterr)
{
    json_t *ack = json_loadb(data, size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *error = json_object_get(ack, "error");
    enum fan_status status = FAN_OK;
    if (error != NULL) {
        status = rule_error(error, shown, redactor, reterr);
    } else if (!json_is_string(json_object_get(ack, "stream")) ||
               !json_is_integer(json_object_get(ack, "seq"))) {
        status = fan_fail(reterr, FAN_RETRY,
                          "\"%.300s\" gave an answer that is no acknowledgement of a stream: "
                          "something else listens on the subject",
                          shown);
        fan_error_annotate(reterr, "NATS_ANSWER", NULL);
    }
    json_decref(ack);
    return status;
}

enum fan_status nats_rule_nobody(const char *subject, const char *shown, struct fan_error *reterr)
{
    (void)fan_fail(reterr, FAN_RETRY,
                   "no stream of \"%.300s\" takes \"%.300s\": make one with these subjects, or "
                   "check that JetStream is on",
                   shown, subject);
    fan_error_annotate(reterr, "NATS_NO_STREAM", NULL);
    return FAN_RETRY;
}

/* The library's words without the place in its source; those of the status where there are none. */
static const char *words_of(natsStatus status, const char *words)
{
    const char *behind = words != NULL && words[0] == '(' ? strstr(words, "): ") : NULL;
    words = behind != NULL ? behind + 3 : words;
    return words != NULL && words[0] != '\0' ? words : natsStatus_GetText(status);
}

struct connect_rule {
    natsStatus nats;
    enum fan_status status;
    const char *code;
    const char *mend;
};

static const struct connect_rule connect_rules[] = {
    {NATS_CONNECTION_AUTH_FAILED, FAN_FATAL, "NATS_LOGIN",
     ": check username, password, token and credentials"},
    {NATS_NOT_PERMITTED, FAN_FATAL, "NATS_LOGIN",
     ": check username, password, token and credentials"},
    {NATS_SECURE_CONNECTION_WANTED, FAN_FATAL, "NATS_TLS", ": the server has no TLS"},
    {NATS_SECURE_CONNECTION_REQUIRED, FAN_FATAL, "NATS_TLS", ": set tls: true"},
    {NATS_SSL_ERROR, FAN_RETRY, "NATS_TLS", ""},
    {NATS_TIMEOUT, FAN_RETRY, "NATS_TIMEOUT", ""},
    {NATS_OK, FAN_RETRY, "NATS_CONNECT", ""}, /* any other */
};

enum fan_status nats_rule_connect(natsStatus status, const char *words, const char *shown,
                                  const struct redactor *redactor, struct fan_error *reterr)
{
    const struct connect_rule *rule = connect_rules;
    while (rule->nats != status && rule->nats != NATS_OK) {
        rule++;
    }
    words = words_of(status, words);
    struct connect_rule certificate = {NATS_SSL_ERROR, FAN_FATAL, "NATS_CERTIFICATE",
                                       ": check the server's certificate and its names, and ca"};
    if (status == NATS_SSL_ERROR &&
        (strstr(words, "certificate") != NULL || strstr(words, "mismatch") != NULL)) {
        rule = &certificate;
    }
    struct bytes excerpt;
    (void)fan_fail(reterr, rule->status, "%s connect to \"%.300s\": %s%s",
                   rule->status == FAN_FATAL ? "cannot" : "could not", shown,
                   show(redactor, words, &excerpt), rule->mend);
    bytes_release(&excerpt);
    fan_error_annotate(reterr, rule->code, NULL);
    return rule->status;
}

enum fan_status nats_rule_lost(natsStatus status, const char *words, const char *shown,
                               const struct redactor *redactor, struct fan_error *reterr)
{
    if (status == NATS_NOT_PERMITTED) {
        (void)fan_fail(reterr, FAN_FATAL,
                       "\"%.300s\" does not permit it: the user has to publish on the subjects of "
                       "the events, and to subscribe to _INBOX.>",
                       shown);
        fan_error_annotate(reterr, "NATS_NOT_PERMITTED", NULL);
        return FAN_FATAL;
    }
    struct bytes excerpt;
    words = words_of(status, words);
    (void)fan_fail(reterr, FAN_RETRY, "could not publish to \"%.300s\": %s", shown,
                   show(redactor, words, &excerpt));
    bytes_release(&excerpt);
    fan_error_annotate(reterr, "NATS_CONNECTION", NULL);
    return FAN_RETRY;
}
