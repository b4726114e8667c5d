/*
 * override.h - single keys set from the environment and from --set.
 *
 * An override is put into the merged tree, where the decoder finds it as if a file had said it; its
 * place names the variable or the --set, never the value.
 *
 * A variable is an override when it starts with PGFAN_ and has `__`, or is PGFAN_ and a key of the
 * top level. Segments are keys and names in capitals, other characters than letters and digits as _.
 */
#ifndef CONF_OVERRIDE_H
#define CONF_OVERRIDE_H

#include "conf/decode.h"

void conf_override_environment(const struct conf_decoder *decoder);

/* `set` is key.path=value. */
void conf_override_set(const struct conf_decoder *decoder, const char *set);

#endif
