/*
 * tables.h - the tables of the sections that are not a plug-in's.
 */
#ifndef CONF_TABLES_H
#define CONF_TABLES_H

#include "conf/option.h"

extern const struct conf_table conf_root_table;     /* struct settings */
extern const struct conf_table conf_source_table;   /* struct settings_source */
extern const struct conf_table conf_pipeline_table; /* struct settings_pipeline */
extern const struct conf_table conf_target_table;   /* struct settings_target */

#endif
