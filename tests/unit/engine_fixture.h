/*
 * engine_fixture.h - pipelines over one scripted target each, for unit tests of the engine's core.
 *
 * The target accepts what it is given unless `answer` says otherwise, and settles when the test
 * says so. Nothing runs by itself.
 */
#ifndef TESTS_UNIT_ENGINE_FIXTURE_H
#define TESTS_UNIT_ENGINE_FIXTURE_H

#include "engine/pipeline.h"

enum { FIXTURE_BATCHES = 64 };

/* The far side of the target; put into the settings as its options. */
struct fixture_target {
    enum fan_status answer; /* of deliver() */
    enum fan_status start_answer;
    bool started;
    unsigned starts;
    struct fan_position start_place;
    size_t batches;
    struct fan_position last[FIXTURE_BATCHES]; /* of each batch */
    size_t events[FIXTURE_BATCHES];
    enum txn_part parts[FIXTURE_BATCHES];
    struct target_context context;
};

/* A pipeline of `table` t with one target; `respect` and sizes as given. */
struct fixture {
    struct settings_pipeline settings;
    struct settings_target target_settings;
    struct fixture_target target;
    struct pipeline pipeline;
    unsigned scheduled;
    unsigned reader_wakes;
};

void fixture_open(struct fixture *fixture, int64_t ring_events, int policy, int64_t batch_events);
void fixture_close(struct fixture *fixture);

/* An insert without columns at that position; `*relation` is the fixture's. */
struct change fixture_change(uint64_t commit, int64_t seq);
void fixture_push(struct fixture *fixture, uint64_t commit, int64_t seq);
void fixture_publish(struct fixture *fixture, bool whole);
void fixture_settle(struct fixture *fixture, uint64_t commit, int64_t seq);
void fixture_post(struct fixture *fixture, enum outcome_kind kind);

#endif
