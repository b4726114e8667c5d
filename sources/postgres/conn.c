#include "sources/postgres/conn.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"

enum { KEYWORDS_MAX = 64, OPTIONS_BYTES_MAX = 8192 };

/* The keyword arrays that libpq takes. Values are borrowed from `parsed` or are literals. */
struct keywords {
    const char *names[KEYWORDS_MAX + 1];
    const char *values[KEYWORDS_MAX + 1];
    int count;
};

static void keywords_set(struct keywords *keywords, const char *name, const char *value)
{
    for (int i = 0; i < keywords->count; i++) {
        if (strcmp(keywords->names[i], name) == 0) {
            keywords->values[i] = value;
            return;
        }
    }
    if (keywords->count < KEYWORDS_MAX) {
        keywords->names[keywords->count] = name;
        keywords->values[keywords->count] = value;
        keywords->count++;
    }
}

static void conninfo_free_p(PQconninfoOption **address)
{
    PQconninfoFree(*address);
}

static const char *value_of(const PQconninfoOption *infos, const char *name)
{
    for (const PQconninfoOption *at = infos; at != NULL && at->keyword != NULL; at++) {
        if (strcmp(at->keyword, name) == 0) {
            return at->val != NULL && at->val[0] != '\0' ? at->val : NULL;
        }
    }
    return NULL;
}

static bool address_is_local(const char *host, size_t size)
{
    char name[256];
    if (size == 0) {
        return true; /* libpq's default: the unix socket */
    }
    if (size >= sizeof(name)) {
        return false;
    }
    memcpy(name, host, size);
    name[size] = '\0';
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, name, &four) == 1) {
        return (ntohl(four.s_addr) >> 24) == 127;
    }
    if (inet_pton(AF_INET6, name, &six) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&six) != 0;
    }
    return name[0] == '/' || name[0] == '@' || strcmp(name, "localhost") == 0;
}

/* A list of hosts is local when each of them is. */
static bool hosts_are_local(const char *hosts)
{
    for (;;) {
        size_t size = strcspn(hosts, ",");
        if (!address_is_local(hosts, size)) {
            return false;
        }
        if (hosts[size] == '\0') {
            return true;
        }
        hosts += size + 1;
    }
}

static bool any_host_is_a_socket(const char *hosts)
{
    for (;;) {
        if (hosts[0] == '/' || hosts[0] == '@' || hosts[0] == ',' || hosts[0] == '\0') {
            return true;
        }
        hosts += strcspn(hosts, ",");
        if (hosts[0] == '\0') {
            return false;
        }
        hosts++;
    }
}

/* What libpq makes of the keywords together with environment, service file and defaults. */
static PQconninfoOption *effective(const struct keywords *keywords)
{
    /* Starting a connection is the only way to have libpq read a service file. Nothing secret is
     * sent before it is polled. */
    PGconn *probe = PQconnectStartParams(keywords->names, keywords->values, 0);
    PQconninfoOption *infos = probe == NULL ? NULL : PQconninfo(probe);
    PQfinish(probe);
    return infos;
}

static enum fan_status fail(struct link_failure *ret_failure, enum fan_status status,
                            const char *code, const char *text, const char *hint)
{
    *ret_failure = (struct link_failure){0};
    (void)fan_fail(&ret_failure->error, status, "%s", text);
    fan_error_annotate(&ret_failure->error, code, "%s", hint);
    return status;
}

/* What was asked for in the connection string, the service file or the environment; NULL when it
 * is libpq's default, which nobody asked for. */
static const char *asked_for(const PQconninfoOption *parsed, const PQconninfoOption *others,
                             const char *name, const char *libpq_default)
{
    const char *value = value_of(parsed, name);
    if (value != NULL) {
        return value;
    }
    const char *inherited = value_of(others, name);
    return inherited != NULL && strcmp(inherited, libpq_default) != 0 ? inherited : NULL;
}

/*
 * Settles sslmode: verify-full away from this machine, unless something else was asked for. With
 * verify-full the password's proof is bound to this TLS session, too (decision 09).
 */
static enum fan_status set_tls(struct keywords *keywords, const PQconninfoOption *parsed,
                               bool insecure_tls, struct link_failure *ret_failure)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): pgfan never changes its environment */
    bool by_service = value_of(parsed, "service") != NULL || getenv("PGSERVICE") != NULL;
    FAN_CLEANUP(conninfo_free_p)
    PQconninfoOption *others = by_service ? effective(keywords) : PQconndefaults();
    if (asked_for(parsed, others, "gssencmode", "prefer") == NULL) {
        keywords_set(keywords, "gssencmode", "disable");
    }
    const char *address = value_of(parsed, "hostaddr");
    address = address != NULL ? address : value_of(parsed, "host");
    address = address != NULL ? address : value_of(others, "hostaddr");
    address = address != NULL ? address : value_of(others, "host");
    const char *mode = asked_for(parsed, others, "sslmode", "prefer");
    if (address != NULL && !hosts_are_local(address) && !insecure_tls) {
        if (mode == NULL) {
            mode = "verify-full";
            keywords_set(keywords, "sslmode", mode);
        } else if (strcmp(mode, "verify-full") != 0) {
            return fail(ret_failure, FAN_FATAL, "INSECURE_TLS",
                        "cannot connect: sslmode is weaker than verify-full for a server on "
                        "another machine",
                        "use sslmode=verify-full with sslrootcert, or set insecure_tls: true");
        }
    }
    bool verified = mode != NULL && strcmp(mode, "verify-full") == 0;
    if (verified && address != NULL && !any_host_is_a_socket(address) &&
        asked_for(parsed, others, "channel_binding", "prefer") == NULL) {
        keywords_set(keywords, "channel_binding", "require");
    }
    return FAN_OK;
}

