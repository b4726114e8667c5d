#include "schemas/exchange.h"

#include <string.h>

#include "schemas/reply.h"

enum {
    QUESTION_MAX = 64 * 1024 * 1024, /* a schema of avro_shape.c, escaped */
    ANSWER_MORE = 1024 * 1024,
    URL_MAX = 64 * 1024,
    MILLISECOND_US = 1000,
};

static size_t take_content(char *data, size_t size, size_t count, void *argument)
{
    struct registry_exchange *exchange = argument;
    bytes_append(&exchange->answer, data, size * count);
    return bytes_ok(&exchange->answer) ? size * count : 0;
}

/* NOLINTNEXTLINE(bugprone-easily-swappable-parameters): libcurl's type */
static int look_for_stop(void *argument, curl_off_t down_total, curl_off_t down,
                         curl_off_t up_total, curl_off_t up)
{
    const struct registry_exchange *exchange = argument;
    (void)down_total; /* only whether to go on matters */
    (void)down;
    (void)up_total;
    (void)up;
    return atomic_load_explicit(exchange->stop, memory_order_relaxed) ? 1 : 0;
}

/* An option that libcurl knows is refused only when memory is out. */
#define SET(option, value) (curl_easy_setopt(handle, (option), (value)) == CURLE_OK)

static bool set_transport(struct registry_exchange *exchange, CURL *handle)
{
    const struct settings_avro *settings = exchange->settings;
    return SET(CURLOPT_ERRORBUFFER, exchange->library_text) &&
           SET(CURLOPT_WRITEFUNCTION, take_content) && SET(CURLOPT_WRITEDATA, exchange) &&
           SET(CURLOPT_XFERINFOFUNCTION, look_for_stop) && SET(CURLOPT_XFERINFODATA, exchange) &&
           SET(CURLOPT_NOPROGRESS, 0L) && SET(CURLOPT_PROTOCOLS_STR, "http,https") &&
           SET(CURLOPT_FOLLOWLOCATION, 0L) && SET(CURLOPT_NOSIGNAL, 1L) && SET(CURLOPT_PROXY, "") &&
           SET(CURLOPT_NOPROXY, "*") && SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) &&
           SET(CURLOPT_QUICK_EXIT, 1L) && SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L) &&
           SET(CURLOPT_ACCEPT_ENCODING, "identity") && SET(CURLOPT_USERAGENT, "pgfan") &&
           SET(CURLOPT_TIMEOUT_MS, (long)(settings->timeout_us / MILLISECOND_US)) &&
           SET(CURLOPT_POST, 1L);
}

static bool set_security(struct registry_exchange *exchange, CURL *handle)
{
    const struct settings_avro *settings = exchange->settings;
    const char *token = secret_reveal(&settings->bearer_token);
    const char *password = secret_reveal(&settings->password);
    bool fine = SET(CURLOPT_SSL_VERIFYPEER, 1L) && SET(CURLOPT_SSL_VERIFYHOST, 2L) &&
                SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (fine && settings->ca != NULL) {
        fine = SET(CURLOPT_CAINFO, settings->ca) && SET(CURLOPT_CAPATH, NULL);
    }
    if (fine && settings->client_cert != NULL) {
        fine = SET(CURLOPT_SSLCERT, settings->client_cert) &&
               SET(CURLOPT_SSLKEY, settings->client_key);
    }
    if (fine && token != NULL) {
        fine = SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER) && SET(CURLOPT_XOAUTH2_BEARER, token) &&
               redactor_add(&exchange->redactor, token);
    } else if (fine && settings->username != NULL) {
        password = password != NULL ? password : "";
        fine = SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC) &&
               SET(CURLOPT_USERNAME, settings->username) && SET(CURLOPT_PASSWORD, password) &&
               redactor_add_basic(&exchange->redactor, settings->username, password);
    }
    return fine;
}

static bool set_headers(struct registry_exchange *exchange, CURL *handle)
{
    static const char *const headers[] = {"Content-Type: application/vnd.schemaregistry.v1+json",
                                          "Accept: application/vnd.schemaregistry.v1+json, "
                                          "application/json"};
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        struct curl_slist *longer = curl_slist_append(exchange->headers, headers[i]);
        if (longer == NULL) {
            return false;
        }
        exchange->headers = longer;
    }
    return SET(CURLOPT_HTTPHEADER, exchange->headers);
}

