#include "conf/dsn.h"

#include <ctype.h>
#include <string.h>

#include "base/secret.h"

static const char *const harmless[] = {
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "service",
    "passfile",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslcrl",
    "sslcrldir",
    "sslsni",
    "sslnegotiation",
    "sslcompression",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "channel_binding",
    "require_auth",
    "gssencmode",
    "krbsrvname",
    "gsslib",
    "application_name",
    "fallback_application_name",
    "client_encoding",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "target_session_attrs",
    "load_balance_hosts",
    "replication",
    "requirepeer",
};

struct slice {
    const char *text;
    size_t size;
};

/* What walking a string writes and finds; `out` may be NULL. */
struct walk {
    struct bytes *out;
    bool literal_secret;
};

static bool is_harmless(struct slice key)
{
    for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
        if (strlen(harmless[i]) == key.size && memcmp(harmless[i], key.text, key.size) == 0) {
            return true;
        }
    }
    return false;
}

static void write_slice(struct walk *walk, struct slice slice)
{
    if (walk->out != NULL) {
        bytes_append(walk->out, slice.text, slice.size);
    }
}

static void write_value(struct walk *walk, struct slice key, struct slice value)
{
    if (is_harmless(key)) {
        write_slice(walk, value);
        return;
    }
    write_slice(walk, (struct slice){SECRET_MASK, strlen(SECRET_MASK)});
    bool password = (key.size == 8 && memcmp(key.text, "password", 8) == 0) ||
                    (key.size == 11 && memcmp(key.text, "sslpassword", 11) == 0);
    bool reference = value.size >= 2 && memmem(value.text, value.size, "${", 2) != NULL;
    walk->literal_secret = walk->literal_secret || (password && value.size > 0 && !reference);
}

/* A value of the keyword form with its quotes; returns its end, or NULL if it is not closed. */
static const char *keyword_value_end(const char *at)
{
    bool quoted = *at == '\'';
    at += quoted;
    while (*at != '\0' && (quoted ? *at != '\'' : !isspace((unsigned char)*at))) {
        if (strncmp(at, "${", 2) == 0 && strchr(at, '}') != NULL) {
            at = strchr(at, '}') + 1; /* a reference not yet expanded */
            continue;
        }
        at += *at == '\\' && at[1] != '\0' ? 2 : 1;
    }
    return !quoted ? at : *at == '\'' ? at + 1 : NULL;
}

static bool walk_keywords(struct walk *walk, const char *at)
{
    for (;;) {
        const char *start = at;
        at += strspn(at, " \t\n\r\f\v");
        write_slice(walk, (struct slice){start, (size_t)(at - start)});
        if (*at == '\0') {
            return true;
        }
        struct slice key = {at, strcspn(at, "= \t\n\r\f\v")};
        const char *sign = at + key.size + strspn(at + key.size, " \t\n\r\f\v");
        if (*sign != '=' || key.size == 0) {
            return false;
        }
        const char *value = sign + 1 + strspn(sign + 1, " \t\n\r\f\v");
        const char *end = keyword_value_end(value);
        if (end == NULL) {
            return false;
        }
        write_slice(walk, (struct slice){at, (size_t)(value - at)});
        write_value(walk, key, (struct slice){value, (size_t)(end - value)});
        at = end;
    }
}

/* The part between the scheme and the query. A password may hold what it should have encoded, so
 * the user's part ends at the LAST @. Returns false if what should be hosts does not look so. */
static bool walk_authority(struct walk *walk, struct slice part)
{
    const char *at_sign = memrchr(part.text, '@', part.size);
    struct slice hosts = part;
    if (at_sign != NULL) {
        struct slice user = {part.text, (size_t)(at_sign - part.text)};
        const char *colon = memchr(user.text, ':', user.size);
        size_t shown = colon != NULL ? (size_t)(colon - user.text) + 1 : user.size;
        write_slice(walk, (struct slice){user.text, shown});
        if (colon != NULL) {
            write_value(walk, (struct slice){"password", 8},
                        (struct slice){user.text + shown, user.size - shown});
        }
        hosts = (struct slice){at_sign, part.size - user.size};
    }
    const char *slash = memchr(hosts.text, '/', hosts.size);
    size_t hosts_size = slash != NULL ? (size_t)(slash - hosts.text) : hosts.size;
    bool after_colon = false;
    bool in_brackets = false;
    for (size_t i = 0; i < hosts_size; i++) {
        char character = hosts.text[i];
        in_brackets = character == '[' || (in_brackets && character != ']');
        after_colon = !in_brackets && character != ',' && (after_colon || character == ':');
        if (after_colon && character != ':' && !isdigit((unsigned char)character)) {
            return false; /* not a port: perhaps user:password without a host */
        }
    }
    write_slice(walk, hosts);
    return true;
}

static bool walk_uri(struct walk *walk, const char *uri)
{
    const char *authority = strstr(uri, "://") + 3;
    const char *query = strchr(authority, '?');
    const char *end = query != NULL ? query : authority + strlen(authority);
    /* An @ behind the ? belongs to a password with a bare ?, unless parameters hold it. */
    if (strchr(end, '@') != NULL) {
        return false;
    }
    write_slice(walk, (struct slice){uri, (size_t)(authority - uri)});
    if (!walk_authority(walk, (struct slice){authority, (size_t)(end - authority)})) {
        return false;
    }
    for (const char *at = end; *at != '\0';) {
        const char *start = at + 1; /* behind ? or & */
        struct slice key = {start, strcspn(start, "=&")};
        const char *value = start + key.size + (start[key.size] == '=');
        size_t value_size = strcspn(value, "&");
        if (value == start + key.size) {
            return false; /* a parameter without a value */
        }
        write_slice(walk, (struct slice){at, (size_t)(value - at)});
        write_value(walk, key, (struct slice){value, value_size});
        at = value + value_size;
    }
    return true;
}

static bool walk_dsn(struct walk *walk, const char *dsn)
{
    bool uri = strncmp(dsn, "postgres://", 11) == 0 || strncmp(dsn, "postgresql://", 13) == 0;
    return uri ? walk_uri(walk, dsn) : walk_keywords(walk, dsn);
}

void dsn_append_masked(struct bytes *bytes, const char *dsn)
{
    size_t before = bytes->size;
    struct walk walk = {.out = bytes};
    if (!walk_dsn(&walk, dsn)) {
        bytes_truncate(bytes, before);
        bytes_append_text(bytes, SECRET_MASK);
    }
}

bool dsn_has_literal_password(const char *dsn)
{
    struct walk walk = {0};
    if (walk_dsn(&walk, dsn)) {
        return walk.literal_secret;
    }
    /* Not understood: what mentions a password, or could be a user part, is taken for one. */
    bool reference_only = strncmp(dsn, "${", 2) == 0 && dsn[strcspn(dsn, "}")] == '}' &&
                          dsn[strcspn(dsn, "}") + 1] == '\0';
    return !reference_only && (strstr(dsn, "password") != NULL || strchr(dsn, '@') != NULL);
}
