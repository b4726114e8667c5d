#include "targets/nats/dial.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 256, URL_MAX = 320, WRITE_DEADLINE_MS = 5000 };

struct dial {
    natsOptions *options;
    natsConnection *connection; /* owned until it is taken */
    natsStatus status;
    char words[WORDS_MAX];
};

static void dial_run(void *work)
{
    struct dial *dial = work;
    dial->status = natsConnection_Connect(&dial->connection, dial->options);
    if (dial->status != NATS_OK) {
        const char *words = nats_GetLastError(NULL);
        (void)snprintf(dial->words, sizeof(dial->words), "%s",
                       words != NULL ? words : ""); /* cut if long */
    }
    nats_ReleaseThreadMemory();
}

static void dial_release(void *work)
{
    struct dial *dial = work;
    natsConnection_Destroy(dial->connection); /* accepts NULL */
    natsOptions_Destroy(dial->options);       /* accepts NULL */
    free(dial);
}

/* The library would print what happens between its calls; whoever calls it next sees it. */
static void ignore_event(natsConnection *connection, natsSubscription *subscription,
                         natsStatus status, void *closure)
{
    (void)connection;
    (void)subscription;
    (void)status;
    (void)closure;
}

static natsStatus set_server(natsOptions *made, const struct nats_options *options,
                             const struct address *address)
{
    char url[URL_MAX];
    bool brackets = strchr(address->place, ':') != NULL;
    (void)snprintf(url, sizeof(url), "nats://%s%s%s:%s", brackets ? "[" : "", address->place,
                   brackets ? "]" : "", address->port); /* it fits */
    natsStatus status = natsOptions_SetURL(made, url);
    if (status == NATS_OK && options->tls) {
        status = natsOptions_SetSecure(made, true);
    }
    /* The library looks at the name only when it is told to. */
    return status == NATS_OK && options->tls ? natsOptions_SetExpectedHostname(made, address->place)
                                             : status;
}

static natsStatus set_login(natsOptions *made, const struct nats_options *options)
{
    const char *token = secret_reveal(&options->token);
    if (options->username != NULL) {
        return natsOptions_SetUserInfo(made, options->username, secret_reveal(&options->password));
    }
    if (token != NULL) {
        return natsOptions_SetToken(made, token);
    }
    return options->credentials != NULL
               ? natsOptions_SetUserCredentialsFromFiles(made, options->credentials, NULL)
               : NATS_OK;
}

/* A lost connection is made anew by the session, which knows what was on its way. */
static natsStatus set_manners(natsOptions *made, const struct nats_options *options)
{
    natsStatus status = natsOptions_SetAllowReconnect(made, false);
    if (status == NATS_OK) {
        status = natsOptions_SetTimeout(made, options->connect_timeout_us / 1000);
    }
    if (status == NATS_OK) {
        status = natsOptions_SetWriteDeadline(made, WRITE_DEADLINE_MS);
    }
    if (status == NATS_OK) {
        status = natsOptions_SetIgnoreDiscoveredServers(made, true);
    }
    if (status == NATS_OK) {
        status = natsOptions_SetSendAsap(made, true);
    }
    if (status == NATS_OK) {
        status = natsOptions_SetName(made, "pgfan");
    }
    return status == NATS_OK ? natsOptions_SetErrorHandler(made, ignore_event, NULL) : status;
}

static enum fan_status set_certificates(natsOptions *made, const struct nats_options *options,
                                        struct fan_error *reterr)
{
    const char *file = options->ca;
    natsStatus status = NATS_OK;
    if (options->ca != NULL) {
        status = natsOptions_LoadCATrustedCertificates(made, options->ca);
    }
    if (status == NATS_OK && options->client_cert != NULL) {
        file = options->client_cert;
        status = natsOptions_LoadCertificatesChain(made, options->client_cert, options->client_key);
    }
    if (status != NATS_OK) {
        (void)fan_fail(reterr, FAN_FATAL, "cannot use the certificates in \"%.400s\": %s", file,
                       natsStatus_GetText(status));
        fan_error_annotate(reterr, "NATS_CERTIFICATE", "check ca, client_cert and client_key");
        return FAN_FATAL;
    }
    return FAN_OK;
}

static enum fan_status make_options(const struct nats_options *options, const char *server,
                                    natsOptions **ret_made, struct fan_error *reterr)
{
    struct address address;
    const char *fault = nats_server_parse(server, &address);
    if (fault != NULL) {
        return fan_fail(reterr, FAN_FATAL, "cannot use a server: %s", fault);
    }
    natsStatus status = natsOptions_Create(ret_made);
    if (status == NATS_OK) {
        status = set_server(*ret_made, options, &address);
    }
    if (status == NATS_OK) {
        status = set_login(*ret_made, options);
    }
    if (status == NATS_OK) {
        status = set_manners(*ret_made, options);
    }
    if (status != NATS_OK) {
        return fan_fail(reterr, FAN_RETRY, "could not prepare a connection to \"%.300s\": %s",
                        server, natsStatus_GetText(status));
    }
    return set_certificates(*ret_made, options, reterr);
}

enum fan_status dial_start(const struct nats_options *options, const char *server,
                           struct errand **ret_errand, struct fan_error *reterr)
{
    struct dial *dial = calloc(1, sizeof(*dial));
    if (dial == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not connect to \"%.300s\": out of memory",
                        server);
    }
    enum fan_status status = make_options(options, server, &dial->options, reterr);
    if (status == FAN_OK) {
        status = errand_start("nats-dial", dial_run, dial_release, dial, ret_errand, reterr);
    }
    if (status != FAN_OK) {
        dial_release(dial);
    }
    return status;
}

natsStatus dial_take(struct errand *errand, natsConnection **ret_connection, const char **ret_words)
{
    struct dial *dial = errand_work(errand);
    *ret_connection = dial->connection;
    dial->connection = NULL;
    *ret_words = dial->words;
    return dial->status;
}
