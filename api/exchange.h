/*
 * exchange.h - one HTTP request and its answer, between libmicrohttpd and the handlers.
 *
 * What libmicrohttpd accepts and we do not is refused here, before the body is read:
 *
 *   Content-Length with Transfer-Encoding, or more than one of either    400, and the end
 *   a version other than HTTP/1.1                                        505
 *   an Origin that is not this server's, a Host that is no loopback name
 *   (on TCP; DNS rebinding), a method other than GET or HEAD on TCP      403, 405
 *   a body over EXCHANGE_BODY_MAX                                        413
 *   a body that is not application/json                                  415
 *
 * A handler that waits runs on the thread of verbs.h meanwhile: the connection is suspended, and
 * libmicrohttpd touches the exchange again when it has been resumed.
 *
 * Threading:  the API thread, but for that handler.
 */
#ifndef API_EXCHANGE_H
#define API_EXCHANGE_H

#include <microhttpd.h>

#include "api/api.h"
#include "api/verbs.h"

enum { EXCHANGE_BODY_MAX = 1024 * 1024 };

/* What an exchange knows of the connection it came on. */
struct exchange_peer {
    const struct api_setup *setup;
    struct verbs *verbs;
    uint16_t tcp_port; /* 0: the unix socket */
    bool allowed;      /* by its credentials */
    bool last;         /* the connection has served enough requests: close it behind this one */
};

struct exchange;

/* Returns NULL when memory is out. `version` is that of the request line. */
struct exchange *exchange_create(const struct exchange_peer *peer,
                                 struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version);

/* True when the headers were refused: answer at once, without reading the body. */
bool exchange_refused(const struct exchange *exchange);

/* Takes a piece of the body. */
void exchange_body(struct exchange *exchange, const char *data, size_t size);

/*
 * Runs the handler unless the request is refused by now. False: the handler waits, the connection
 * has been suspended and is resumed by exchange_finish().
 */
bool exchange_handle(struct exchange *exchange);

/* Its handler has been run, or not when there was no time for it: the answer can be sent. */
void exchange_finish(struct verb_job *job);

/* True between the two. */
bool exchange_waits(const struct exchange *exchange);
/* True behind them. */
bool exchange_answered(const struct exchange *exchange);

enum MHD_Result exchange_send(struct exchange *exchange);

/* Accepts NULL. */
void exchange_destroy(struct exchange *exchange);

#endif
