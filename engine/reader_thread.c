#include "engine/reader_thread.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"

enum { LOOK_INTERVAL_US = 100000 };

enum fan_status reader_thread_init(struct reader_thread *thread, struct fan_error *reterr)
{
    *thread = (struct reader_thread){.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (thread->wake_fd < 0) {
        return fan_fail_errno(reterr, FAN_RETRY, errno, "could not make an eventfd");
    }
    return FAN_OK;
}

void reader_thread_wake(struct reader_thread *thread)
{
    if (!atomic_exchange(&thread->awake, true)) {
        uint64_t one = 1;
        (void)!write(thread->wake_fd, &one, sizeof(one)); /* full means that it is awake */
    }
}

static void thread_wait(struct reader_thread *thread, const struct source_wait *wait,
                        int64_t now_us)
{
    struct pollfd fds[SOURCE_WAIT_FDS_MAX + 1];
    nfds_t count = 0;
    fds[count++] = (struct pollfd){.fd = thread->wake_fd, .events = POLLIN};
    for (size_t index = 0; index < wait->fds_count; index++) {
        fds[count++] =
            (struct pollfd){.fd = wait->fds[index].fd, .events = wait->fds[index].events};
    }
    int64_t left_us = wait->deadline_us > now_us ? wait->deadline_us - now_us : 0;
    struct timespec timeout = {.tv_sec = left_us / 1000000, .tv_nsec = left_us % 1000000 * 1000};
    (void)ppoll(fds, count, &timeout, NULL); /* whatever woke us, the step looks at everything */
    if (atomic_exchange(&thread->awake, false)) {
        uint64_t ignored;
        (void)!read(thread->wake_fd, &ignored, sizeof(ignored)); /* only to be silent again */
    }
}

static void *thread_main(void *argument)
{
    struct reader_thread *thread = argument;
    char name[32];
    (void)snprintf(name, sizeof(name), "src:%s", thread->reader->name); /* may be cut */
    thread_set_name(name);
    int64_t look_at_us = 0;
    while (!atomic_load(&thread->quit)) {
        int64_t now_us = clock_monotonic_us();
        atomic_store_explicit(&thread->passed_us, now_us, memory_order_relaxed);
        struct source_wait wait = {.deadline_us = INT64_MAX};
        reader_step(thread->reader, now_us, &wait);
        if (now_us >= look_at_us || reader_has_ended(thread->reader)) {
            struct source_status status;
            look_at_us = now_us + LOOK_INTERVAL_US;
            thread->reader->source->type->status(thread->reader->source, &status);
            thread->look(thread->look_context, thread->reader, &status);
        }
        if (reader_has_ended(thread->reader)) {
            break;
        }
        if (wait.deadline_us > look_at_us) {
            wait.deadline_us = look_at_us;
        }
        if (wait.deadline_us > now_us) {
            thread_wait(thread, &wait, clock_monotonic_us());
        }
    }
    return NULL;
}

enum fan_status reader_thread_start(struct reader_thread *thread, struct reader *reader,
                                    struct fan_error *reterr)
{
    thread->reader = reader;
    atomic_store(&thread->passed_us, clock_monotonic_us());
    int failure = pthread_create(&thread->thread, NULL, thread_main, thread);
    if (failure != 0) {
        return fan_fail_errno(reterr, FAN_RETRY, failure, "could not start the thread of \"%s\"",
                              reader->name);
    }
    thread->running = true;
    return FAN_OK;
}

bool reader_thread_passed(const struct reader_thread *thread, int64_t since_us)
{
    return !thread->running || reader_has_ended(thread->reader) ||
           atomic_load_explicit(&thread->passed_us, memory_order_relaxed) >= since_us;
}

void reader_thread_stop(struct reader_thread *thread)
{
    if (thread->running) {
        atomic_store(&thread->quit, true);
        reader_thread_wake(thread);
        (void)pthread_join(thread->thread, NULL); /* cannot fail: it was created and not joined */
        thread->running = false;
    }
}

void reader_thread_release(struct reader_thread *thread)
{
    reader_thread_stop(thread);
    if (thread->wake_fd >= 0) {
        (void)close(thread->wake_fd); /* an eventfd has nothing to lose */
        thread->wake_fd = -1;
    }
}
