#include "targets/http/ruling.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

enum { EXCERPT_MAX = 160 };

/* What no repetition mends: certificates, files of them, what the conf asks for. */
static bool is_certificate(int code)
{
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CRL_BADFILE:
        return true;
    default:
        return false;
    }
}

static bool is_conf(int code)
{
    return code == CURLE_URL_MALFORMAT || code == CURLE_NOT_BUILT_IN ||
           code == CURLE_UNKNOWN_OPTION || code == CURLE_BAD_FUNCTION_ARGUMENT;
}

static const char *transport_code(int code)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return "HTTP_TIMEOUT";
    case CURLE_COULDNT_RESOLVE_HOST:
        return "HTTP_RESOLVE";
    case CURLE_COULDNT_CONNECT:
        return "HTTP_CONNECT";
    case CURLE_SSL_CONNECT_ERROR:
        return "HTTP_TLS";
    default:
        return "HTTP_TRANSFER";
    }
}

/* The library failed before there was a status that counts. */
static void rule_transport(const struct exchange_end *end, struct ruling *ruling)
{
    const char *text =
        end->curl_text[0] != '\0' ? end->curl_text : curl_easy_strerror((CURLcode)end->curl_code);
    if (end->address_refused) {
        ruling->status = fan_fail(&ruling->error, FAN_FATAL,
                                  "cannot send to \"%s\": its address is not one that this target "
                                  "may use",
                                  end->origin);
        fan_error_annotate(
            &ruling->error, "HTTP_ADDRESS_REFUSED",
            "allow_private: true lets https go to private addresses; plain http goes "
            "to private addresses only");
    } else if (is_certificate(end->curl_code)) {
        ruling->status =
            fan_fail(&ruling->error, FAN_FATAL, "cannot send to \"%s\": %s", end->origin, text);
        fan_error_annotate(&ruling->error, "HTTP_CERTIFICATE",
                           "check the receiver's certificate, and ca, client_cert and client_key");
    } else if (is_conf(end->curl_code)) {
        ruling->status =
            fan_fail(&ruling->error, FAN_FATAL, "cannot send to \"%s\": %s", end->origin, text);
        fan_error_annotate(&ruling->error, "HTTP_URL", "check url");
    } else {
        ruling->status =
            fan_fail(&ruling->error, FAN_RETRY, "could not send to \"%s\": %s", end->origin, text);
        fan_error_annotate(&ruling->error, transport_code(end->curl_code), NULL);
    }
}

static enum fan_status status_class(long status)
{
    if (status == 401 || status == 403 || status == 410 || (status >= 300 && status < 400)) {
        return FAN_FATAL;
    }
    return status >= 400 && status < 500 && status != 408 && status != 429 ? FAN_POISON : FAN_RETRY;
}

static const char *status_hint(long status)
{
    if (status == 401) {
        return "check bearer_token, or username and password";
    }
    if (status == 403) {
        return "the receiver knows this client and does not let it in";
    }
    if (status == 410) {
        return "the receiver has closed this endpoint for good; remove the target, or change its "
               "url";
    }
    return status < 400 ? "redirects are not followed: put the final address into url" : NULL;
}

/* The receiver refused, with a few words of its own. */
static void rule_status(const struct exchange_end *end, const struct redactor *redactor,
                        struct ruling *ruling)
{
    const struct reply *reply = end->reply;
    ruling->status = status_class(reply->status);
    struct bytes words;
    bytes_init(&words, FAN_ERROR_TEXT_MAX);
    redactor_append(redactor, &words, (const char *)reply->content.data, reply->content.size,
                    EXCERPT_MAX);
    const char *text = bytes_text(&words);
    (void)fan_fail(&ruling->error, ruling->status, "\"%s\" answered %ld%s%s", end->origin,
                   reply->status, text[0] != '\0' ? ": " : "", text); /* the class stands above */
    bytes_release(&words);
    char code[16];
    (void)snprintf(code, sizeof(code), "HTTP_%ld", reply->status); /* fits */
    const char *hint = status_hint(reply->status);
    fan_error_annotate(&ruling->error, code, hint != NULL ? "%s" : NULL, hint);
    if (ruling->status == FAN_RETRY) {
        ruling->retry_after_us = reply_retry_after_us(reply->retry_after, end->wall_us);
    }
}

static void rule_success(const struct exchange_end *end, const struct verdict_scope *scope,
                         struct ruling *ruling)
{
    if (end->reply->too_long) {
        ruling->status =
            fan_fail(&ruling->error, FAN_RETRY, "\"%s\" answered %ld with more than %d bytes",
                     end->origin, end->reply->status, REPLY_SIZE_MAX);
        fan_error_annotate(&ruling->error, "HTTP_ANSWER", "a short answer is enough");
        return;
    }
    if (end->curl_code != CURLE_OK) {
        rule_transport(end, ruling);
        return;
    }
    if (!end->reply->headers_ended) {
        ruling->status = fan_fail(&ruling->error, FAN_RETRY,
                                  "\"%s\" went away in the middle of its answer", end->origin);
        fan_error_annotate(&ruling->error, "HTTP_TRANSFER", NULL);
        return;
    }
    ruling->status = verdicts_read(scope, end->reply->content.data, end->reply->content.size,
                                   &ruling->failed, &ruling->failed_count, &ruling->error);
}

void ruling_make(const struct exchange_end *end, const struct verdict_scope *scope,
                 struct ruling *ret_ruling)
{
    *ret_ruling = (struct ruling){.status = FAN_RETRY};
    long status = end->reply->status;
    if (status >= 200 && status < 300) {
        rule_success(end, scope, ret_ruling);
    } else if (status >= 300) {
        rule_status(end, scope->redactor, ret_ruling);
    } else if (end->curl_code != CURLE_OK) {
        rule_transport(end, ret_ruling);
    } else {
        (void)fan_fail(&ret_ruling->error, FAN_RETRY, "\"%s\" gave no answer", end->origin);
    }
}
