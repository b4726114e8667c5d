/*
 * nats_script.h - a NATS server on loopback that does what a test says, and remembers what it got.
 *
 * By itself it acknowledges every message as a stream would. A step of the script stands in the
 * place of one acknowledgement.
 *
 * Threading:  the test's thread calls; the server has its own, one connection at a time.
 */
#ifndef TESTS_UNIT_NATS_SCRIPT_H
#define TESTS_UNIT_NATS_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nats_script;

struct nats_script *nats_script_start(void);
void nats_script_stop(struct nats_script *script);
uint16_t nats_script_port(const struct nats_script *script);

/* Message `index`, counted from 0 over all connections, is answered with this JSON. "": nobody
 * listens. NULL: nothing is said. "close": the connection ends. Other words that begin with `-`:
 * that line. */
void nats_script_add(struct nats_script *script, unsigned index, const char *answer);

/* What was published so far, a line each: the subject, the id, the expected stream or `-`, the
 * body; in a static buffer. Login options come as `CONNECT {...}`. */
const char *nats_script_log(struct nats_script *script);
/* Waits up to ten seconds until the log holds `text`. */
bool nats_script_wait(struct nats_script *script, const char *text);

#endif
