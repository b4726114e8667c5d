#include "targets/http/options.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "targets/http/guard.h"
#include "targets/http/signature.h"
#include "targets/http/url_template.h"

#define SECOND_US INT64_C(1000000)

enum { PATH_TEXT_MAX = 4000, URL_TEXT_MAX = 4000, HEADERS_MAX = 64 };

static const struct conf_choice methods[] = {
    {"POST", HTTP_POST}, {"PUT", HTTP_PUT}, {"PATCH", HTTP_PATCH}, {NULL, 0}};
static const struct conf_choice versions[] = {
    {"2", HTTP_VERSION_2}, {"1.1", HTTP_VERSION_1_1}, {NULL, 0}};
static const struct conf_choice modes[] = {
    {"batch", HTTP_MODE_BATCH}, {"single", HTTP_MODE_SINGLE}, {NULL, 0}};
static const struct conf_choice bodies[] = {
    {"json", HTTP_BODY_JSON}, {"ndjson", HTTP_BODY_NDJSON}, {NULL, 0}};
static const struct conf_choice compressions[] = {
    {"none", HTTP_COMPRESSION_NONE}, {"gzip", HTTP_COMPRESSION_GZIP}, {NULL, 0}};

#define AT(member) .offset = offsetof(struct http_options, member)

static const struct conf_option http_options[] = {
    {.key = "url",
     .type = CONF_TEXT,
     AT(url),
     .required = true,
     .templated = true,
     .minimum = 1,
     .maximum = URL_TEXT_MAX,
     .help = "Where events are sent. The path may hold `${schema}`, `${table}`, `${source}`, "
             "`${op}` and `${key.COLUMN}`, whose values are percent-encoded.",
     .example = "https://search.internal/ingest/${table}"},
    {.key = "method",
     .type = CONF_CHOICE,
     AT(method),
     .value_default = "POST",
     .choices = methods,
     .help = "The method of requests.",
     .example = "PUT"},
    {.key = "mode",
     .type = CONF_CHOICE,
     AT(mode),
     .value_default = "batch",
     .choices = modes,
     .help = "`batch` sends all events of a batch with the same URL in one request, `single` one "
             "event a request.",
     .example = "single"},
    {.key = "body",
     .type = CONF_CHOICE,
     AT(body),
     .value_default = "json",
     .choices = bodies,
     .help = "What a batch becomes: `json` an array of events, `ndjson` one event a line. With "
             "`mode: single` the body is the event.",
     .example = "ndjson"},
    {.key = "headers",
     .type = CONF_TEXT_MAP,
     AT(headers),
     .masked = true,
     .maximum = HEADERS_MAX,
     .help = "Headers of each request. Their values are never shown.",
     .example = "{x-api-key: \"${env:SEARCH_KEY}\"}"},
    {.key = "bearer_token",
     .type = CONF_SECRET,
     AT(bearer_token),
     .help = "Sent as `Authorization: Bearer`.",
     .example = "${env:SEARCH_TOKEN}"},
    {.key = "username",
     .type = CONF_TEXT,
     AT(username),
     .minimum = 1,
     .maximum = 256,
     .help = "The user of `Authorization: Basic`; see `password`.",
     .example = "pgfan"},
    {.key = "password",
     .type = CONF_SECRET,
     AT(password),
     .help = "The password of `username`.",
     .example = "${file:/etc/pgfan/search.password}"},
    {.key = "client_cert",
     .type = CONF_TEXT,
     AT(client_cert),
     .minimum = 1,
     .maximum = PATH_TEXT_MAX,
     .help =
         "A PEM file with the certificate that the receiver asks of its clients, and its chain.",
     .example = "/etc/pgfan/search.crt"},
    {.key = "client_key",
     .type = CONF_TEXT,
     AT(client_key),
     .minimum = 1,
     .maximum = PATH_TEXT_MAX,
     .help = "A PEM file with the key of `client_cert`, without a passphrase.",
     .example = "/etc/pgfan/search.key"},
    {.key = "ca",
     .type = CONF_TEXT,
     AT(ca),
     .minimum = 1,
     .maximum = PATH_TEXT_MAX,
     .help = "A PEM file with the authorities that may have signed the receiver's certificate. "
             "Unset: the system's.",
     .example = "/etc/pgfan/internal-ca.pem"},
    {.key = "signing_secret",
     .type = CONF_SECRET,
     AT(signing_secret),
     .help = "Signs each request as Standard Webhooks 1.0.0 says: `whsec_` and the base64 of 24 to "
             "64 random bytes.",
     .example = "${env:SEARCH_SIGNING_SECRET}"},
    {.key = "signing_secret_old",
     .type = CONF_SECRET,
     AT(signing_secret_old),
     .help = "A second secret that signs, too, until every receiver has the new one.",
     .example = "${env:SEARCH_SIGNING_SECRET_OLD}"},
    {.key = "compression",
     .type = CONF_CHOICE,
     AT(compression),
     .value_default = "none",
     .choices = compressions,
     .help = "`gzip` compresses bodies. Signatures are of the body before compression.",
     .example = "gzip"},
    {.key = "http_version",
     .type = CONF_CHOICE,
     AT(http_version),
     .value_default = "2",
     .choices = versions,
     .help = "`2` speaks HTTP/2 where the receiver offers it over TLS, and HTTP/1.1 elsewhere.",
     .example = "\"1.1\""},
    {.key = "timeout",
     .type = CONF_DURATION,
     AT(timeout_us),
     .value_default = "15s",
     .minimum = SECOND_US / 10,
     .maximum = 600 * SECOND_US,
     .help = "The longest that one HTTP request takes, from looking up the name to the end of the "
             "answer.",
     .example = "15s"},
    {.key = "connect_timeout",
     .type = CONF_DURATION,
     AT(connect_timeout_us),
     .value_default = "5s",
     .minimum = SECOND_US / 10,
     .maximum = 600 * SECOND_US,
     .help = "The part of it that connecting may take.",
     .example = "5s"},
    {.key = "allow_private",
     .type = CONF_BOOL,
     AT(allow_private),
     .value_default = "false",
     .help = "Lets requests go to addresses that are not public: loopback, private networks, "
             "link-local, the metadata services of clouds.",
     .example = "true"},
    {.key = "allow_http",
     .type = CONF_BOOL,
     AT(allow_http),
     .value_default = "false",
     .help = "Lets `url` begin with http://. Such requests go to private addresses only, because "
             "they are not encrypted; `allow_private` is needed, too.",
     .example = "true"},
};

