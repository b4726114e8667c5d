/*
 * simulate - runs histories of faults over the engine, one a seed, each the same every time.
 *
 *     simulate --seeds N [--first-seed S] [--trace]
 *
 * A history: users write to the model's primary while engine, server, link, store and targets
 * fail in every way they have; then the faults stop, and everything that was committed must be at
 * every target, confirmed, and accounted for. The rules in between stand in check.c.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "tests/sim/process.h"

enum {
    STEPS_MAX = 400000,
    MISHAPS = 18,
    QUIET_US_MAX = 1200000000, /* after the faults: 20 minutes of the world's time */
    ACTOR_SERVER = 0,
    ACTOR_STORE,
    ACTOR_USERS,
    ACTOR_MISHAP,
    ACTOR_OPERATOR,
    ACTOR_EXECUTOR,
    ACTOR_READER,
    ACTOR_PIPELINES,
    ACTOR_TARGETS = ACTOR_PIPELINES + PIPELINES_MAX,
    ACTORS = ACTOR_TARGETS + PIPELINES_MAX * TARGETS_MAX,
};

struct history {
    struct world world;
    int64_t due_us[ACTORS];
    unsigned growths_left;
    uint64_t menu;          /* bit per kind of mishap that happens in this history */
    int64_t restart_us;     /* when an engine that is down comes back */
    int64_t given_up;       /* letters that the caps had given up at the last start */
    int64_t server_stop_us; /* when the server is told to stop; 0 never */
    int64_t quiet_since_us;
    bool at_end; /* everything is delivered, and the engine stops for the last time */
    bool last_stop;
};

static struct history *current; /* for fan_assert_failed() */
struct world *sim_world;

static void report(const struct history *history, const char *fault)
{
    notes_print(&history->world.notes);
    if (history->world.process != NULL) {
        process_print(history->world.process);
    }
    (void)printf("FAILED seed %" PRIu64 " at %.6f s, step %" PRIu64 ": %s\n", history->world.seed,
                 (double)history->world.now_us / 1e6, history->world.steps, fault);
    (void)printf("replay: scripts/simulate --first-seed %" PRIu64 " --seeds 1 --trace\n",
                 history->world.seed);
    (void)fflush(stdout); /* nothing can be done about a failure */
}

/* Takes the place of the one in base: a broken assertion names its seed. */
_Noreturn void fan_assert_failed(const char *condition, const char *file, int line)
{
    char text[512];
    (void)snprintf(text, sizeof(text), "broken invariant at %s:%d: %s", file, line, condition);
    if (current != NULL) {
        report(current, text);
    }
    (void)fprintf(stderr, "%s\n", text); /* last */
    abort();
}

/* ---- the engine's life ---- */

static void edit_conf(struct world *world)
{
    size_t index = (size_t)rng_below(&world->rng, PIPELINES_MAX);
    struct plan *plan = &world->plans[index];
    size_t present = 0;
    for (size_t at = 0; at < PIPELINES_MAX; at++) {
        present += world->plans[at].present;
    }
    if (!plan->present) {
        plan_make(world, index);
        bool known = world->vault.has_source;
        plan->begin = (struct fan_lsn){known ? world->vault.source.confirmed : 0};
        sometimes(SOMETIMES_PIPELINE_ADDED);
        world_note(world, "conf: pipeline added", index, plan->begin.value, 0);
    } else if (present > 1 && world_chance(world, 2)) {
        plan->present = false;
        vault_forget(&world->vault, index);
        sometimes(SOMETIMES_PIPELINE_REMOVED);
        world_note(world, "conf: pipeline removed", index, 0, 0);
    } else {
        plan_tune(world, index);
    }
}

static void engine_start(struct history *history)
{
    struct world *world = &history->world;
    if (world->flaky && world_chance(world, 3)) {
        edit_conf(world);
    }
    if (world->vault.has_source && world->vault.source.slot_state == STORE_SLOT_INTENT &&
        world->server.slot_exists) {
        sometimes(SOMETIMES_SLOT_INTENT_ADOPTED);
    }
    history->given_up = world->vault.given_up;
    world_note(world, "engine: start", world->vault.source.confirmed, 0, 0);
    (void)process_create(world); /* it is world->process now */
}

