/*
 * print.h - the effective conf, with defaults, as YAML or JSON, and without secrets.
 *
 * Keys come in the order of the tables, so that two printouts compare line by line. Connection
 * strings are shown with what is secret in them masked, other secrets as ***. What is not secret
 * reads back as the same value.
 */
#ifndef CONF_PRINT_H
#define CONF_PRINT_H

#include "base/bytes.h"
#include "conf/settings.h"

void conf_print_yaml(const struct settings *settings, struct bytes *ret_text);
void conf_print_json(const struct settings *settings, struct bytes *ret_text);

#endif
