/*
 * engine_internal.h - the engine's insides, for engine.c and status.c.
 */
#ifndef ENGINE_ENGINE_INTERNAL_H
#define ENGINE_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/engine.h"
#include "engine/io_pool.h"
#include "engine/keeper.h"
#include "engine/pipeline.h"
#include "engine/reader.h"
#include "engine/reader_thread.h"
#include "engine/store_letterbox.h"
#include "engine/workers.h"
#include "schemas/registry.h"

/* A source with everything that belongs to it. */
struct engine_source {
    struct engine *engine;
    const struct settings_source *settings;
    const struct source_type *type;
    char slot[SOURCE_NAME_MAX];
    struct encode_context context;
    const char **patterns; /* owned array of borrowed texts */
    size_t patterns_count;
    bool messages;
    struct reader reader;
    struct reader_thread thread;
    bool failed; /* guarded by the engine's lock */
};

struct engine_pipeline {
    struct pipeline pipeline;
    struct engine_source *source;
    size_t intake; /* index in the source's reader */
};

struct engine {
    struct engine_setup setup;
    int lock_descriptor;
    struct io_pool *io_pool;
    struct store *store; /* while the engine is being built */
    struct keeper *keeper;
    struct store_letterbox letterbox;
    struct schema_registries registries;
    struct workers *workers;
    struct engine_source *sources; /* owned */
    size_t sources_count;
    struct engine_pipeline *pipelines; /* owned, in conf order */
    size_t pipelines_count;
    struct pipeline **schedule; /* owned array for the workers */
    int64_t started_wall_us;
    int ended_fd;
    _Atomic bool stopping;
    bool started;

    pthread_mutex_t lock; /* guards what follows, and `failed` of the sources */
    pthread_cond_t reader_ended;
    bool ended;
    enum engine_exit exit;
    struct fan_error why;
};

#endif
