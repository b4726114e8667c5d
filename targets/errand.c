#include "targets/errand.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/thread.h"

struct errand {
    const char *name; /* borrowed */
    errand_call *run;
    errand_call *release;
    void *work;
    int descriptor;
    _Atomic unsigned references; /* the caller, and the thread */
    _Atomic bool over;           /* the work is the caller's to read */
};

static void errand_free(struct errand *errand)
{
    if (errand->descriptor >= 0) {
        (void)close(errand->descriptor); /* nothing was written that matters */
    }
    free(errand);
}

void errand_drop(struct errand *errand)
{
    if (errand == NULL || atomic_fetch_sub(&errand->references, 1) > 1) {
        return;
    }
    errand->release(errand->work);
    errand_free(errand);
}

static void *errand_thread(void *argument)
{
    struct errand *errand = argument;
    thread_set_name(errand->name);
    errand->run(errand->work);
    atomic_store(&errand->over, true);
    (void)eventfd_write(errand->descriptor, 1); /* a one fits */
    errand_drop(errand);
    return NULL;
}

/* The thread leaves every signal to others. */
static int start_thread(struct errand *errand)
{
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);                            /* cannot fail */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* cannot fail for SIG_SETMASK */
    int result = pthread_create(&thread, NULL, errand_thread, errand);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* cannot fail for SIG_SETMASK */
    if (result == 0) {
        (void)pthread_detach(thread); /* it is ours and not joined */
    }
    return result;
}

enum fan_status errand_start(const char *name, errand_call *run, errand_call *release, void *work,
                             struct errand **ret_errand, struct fan_error *reterr)
{
    struct errand *errand = calloc(1, sizeof(*errand));
    if (errand == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not start a thread: out of memory");
    }
    errand->name = name;
    errand->run = run;
    errand->release = release;
    errand->work = work;
    errand->descriptor = eventfd(0, EFD_CLOEXEC);
    atomic_store(&errand->references, 2);
    int result = errand->descriptor < 0 ? errno : start_thread(errand);
    if (result != 0) {
        errand_free(errand);
        return fan_fail_errno(reterr, FAN_RETRY, result, "could not start a thread");
    }
    *ret_errand = errand;
    return FAN_OK;
}

int errand_descriptor(const struct errand *errand)
{
    return errand->descriptor;
}

void *errand_work(struct errand *errand)
{
    FAN_ASSERT(atomic_load(&errand->over));
    return errand->work;
}