static void engine_end(struct history *history, bool crash)
{
    struct world *world = &history->world;
    world_note(world, crash ? "engine: crash" : "engine: stopped", 0, 0, 0);
    vault_crash(&world->vault);
    if (world->server.stranger_until_us != 0 &&
        world->vault.source.slot_state == STORE_SLOT_INTENT &&
        !process_has_failed(world->process)) {
        /* The one moment in which nobody can tell: refused, and dead before that was written. */
        world->server.stranger_until_us = world->now_us;
    }
    world->crashing = true;
    process_destroy(world->process);
    world->crashing = false;
    history->restart_us = world->now_us + (int64_t)rng_below(&world->rng, 3000000);
}

static void watch_stop(struct history *history)
{
    struct world *world = &history->world;
    struct process *process = world->process;
    if (process == NULL || !process->stopping) {
        return;
    }
    if (reader_has_ended(&process->reader)) {
        sometimes(SOMETIMES_STOP_DRAINED);
        if (process->stopped_all) {
            sometimes(SOMETIMES_STOP_ALL_DRAINED);
        }
        if (history->at_end && world->server.confirmed.value != world->vault.source.confirmed) {
            world_fail(world, "a graceful stop leaves the slot behind the store");
        }
        history->last_stop = history->at_end;
        engine_end(history, false);
    } else if (world->now_us >= process->stop_deadline_us) {
        sometimes(SOMETIMES_STOP_CUT_SHORT);
        if (!world->flaky) {
            world_fail(world, "I24: a graceful stop without any fault does not end");
            return;
        }
        engine_end(history, true);
    }
}

/* ---- those who act ---- */

static int64_t in(struct world *world, uint64_t most_us)
{
    return world->now_us + 1 + (int64_t)rng_below(&world->rng, most_us);
}

/* Whether no target is behind, or waits for somebody. */
static bool are_live(const struct process *process)
{
    for (size_t index = 0; index < process->count; index++) {
        const struct pipeline *pipeline = &process->pipelines[index];
        for (size_t target = 0; target < pipeline->outlets_count; target++) {
            const struct outlet *outlet = &pipeline->outlets[target];
            if (outlet->divert != BACKLOG_NONE || outlet->backlog.kind != BACKLOG_NONE ||
                outlet->fatal || outlet->gap_to_mark.count > 0 || !outlet->started) {
                return false;
            }
        }
    }
    return true;
}

/* A target without a backlog is tried with what comes next: so something has to come. */
static int64_t users_trickle(struct history *history)
{
    struct world *world = &history->world;
    if (history->at_end) {
        return INT64_MAX;
    }
    if (!world->flaky && world->process != NULL && !are_live(world->process) &&
        world->server.state == SERVER_UP) {
        wal_grow(&world->wal, &world->rng, world->now_us);
        wal_settle(&world->wal, &world->rng, world->now_us);
    }
    return in(world, 3000000);
}

static int64_t users_act(struct history *history)
{
    struct world *world = &history->world;
    if (history->growths_left == 0) {
        return users_trickle(history);
    }
    if (world->server.state != SERVER_UP) {
        return in(world, 500000); /* a stopping server sends its users away first */
    }
    unsigned burst = world_chance(world, 8) ? 12 : 1;
    for (; burst > 0 && history->growths_left > 0; burst--) {
        history->growths_left--;
        wal_grow(&world->wal, &world->rng, world->now_us);
    }
    return in(world, world_chance(world, 10) ? 4000000 : 400000);
}