const char *http_method_name(int method)
{
    return methods[method].name;
}

static bool is_printable_ascii(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((*text < ' ' && *text != '\t') || *text > '~') {
            return false;
        }
    }
    return true;
}

/* RFC 9110, 5.6.2. */
static bool is_header_name(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "!#$%&'*+-.^_`|~";
    return text[0] != '\0' && text[strspn(text, letters)] == '\0';
}

/* Headers that the target or the library writes. */
static bool is_reserved(const struct http_options *options, const char *name)
{
    static const char *const names[] = {"host",       "content-length", "content-encoding",
                                        "connection", "expect",         "transfer-encoding",
                                        "te",         "upgrade",        "keep-alive",
                                        "trailer",    "http2-settings", "proxy-connection"};
    for (size_t i = 0; i < CONF_COUNT(names); i++) {
        if (strcasecmp(name, names[i]) == 0) {
            return true;
        }
    }
    bool has_credentials =
        secret_reveal(&options->bearer_token) != NULL || options->username != NULL;
    return strncasecmp(name, "webhook-", 8) == 0 || strncasecmp(name, "pgfan-", 6) == 0 ||
           (has_credentials && strcasecmp(name, "authorization") == 0);
}

static const char *check_headers(const struct http_options *options)
{
    if (options->headers.count > HEADERS_MAX) {
        return "\"headers\" has too many headers";
    }
    for (size_t i = 0; i < options->headers.count; i++) {
        const struct conf_text_pair *pair = &options->headers.pairs[i];
        if (!is_header_name(pair->key)) {
            return "\"headers\" has a name that no header can have";
        }
        if (is_reserved(options, pair->key)) {
            return "\"headers\" has a header that pgfan writes itself";
        }
        if (!is_printable_ascii(pair->value)) {
            return "\"headers\" has a value with a line break, a control character or a letter "
                   "that is not ASCII";
        }
        for (size_t other = 0; other < i; other++) {
            if (strcasecmp(pair->key, options->headers.pairs[other].key) == 0) {
                return "\"headers\" has a header twice";
            }
        }
    }
    return NULL;
}