/* The settings that change what values look like, behind those of the connection string. */
static void append_settings(struct bytes *settings, const char *own,
                            const struct postgres_options *options, enum conn_kind kind)
{
    if (own != NULL) {
        bytes_append_text(settings, own);
        bytes_append_char(settings, ' ');
    }
    BYTES_APPEND_LITERAL(settings,
                         "-c datestyle=ISO,YMD -c intervalstyle=iso_8601 -c timezone=UTC "
                         "-c extra_float_digits=3 -c bytea_output=hex -c lc_monetary=C "
                         "-c xmlbinary=base64 -c search_path= -c row_security=off "
                         "-c quote_all_identifiers=off -c standard_conforming_strings=on");
    if (kind == CONN_REPLICATION) {
        bytes_append_format(settings, " -c wal_sender_timeout=%lld -c statement_timeout=0",
                            (long long)(options->wal_sender_timeout_us / 1000));
    } else {
        BYTES_APPEND_LITERAL(settings, " -c statement_timeout=60s -c lock_timeout=10s "
                                       "-c idle_in_transaction_session_timeout=60s");
    }
}

/*
 * The report of a failed connection attempt comes as text only; with verbose errors the SQLSTATE
 * stands in it behind the severity, as "FATAL:  28P01: ". Lines that only say where in the server's
 * source it happened, and details, are left out.
 */