static void mishap(struct history *history)
{
    struct world *world = &history->world;
    uint64_t kind = rng_below(&world->rng, MISHAPS);
    if ((history->menu >> kind & 1) == 0) {
        return;
    }
    switch (kind) {
    case 0:
    case 1:
        if (world->process != NULL) {
            sometimes(SOMETIMES_ENGINE_CRASH);
            world->crashes++;
            engine_end(history, true);
        }
        return;
    case 2:
        if (world->process != NULL && !world->process->stopping) {
            process_begin_stop(world->process, world_chance(world, 3) ? 300000 : 20000000);
        }
        return;
    case 3:
        server_crash(&world->server, (int64_t)rng_below(&world->rng, 4000000));
        return;
    case 10:
        /* A pipeline holds the slot while others read on, and the server is to stop. */
        if (world->process != NULL && world->server.sender.open &&
            world->process->reader.blocked_by < 0) {
            size_t index = (size_t)rng_below(&world->rng, world->process->count);
            (void)process_command(world->process, index, PIPELINE_PAUSE); /* or it is too busy */
            history->server_stop_us = world->now_us + 1500000;
        }
        return;
    case 4:
        server_stop(&world->server);
        return;
    case 5:
    case 6:
    case 7:
        server_break_link(&world->server);
        return;
    case 8:
        if (world->server.sender.open && world_chance(world, 4)) {
            world_note(world, "link: silent", 0, 0, 0);
            sometimes(SOMETIMES_LINK_SILENT);
            world->server.sender.mute = true;
        }
        return;
    case 9: {
        int64_t jump_us = (int64_t)rng_below(&world->rng, 100000000);
        world_note(world, "time jumps (us)", (uint64_t)jump_us, 0, 0);
        world->now_us += jump_us;
        world->jumped_us = world->now_us;
        world->server.state_until_us += jump_us; /* a jump is nobody's slowness */
        return;
    }
    case 14:
    case 15:
    case 16:
    case 17: {
        struct outside *outside = &world->outside[rng_below(&world->rng, PIPELINES_MAX)]
                                                 [rng_below(&world->rng, TARGETS_MAX)];
        outside->down_until_us = in(world, world_chance(world, 2) ? 10000000 : 90000000);
        world_note(world, "target: down (place, until)", outside->pipeline * 16 + outside->target,
                   (uint64_t)outside->down_until_us, 0);
        return;
    }
    default:
        server_checkpoint(&world->server);
        return;
    }
}

/* Under policy `error` a full buffer is an error for ever: the operator gives more. */
static void enlarge_buffers(struct history *history)
{
    struct world *world = &history->world;
    bool any = false;
    for (size_t index = 0; index < PIPELINES_MAX; index++) {
        struct plan *plan = &world->plans[index];
        any = any || (plan->present && plan->settings.buffer.policy == BUFFER_ERROR);
    }
    if (!any) {
        return;
    }
    if (world->process != NULL) {
        engine_end(history, true);
    }
    for (size_t index = 0; index < PIPELINES_MAX; index++) {
        if (world->plans[index].present) {
            plan_tune(world, index);
        }
    }
}

static int64_t mishap_act(struct history *history)
{
    struct world *world = &history->world;
    if (!world->flaky) {
        return INT64_MAX;
    }
    if (history->growths_left == 0) {
        world->flaky = false;
        for (size_t place = 0; place < PIPELINES_MAX * TARGETS_MAX; place++) {
            world->outside[place / TARGETS_MAX][place % TARGETS_MAX].down_until_us = 0;
        }
        world->vault.full_until_us = 0;
        world->source.slot_guard.hard = 0;
        history->quiet_since_us = world->now_us;
        world_note(world, "faults end", 0, 0, 0);
        wal_settle(&world->wal, &world->rng, world->now_us);
        enlarge_buffers(history);
        /* An operator who is sure of a target lets it refuse what it never takes, more than once. */
        for (size_t index = 0; index < PIPELINES_MAX; index++) {
            world->plans[index].settings.error_handling.poison_max = 1000;
            world->plans[index].settings.error_handling.max_attempts = 6;
        }
        if (world->process != NULL && world->process->stopping) {
            world->process->stop_deadline_us = world->now_us + 120000000; /* now it has to end */
        }
        world->server.sender.broken = world->server.sender.broken || world->server.sender.mute;
        return INT64_MAX;
    }
    if (history->server_stop_us != 0) {
        history->server_stop_us = 0;
        server_stop(&world->server);
        return world->now_us + 8000000; /* time to be let go */
    }
    mishap(history);
    if (history->server_stop_us != 0) {
        return history->server_stop_us;
    }
    return in(world, world_chance(world, 4) ? 800000 : 12000000);
}