static const char *check_url(const struct http_options *options)
{
    struct url_template url;
    const char *fault = url_template_parse(options->url, &url);
    if (fault != NULL) {
        return fault;
    }
    bool is_private =
        guard_host_is_private_literal(url.host) || strcasecmp(url.host, "localhost") == 0;
    if (url.plain && !(options->allow_http && options->allow_private)) {
        fault = "\"url\" is not encrypted: use https://, or set allow_http and allow_private for a "
                "receiver "
                "on a private address";
    } else if (is_private && !options->allow_private) {
        fault = "\"url\" names a private address: set allow_private: true if that is meant";
    }
    url_template_release(&url);
    return fault;
}

static const char *check_credentials(const struct http_options *options, const char **ret_key)
{
    const char *token = secret_reveal(&options->bearer_token);
    const char *password = secret_reveal(&options->password);
    *ret_key = "bearer_token";
    if (token != NULL && (!is_printable_ascii(token) || strpbrk(token, " \t") != NULL)) {
        return "\"bearer_token\" holds a space or a character that no token has";
    }
    if (token != NULL && options->username != NULL) {
        return "\"bearer_token\" and \"username\" exclude each other: there is one Authorization "
               "header";
    }
    *ret_key = "username";
    if (options->username != NULL &&
        (strchr(options->username, ':') != NULL || !is_printable_ascii(options->username))) {
        return "\"username\" holds a colon or a character that is not ASCII";
    }
    if (options->username != NULL && password == NULL) {
        return "\"username\" needs a \"password\"";
    }
    *ret_key = "password";
    if (password != NULL && options->username == NULL) {
        return "\"password\" needs a \"username\"";
    }
    *ret_key = options->client_cert == NULL ? "client_key" : "client_cert";
    if ((options->client_cert == NULL) != (options->client_key == NULL)) {
        return "\"client_cert\" and \"client_key\" belong together";
    }
    return NULL;
}

static bool secret_is_bad(const struct secret *secret)
{
    const char *text = secret_reveal(secret);
    return text != NULL && !signature_secret_valid(text);
}

static const char *check_signing(const struct http_options *options, const char **ret_key)
{
    bool bad = secret_is_bad(&options->signing_secret);
    *ret_key = bad ? "signing_secret" : "signing_secret_old";
    if (bad || secret_is_bad(&options->signing_secret_old)) {
        return "a signing secret must be whsec_ and the base64 of 24 to 64 random bytes";
    }
    if (secret_reveal(&options->signing_secret_old) != NULL &&
        secret_reveal(&options->signing_secret) == NULL) {
        return "\"signing_secret_old\" needs a \"signing_secret\", which is the new one";
    }
    return NULL;
}

static const char *http_options_rule(const void *section, const char **ret_key)
{
    const struct http_options *options = section;
    const char *fault = check_url(options);
    *ret_key = "url";
    if (fault == NULL) {
        fault = check_headers(options);
        *ret_key = "headers";
    }
    if (fault == NULL) {
        fault = check_credentials(options, ret_key);
    }
    if (fault == NULL) {
        fault = check_signing(options, ret_key);
    }
    if (fault == NULL && options->mode == HTTP_MODE_SINGLE && options->body == HTTP_BODY_NDJSON) {
        *ret_key = "body";
        fault = "\"body\" has no meaning with `mode: single`, where it is the event";
    }
    return fault;
}

static conf_rule *const http_options_rules[] = {http_options_rule, NULL};

const struct conf_table http_options_table = {
    .name = "http",
    .help = "Sends events to an HTTP endpoint; an event is settled when the endpoint has answered "
            "with success.",
    .size = sizeof(struct http_options),
    .options = http_options,
    .options_count = CONF_COUNT(http_options),
    .rules = http_options_rules,
};
