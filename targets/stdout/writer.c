#include "targets/stdout/writer.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/thread.h"

enum {
    POLL_MS = 200,               /* how soon the thread sees that it should give up */
    FILE_CHUNK = 1 << 20,        /* a write to a regular file does not wait for a reader */
    LEAVE_PATIENCE_US = 1000000, /* for a batch that is going out when its target stops */
};

struct entry {
    struct writer_client *client;
    struct batch *batch; /* a reference */
    const uint8_t *data;
    size_t size;
    size_t written;
};

struct writer {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t work;  /* an entry came, or one is to be given up */
    pthread_cond_t quiet; /* an entry has ended */
    int descriptor;
    bool is_file;
    bool busy;    /* somebody is in write(2); then only he touches entries[0] */
    bool torn;    /* a batch was given up in the middle: a newline comes before the next one */
    bool started; /* the thread, which is never ended: an idle one costs nothing */
    bool abandon; /* give up the batch that is going out */
    struct writer_client *clients;
    size_t count;
    struct entry entries[WRITER_ENTRIES_MAX]; /* oldest first; [0] stays while it is written */
};

static struct writer writer = {.lock = PTHREAD_MUTEX_INITIALIZER,
                               .work = PTHREAD_COND_INITIALIZER,
                               .quiet = PTHREAD_COND_INITIALIZER,
                               .descriptor = STDOUT_FILENO};

/* Locks and conditions fail only when they are not valid, and these always are. */
static void lock_take(void)
{
    (void)pthread_mutex_lock(&writer.lock); /* as said above */
}

static void lock_give(void)
{
    (void)pthread_mutex_unlock(&writer.lock); /* as said above */
}

static void wake_all(pthread_cond_t *condition)
{
    (void)pthread_cond_broadcast(condition); /* fails only for a bad condition */
}

