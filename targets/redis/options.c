#include "targets/redis/options.h"

#include <stddef.h>
#include <string.h>

#include "targets/address.h"
#include "targets/redis/stream.h"

#define SECOND_US INT64_C(1000000)

enum {
    PATH_TEXT_MAX = 4000,
    NAME_TEXT_MAX = 256,
    STREAM_TEXT_MAX = 1000,
    DATABASE_MAX = 1000000,
    WINDOW_MAX = 100000000,
    REPLICAS_MAX = 64,
};

#define AT(member) .offset = offsetof(struct redis_options, member)

static const struct conf_option redis_options[] = {
    {.key = "address",
     .type = CONF_TEXT,
     AT(address),
     .required = true,
     .minimum = 1,
     .maximum = NAME_TEXT_MAX,
     .help = "The server: `host:port`, or the path of its unix socket.",
     .example = "redis.internal:6379"},
    {.key = "username",
     .type = CONF_TEXT,
     AT(username),
     .minimum = 1,
     .maximum = NAME_TEXT_MAX,
     .help = "The user of the server's access list. Unset: `default`.",
     .example = "pgfan"},
    {.key = "password",
     .type = CONF_SECRET,
     AT(password),
     .help = "The password of `username`, or the server's `requirepass`.",
     .example = "${file:/etc/pgfan/redis.password}"},
    {.key = "tls",
     .type = CONF_BOOL,
     AT(tls),
     .value_default = "false",
     .help = "Encrypts the connection, and verifies the server's certificate and name.",
     .example = "true"},
    {.key = "ca",
     .type = CONF_TEXT,
     AT(ca),
     .minimum = 1,
     .maximum = PATH_TEXT_MAX,
     .help = "A PEM file with the authorities that may have signed the server's certificate. "
             "Unset: the system's.",
     .example = "/etc/pgfan/internal-ca.pem"},
    {.key = "client_cert",
     .type = CONF_TEXT,
     AT(client_cert),
     .minimum = 1,
     .maximum = PATH_TEXT_MAX,
     .help = "A PEM file with the certificate that the server asks of its clients, and its chain.",
     .example = "/etc/pgfan/redis.crt"},
    {.key = "client_key",
     .type = CONF_TEXT,
     AT(client_key),
     .minimum = 1,
     .maximum = PATH_TEXT_MAX,
     .help = "A PEM file with the key of `client_cert`, without a passphrase.",
     .example = "/etc/pgfan/redis.key"},
    {.key = "database",
     .type = CONF_INTEGER,
     AT(database),
     .value_default = "0",
     .maximum = DATABASE_MAX,
     .help = "The number of the database.",
     .example = "3"},
    {.key = "stream",
     .type = CONF_TEXT,
     AT(stream),
     .value_default = "pgfan:${schema}.${table}",
     .templated = true,
     .minimum = 1,
     .maximum = STREAM_TEXT_MAX,
     .help =
         "The stream of an event. It may hold `${schema}`, `${table}`, `${source}` and `${op}`.",
     .example = "cdc:${table}"},
    {.key = "stream_other",
     .type = CONF_TEXT,
     AT(stream_other),
     .value_default = "pgfan:other",
     .templated = true,
     .minimum = 1,
     .maximum = STREAM_TEXT_MAX,
     .help =
         "The stream of events that have no table: logical messages and markers of gaps. It may "
         "hold `${source}` and `${op}`.",
     .example = "cdc:other"},
    {.key = "field",
     .type = CONF_TEXT,
     AT(field),
     .value_default = "event",
     .minimum = 1,
     .maximum = NAME_TEXT_MAX,
     .help =
         "The field of an entry that holds the event. Beside it stand `id`, and `key` where the "
         "table has one.",
     .example = "payload"},
    {.key = "max_length",
     .type = CONF_INTEGER,
     AT(max_length),
     .value_default = "0",
     .maximum = INT64_MAX,
     .help =
         "About how many entries a stream keeps: older ones are trimmed, read or not. `0` keeps "
         "all.",
     .example = "1000000"},
    {.key = "dedup_window",
     .type = CONF_INTEGER,
     AT(dedup_window),
     .value_default = "50000",
     .maximum = WINDOW_MAX,
     .help = "How many ids of events the server remembers for each stream, so that none of them is "
             "added again. `0`: a repeated event is added again.",
     .example = "200000"},
    {.key = "wait_replicas",
     .type = CONF_INTEGER,
     AT(wait_replicas),
     .value_default = "0",
     .maximum = REPLICAS_MAX,
     .help = "How many replicas must have an event before it is settled.",
     .example = "1"},
    {.key = "timeout",
     .type = CONF_DURATION,
     AT(timeout_us),
     .value_default = "15s",
     .minimum = SECOND_US / 10,
     .maximum = 600 * SECOND_US,
     .help = "The longest that one batch takes, from looking up the name to the last answer.",
     .example = "15s"},
    {.key = "connect_timeout",
     .type = CONF_DURATION,
     AT(connect_timeout_us),
     .value_default = "5s",
     .minimum = SECOND_US / 10,
     .maximum = 600 * SECOND_US,
     .help = "The part of it that connecting and logging in may take.",
     .example = "5s"},
};

