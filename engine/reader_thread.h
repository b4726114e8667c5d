/*
 * reader_thread.h - the thread around a reader: the clock, poll(2) and the wake-up.
 *
 * Threading:  create and destroy on the main thread; wake from any.
 */
#ifndef ENGINE_READER_THREAD_H
#define ENGINE_READER_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "engine/reader.h"

struct reader_thread {
    struct reader *reader; /* borrowed */
    pthread_t thread;
    bool running;
    int wake_fd;
    _Atomic bool awake; /* a wake-up is under way: another one needs no system call */
    _Atomic bool quit;
    _Atomic int64_t
        passed_us; /* when its loop last began a round; INT64_MAX: it may take its time */
    /* Called on the thread after a step, now and then, with the source's status. */
    void (*look)(void *context, struct reader *reader, const struct source_status *status);
    void *look_context;
};

/* Before the reader exists, so that its hooks can refer to it. */
enum fan_status reader_thread_init(struct reader_thread *thread,
                                   struct fan_error *reterr) FAN_MUST_CHECK;
enum fan_status reader_thread_start(struct reader_thread *thread, struct reader *reader,
                                    struct fan_error *reterr) FAN_MUST_CHECK;
void reader_thread_wake(struct reader_thread *thread);
/* Whether its loop has come round since `since_us`, or it has nothing more to do. Any thread. */
bool reader_thread_passed(const struct reader_thread *thread, int64_t since_us);
/* Ends the thread after its current step; it may still be woken. */
void reader_thread_stop(struct reader_thread *thread);
/* Stops, and closes the descriptor: nobody may wake it any more. Accepts one that never started. */
void reader_thread_release(struct reader_thread *thread);

#endif
