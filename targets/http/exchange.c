#include "targets/http/exchange.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "encode/cloudevents.h"
#include "targets/http/event_ids.h"

#define MILLISECOND_US INT64_C(1000)

enum {
    CONNECTION_LIFE_S = 3600, /* certificates are checked only when a connection is made */
    LOW_SPEED_BYTES = 1,
    LOW_SPEED_S = 20,
    TEXT_MAX = 65536,
    CHUNK = 16384,
    BATCH_ID_MAX = 2 * EVENT_ID_MAX + 24,
};

static size_t read_body(char *buffer, size_t size, size_t count, void *argument)
{
    struct exchange *exchange = argument;
    return body_read(&exchange->body, (uint8_t *)buffer, size * count);
}

/* A connection that was kept may turn out to be closed; then the request goes out once more. */
static int seek_body(void *argument, curl_off_t offset, int origin)
{
    struct exchange *exchange = argument;
    if (offset != 0 || origin != SEEK_SET) {
        return CURL_SEEKFUNC_CANTSEEK;
    }
    body_rewind(&exchange->body);
    return CURL_SEEKFUNC_OK;
}

static size_t take_header(char *line, size_t size, size_t count, void *argument)
{
    struct exchange *exchange = argument;
    return reply_take_header(&exchange->reply, line, size * count) ? size * count : 0;
}

static size_t take_content(char *data, size_t size, size_t count, void *argument)
{
    struct exchange *exchange = argument;
    return reply_take_content(&exchange->reply, data, size * count) ? size * count : 0;
}

static curl_socket_t open_socket(void *argument, curlsocktype purpose,
                                 struct curl_sockaddr *address)
{
    struct exchange *exchange = argument;
    if (purpose != CURLSOCKTYPE_IPCXN || !guard_allows(exchange->settings->guard, &address->addr)) {
        exchange->address_refused = true;
        return CURL_SOCKET_BAD;
    }
    exchange->address_allowed = true;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Connections are kept in one place for all targets: the guard of the target that made one may have
 * allowed what this one's does not. */
/* NOLINTNEXTLINE(readability-non-const-parameter): libcurl's type */
static int before_request(void *argument, char *address, char *local_address, int port,
                          int local_port)
{
    struct exchange *exchange = argument;
    (void)local_address; /* only the far end matters */
    (void)port;
    (void)local_port;
    if (guard_allows_text(exchange->settings->guard, address)) {
        return CURL_PREREQFUNC_OK;
    }
    exchange->address_allowed = false;
    exchange->address_refused = true;
    return CURL_PREREQFUNC_ABORT;
}

/* An option that libcurl knows is refused only when memory is out. */
#define SET(option, value) (curl_easy_setopt(handle, (option), (value)) == CURLE_OK)

static bool set_callbacks(struct exchange *exchange, CURL *handle)
{
    return SET(CURLOPT_PRIVATE, &exchange->transfer) &&
           SET(CURLOPT_ERRORBUFFER, exchange->library_text) &&
           SET(CURLOPT_READFUNCTION, read_body) && SET(CURLOPT_READDATA, exchange) &&
           SET(CURLOPT_SEEKFUNCTION, seek_body) && SET(CURLOPT_SEEKDATA, exchange) &&
           SET(CURLOPT_HEADERFUNCTION, take_header) && SET(CURLOPT_HEADERDATA, exchange) &&
           SET(CURLOPT_WRITEFUNCTION, take_content) && SET(CURLOPT_WRITEDATA, exchange) &&
           SET(CURLOPT_OPENSOCKETFUNCTION, open_socket) && SET(CURLOPT_OPENSOCKETDATA, exchange) &&
           SET(CURLOPT_PREREQFUNCTION, before_request) && SET(CURLOPT_PREREQDATA, exchange);
}

static bool set_transport(const struct exchange_settings *settings, CURL *handle)
{
    const struct http_options *options = settings->options;
    long version =
        options->http_version == HTTP_VERSION_1_1 ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS;
    return SET(CURLOPT_PROTOCOLS_STR, settings->plain ? "http" : "https") &&
           SET(CURLOPT_HTTP_VERSION, version) && SET(CURLOPT_FOLLOWLOCATION, 0L) &&
           SET(CURLOPT_NOSIGNAL, 1L) && SET(CURLOPT_PROXY, "") && SET(CURLOPT_NOPROXY, "*") &&
           SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) && SET(CURLOPT_PATH_AS_IS, 1L) &&
           SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L) &&
           SET(CURLOPT_MAXLIFETIME_CONN, (long)CONNECTION_LIFE_S) &&
           SET(CURLOPT_LOW_SPEED_LIMIT, (long)LOW_SPEED_BYTES) &&
           SET(CURLOPT_LOW_SPEED_TIME, (long)LOW_SPEED_S) && SET(CURLOPT_TCP_KEEPALIVE, 1L) &&
           /* Asks for none, and makes libcurl undo one that comes nevertheless: a list of failed
            * events must not hide in it. */
           SET(CURLOPT_ACCEPT_ENCODING, "identity") &&
           /* A look-up that hangs is left to its thread: nobody waits for it. */
           SET(CURLOPT_QUICK_EXIT, 1L) && SET(CURLOPT_USERAGENT, "pgfan");
}

