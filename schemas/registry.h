/*
 * registry.h - the schema registries that targets name: the numbers of their schemas, asked for by a
 * thread each.
 *
 *     encoder ──find()──► book ──► thread ──HTTP──► registry
 *                          ▲                          │
 *                          `──────── number ──────────'
 *
 * A schema is asked for when it is first looked for, and its number then kept for ever: registries never
 * change one. As long as a registry does not answer it is asked again and again, with growing waits; what
 * it refuses is asked again now and then, because an operator may have made it fit. So an encoder never
 * waits, and a change waits in front of it.
 *
 * Ownership:  schema_registries_get() lends; all live until schema_registries_release(). Settings are
 *             borrowed as long.
 * Threading:  get and release by one thread; find() by any.
 * Limits:     SCHEMAS_MAX schemas a registry.
 */
#ifndef SCHEMAS_REGISTRY_H
#define SCHEMAS_REGISTRY_H

#include <stddef.h>

#include "base/status.h"
#include "conf/settings.h"
#include "encode/schema_ids.h"

enum { SCHEMAS_MAX = 100000 };

struct schema_registry;

struct schema_registries {
    struct schema_registry **items; /* owned */
    size_t count;
};

/* The registry of these settings; equal settings have the same one, with its thread. */
enum fan_status schema_registries_get(struct schema_registries *registries,
                                      const struct settings_avro *settings,
                                      struct schema_ids **ret_ids,
                                      struct fan_error *reterr) FAN_MUST_CHECK;

/* Ends the threads. No encoder that uses one of them is left. Accepts a zeroed one. */
void schema_registries_release(struct schema_registries *registries);

#endif
