/*
 * options.h - the keys of an HTTP target in the conf.
 */
#ifndef TARGETS_HTTP_OPTIONS_H
#define TARGETS_HTTP_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/secret.h"
#include "conf/option.h"

enum http_method { HTTP_POST = 0, HTTP_PUT, HTTP_PATCH };
enum http_version { HTTP_VERSION_2 = 0, HTTP_VERSION_1_1 };
enum http_mode { HTTP_MODE_BATCH = 0, HTTP_MODE_SINGLE };
enum http_body { HTTP_BODY_JSON = 0, HTTP_BODY_NDJSON };
enum http_compression { HTTP_COMPRESSION_NONE = 0, HTTP_COMPRESSION_GZIP };

struct http_options {
    char *url;
    int method; /* enum http_method */
    int mode;   /* enum http_mode */
    int body;   /* enum http_body */
    struct conf_text_map headers;
    struct secret bearer_token;
    char *username;
    struct secret password;
    char *client_cert;
    char *client_key;
    char *ca;
    struct secret signing_secret;
    struct secret signing_secret_old;
    int compression;  /* enum http_compression */
    int http_version; /* enum http_version */
    int64_t timeout_us;
    int64_t connect_timeout_us;
    bool allow_private;
    bool allow_http;
};

extern const struct conf_table http_options_table;

/* The name of the method, as it goes over the wire. */
const char *http_method_name(int method);

#endif
