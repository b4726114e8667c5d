/*
 * reference.h - the reference page, the JSON Schema and man-page parts, from the option tables.
 *
 * docs/configuration.md and docs/pgfan.schema.json are what these functions write; a check compares
 * them. Nothing here depends on the machine or the time.
 */
#ifndef CONF_REFERENCE_H
#define CONF_REFERENCE_H

#include "base/bytes.h"
#include "conf/settings.h"

void conf_reference_markdown(const struct conf_plugins *plugins, struct bytes *ret_text);

/* JSON Schema, draft 7, for editors. */
void conf_reference_schema(const struct conf_plugins *plugins, struct bytes *ret_text);

/* All sections as man(7) source: a .SS each, a .TP each key. */
void conf_reference_man(const struct conf_plugins *plugins, struct bytes *ret_text);

/* One table as .TP paragraphs; for tables that the conf does not reach. */
void conf_reference_man_table(const struct conf_table *table, struct bytes *ret_text);

#endif