/* What brings a pipeline nearer to STREAMING, or nowhere. */
static bool mending_verb(enum pipeline_state state, enum pipeline_verb *ret_verb)
{
    *ret_verb = state == PIPELINE_PAUSED ? PIPELINE_RESUME : PIPELINE_START;
    return state == PIPELINE_PAUSED || state == PIPELINE_ERROR || state == PIPELINE_STOPPED;
}

static bool has_fatal(const struct process *process, size_t index)
{
    const struct pipeline *pipeline = &process->pipelines[index];
    bool any = false;
    for (size_t target = 0; target < pipeline->outlets_count; target++) {
        any = any || pipeline->outlets[target].fatal;
    }
    return any;
}

/* Whether the pipeline goes on for its other targets, and comes back by itself. */
static bool mends_itself(const struct process *process, size_t index)
{
    return process->reader.intakes[index].isolated && !has_fatal(process, index);
}

static int64_t operator_act(struct history *history)
{
    struct world *world = &history->world;
    struct process *process = world->process;
    if (process == NULL) {
        if (world->now_us >= history->restart_us) {
            engine_start(history);
        }
        return in(world, 200000);
    }
    if (process_has_failed(process)) {
        if (!world->server.stranger_came) {
            world_fail(world, "the source failed for good, and no stranger was there");
        }
        world_note(world, "engine: source failed", 0, 0, 0);
        engine_end(history, true);
        return in(world, 200000);
    }
    replays_step(process);
    if (process->stopping) {
        return in(world, 500000);
    }
    if (world->flaky && world_chance(world, 3)) {
        replay_ask_some(process);
    } else if (!world->flaky && world->replays_all && are_live(process)) {
        /* Keys of letters that the caps gave up are let go with the next start. */
        if (history->given_up != world->vault.given_up && world_chance(world, 50)) {
            engine_end(history, true);
            return in(world, 200000);
        }
        replay_ask_all(process);
    }
    size_t index = (size_t)rng_below(&world->rng, process->count);
    enum pipeline_verb verb;
    bool mends = mending_verb(process->reader.intakes[index].state, &verb);
    if (!mends && has_fatal(process, index)) {
        mends = true;
        verb = PIPELINE_RESTART;
    }
    if (mends && !mends_itself(process, index) && (!world->flaky || world_chance(world, 2))) {
        (void)process_command(process, index, verb); /* tried again when too many wait */
    } else if (world->flaky && world_chance(world, 4)) {
        verb = (enum pipeline_verb)rng_below(&world->rng, 5);
        (void)process_command(process, index, verb);
    }
    return in(world, world->flaky ? 1500000 : 200000);
}

static int64_t act(struct history *history, size_t actor)
{
    struct world *world = &history->world;
    switch (actor) {
    case ACTOR_SERVER:
        return server_step(&world->server, world->now_us);
    case ACTOR_STORE:
        return vault_step(&world->vault);
    case ACTOR_USERS:
        return users_act(history);
    case ACTOR_MISHAP:
        return mishap_act(history);
    case ACTOR_OPERATOR:
        return operator_act(history);
    case ACTOR_EXECUTOR:
        executor_step(&world->process->executor);
        return INT64_MAX;
    case ACTOR_READER:
        process_step_reader(world->process);
        return INT64_MAX;
    default:
        break;
    }
    if (actor < ACTOR_TARGETS) {
        process_step_pipeline(world->process, actor - ACTOR_PIPELINES);
        return INT64_MAX;
    }
    size_t target = actor - ACTOR_TARGETS;
    return outside_step(&world->outside[target / TARGETS_MAX][target % TARGETS_MAX]);
}

/* ---- the order of things ---- */