enum fan_status registry_exchange_init(struct registry_exchange *exchange,
                                       const struct settings_avro *settings,
                                       const _Atomic bool *stop, struct fan_error *reterr)
{
    *exchange =
        (struct registry_exchange){.settings = settings, .stop = stop, .handle = curl_easy_init()};
    bytes_init(&exchange->url, URL_MAX);
    bytes_init(&exchange->question, QUESTION_MAX);
    if (exchange->handle == NULL || !set_transport(exchange, exchange->handle) ||
        !set_security(exchange, exchange->handle) || !set_headers(exchange, exchange->handle)) {
        registry_exchange_release(exchange);
        return fan_fail(reterr, FAN_RETRY,
                        "could not prepare to ask a schema registry: out of memory");
    }
    return FAN_OK;
}

void registry_exchange_release(struct registry_exchange *exchange)
{
    curl_easy_cleanup(exchange->handle);
    curl_slist_free_all(exchange->headers);
    redactor_release(&exchange->redactor);
    bytes_release(&exchange->url);
    bytes_release(&exchange->question);
    bytes_release(&exchange->answer);
    *exchange = (struct registry_exchange){0};
}

/* POST /subjects/S/versions registers and returns the number of a schema that is there already;
 * POST /subjects/S only looks. */
static bool make_question(struct registry_exchange *exchange, const char *subject,
                          const char *schema, size_t schema_size)
{
    CURL *handle = exchange->handle;
    struct bytes *url = &exchange->url;
    struct bytes *question = &exchange->question;
    char *escaped = curl_easy_escape(handle, subject, 0);
    const char *base = exchange->settings->registry;
    size_t base_size = strlen(base);
    while (base_size > 0 && base[base_size - 1] == '/') {
        base_size--;
    }
    bytes_clear(url);
    bytes_append(url, base, base_size);
    BYTES_APPEND_LITERAL(url, "/subjects/");
    bytes_append_text(url, escaped != NULL ? escaped : "");
    bytes_append_text(url, exchange->settings->register_schemas ? "/versions" : "");
    bytes_append_char(url, '\0');
    bool fine = escaped != NULL && bytes_ok(url);
    curl_free(escaped);
    bytes_clear(question);
    BYTES_APPEND_LITERAL(question, "{\"schema\":");
    bytes_append_json_string(question, schema, schema_size);
    bytes_append_char(question, '}');
    bytes_release(&exchange->answer);
    bytes_init(&exchange->answer, question->size + ANSWER_MORE);
    return fine && bytes_ok(question) && SET(CURLOPT_URL, (const char *)url->data) &&
           SET(CURLOPT_POSTFIELDS, question->data) &&
           SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)question->size);
}

enum fan_status registry_exchange_ask(struct registry_exchange *exchange, const char *subject,
                                      const char *schema, size_t schema_size, uint32_t *ret_id,
                                      struct fan_error *reterr)
{
    long http_status = 0;
    if (!make_question(exchange, subject, schema, schema_size)) {
        return fan_fail(reterr, FAN_RETRY, "could not ask the schema registry: out of memory");
    }
    exchange->library_text[0] = '\0';
    CURLcode code = curl_easy_perform(exchange->handle);
    if (code != CURLE_OK) {
        enum fan_status status = fan_fail(
            reterr, FAN_RETRY, "could not ask the schema registry at \"%.200s\": %s",
            exchange->settings->registry,
            exchange->library_text[0] != '\0' ? exchange->library_text : curl_easy_strerror(code));
        fan_error_annotate(reterr, "REGISTRY_UNREACHABLE",
                           "is it running, and is `avro.registry` its address?");
        return status;
    }
    if (curl_easy_getinfo(exchange->handle, CURLINFO_RESPONSE_CODE, &http_status) != CURLE_OK) {
        http_status = 0;
    }
    return registry_reply_read(http_status, (const char *)exchange->answer.data,
                               exchange->answer.size, exchange->settings->register_schemas, subject,
                               &exchange->redactor, ret_id, reterr);
}
