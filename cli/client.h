/*
 * client.h - requests of the command line to a running engine, over its control socket.
 *
 * Which socket: --socket, else pgfan.sock in --data-dir, else in the data_dir of the conf.
 *
 * Threading:  the main thread; calls block, CLIENT_TIMEOUT_S at the most.
 * Errors:     a failure has been printed to stderr, and the exit status is returned.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <jansson.h>

#include "cli/arguments.h"

enum { CLIENT_TIMEOUT_S = 60 };

/*
 * Sends one request: GET when `method` is so, else POST with `body` (NULL: none; borrowed). On
 * EXIT_FINE `ret_value` is the answer, the caller's to decref. `accepted` is one more status of
 * HTTP that is not a failure, or 0.
 */
int client_request(const struct arguments *arguments, const char *method, const char *path,
                   const json_t *body, long accepted, json_t **ret_value);

/* What client_ask() returns, without a word, when nobody listens on the socket. */
enum { CLIENT_NO_ENGINE = -1 };

/* The same, but an answer of any status is a success: `ret_status` is that of HTTP. */
int client_ask(const struct arguments *arguments, const char *method, const char *path,
               const json_t *body, long *ret_status, json_t **ret_value);

/* Prints what the engine refused; returns EXIT_FAILED. */
int client_refused(long status, const json_t *answer);

/* Appends `text` to a path, percent-encoded; false when it does not fit. */
bool client_append_segment(char *path, size_t path_size, const char *text);

#endif
