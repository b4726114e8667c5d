/*
 * drain.c - reads a backlog through a PostgreSQL source into a sink that only counts.
 *
 *     drain CONNINFO SLOT SECONDS_IDLE PATTERN...
 *
 * Shows what the source alone can do, without rings, encoders and targets: events a second, and the
 * CPU time of this process. Everything is confirmed at once; it ends when nothing came for
 * SECONDS_IDLE after the first change. The slot must exist, or is created.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "sources/postgres/options.h"
#include "sources/source.h"

struct drain {
    struct source_sink sink;
    struct source_memory memory;
    struct fan_lsn boundary;
    uint64_t changes;
    uint64_t bytes;
    uint64_t bursts;
    uint64_t relations;
    int64_t first_us;
    int64_t last_us;
};

static struct drain *drain_of(struct source_sink *sink)
{
    return (struct drain *)sink;
}

static void recall(struct source_sink *sink, struct source_memory *ret_memory)
{
    *ret_memory = drain_of(sink)->memory;
}

static enum fan_status remember(struct source_sink *sink, const struct source_memory *memory,
                                struct fan_error *reterr)
{
    (void)reterr; /* memory cannot fail */
    drain_of(sink)->memory = *memory;
    return FAN_OK;
}

static struct fan_position furthest(struct source_sink *sink)
{
    (void)sink; /* nothing before this run counts */
    return POSITION_NONE;
}

static void session_started(struct source_sink *sink, struct fan_lsn start,
                            const struct source_memory *memory)
{
    (void)memory; /* it is ours */
    drain_of(sink)->boundary = start;
}

static void session_ended(struct source_sink *sink)
{
    (void)sink; /* nothing belongs to a session */
}

static void relation(struct source_sink *sink, struct relation *version)
{
    (void)version; /* only counted */
    drain_of(sink)->relations++;
}

static bool wants_message(struct source_sink *sink, const char *prefix)
{
    (void)sink;
    (void)prefix; /* all of them */
    return true;
}

static enum fan_status change(struct source_sink *sink, struct change *taken)
{
    struct drain *drain = drain_of(sink);
    drain->changes++;
    drain->bytes += change_size(taken);
    change_release(taken);
    return FAN_OK;
}

static void commit(struct source_sink *sink, struct fan_lsn at, struct fan_lsn end)
{
    (void)at; /* only the end counts */
    drain_of(sink)->boundary = end;
}

static void boundary(struct source_sink *sink, struct fan_lsn position)
{
    drain_of(sink)->boundary = position;
}

static void publish(struct source_sink *sink)
{
    drain_of(sink)->bursts++;
}

static struct fan_lsn ack(struct source_sink *sink)
{
    return drain_of(sink)->boundary;
}

static volatile sig_atomic_t interrupted;

static void interrupt(int signal_number)
{
    (void)signal_number; /* there is one way to end */
    interrupted = 1;
}

static void wait_for(const struct source_wait *wait)
{
    struct pollfd fds[SOURCE_WAIT_FDS_MAX];
    for (size_t i = 0; i < wait->fds_count; i++) {
        fds[i] = (struct pollfd){.fd = wait->fds[i].fd, .events = wait->fds[i].events};
    }
    int64_t left_us = wait->deadline_us - clock_monotonic_us();
    left_us = left_us < 0 ? 0 : left_us > 500000 ? 500000 : left_us;
    struct timespec timeout = {.tv_sec = left_us / 1000000, .tv_nsec = left_us % 1000000 * 1000};
    (void)ppoll(fds, wait->fds_count, &timeout, NULL); /* the step looks at everything anyway */
}

static void run(struct source *source, struct drain *drain, int64_t idle_us)
{
    enum source_state shown = SOURCE_STOPPED;
    for (;;) {
        struct source_wait wait;
        int64_t now_us = clock_monotonic_us();
        uint64_t before = drain->changes;
        source->type->step(source, now_us, &wait);
        if (drain->changes > before) {
            drain->first_us = drain->first_us == 0 ? now_us : drain->first_us;
            drain->last_us = clock_monotonic_us();
        }
        struct source_status status;
        source->type->status(source, &status);
        if (status.state != shown) {
            (void)fprintf(stderr, "%s %s\n", source_state_name(status.state), status.reason);
            shown = status.state;
        }
        if (status.state == SOURCE_FAILED || status.state == SOURCE_STOPPED) {
            return;
        }
        bool idle = drain->last_us != 0 && now_us - drain->last_us > idle_us;
        if (idle || interrupted) {
            source->type->stop(source);
        }
        wait_for(&wait);
    }
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        (void)fprintf(stderr, "usage: drain CONNINFO SLOT SECONDS_IDLE PATTERN...\n");
        return 64;
    }
    struct postgres_options options = {
        .slot = {.name = argv[2], .create = true},
        .publication = {.create = true},
        .wal_sender_timeout_us = 60000000,
        .connect_timeout_us = 10000000,
        .slot_create_timeout_us = 60000000,
        .allow_superuser = true,
    };
    struct drain drain = {
        .sink = {.recall = recall,
                 .remember = remember,
                 .furthest = furthest,
                 .session_started = session_started,
                 .session_ended = session_ended,
                 .relation = relation,
                 .wants_message = wants_message,
                 .change = change,
                 .commit = commit,
                 .boundary = boundary,
                 .publish = publish,
                 .ack = ack},
    };
    struct source_setup setup = {
        .name = "drain",
        .options = &options,
        .tables = {.patterns = (const char *const *)(argv + 4),
                   .patterns_count = (size_t)argc - 4,
                   .messages = true},
        .sink = &drain.sink,
        .seed = 1,
        .adopt_slot = argv[2],
    };
    struct fan_error error;
    struct source *source;
    const struct source_type *type = source_type_find("postgres");
    (void)signal(SIGINT, interrupt); /* cannot fail for a valid signal */
    if (secret_set(&options.dsn, argv[1], strlen(argv[1])) != FAN_OK ||
        type->create(&setup, &source, &error) != FAN_OK) {
        (void)fprintf(stderr, "drain: %s\n", error.text);
        return 70;
    }
    run(source, &drain, strtoll(argv[3], NULL, 10) * 1000000);
    struct source_status status;
    type->status(source, &status);
    type->destroy(source);
    secret_release(&options.dsn);
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage); /* cannot fail for these arguments */
    double wall = (double)(drain.last_us - drain.first_us) / 1e6;
    (void)printf("changes %llu seconds %.2f rate %.0f/s user %.2f sys %.2f bursts %llu status %llu "
                 "relations %llu maxrss_kb %ld\n",
                 (unsigned long long)drain.changes, wall, (double)drain.changes / wall,
                 seconds(usage.ru_utime), seconds(usage.ru_stime), (unsigned long long)drain.bursts,
                 (unsigned long long)status.status_updates, (unsigned long long)drain.relations,
                 usage.ru_maxrss);
    return 0;
}