static const char *address_rule(const void *section, const char **ret_key)
{
    const struct redis_options *options = section;
    struct address address;
    *ret_key = "address";
    const char *fault = address_parse(options->address, REDIS_PORT, &address);
    if (fault == NULL && address.local && options->tls) {
        *ret_key = "tls";
        fault = "\"tls\" has no meaning for a unix socket";
    }
    return fault;
}

static const char *credentials_rule(const void *section, const char **ret_key)
{
    const struct redis_options *options = section;
    *ret_key = "username";
    return options->username != NULL && secret_reveal(&options->password) == NULL
               ? "\"username\" needs a \"password\""
               : NULL;
}

static const char *certificates_rule(const void *section, const char **ret_key)
{
    const struct redis_options *options = section;
    *ret_key = options->ca != NULL            ? "ca"
               : options->client_cert != NULL ? "client_cert"
                                              : "client_key";
    if (!options->tls &&
        (options->ca != NULL || options->client_cert != NULL || options->client_key != NULL)) {
        return "certificates are of no use without `tls: true`";
    }
    *ret_key = options->client_cert == NULL ? "client_key" : "client_cert";
    return (options->client_cert == NULL) != (options->client_key == NULL)
               ? "\"client_cert\" and \"client_key\" belong together"
               : NULL;
}

static const char *streams_rule(const void *section, const char **ret_key)
{
    const struct redis_options *options = section;
    struct stream_names names;
    const char *fault = stream_names_parse(options->stream, options->stream_other, &names, ret_key);
    if (fault == NULL) {
        stream_names_release(&names);
    }
    return fault;
}

static const char *field_rule(const void *section, const char **ret_key)
{
    const struct redis_options *options = section;
    *ret_key = "field";
    return strcmp(options->field, "id") == 0 || strcmp(options->field, "key") == 0
               ? "\"field\" is a field that every entry has beside the event: id or key"
               : NULL;
}

static const char *timeout_rule(const void *section, const char **ret_key)
{
    const struct redis_options *options = section;
    *ret_key = "connect_timeout";
    return options->connect_timeout_us > options->timeout_us
               ? "\"connect_timeout\" is longer than \"timeout\", of which it is a part"
               : NULL;
}

static conf_rule *const redis_options_rules[] = {address_rule, credentials_rule, certificates_rule,
                                                 streams_rule, field_rule,       timeout_rule,
                                                 NULL};

const struct conf_table redis_options_table = {
    .name = "redis",
    .help = "Adds events to Redis Streams, an entry each; an event is settled when the server has "
            "answered.",
    .size = sizeof(struct redis_options),
    .options = redis_options,
    .options_count = CONF_COUNT(redis_options),
    .rules = redis_options_rules,
};
