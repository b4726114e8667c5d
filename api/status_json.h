/*
 * status_json.h - the engine's status as JSON resources: what GET /status and /pipelines answer.
 *
 * Members are never renamed: programs rely on them (docs/api.md lists them).
 * Threading:  stateless over a snapshot that the caller owns.
 */
#ifndef API_STATUS_JSON_H
#define API_STATUS_JSON_H

#include <jansson.h>

#include "api/api.h"
#include "engine/engine.h"

/* {"metadata":{…},"spec":{…},"status":{…}} */
json_t *status_json_pipeline(const struct api_setup *setup, const struct engine_status *status,
                             const struct pipeline_status *pipeline);

/* {"pipeline":…,"checkpoints":[…]}: of each target, in the order of the conf. */
json_t *status_json_checkpoints(const struct api_setup *setup, const struct engine_status *status,
                                const struct pipeline_status *pipeline);

json_t *status_json_source(const struct engine_status *status, const struct source_entry *entry);

json_t *status_json_all(const struct api_setup *setup, const struct engine_status *status);

json_t *status_json_versions(const struct api_setup *setup);

enum { STATUS_ID_MAX = 512 };

/* Writes the id `{source}:{schema.table}:{target type}`. False when the pipeline has none: it
 * needs one exact table and one target. */
bool status_json_id(const struct settings_pipeline *pipeline, char *id, size_t id_size);

#endif