static void connect_failure(const PGconn *conn, struct link_failure *ret_failure)
{
    *ret_failure = (struct link_failure){0};
    const char *message = conn == NULL ? "out of memory" : PQerrorMessage(conn);
    char line[768];
    size_t used = 0;
    while (*message != '\0' && used + 1 < sizeof(line)) {
        size_t length = strcspn(message, "\n");
        bool noise = strncmp(message, "LOCATION:", 9) == 0 || strncmp(message, "DETAIL:", 7) == 0;
        for (size_t i = 0; !noise && i < length && used + 2 < sizeof(line); i++) {
            if (i + 10 < length && strncmp(message + i, ":  ", 3) == 0 &&
                strspn(message + i + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 &&
                strncmp(message + i + 8, ": ", 2) == 0) {
                (void)snprintf(ret_failure->sqlstate, sizeof(ret_failure->sqlstate), "%.5s",
                               message + i + 3); /* exactly fits */
                i += 8;                          /* goes on with the colon behind it */
            }
            if (message[i] != '\t') {
                line[used++] = message[i];
            }
        }
        message += length;
        message += *message == '\n' ? 1 : 0;
        if (!noise && *message != '\0') {
            line[used++] = ' ';
        }
    }
    while (used > 0 && line[used - 1] == ' ') {
        used--;
    }
    line[used] = '\0';
    (void)fan_fail(&ret_failure->error, FAN_RETRY, "could not connect: %s", line);
    if (strstr(line, "channel binding") != NULL) {
        fan_error_annotate(&ret_failure->error, "CHANNEL_BINDING",
                           "store the role's password as scram-sha-256 and let pg_hba.conf ask for "
                           "it, or add channel_binding=prefer to dsn");
    }
}

static enum fan_status poll_connection(PGconn *conn, const struct query_limit *limit,
                                       struct link_failure *ret_failure)
{
    short events = POLLOUT;
    for (;;) {
        enum fan_status waited = query_wait(PQsocket(conn), events, limit);
        if (waited != FAN_OK) {
            bool late = waited == FAN_AGAIN;
            return fail(ret_failure, FAN_RETRY, late ? "TIMEOUT" : "STOPPED",
                        late ? "could not connect: no answer in time"
                             : "could not connect: stopped",
                        late ? "check host, port and firewall, or raise connect_timeout" : "");
        }
        switch (PQconnectPoll(conn)) {
        case PGRES_POLLING_OK:
            return FAN_OK;
        case PGRES_POLLING_READING:
            events = POLLIN;
            break;
        case PGRES_POLLING_WRITING:
            events = POLLOUT;
            break;
        default:
            connect_failure(conn, ret_failure);
            return FAN_RETRY;
        }
    }
}

static void drop_notice(void *context, const PGresult *result)
{
    (void)context;
    (void)result; /* libpq would print it to stderr */
}

/*
 * A database without an encoding holds any bytes. Asked for UTF-8, the server refuses a value that
 * is not, each time it comes to it. As they are the bytes reach the encoder, which replaces what is
 * not UTF-8: a value never stops a stream.
 */
static bool take_bytes_as_they_are(PGconn *conn)
{
    const char *encoding = PQparameterStatus(conn, "server_encoding");
    return encoding == NULL || strcmp(encoding, "SQL_ASCII") != 0 ||
           PQsetClientEncoding(conn, "SQL_ASCII") == 0;
}

static enum fan_status start(const struct keywords *keywords, const struct query_limit *limit,
                             PGconn **ret_conn, struct link_failure *ret_failure)
{
    PGconn *conn = PQconnectStartParams(keywords->names, keywords->values, 0);
    if (conn == NULL || PQstatus(conn) == CONNECTION_BAD) {
        connect_failure(conn, ret_failure);
        PQfinish(conn);
        return FAN_RETRY;
    }
    (void)PQsetErrorVerbosity(conn, PQERRORS_VERBOSE);  /* the old value is the default */
    (void)PQsetNoticeReceiver(conn, drop_notice, NULL); /* so is the old receiver */
    enum fan_status status = poll_connection(conn, limit, ret_failure);
    if (status == FAN_OK && (!take_bytes_as_they_are(conn) || PQsetnonblocking(conn, 1) != 0)) {
        connect_failure(conn, ret_failure);
        status = FAN_RETRY;
    }
    if (status != FAN_OK) {
        PQfinish(conn);
        return status;
    }
    (void)PQsetErrorVerbosity(conn, PQERRORS_DEFAULT); /* fields of results tell the rest */
    *ret_conn = conn;
    return FAN_OK;
}

enum fan_status conn_open(const struct postgres_options *options, enum conn_kind kind,
                          const char *application_name, const struct query_limit *limit,
                          PGconn **ret_conn, struct link_failure *ret_failure)
{
    const struct secret *dsn = kind == CONN_ADMIN ? &options->publication.admin_dsn : &options->dsn;
    const char *text = secret_reveal(dsn);
    /* libpq's report of a broken connection string quotes pieces of it: it is not shown. */
    FAN_CLEANUP(conninfo_free_p)
    PQconninfoOption *parsed = PQconninfoParse(text != NULL ? text : "", NULL);
    if (parsed == NULL) {
        return fail(ret_failure, FAN_FATAL, "DSN",
                    "cannot connect: the connection string is malformed",
                    "use host=... dbname=... user=..., or postgresql://user@host/dbname");
    }
    struct keywords keywords = {.count = 0};
    for (const PQconninfoOption *at = parsed; at->keyword != NULL; at++) {
        if (at->val != NULL) {
            keywords_set(&keywords, at->keyword, at->val);
        }
    }
    struct bytes settings;
    bytes_init(&settings, OPTIONS_BYTES_MAX);
    append_settings(&settings, value_of(parsed, "options"), options, kind);
    keywords_set(&keywords, "options", bytes_text(&settings));
    keywords_set(&keywords, "client_encoding", "UTF8");
    keywords_set(&keywords, "application_name", application_name);
    keywords_set(&keywords, "keepalives", "1");
    keywords_set(&keywords, "keepalives_idle", "15");
    keywords_set(&keywords, "keepalives_interval", "5");
    keywords_set(&keywords, "keepalives_count", "3");
    keywords_set(&keywords, "tcp_user_timeout", "30000");
    if (kind == CONN_REPLICATION) {
        keywords_set(&keywords, "replication", "database");
    }
    enum fan_status status = FAN_RETRY;
    if (bytes_ok(&settings)) {
        status = set_tls(&keywords, parsed, options->insecure_tls, ret_failure);
        status = status == FAN_OK ? start(&keywords, limit, ret_conn, ret_failure) : status;
    } else {
        (void)fail(ret_failure, FAN_RETRY, "", "could not connect: out of memory", "");
    }
    bytes_release(&settings);
    return status;
}

bool conn_same_server(const struct secret *dsn, const struct secret *other)
{
    static const char *const parts[] = {"service", "host", "hostaddr", "port"};
    const char *text = secret_reveal(dsn);
    const char *other_text = secret_reveal(other);
    FAN_CLEANUP(conninfo_free_p)
    PQconninfoOption *left = PQconninfoParse(text != NULL ? text : "", NULL);
    FAN_CLEANUP(conninfo_free_p)
    PQconninfoOption *right = PQconninfoParse(other_text != NULL ? other_text : "", NULL);
    bool same = left != NULL && right != NULL; /* a malformed one is refused when it is used */
    for (size_t i = 0; same && i < sizeof(parts) / sizeof(parts[0]); i++) {
        const char *one = value_of(left, parts[i]);
        const char *two = value_of(right, parts[i]);
        same =
            (one == NULL && two == NULL) || (one != NULL && two != NULL && strcmp(one, two) == 0);
    }
    return same;
}

void conn_close(PGconn **conn)
{
    PQfinish(*conn);
    *conn = NULL;
}
