/*
 * check.h - rules that hold between sections: names, references, addresses.
 *
 * Runs after decoding, over the same nodes in the same order, and adds to the same report. Targets
 * without a name get their type as name.
 */
#ifndef CONF_CHECK_H
#define CONF_CHECK_H

#include <stdbool.h>

#include "conf/decode.h"

void conf_check(const struct conf_decoder *decoder, struct settings *settings);

/* [A-Za-z0-9_][A-Za-z0-9_.-]{0,62} */
bool conf_name_valid(const char *name);

/* NULL, or why the text is no table pattern. */
const char *conf_table_pattern_fault(const char *pattern);

/* NULL, or why the text is no loopback address with a port, after a colon. */
const char *conf_listen_fault(const char *listen);

#endif
