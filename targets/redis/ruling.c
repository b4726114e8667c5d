#include "targets/redis/ruling.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { EXCERPT_MAX = 160, CODE_MAX = 20 };

struct rule {
    const char *begin; /* of the reply; a code word ends with its space */
    enum fan_status status;
    const char *code; /* NULL: REDIS_ and the code word */
    const char *hint;
};

static const char mend_login[] = "check username and password";
static const char mend_node[] =
    "this is a cluster: give `stream` a hash tag such as {pgfan}, so that "
    "all is on one node, and `address` that node";

/* The first that fits. */
static const struct rule rules[] = {
    {"OOM ", FAN_RETRY, NULL, "trim streams (max_length), or raise the server's maxmemory"},
    {"LOADING ", FAN_RETRY, NULL, NULL},
    {"READONLY ", FAN_RETRY, NULL, "`address` is a replica: it should be the primary"},
    {"CLUSTERDOWN ", FAN_RETRY, NULL, NULL},
    {"TRYAGAIN ", FAN_RETRY, NULL, NULL},
    {"MASTERDOWN ", FAN_RETRY, NULL, NULL},
    {"BUSY ", FAN_RETRY, NULL, NULL},
    {"MISCONF ", FAN_RETRY, NULL, "the server cannot write its disk: see its log"},
    {"NOREPLICAS ", FAN_RETRY, NULL, NULL},
    {"NOSCRIPT ", FAN_RETRY, NULL, NULL},
    {"EXECABORT ", FAN_RETRY, NULL, NULL},
    {"ERR max number of clients", FAN_RETRY, "REDIS_CLIENTS", "raise the server's maxclients"},
    {"ERR Protocol error: invalid bulk length", FAN_POISON, "REDIS_TOO_LARGE",
     "the event is larger than the server's proto-max-bulk-len"},
    {"ERR string exceeds maximum", FAN_POISON, "REDIS_TOO_LARGE",
     "the event is larger than the server's proto-max-bulk-len"},
    {"NOAUTH ", FAN_FATAL, NULL, mend_login},
    {"WRONGPASS ", FAN_FATAL, NULL, mend_login},
    {"ERR invalid password", FAN_FATAL, "REDIS_WRONGPASS", mend_login},
    {"ERR Client sent AUTH", FAN_FATAL, "REDIS_WRONGPASS",
     "the server has no password: leave `password` out"},
    {"ERR AUTH <password> called without", FAN_FATAL, "REDIS_WRONGPASS",
     "the user has no password: leave `password` out"},
    {"NOPERM ", FAN_FATAL, NULL,
     "the user needs +xadd +multi +exec +ping +select, with a dedup_window also +evalsha "
     "+script|load +zscore +zadd +zremrangebyrank, with wait_replicas +wait, and the keys of its "
     "streams"},
    {"DENIED ", FAN_FATAL, NULL, "the server takes connections from its own machine only"},
    {"WRONGTYPE ", FAN_FATAL, NULL,
     "a key that should be a stream, or `<stream>:ids`, is something else: rename it, or change "
     "`stream`"},
    {"MOVED ", FAN_FATAL, NULL, mend_node},
    {"ASK ", FAN_FATAL, NULL, mend_node},
    {"CROSSSLOT ", FAN_FATAL, NULL, mend_node},
    {"ERR DB index is out of range", FAN_FATAL, "REDIS_DATABASE", "check database"},
    {"ERR unknown command", FAN_FATAL, "REDIS_COMMAND",
     "Redis 5 or later is needed, with EVALSHA unless dedup_window is 0"},
    {"", FAN_FATAL, NULL, NULL},
};

static const struct rule *rule_find(const char *words, size_t size)
{
    const struct rule *rule = rules;
    while (strlen(rule->begin) > size || memcmp(words, rule->begin, strlen(rule->begin)) != 0) {
        rule++;
    }
    return rule;
}

/* REDIS_ and the code word, where it looks like one. */
static void make_code(const char *words, size_t size, char *code, size_t code_size)
{
    size_t length = 0;
    while (length < size && length < CODE_MAX && words[length] >= 'A' && words[length] <= 'Z') {
        length++;
    }
    (void)snprintf(code, code_size, "REDIS_%.*s", length > 0 ? (int)length : 3,
                   length > 0 ? words : "ERR"); /* fits */
}

enum fan_status redis_rule(const char *words, size_t size, const char *shown,
                           const struct redactor *redactor, struct fan_error *reterr)
{
    static const char arguments[] = "with args";
    const struct rule *rule = rule_find(words, size);
    char code[32];
    make_code(words, size, code, sizeof(code));
    const char *cut = memmem(words, size, arguments, sizeof(arguments) - 1);
    struct bytes excerpt;
    bytes_init(&excerpt, FAN_ERROR_TEXT_MAX);
    redactor_append(redactor, &excerpt, words, cut != NULL ? (size_t)(cut - words) : size,
                    EXCERPT_MAX);
    const bool mends =
        rule->status == FAN_FATAL && rule->hint != NULL; /* who looks sees this line */
    (void)fan_fail(reterr, rule->status, "\"%.300s\" answered: %s%s%s", shown, bytes_text(&excerpt),
                   mends ? ": " : "", mends ? rule->hint : "");
    bytes_release(&excerpt);
    fan_error_annotate(reterr, rule->code != NULL ? rule->code : code,
                       rule->hint != NULL ? "%s" : NULL, rule->hint);
    return rule->status;
}
