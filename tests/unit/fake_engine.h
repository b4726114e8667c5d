/*
 * fake_engine.h - an engine of two pipelines that only pretends, for tests of the API.
 *
 * It implements engine.h over values that a test sets. The pipelines follow the real table of
 * transitions (engine/state.c).
 */
#ifndef TESTS_UNIT_FAKE_ENGINE_H
#define TESTS_UNIT_FAKE_ENGINE_H

#include "engine/engine.h"
#include "engine/letters.h"

/* Two pipelines, "orders" (labels team=shop, env=prod; one exact table, one target) and "all". */
const struct settings *fake_engine_settings(const char *data_dir, const char *listen);

struct engine *fake_engine(void);

/* Back to the start: both pipelines and the source stream. */
void fake_engine_reset(void);

struct pipeline_status *fake_engine_pipeline(size_t index);
struct source_entry *fake_engine_source(void);

/* From now on engine_command() waits until fake_engine_let_go(). */
void fake_engine_hold_commands(void);
/* Returns when `count` commands wait, or have waited; false after ten seconds. */
bool fake_engine_await_command(unsigned count);
void fake_engine_let_go(void);

/* What engine_command() fails with from now on; NULL: nothing. */
void fake_engine_fail_commands(const char *code);

/* Whether engine_answers() finds a thread that does not. */
void fake_engine_stick(bool stuck);

/* The store that engine_on_store() works on, with the caller's thread; NULL: it is busy. */
void fake_engine_use_store(struct store *store);
/* How often the engine was told that letters have gone undelivered. */
uint64_t fake_engine_removals(void);

/* What engine_replay() answers from now on; it removes what it says has succeeded, by number. */
void fake_engine_replays(uint64_t succeed, uint64_t fail, const char *stop_why);

#endif
