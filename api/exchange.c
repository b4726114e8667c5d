#include "api/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/route.h"
#include "base/bytes.h"
#include "conf/nearest.h"

enum { ORIGIN_MAX = 128 };

enum exchange_wait {
    WAIT_NONE,
    WAIT_BEGUN, /* the job is with the verbs, the connection suspended */
    WAIT_OVER,
};

struct exchange {
    struct verb_job job; /* first: what the verbs know of it */
    enum exchange_wait wait;
    struct exchange_peer peer;
    struct MHD_Connection *connection; /* borrowed */
    const struct route *route;         /* NULL: refused */
    struct request request;
    struct request_query query[REQUEST_QUERY_MAX];
    char *values[REQUEST_QUERY_MAX]; /* owned: the decoded values of `query` */
    bool faulty_parameters;
    struct bytes body;
    struct answer answer;
};

/* How often a header stands in the request, and its last value. */
struct header_count {
    const char *name;
    size_t count;
    const char *value;
};

static enum MHD_Result count_header(void *argument, enum MHD_ValueKind kind, const char *key,
                                    const char *value)
{
    struct header_count *header = argument;
    (void)kind; /* only headers are asked for */
    if (strcasecmp(key, header->name) == 0) {
        header->count++;
        header->value = value == NULL ? "" : value;
    }
    return MHD_YES;
}

static struct header_count find_header(struct MHD_Connection *connection, const char *name)
{
    struct header_count header = {.name = name, .value = ""};
    (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, count_header, &header);
    return header;
}

/* "localhost", "127.0.0.1" or "[::1]" with the port that is served, or without one. */
static bool host_is_loopback(const char *host, uint16_t port)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
    for (size_t i = 0; i < CONF_COUNT(names); i++) {
        char with_port[ORIGIN_MAX];
        (void)snprintf(with_port, sizeof(with_port), "%s:%u", names[i], port);
        if (strcasecmp(host, names[i]) == 0 || strcasecmp(host, with_port) == 0) {
            return true;
        }
    }
    return false;
}

/* A name is a token (RFC 9110, section 5.6.2): "Content-Length " with a space is not a header that
 * we do not know, but one that another reader may know. A NUL hides what follows it. */
static enum MHD_Result check_header(void *argument, enum MHD_ValueKind kind, const char *key,
                                    size_t key_size, const char *value, size_t value_size)
{
    static const char separators[] = "\"(),/:;<=>?@[\\]{} \t";
    bool *sound = argument;
    (void)kind; /* only headers are asked for */
    for (size_t i = 0; i < key_size; i++) {
        if (key[i] <= ' ' || key[i] == 0x7f || strchr(separators, key[i]) != NULL) {
            *sound = false;
        }
    }
    if (key_size == 0 || (value != NULL && memchr(value, '\0', value_size) != NULL)) {
        *sound = false;
    }
    return MHD_YES;
}

static bool check_headers(struct exchange *exchange)
{
    bool sound = true;
    (void)MHD_get_connection_values_n(exchange->connection, MHD_HEADER_KIND, check_header, &sound);
    if (!sound) {
        answer_refusal(&exchange->answer, 400, "BAD_REQUEST", NULL, "faulty header");
    }
    return sound;
}

static bool check_framing(struct exchange *exchange)
{
    struct header_count length = find_header(exchange->connection, "Content-Length");
    struct header_count coding = find_header(exchange->connection, "Transfer-Encoding");
    if (length.count + coding.count > 1) {
        answer_refusal(&exchange->answer, 400, "BAD_REQUEST", NULL,
                       "the length of the body is given more than once");
        return false;
    }
    if (coding.count == 1 && strcasecmp(coding.value, "chunked") != 0) {
        answer_refusal(&exchange->answer, 400, "BAD_REQUEST", NULL, "unknown transfer encoding");
        return false;
    }
    if (length.count == 1 && (length.value[0] < '0' || length.value[0] > '9')) {
        answer_refusal(&exchange->answer, 400, "BAD_REQUEST", NULL, "faulty Content-Length");
        return false;
    }
    if (length.count == 1 && strtoull(length.value, NULL, 10) > EXCHANGE_BODY_MAX) {
        answer_refusal(&exchange->answer, 413, "BODY_TOO_LARGE", NULL,
                       "body is larger than %d bytes", EXCHANGE_BODY_MAX);
        return false;
    }
    return true;
}

