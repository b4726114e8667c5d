/*
 * spec_json.h - the effective spec of a pipeline as JSON, written from the tables of its options.
 *
 * Keys and units are those of the conf file: a duration and a size are texts as the file would
 * have them, secrets are masked.
 */
#ifndef API_SPEC_JSON_H
#define API_SPEC_JSON_H

#include <jansson.h>

#include "conf/settings.h"

json_t *spec_json_pipeline(const struct settings_pipeline *pipeline);

#endif
