#include "targets/redis/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

static const char *library_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason != NULL ? reason : "no reason given";
}

static enum fan_status file_fault(const char *key, const char *path, struct fan_error *reterr)
{
    (void)fan_fail(reterr, FAN_FATAL, "cannot use \"%.400s\" as %s: %s", path, key,
                   library_reason());
    fan_error_annotate(reterr, "REDIS_CERTIFICATE", "check ca, client_cert and client_key");
    return FAN_FATAL;
}

static enum fan_status load_files(SSL_CTX *context, const struct redis_options *options,
                                  struct fan_error *reterr)
{
    if (options->ca != NULL ? SSL_CTX_load_verify_file(context, options->ca) != 1
                            : SSL_CTX_set_default_verify_paths(context) != 1) {
        return file_fault("ca", options->ca != NULL ? options->ca : "the system's", reterr);
    }
    if (options->client_cert == NULL) {
        return FAN_OK;
    }
    if (SSL_CTX_use_certificate_chain_file(context, options->client_cert) != 1) {
        return file_fault("client_cert", options->client_cert, reterr);
    }
    if (SSL_CTX_use_PrivateKey_file(context, options->client_key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context) != 1) {
        return file_fault("client_key", options->client_key, reterr);
    }
    return FAN_OK;
}

enum fan_status redis_tls_create(const struct redis_options *options, SSL_CTX **ret_context,
                                 struct fan_error *reterr)
{
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
        SSL_CTX_free(context);
        return fan_fail(reterr, FAN_RETRY, "could not make a TLS context: %s", library_reason());
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_mode(context, /* returns the modes */
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    enum fan_status status = load_files(context, options, reterr);
    if (status != FAN_OK) {
        SSL_CTX_free(context);
        return status;
    }
    *ret_context = context;
    return FAN_OK;
}

SSL *redis_tls_open(SSL_CTX *context, const struct address *address, int descriptor)
{
    ERR_clear_error();
    SSL *ssl = SSL_new(context);
    if (ssl == NULL) {
        return NULL;
    }
    bool fine;
    if (address_is_numeric(address)) {
        fine = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), address->place) == 1;
    } else {
        struct address named = *address; /* the macro takes no constant */
        fine =
            SSL_set1_host(ssl, named.place) == 1 && SSL_set_tlsext_host_name(ssl, named.place) == 1;
    }
    if (!fine || SSL_set_fd(ssl, descriptor) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}

enum fan_status redis_tls_fault(const SSL *ssl, const char *shown, struct fan_error *reterr)
{
    long verified = SSL_get_verify_result(ssl);
    if (verified != X509_V_OK) {
        (void)fan_fail(reterr, FAN_FATAL, "cannot trust \"%.300s\": %s", shown,
                       X509_verify_cert_error_string(verified));
        fan_error_annotate(reterr, "REDIS_CERTIFICATE",
                           "check the server's certificate and its names, and ca");
        return FAN_FATAL;
    }
    (void)fan_fail(reterr, FAN_RETRY, "could not speak TLS with \"%.300s\": %s", shown,
                   library_reason());
    fan_error_annotate(reterr, "REDIS_TLS",
                       "check that the port is a TLS port, and that client_cert is what the "
                       "server asks for");
    return FAN_RETRY;
}