/* Those whose due time others set. */
static void collect_dues(struct history *history)
{
    struct world *world = &history->world;
    struct process *process = world->process;
    history->due_us[ACTOR_STORE] = world->vault.jobs_count == 0 ? INT64_MAX : world->vault.due_us;
    history->due_us[ACTOR_EXECUTOR] =
        process == NULL ? INT64_MAX : executor_due_us(&process->executor);
    history->due_us[ACTOR_READER] = process == NULL ? INT64_MAX : process->reader_due_us;
    for (size_t index = 0; index < PIPELINES_MAX; index++) {
        history->due_us[ACTOR_PIPELINES + index] =
            process != NULL && index < process->count ? process->pipeline_due_us[index] : INT64_MAX;
        for (size_t target = 0; target < TARGETS_MAX; target++) {
            history->due_us[ACTOR_TARGETS + index * TARGETS_MAX + target] =
                outside_due_us(&world->outside[index][target]);
        }
    }
}

/* One of those that are due, after waiting for the first of them. */
static size_t choose(struct history *history)
{
    struct world *world = &history->world;
    int64_t first_us = INT64_MAX;
    for (size_t actor = 0; actor < ACTORS; actor++) {
        first_us = history->due_us[actor] < first_us ? history->due_us[actor] : first_us;
    }
    world->now_us = first_us > world->now_us ? first_us : world->now_us;
    size_t ready[ACTORS];
    size_t count = 0;
    for (size_t actor = 0; actor < ACTORS; actor++) {
        if (history->due_us[actor] <= world->now_us) {
            ready[count++] = actor;
        }
    }
    FAN_ASSERT(count > 0);
    return ready[rng_below(&world->rng, count)];
}

/* Whether every target takes account of the letters that are gone: the store's answer about them may
 * not be read yet. */
static bool are_fresh(const struct process *process)
{
    uint64_t removals = atomic_load(&process->world->vault.letterbox.removals);
    for (size_t index = 0; index < process->count; index++) {
        const struct pipeline *pipeline = &process->pipelines[index];
        for (size_t target = 0; target < pipeline->outlets_count; target++) {
            const struct outlet *outlet = &pipeline->outlets[target];
            if (outlet->parked_question.asked ||
                (outlet->parked.keys_count > 0 && outlet->parked_removals != removals)) {
                return false;
            }
        }
    }
    return true;
}

static bool is_quiescent(const struct history *history)
{
    const struct world *world = &history->world;
    const struct process *process = world->process;
    if (world->flaky || process == NULL || process->stopping || world->vault.jobs_count > 0) {
        return false;
    }
    for (size_t index = 0; index < process->count; index++) {
        const struct intake *intake = &process->reader.intakes[index];
        if (intake->state != PIPELINE_STREAMING || !intake->open) {
            return false;
        }
    }
    if (!are_live(process) || !are_fresh(process)) {
        return false;
    }
    bool letters = world->replays_all && world->vault.letters_count > 0;
    return world->server.confirmed.value == world->wal.end.value && !letters &&
           replays_idle(process);
}

static void history_step(struct history *history)
{
    struct world *world = &history->world;
    collect_dues(history);
    size_t actor = choose(history);
    world->server.now_us = world->now_us;
    world->steps++;
    history->due_us[actor] = act(history, actor);
    check_step(world);
    watch_stop(history);
    if (!world->flaky && world->now_us - history->quiet_since_us > QUIET_US_MAX) {
        world_fail(world, "I24: not quiescent 20 minutes after the last fault");
    }
    if (world->steps > STEPS_MAX) {
        world_fail(world, "I24: too many steps");
    }
}

