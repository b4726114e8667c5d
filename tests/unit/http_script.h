/*
 * http_script.h - an HTTP server on loopback that does what a test says, and remembers what it got.
 *
 * Each request takes the next step of the script; without one it is answered with 200 and "ok".
 *
 * Threading:  the test's thread calls; connections have threads of their own.
 */
#ifndef TESTS_UNIT_HTTP_SCRIPT_H
#define TESTS_UNIT_HTTP_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum http_step_kind {
    HTTP_REPLY,       /* sends `text` whole */
    HTTP_REPLY_CLOSE, /* the same, and ends the connection */
    HTTP_REPLY_RESET, /* the same, and resets it */
    HTTP_DRIP,        /* sends `text` a byte at a time, 20 ms apart */
    HTTP_HANG,        /* says nothing until the peer goes */
    HTTP_FLOOD,       /* sends `text`, then bytes without end, until the peer goes */
};

struct http_step {
    enum http_step_kind kind;
    char *text; /* of the answer, from its status line on */
};

struct http_received {
    char *head; /* request line and headers, with a NUL */
    uint8_t *body;
    size_t body_size;
    unsigned connection; /* counted from 1 */
};

struct http_script;

struct http_script *http_script_start(void);
void http_script_stop(struct http_script *script);
uint16_t http_script_port(const struct http_script *script);
void http_script_add(struct http_script *script, enum http_step_kind kind, const char *text);

/* Waits up to ten seconds for that many requests in all. */
bool http_script_wait(struct http_script *script, size_t count);
size_t http_script_count(struct http_script *script);
/* Valid until the script is stopped. */
const struct http_received *http_script_get(struct http_script *script, size_t index);

/* The value of a header of a request, in a static buffer, or NULL. */
const char *http_script_header(const struct http_received *received, const char *name);

#endif