/* What a browser that was led here would send is refused: nothing of it is needed. */
static bool check_origin(struct exchange *exchange, const char *method)
{
    struct header_count host = find_header(exchange->connection, "Host");
    struct header_count origin = find_header(exchange->connection, "Origin");
    uint16_t port = exchange->peer.tcp_port;
    if (host.count != 1) {
        answer_refusal(&exchange->answer, 400, "BAD_REQUEST", NULL, "one Host header is needed");
        return false;
    }
    if (port != 0 && !host_is_loopback(host.value, port)) {
        answer_refusal(&exchange->answer, 403, "HOST_REFUSED",
                       "use localhost, 127.0.0.1 or [::1] with the port of api.listen",
                       "this server does not go by that Host");
        return false;
    }
    char own[ORIGIN_MAX];
    (void)snprintf(own, sizeof(own), "http://%s", host.value); /* a longer one is not ours */
    if (origin.count > 1 ||
        (origin.count == 1 && (port == 0 || strcasecmp(origin.value, own) != 0))) {
        answer_refusal(&exchange->answer, 403, "ORIGIN_REFUSED", NULL,
                       "requests of other web pages are refused");
        return false;
    }
    if (port != 0 && strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        exchange->answer.allow = "GET, HEAD";
        answer_refusal(&exchange->answer, 405, "METHOD_NOT_ALLOWED",
                       "use the control socket, as pgfan's own commands do",
                       "only GET is served over TCP");
        return false;
    }
    return true;
}

static enum MHD_Result take_query(void *argument, enum MHD_ValueKind kind, const char *key,
                                  const char *value)
{
    struct exchange *exchange = argument;
    (void)kind; /* only the query is asked for */
    size_t count = exchange->request.query_count;
    char *decoded = count == REQUEST_QUERY_MAX ? NULL : strdup(value == NULL ? "" : value);
    if (decoded == NULL || !request_decode(decoded)) {
        free(decoded);
        exchange->faulty_parameters = true;
        return MHD_NO;
    }
    exchange->values[count] = decoded;
    exchange->query[count] = (struct request_query){.key = key, .value = decoded};
    exchange->request.query_count = count + 1;
    return MHD_YES;
}

static bool check_parameter(struct exchange *exchange, const char *key)
{
    struct nearest nearest;
    nearest_init(&nearest, key);
    for (const char *const *known = exchange->route->query; known != NULL && *known != NULL;
         known++) {
        if (strcmp(*known, key) == 0) {
            return true;
        }
        nearest_offer(&nearest, *known);
    }
    char hint[64] = "this path takes no query";
    if (exchange->route->query != NULL) {
        (void)snprintf(hint, sizeof(hint), "did you mean %.40s?",
                       nearest.best != NULL ? nearest.best : exchange->route->query[0]);
    }
    answer_refusal(&exchange->answer, 400, "UNKNOWN_PARAMETER", hint,
                   "unknown query parameter \"%.64s\"", key);
    return false;
}

static bool check_query(struct exchange *exchange)
{
    (void)MHD_get_connection_values(exchange->connection, MHD_GET_ARGUMENT_KIND, take_query,
                                    exchange); /* their number is in the request */
    exchange->request.query = exchange->query;
    if (exchange->faulty_parameters) {
        answer_refusal(&exchange->answer, 400, "BAD_REQUEST", NULL,
                       "query has a faulty %% sequence or over %d parameters", REQUEST_QUERY_MAX);
        return false;
    }
    for (size_t i = 0; i < exchange->request.query_count; i++) {
        if (!check_parameter(exchange, exchange->query[i].key)) {
            return false;
        }
    }
    return true;
}

static bool check_socket(struct exchange *exchange)
{
    if (exchange->route->socket_only && exchange->peer.tcp_port != 0) {
        answer_refusal(&exchange->answer, 403, "SOCKET_ONLY",
                       "use the control socket, as pgfan's own commands do",
                       "row values are not served over TCP");
        return false;
    }
    return true;
}

static bool check(struct exchange *exchange, const char *url, const char *method,
                  const char *version)
{
    if (!exchange->peer.allowed) {
        answer_refusal(&exchange->answer, 403, "FORBIDDEN",
                       "run the command as the user of the engine, or as root",
                       "this user may not control the engine");
        return false;
    }
    if (strcmp(version, "HTTP/1.1") != 0) {
        answer_refusal(&exchange->answer, 505, "HTTP_VERSION", NULL, "only HTTP/1.1 is served");
        return false;
    }
    if (!check_headers(exchange) || !check_framing(exchange) || !check_origin(exchange, method)) {
        return false;
    }
    exchange->route = route_find(method, url, exchange->request.name, &exchange->answer);
    if (exchange->route == NULL) {
        return false;
    }
    if (!check_socket(exchange) || !check_query(exchange)) {
        exchange->route = NULL;
        return false;
    }
    return true;
}