static bool set_security(const struct http_options *options, CURL *handle)
{
    const char *token = secret_reveal(&options->bearer_token);
    const char *password = secret_reveal(&options->password);
    bool fine = SET(CURLOPT_SSL_VERIFYPEER, 1L) && SET(CURLOPT_SSL_VERIFYHOST, 2L) &&
                SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (fine && options->ca != NULL) {
        fine = SET(CURLOPT_CAINFO, options->ca) && SET(CURLOPT_CAPATH, NULL);
    }
    if (fine && options->client_cert != NULL) {
        fine =
            SET(CURLOPT_SSLCERT, options->client_cert) && SET(CURLOPT_SSLKEY, options->client_key);
    }
    if (fine && token != NULL) {
        fine = SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER) && SET(CURLOPT_XOAUTH2_BEARER, token);
    } else if (fine && options->username != NULL) {
        fine = SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC) &&
               SET(CURLOPT_USERNAME, options->username) &&
               SET(CURLOPT_PASSWORD, password != NULL ? password : "");
    }
    return fine;
}

static bool set_method(const struct http_options *options, CURL *handle)
{
    return SET(CURLOPT_POST, 1L) && (options->method == HTTP_POST ||
                                     SET(CURLOPT_CUSTOMREQUEST, http_method_name(options->method)));
}

enum fan_status exchange_init(struct exchange *exchange, const struct exchange_settings *settings,
                              struct fan_error *reterr)
{
    CURL *handle = curl_easy_init();
    exchange->settings = settings;
    exchange->transfer.handle = handle;
    bytes_init(&exchange->text, TEXT_MAX);
    if (handle == NULL || !set_callbacks(exchange, handle) || !set_transport(settings, handle) ||
        !set_security(settings->options, handle) || !set_method(settings->options, handle)) {
        exchange_release(exchange);
        return fan_fail(reterr, FAN_RETRY, "could not prepare an HTTP request: out of memory");
    }
    return FAN_OK;
}

void exchange_release(struct exchange *exchange)
{
    curl_easy_cleanup(exchange->transfer.handle);
    curl_slist_free_all(exchange->headers);
    body_release(&exchange->body);
    reply_release(&exchange->reply);
    bytes_release(&exchange->text);
    exchange->transfer.handle = NULL;
    exchange->headers = NULL;
}

void exchange_reset(struct exchange *exchange)
{
    body_close(&exchange->body);
    curl_slist_free_all(exchange->headers);
    exchange->headers = NULL;
}

/* Appends the header that `text` holds. */
static bool append_line(struct exchange *exchange)
{
    const char *text = bytes_text(&exchange->text);
    struct curl_slist *headers =
        bytes_ok(&exchange->text) ? curl_slist_append(exchange->headers, text) : NULL;
    if (headers == NULL) {
        return false;
    }
    exchange->headers = headers;
    return true;
}

static bool add_header(struct exchange *exchange, const char *name, const char *value)
{
    struct bytes *line = &exchange->text;
    bytes_clear(line);
    /* "Name;" is how libcurl is told of a header without a value. */
    bytes_append_format(line, value[0] != '\0' ? "%s: %s" : "%s;", name, value);
    return append_line(exchange);
}

