#include "targets/nats/options.h"

#include <stddef.h>
#include <string.h>

#include "targets/nats/subject.h"

#define SECOND_US INT64_C(1000000)

enum { PATH_TEXT_MAX = 4000, NAME_TEXT_MAX = 256, SUBJECT_TEXT_MAX = 1000, SERVERS_MAX = 32 };

#define AT(member) .offset = offsetof(struct nats_options, member)

static const struct conf_option nats_options[] = {
    {.key = "servers",
     .type = CONF_TEXT_LIST,
     AT(servers),
     .required = true,
     .minimum = 1,
     .maximum = SERVERS_MAX,
     .help = "The servers of one cluster, `host:port` each. The first one that answers is used.",
     .example = "[nats-1.internal:4222, nats-2.internal:4222]"},
    {.key = "username",
     .type = CONF_TEXT,
     AT(username),
     .minimum = 1,
     .maximum = NAME_TEXT_MAX,
     .help = "The user; see `password`.",
     .example = "pgfan"},
    {.key = "password",
     .type = CONF_SECRET,
     AT(password),
     .help = "The password of `username`.",
     .example = "${file:/etc/pgfan/nats.password}"},
    {.key = "token",
     .type = CONF_SECRET,
     AT(token),
     .help = "A token, for servers that ask for one.",
     .example = "${env:NATS_TOKEN}"},
    {.key = "credentials",
     .type = CONF_TEXT,
     AT(credentials),
     .minimum = 1,
     .maximum = PATH_TEXT_MAX,
     .help = "A file with a JWT and its seed, as `nsc` writes it.",
     .example = "/etc/pgfan/nats.creds"},
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
     .example = "/etc/pgfan/nats.crt"},
    {.key = "client_key",
     .type = CONF_TEXT,
     AT(client_key),
     .minimum = 1,
     .maximum = PATH_TEXT_MAX,
     .help = "A PEM file with the key of `client_cert`, without a passphrase.",
     .example = "/etc/pgfan/nats.key"},
    {.key = "subject",
     .type = CONF_TEXT,
     AT(subject),
     .value_default = "cdc.${schema}.${table}",
     .templated = true,
     .minimum = 1,
     .maximum = SUBJECT_TEXT_MAX,
     .help = "The subject of an event. It may hold `${schema}`, `${table}`, `${source}`, `${op}` "
             "and `${key.COLUMN}`.",
     .example = "shop.${table}.${op}"},
    {.key = "subject_other",
     .type = CONF_TEXT,
     AT(subject_other),
     .value_default = "cdc.other",
     .templated = true,
     .minimum = 1,
     .maximum = SUBJECT_TEXT_MAX,
     .help = "The subject of events that have no table: logical messages and markers of gaps. It "
             "may hold `${source}` and `${op}`.",
     .example = "shop.other"},
    {.key = "stream",
     .type = CONF_TEXT,
     AT(stream),
     .minimum = 1,
     .maximum = NAME_TEXT_MAX,
     .help = "The stream that has to take the events: another one that listens refuses them.",
     .example = "CDC"},
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
     .help = "The part of it that connecting to one server and logging in may take.",
     .example = "5s"},
};

const char *nats_server_parse(const char *text, struct address *ret_address)
{
    static const char scheme[] = "nats://";
    bool has_scheme = strncmp(text, scheme, sizeof(scheme) - 1) == 0;
    const char *fault =
        address_parse(has_scheme ? text + sizeof(scheme) - 1 : text, "4222", ret_address);
    return fault == NULL && ret_address->local ? "a server has no host: write host:port" : fault;
}

static const char *servers_rule(const void *section, const char **ret_key)
{
    const struct nats_options *options = section;
    const char *fault = NULL;
    *ret_key = "servers";
    for (size_t at = 0; at < options->servers.count && fault == NULL; at++) {
        struct address address;
        fault = nats_server_parse(options->servers.items[at], &address);
    }
    return fault;
}

/* The library writes them into JSON as they are. */
static bool is_plain(const char *text)
{
    for (; text != NULL && *text != '\0'; text++) {
        if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\') {
            return false;
        }
    }
    return true;
}

static const char *credentials_rule(const void *section, const char **ret_key)
{
    const struct nats_options *options = section;
    const char *password = secret_reveal(&options->password);
    const char *token = secret_reveal(&options->token);
    *ret_key = options->username != NULL ? "username" : "password";
    if ((options->username == NULL) != (password == NULL)) {
        return "\"username\" and \"password\" belong together";
    }
    *ret_key = token != NULL ? "token" : "credentials";
    if ((options->username != NULL) + (token != NULL) + (options->credentials != NULL) > 1) {
        return "one of \"username\", \"token\" and \"credentials\" is enough: they exclude each "
               "other";
    }
    *ret_key = token != NULL ? "token" : "password";
    if (!is_plain(options->username) || !is_plain(password) || !is_plain(token)) {
        return "a quote, a backslash, a control character or a letter that is not ASCII in a "
               "login is more than the NATS library can send";
    }
    return NULL;
}

static const char *certificates_rule(const void *section, const char **ret_key)
{
    const struct nats_options *options = section;
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

static const char *subjects_rule(const void *section, const char **ret_key)
{
    const struct nats_options *options = section;
    struct subjects subjects;
    const char *fault =
        subjects_parse(options->subject, options->subject_other, &subjects, ret_key);
    if (fault == NULL) {
        subjects_release(&subjects);
    }
    return fault;
}

static const char *stream_rule(const void *section, const char **ret_key)
{
    const struct nats_options *options = section;
    *ret_key = "stream";
    return options->stream != NULL &&
                   (strpbrk(options->stream, ".*>/ \t") != NULL || !is_plain(options->stream))
               ? "\"stream\" has a character that no stream's name has"
               : NULL;
}

static const char *timeout_rule(const void *section, const char **ret_key)
{
    const struct nats_options *options = section;
    *ret_key = "connect_timeout";
    return options->connect_timeout_us > options->timeout_us
               ? "\"connect_timeout\" is longer than \"timeout\", of which it is a part"
               : NULL;
}

static conf_rule *const nats_options_rules[] = {servers_rule,  credentials_rule, certificates_rule,
                                                subjects_rule, stream_rule,      timeout_rule,
                                                NULL};

const struct conf_table nats_options_table = {
    .name = "nats",
    .help = "Publishes events to NATS JetStream; an event is settled when a stream has "
            "acknowledged it.",
    .size = sizeof(struct nats_options),
    .options = nats_options,
    .options_count = CONF_COUNT(nats_options),
    .rules = nats_options_rules,
};