struct exchange *exchange_create(const struct exchange_peer *peer,
                                 struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version)
{
    struct exchange *exchange = calloc(1, sizeof(*exchange));
    if (exchange == NULL) {
        return NULL;
    }
    exchange->peer = *peer;
    exchange->connection = connection;
    exchange->request.setup = peer->setup;
    bytes_init(&exchange->body, EXCHANGE_BODY_MAX);
    if (check(exchange, url, method, version)) {
        exchange->request.argument = exchange->route->argument;
    }
    return exchange;
}

bool exchange_refused(const struct exchange *exchange)
{
    return exchange->route == NULL;
}

void exchange_body(struct exchange *exchange, const char *data, size_t size)
{
    bytes_append(&exchange->body, data, size); /* what does not fit is asked for at the end */
}

static void refuse_busy(struct exchange *exchange)
{
    exchange->answer.retry_after = "1";
    answer_refusal(&exchange->answer, 503, "BUSY", "look at the status and try again",
                   "other commands are waited for");
}

static void run_handler(struct verb_job *job)
{
    struct exchange *exchange = (struct exchange *)job;
    exchange->route->handler(&exchange->request, &exchange->answer);
}

static bool handle_slowly(struct exchange *exchange)
{
    exchange->job.run = run_handler;
    if (!verbs_post(exchange->peer.verbs, &exchange->job)) {
        refuse_busy(exchange);
        return true;
    }
    exchange->wait = WAIT_BEGUN;
    MHD_suspend_connection(exchange->connection);
    return false;
}

void exchange_finish(struct verb_job *job)
{
    struct exchange *exchange = (struct exchange *)job;
    if (!job->ran) {
        refuse_busy(exchange);
    }
    exchange->wait = WAIT_OVER;
    MHD_resume_connection(exchange->connection);
}

bool exchange_waits(const struct exchange *exchange)
{
    return exchange->wait == WAIT_BEGUN;
}

bool exchange_answered(const struct exchange *exchange)
{
    return exchange->wait == WAIT_OVER;
}

bool exchange_handle(struct exchange *exchange)
{
    if (exchange->route == NULL) {
        return true;
    }
    if (!bytes_ok(&exchange->body)) {
        answer_refusal(&exchange->answer, 413, "BODY_TOO_LARGE", NULL,
                       "body is larger than %d bytes", EXCHANGE_BODY_MAX);
        return true;
    }
    static const char json[] = "application/json";
    struct header_count type = find_header(exchange->connection, "Content-Type");
    if (exchange->body.size > 0 &&
        (type.count != 1 || strncasecmp(type.value, json, sizeof(json) - 1) != 0)) {
        answer_refusal(&exchange->answer, 415, "UNSUPPORTED_MEDIA_TYPE", NULL,
                       "a body must be application/json");
        return true;
    }
    exchange->request.body = bytes_text(&exchange->body);
    exchange->request.body_size = exchange->body.size;
    if (exchange->route->slow) {
        return handle_slowly(exchange);
    }
    exchange->route->handler(&exchange->request, &exchange->answer);
    return true;
}

/* A header that cannot be added for want of memory is left out: none of them is needed. */
static void add_headers(const struct exchange *exchange, struct MHD_Response *response)
{
    const struct answer *answer = &exchange->answer;
    (void)MHD_add_response_header(response, "Content-Type", answer->content_type);
    (void)MHD_add_response_header(response, "Cache-Control", "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (answer->allow != NULL) {
        (void)MHD_add_response_header(response, "Allow", answer->allow);
    }
    if (answer->retry_after != NULL) {
        (void)MHD_add_response_header(response, "Retry-After", answer->retry_after);
    }
    if (exchange->route == NULL || exchange->peer.last) {
        (void)MHD_add_response_header(response, "Connection", "close");
    }
}

enum MHD_Result exchange_send(struct exchange *exchange)
{
    struct answer *answer = &exchange->answer;
    struct MHD_Response *response =
        answer->body != NULL ? MHD_create_response_from_buffer(answer->body_size, answer->body,
                                                               MHD_RESPMEM_MUST_FREE)
                             : MHD_create_response_from_buffer(answer->body_size, answer->constant,
                                                               MHD_RESPMEM_PERSISTENT);
    if (response == NULL) {
        return MHD_NO;
    }
    answer->body = NULL; /* the response's now */
    add_headers(exchange, response);
    enum MHD_Result result = MHD_queue_response(exchange->connection, answer->status, response);
    MHD_destroy_response(response);
    return result;
}

void exchange_destroy(struct exchange *exchange)
{
    if (exchange == NULL) {
        return;
    }
    for (size_t i = 0; i < REQUEST_QUERY_MAX; i++) {
        free(exchange->values[i]);
    }
    bytes_release(&exchange->body);
    answer_release(&exchange->answer);
    free(exchange);
}