/* Writes what goes without waiting. Returns 0, or the errno that ended it (EAGAIN: no room now). */
static int write_some(const uint8_t *data, size_t size, bool is_file, int descriptor,
                      size_t *written)
{
    while (*written < size) {
        struct pollfd ready = {.fd = descriptor, .events = POLLOUT};
        if (!is_file && (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0)) {
            /* A pipe without a reader says POLLERR; write(2) then says EPIPE. */
            if ((ready.revents & (POLLERR | POLLHUP | POLLNVAL)) == 0) {
                return EAGAIN;
            }
        }
        size_t limit = is_file ? FILE_CHUNK : PIPE_BUF;
        size_t chunk = size - *written < limit ? size - *written : limit;
        ssize_t count = write(descriptor, data + *written, chunk);
        if (count > 0) {
            *written += (size_t)count;
        } else if (count < 0 && errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

static void post_settled(const struct entry *entry)
{
    const struct outcome outcome = {
        .target = entry->client->index,
        .kind = OUTCOME_SETTLED,
        .checkpoint = {.position = entry->batch->events[entry->batch->events_count - 1].position}};
    entry->client->outcomes->post(entry->client->outcomes, &outcome);
}

static void error_fill(int reason, struct fan_error *reterr)
{
    if (reason == EPIPE) {
        (void)fan_fail(reterr, FAN_FATAL, "cannot write to standard output: its reader has gone");
    } else {
        (void)fan_fail_errno(reterr, FAN_FATAL, reason, "cannot write to standard output");
    }
    fan_error_annotate(reterr, "STDOUT", "start the engine again with a reader");
}

/* Every client loses standard output at once. Call with the lock held. */
static void fail_all(int reason)
{
    struct outcome outcome = {.kind = OUTCOME_FATAL};
    error_fill(reason, &outcome.error);
    for (struct writer_client *client = writer.clients; client != NULL; client = client->next) {
        if (!client->failed) {
            client->failed = true;
            outcome.target = client->index;
            client->outcomes->post(client->outcomes, &outcome); /* never blocks */
        }
    }
}

/* Call with the lock held. */
static void entry_remove(size_t index)
{
    batch_unref(writer.entries[index].batch);
    writer.count--;
    for (size_t i = index; i < writer.count; i++) {
        writer.entries[i] = writer.entries[i + 1];
    }
}

static void wake_clients(void)
{
    for (struct writer_client *client = writer.clients; client != NULL; client = client->next) {
        if (client->wants_wake) {
            client->wants_wake = false;
            const struct outcome outcome = {.target = client->index, .kind = OUTCOME_WAKE};
            client->outcomes->post(client->outcomes, &outcome); /* never blocks */
        }
    }
}

/* One attempt at entries[0], and what follows from it. Call with the lock held; gives it up while
 * it writes. Returns the errno as write_some(). */
static int entry_attempt(void)
{
    struct entry entry = writer.entries[0];
    bool torn = writer.torn;
    writer.busy = true;
    lock_give();
    int result = 0;
    if (torn) {
        size_t newline_written = 0;
        result = write_some((const uint8_t *)"\n", 1, writer.is_file, writer.descriptor,
                            &newline_written);
    }
    bool mended = torn && result == 0;
    if (result == 0) {
        result =
            write_some(entry.data, entry.size, writer.is_file, writer.descriptor, &entry.written);
    }
    if (result == 0) {
        post_settled(&entry);
    }
    lock_take();
    writer.busy = false;
    writer.torn = writer.torn && !mended;
    writer.entries[0].written = entry.written;
    if (result == 0) {
        entry_remove(0);
        wake_clients();
    } else if (result != EAGAIN && result != ENOSPC && result != EDQUOT) {
        fail_all(result);
        entry_remove(0);
    }
    wake_all(&writer.quiet);
    return result;
}

/* Waits for the reader, or for space on the disk of a redirected output, or for the end. */
static void wait_for_room(int reason)
{
    struct pollfd ready = {.fd = writer.descriptor, .events = POLLOUT};
    bool full_disk = reason != EAGAIN;
    lock_give();
    /* A full disk answers POLLOUT at once, so only time helps there. */
    (void)poll(full_disk ? NULL : &ready, full_disk ? 0 : 1, POLL_MS); /* try again either way */
    lock_take();
}

static void *writer_main(void *argument)
{
    (void)argument; /* there is one writer */
    thread_set_name("pgfan-stdout");
    lock_take();
    for (;;) {
        if (writer.count == 0 || writer.busy) {
            (void)pthread_cond_wait(&writer.work, &writer.lock); /* woken or not: look again */
            continue;
        }
        if (writer.abandon) {
            writer.torn = writer.torn || writer.entries[0].written > 0;
            entry_remove(0);
            writer.abandon = false;
            wake_all(&writer.quiet);
            continue;
        }
        int result = entry_attempt();
        if (result == EAGAIN || result == ENOSPC || result == EDQUOT) {
            wait_for_room(result);
        }
    }
    return NULL; /* never: it lives as long as the process */
}

/* The thread leaves every signal to others; SIGPIPE, too: write(2) tells it. */
static int thread_start(void)
{
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);                            /* cannot fail */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* cannot fail for SIG_SETMASK */
    int result = pthread_create(&thread, NULL, writer_main, NULL);
    if (result == 0) {
        (void)pthread_detach(thread); /* just made, so it can be */
        writer.started = true;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* cannot fail for SIG_SETMASK */
    return result;
}

enum fan_status writer_join(struct writer_client *client, struct fan_error *reterr)
{
    enum fan_status status = FAN_OK;
    struct stat kind;
    lock_take();
    if (writer.clients == NULL) {
        if (fstat(writer.descriptor, &kind) != 0) {
            status = fan_fail_errno(reterr, FAN_FATAL, errno, "cannot write to standard output");
        } else {
            writer.is_file = S_ISREG(kind.st_mode);
            int result = writer.started ? 0 : thread_start();
            if (result != 0) {
                status = fan_fail_errno(reterr, FAN_RETRY, result,
                                        "could not start the writer of standard output");
            }
        }
    }
    if (status == FAN_OK) {
        client->failed = false;
        client->wants_wake = false;
        client->next = writer.clients;
        writer.clients = client;
    }
    lock_give();
    return status;
}

static void deadline_after(struct timespec *ret_deadline, int64_t micros)
{
    (void)clock_gettime(CLOCK_REALTIME, ret_deadline); /* cannot fail for this clock */
    int64_t nanos = ret_deadline->tv_nsec + micros % 1000000 * 1000;
    ret_deadline->tv_sec += (time_t)(micros / 1000000 + nanos / 1000000000);
    ret_deadline->tv_nsec = (long)(nanos % 1000000000);
}

/* Call with the lock held. */
static void entries_drop(const struct writer_client *client)
{
    for (size_t i = writer.count; i > 1; i--) {
        if (writer.entries[i - 1].client == client) {
            entry_remove(i - 1);
        }
    }
    if (writer.count > 0 && writer.entries[0].client == client && !writer.busy &&
        writer.entries[0].written == 0) {
        entry_remove(0);
    }
}

static void clients_unlink(struct writer_client *client)
{
    for (struct writer_client **link = &writer.clients; *link != NULL; link = &(*link)->next) {
        if (*link == client) {
            *link = client->next;
            return;
        }
    }
    FAN_ASSERT(!"the client has joined");
}

void writer_leave(struct writer_client *client)
{
    struct timespec deadline;
    bool gave_up = false;
    deadline_after(&deadline, LEAVE_PATIENCE_US);
    lock_take();
    entries_drop(client);
    while (writer.count > 0 && writer.entries[0].client == client) {
        if (pthread_cond_timedwait(&writer.quiet, &writer.lock, &deadline) == ETIMEDOUT) {
            writer.abandon = true;
            gave_up = true;
            wake_all(&writer.work);
            deadline_after(&deadline, LEAVE_PATIENCE_US);
        }
    }
    writer.abandon = writer.abandon && !gave_up;
    clients_unlink(client);
    lock_give();
}

enum fan_status writer_put(struct writer_client *client, struct batch *batch, size_t format,
                           size_t first, struct fan_error *reterr)
{
    enum fan_status status = FAN_OK;
    lock_take();
    if (client->failed) {
        error_fill(EPIPE, reterr);
        status = FAN_FATAL;
    } else if (writer.count == WRITER_ENTRIES_MAX) {
        client->wants_wake = true;
        status = FAN_AGAIN;
    } else {
        struct entry *entry = &writer.entries[writer.count++];
        *entry = (struct entry){.client = client, .batch = batch_ref(batch)};
        entry->data = batch_bytes(batch, format, first, &entry->size);
        bool first_in_line = writer.count == 1 && !writer.busy;
        if (!first_in_line || entry->size > PIPE_BUF || entry_attempt() == EAGAIN ||
            writer.count > 0) {
            wake_all(&writer.work);
        }
    }
    lock_give();
    return status;
}

void writer_set_descriptor(int descriptor)
{
    lock_take();
    FAN_ASSERT(writer.clients == NULL);
    writer.descriptor = descriptor;
    lock_give();
}
