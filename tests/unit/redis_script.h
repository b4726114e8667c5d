/*
 * redis_script.h - a Redis server on loopback that does what a test says, and keeps what it got.
 *
 * By itself it answers like an empty server that takes everything. A step of the script stands in
 * the place of the next reply to the command that it names.
 *
 * Threading:  the test's thread calls; the server has its own, one connection at a time.
 */
#ifndef TESTS_UNIT_REDIS_SCRIPT_H
#define TESTS_UNIT_REDIS_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redis_script;

struct redis_script *redis_script_start(void);
void redis_script_stop(struct redis_script *script);
uint16_t redis_script_port(const struct redis_script *script);

/* The next command `name` is answered with `reply`, bytes of the protocol. "": the connection is
 * closed instead. "=": as by itself. NULL: nothing is said until the peer goes. */
void redis_script_add(struct redis_script *script, const char *name, const char *reply);

/* The commands so far, a line each, arguments parted by a space, the script's text left out; in a
 * static buffer. */
const char *redis_script_log(struct redis_script *script);
unsigned redis_script_connections(struct redis_script *script);
/* Waits up to ten seconds until the log holds `text`. */
bool redis_script_wait(struct redis_script *script, const char *text);

#endif