/* The id of one event, or `<first id>~<last id>~<count>`. */
static void write_message_id(const struct exchange *exchange, const struct exchange_run *run,
                             char text[BATCH_ID_MAX])
{
    const struct encode_context *encode = exchange->settings->encode;
    size_t size = event_ids_write(encode, run->batch, run->first, text);
    if (exchange->settings->options->mode == HTTP_MODE_BATCH) {
        text[size++] = '~';
        size += event_ids_write(encode, run->batch, run->end - 1, text + size);
        (void)snprintf(text + size, BATCH_ID_MAX - size, "~%zu", run->end - run->first); /* fits */
    }
}

/* Of the body before compression: frameworks undo that before an application can read it. */
static bool add_signature(struct exchange *exchange, const char *id, const char *timestamp)
{
    const struct signer *signer = &exchange->settings->signer;
    if (signer->count == 0) {
        return true;
    }
    struct signing signing;
    uint8_t chunk[CHUNK];
    signing_begin(&signing, signer, id, timestamp);
    for (size_t size; (size = body_read(&exchange->body, chunk, sizeof(chunk))) > 0;) {
        signing_update(&signing, chunk, size);
    }
    body_rewind(&exchange->body);
    struct bytes signatures;
    bytes_init(&signatures, 1024);
    bool fine = signing_finish(&signing, &signatures) &&
                add_header(exchange, "webhook-signature", bytes_text(&signatures));
    bytes_release(&signatures);
    return fine;
}

/* A character as a value of an attribute has it in a header: CloudEvents 1.0, HTTP protocol binding,
 * "HTTP Header Values". */
static bool is_header_letter(char byte)
{
    return byte > ' ' && byte <= '~' && byte != '"' && byte != '%';
}

static bool add_attribute(struct exchange *exchange, const struct cloudevents_attribute *attribute)
{
    static const char digits[] = "0123456789ABCDEF";
    struct bytes *line = &exchange->text;
    bytes_clear(line);
    bytes_append_format(line, "ce-%s: ", attribute->name);
    for (size_t i = 0; i < attribute->value_size; i++) {
        char byte = attribute->value[i];
        if (is_header_letter(byte)) {
            bytes_append_char(line, byte);
        } else {
            const char escaped[] = {'%', digits[(uint8_t)byte >> 4], digits[(uint8_t)byte & 15]};
            bytes_append(line, escaped, sizeof(escaped));
        }
    }
    return append_line(exchange);
}

/* The attributes of the one event, whose data is the body. */
static bool add_attributes(struct exchange *exchange, const struct exchange_run *run)
{
    const struct batch_label label = batch_label(run->batch, run->first);
    struct cloudevents_attributes attributes;
    cloudevents_attributes(exchange->settings->encode, &run->batch->events[run->first], &label,
                           &attributes);
    bool fine = true;
    for (size_t i = 0; fine && i < attributes.count; i++) {
        fine = add_attribute(exchange, &attributes.items[i]);
    }
    return fine;
}

/* Without a charset JSON is UTF-8 (RFC 8259); the specification's own examples have one. */
static const char *content_type_of_events(const struct exchange_settings *settings)
{
    const struct http_options *options = settings->options;
    if (options->mode == HTTP_MODE_BATCH && options->body == HTTP_BODY_NDJSON) {
        return "application/x-ndjson";
    }
    if (settings->events != HTTP_EVENTS_CLOUD) {
        return CLOUDEVENTS_DATA_TYPE; /* of binary mode; of other formats, too */
    }
    return options->mode == HTTP_MODE_SINGLE ? "application/cloudevents+json; charset=utf-8"
                                             : "application/cloudevents-batch+json; charset=utf-8";
}

static const char *content_type(const struct exchange_settings *settings)
{
    const struct http_options *options = settings->options;
    for (size_t i = 0; i < options->headers.count; i++) {
        if (strcasecmp(options->headers.pairs[i].key, "content-type") == 0) {
            return options->headers.pairs[i].value;
        }
    }
    return content_type_of_events(settings);
}