static void history_open(struct history *history, uint64_t seed, bool trace)
{
    struct world *world = &history->world;
    *history = (struct history){.world = {.seed = seed, .flaky = true, .now_us = 1000000}};
    /* Neighbouring seeds of the generator give the same sequence, one apart. */
    struct rng mix = rng_seeded(seed);
    world->rng = rng_seeded(rng_next(&mix));
    world->notes.trace = trace;
    sim_world = world;
    wal_init(&world->wal, &world->rng);
    server_init(&world->server, &world->wal, &world->rng, &world->notes);
    world->server.check_status = check_status;
    world->server.check_start = check_start;
    world->server.check_context = world;
    vault_init(&world->vault, world);
    size_t pipelines = 1 + (size_t)rng_below(&world->rng, PIPELINES_MAX);
    for (size_t index = 0; index < PIPELINES_MAX; index++) {
        for (size_t target = 0; target < TARGETS_MAX; target++) {
            outside_init(&world->outside[index][target], world, index, target);
        }
        if (index < pipelines) {
            plan_make(world, index);
        }
    }
    plan_caps(world);
    plan_guard(world);
    /* Fewer kinds at a time reach further: what ends every session hides what comes later. */
    static const uint64_t calms[] = {1, 1, 4, 50};
    world->calm = calms[rng_below(&world->rng, CONF_COUNT(calms))];
    history->menu = rng_next(&world->rng) | (world_chance(world, 3) ? UINT64_MAX : 0);
    world->replays_all = world_chance(world, 2);
    history->growths_left = 20 + (unsigned)rng_below(&world->rng, 400);
    for (size_t actor = 0; actor < ACTOR_READER; actor++) {
        history->due_us[actor] = world->now_us;
    }
    history->due_us[ACTOR_MISHAP] = in(world, 10000000);
}

static void history_close(struct history *history)
{
    struct world *world = &history->world;
    if (world->process != NULL) {
        world->crashing = true;
        vault_crash(&world->vault);
        process_destroy(world->process);
    }
    for (size_t index = 0; index < PIPELINES_MAX; index++) {
        for (size_t target = 0; target < TARGETS_MAX; target++) {
            outside_release(&world->outside[index][target]);
        }
    }
    vault_release(&world->vault);
    server_release(&world->server);
    wal_release(&world->wal);
}

/* Returns whether every rule held. */
static bool history_run(struct history *history, uint64_t seed, bool trace)
{
    struct world *world = &history->world;
    current = history;
    history_open(history, seed, trace);
    while (!world->failed && !is_quiescent(history)) {
        history_step(history);
    }
    if (!world->failed) {
        check_end(world);
        history->at_end = true;
        process_begin_stop(world->process, 30000000);
    }
    while (!world->failed && !history->last_stop) {
        history_step(history);
    }
    if (world->failed) {
        report(history, world->fault);
    }
    bool held = !world->failed;
    history_close(history);
    current = NULL;
    return held;
}

static bool argument_number(const char *text, uint64_t *ret_number)
{
    char *end;
    *ret_number = strtoull(text, &end, 10);
    return *text != '\0' && *end == '\0';
}

int main(int argc, char **argv)
{
    uint64_t seeds = 100;
    uint64_t first = 1;
    bool trace = false;
    for (int at = 1; at < argc; at++) {
        bool value = at + 1 < argc;
        if (strcmp(argv[at], "--trace") == 0) {
            trace = true;
        } else if (strcmp(argv[at], "--seeds") == 0 && value &&
                   argument_number(argv[++at], &seeds)) {
            continue;
        } else if (strcmp(argv[at], "--first-seed") == 0 && value &&
                   argument_number(argv[++at], &first)) {
            continue;
        } else {
            (void)fprintf(stderr, "usage: simulate [--seeds N] [--first-seed S] [--trace]\n");
            return 64;
        }
    }
    log_set_level(trace ? LOG_DEBUG : LOG_ERROR);
    if (trace) {
        (void)setvbuf(stdout, NULL, _IOLBF, 0); /* in line with the engine's log, or not */
    } else {
        log_set_descriptor(open("/dev/null", O_WRONLY | O_CLOEXEC));
    }
    struct history *history = calloc(1, sizeof(*history));
    FAN_ASSERT(history != NULL);
    uint64_t failed = 0;
    for (uint64_t seed = first; seed < first + seeds && failed < 5; seed++) {
        failed += !history_run(history, seed, trace);
    }
    free(history);
    unsigned missing = sometimes_print();
    bool enough = seeds < 1000 || missing == 0;
    (void)printf("%" PRIu64 " histories from seed %" PRIu64 ": %s\n", seeds, first,
                 failed > 0 ? "FAILED"
                 : enough   ? "every rule held"
                            : "FAILED: a situation was never met");
    return failed > 0 || !enough ? 1 : 0;
}