static bool add_own_headers(struct exchange *exchange, const struct exchange_run *run)
{
    char id[BATCH_ID_MAX];
    char timestamp[24];
    write_message_id(exchange, run, id);
    (void)snprintf(timestamp, sizeof(timestamp), "%" PRId64, run->wall_us / 1000000); /* fits */
    return add_header(exchange, "content-type", content_type(exchange->settings)) &&
           add_header(exchange, "pgfan-kind", "changes") &&
           add_header(exchange, "webhook-id", id) &&
           add_header(exchange, "webhook-timestamp", timestamp) &&
           add_signature(exchange, id, timestamp);
}

static bool add_headers(struct exchange *exchange, const struct exchange_run *run)
{
    const struct http_options *options = exchange->settings->options;
    curl_slist_free_all(exchange->headers);
    exchange->headers = NULL;
    bool fine = add_own_headers(exchange, run);
    if (fine && exchange->settings->events == HTTP_EVENTS_CLOUD_BINARY) {
        fine = add_attributes(exchange, run);
    }
    for (size_t i = 0; fine && i < options->headers.count; i++) {
        const struct conf_text_pair *pair = &options->headers.pairs[i];
        fine = strcasecmp(pair->key, "content-type") == 0 ||
               add_header(exchange, pair->key, pair->value);
    }
    if (fine && options->compression == HTTP_COMPRESSION_GZIP) {
        fine = add_header(exchange, "content-encoding", "gzip");
    }
    /* Waiting for "100 Continue" costs a second with receivers that do not know it. */
    struct curl_slist *headers = fine ? curl_slist_append(exchange->headers, "expect:") : NULL;
    exchange->headers = headers != NULL ? headers : exchange->headers;
    return headers != NULL;
}

static bool set_run(struct exchange *exchange, const struct exchange_run *run)
{
    CURL *handle = exchange->transfer.handle;
    int64_t timeout_ms = run->timeout_us / MILLISECOND_US;
    int64_t connect_ms = exchange->settings->options->connect_timeout_us / MILLISECOND_US;
    timeout_ms = timeout_ms > 0 ? timeout_ms : 1; /* 0 would be no limit */
    connect_ms = connect_ms < timeout_ms ? connect_ms : timeout_ms;
    return SET(CURLOPT_URL, run->url) && SET(CURLOPT_HTTPHEADER, exchange->headers) &&
           SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_wire_size(&exchange->body)) &&
           SET(CURLOPT_TIMEOUT_MS, (long)timeout_ms) &&
           SET(CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
}

static enum body_form form_of(const struct http_options *options)
{
    return options->mode == HTTP_MODE_SINGLE   ? BODY_EVENT
           : options->body == HTTP_BODY_NDJSON ? BODY_LINES
                                               : BODY_ARRAY;
}

enum fan_status exchange_prepare(struct exchange *exchange, const struct exchange_run *run,
                                 struct fan_error *reterr)
{
    const struct exchange_settings *settings = exchange->settings;
    body_open(&exchange->body, form_of(settings->options), run->batch, settings->format, run->first,
              run->end);
    reply_reset(&exchange->reply);
    exchange->address_allowed = false;
    exchange->address_refused = false;
    exchange->library_text[0] = '\0';
    bool fine = add_headers(exchange, run);
    if (fine && settings->options->compression == HTTP_COMPRESSION_GZIP) {
        fine = body_compress(&exchange->body);
    }
    if (!fine || !set_run(exchange, run)) {
        return fan_fail(reterr, FAN_RETRY, "could not prepare an HTTP request: out of memory");
    }
    return FAN_OK;
}

void exchange_end(struct exchange *exchange, int curl_code, struct exchange_end *ret_end)
{
    long status = 0;
    (void)curl_easy_getinfo(exchange->transfer.handle, CURLINFO_RESPONSE_CODE,
                            &status); /* 0: none */
    exchange->reply.status = status;
    ret_end->curl_code = curl_code;
    ret_end->curl_text = exchange->library_text;
    ret_end->reply = &exchange->reply;
    ret_end->address_refused = exchange->address_refused && !exchange->address_allowed;
}
