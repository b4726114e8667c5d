#include "targets/http/client.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/thread.h"

enum { POLL_MS = 60000, CONNECTIONS_MAX = 1024 };

struct client {
    pthread_mutex_t lock;   /* guards what follows, up to `multi` */
    pthread_cond_t changed; /* a user has no transfer left */
    unsigned users;         /* of client_open() */
    bool stopping;
    bool cancelling;          /* some user is leaving */
    struct transfer *arrived; /* submitted, newest first */

    CURLM *multi; /* the thread's, but for curl_multi_wakeup() */
    pthread_t thread;
    struct transfer *running; /* the thread's: given to libcurl */
};

static struct client client = {.lock = PTHREAD_MUTEX_INITIALIZER,
                               .changed = PTHREAD_COND_INITIALIZER};

static void lock_take(void)
{
    (void)pthread_mutex_lock(&client.lock); /* fails only for a bad lock */
}

static void lock_give(void)
{
    (void)pthread_mutex_unlock(&client.lock); /* cannot fail for a lock that is held */
}

/* With the lock held. */
static void user_lose(struct client_user *user)
{
    FAN_ASSERT(user->active > 0);
    user->active--;
    if (user->active == 0 && user->leaving) {
        (void)pthread_cond_broadcast(&client.changed); /* fails only for a bad condition */
    }
}

static void running_add(struct transfer *transfer)
{
    transfer->previous = NULL;
    transfer->next = client.running;
    if (client.running != NULL) {
        client.running->previous = transfer;
    }
    client.running = transfer;
}

static void running_remove(struct transfer *transfer)
{
    if (transfer->previous != NULL) {
        transfer->previous->next = transfer->next;
    } else {
        client.running = transfer->next;
    }
    if (transfer->next != NULL) {
        transfer->next->previous = transfer->previous;
    }
}

static bool user_is_leaving(const struct client_user *user)
{
    lock_take();
    bool leaving = user->leaving;
    lock_give();
    return leaving;
}

/* Gives a transfer to libcurl; one that it does not take ends at once. */
static void transfer_begin(struct transfer *transfer)
{
    struct client_user *user = transfer->user;
    for (;;) {
        CURLMcode code = curl_multi_add_handle(client.multi, transfer->handle);
        if (code == CURLM_OK) {
            running_add(transfer);
            return;
        }
        if (!transfer->done(transfer, CURLE_OUT_OF_MEMORY) || user_is_leaving(user)) {
            break;
        }
    }
    lock_take();
    user_lose(user);
    lock_give();
}

static void transfer_end(struct transfer *transfer, CURLcode code)
{
    struct client_user *user = transfer->user;
    (void)curl_multi_remove_handle(client.multi, transfer->handle); /* it was added */
    running_remove(transfer);
    if (transfer->done(transfer, code) && !user_is_leaving(user)) {
        transfer_begin(transfer);
        return;
    }
    lock_take();
    user_lose(user);
    lock_give();
}

/* Ends what leaving users have running, without a word to them. */
static void cancel_leaving(void)
{
    for (struct transfer *transfer = client.running; transfer != NULL;) {
        struct transfer *next = transfer->next;
        if (user_is_leaving(transfer->user)) {
            struct client_user *user = transfer->user;
            (void)curl_multi_remove_handle(client.multi, transfer->handle); /* it was added */
            running_remove(transfer);
            lock_take();
            user_lose(user);
            lock_give();
        }
        transfer = next;
    }
}

/* Takes what was submitted, oldest first; drops what belongs to a leaving user. */
static struct transfer *arrived_take(bool *ret_cancelling, bool *ret_stopping)
{
    struct transfer *oldest = NULL;
    lock_take();
    while (client.arrived != NULL) {
        struct transfer *transfer = client.arrived;
        client.arrived = transfer->next;
        if (transfer->user->leaving) {
            user_lose(transfer->user);
        } else {
            transfer->next = oldest;
            oldest = transfer;
        }
    }
    *ret_cancelling = client.cancelling;
    *ret_stopping = client.stopping;
    client.cancelling = false;
    lock_give();
    return oldest;
}

static void ended_take(void)
{
    int left = 0;
    for (CURLMsg *message; (message = curl_multi_info_read(client.multi, &left)) != NULL;) {
        if (message->msg != CURLMSG_DONE) {
            continue;
        }
        CURLcode code = message->data.result; /* the message dies with the removal */
        struct transfer *transfer = NULL;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer); /* was set */
        transfer_end(transfer, code);
    }
}

static void *client_run(void *argument)
{
    (void)argument; /* there is one client */
    thread_set_name("http");
    for (;;) {
        bool cancelling = false;
        bool stopping = false;
        struct transfer *next = NULL;
        for (struct transfer *at = arrived_take(&cancelling, &stopping); at != NULL; at = next) {
            next = at->next;
            transfer_begin(at);
        }
        if (cancelling) {
            cancel_leaving();
        }
        if (stopping) {
            return NULL;
        }
        int running = 0;
        CURLMcode code = curl_multi_perform(client.multi, &running);
        ended_take();
        if (code == CURLM_OK) {
            code = curl_multi_poll(client.multi, NULL, 0, POLL_MS, NULL);
        }
        if (code != CURLM_OK) {
            log_write(LOG_ERROR, "http client", LOG_TEXT("error", curl_multi_strerror(code)));
        }
    }
}

/* The thread leaves every signal to others; SIGPIPE, too: the write says so. */
static int thread_start(void)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);                            /* cannot fail */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* cannot fail for SIG_SETMASK */
    int result = pthread_create(&client.thread, NULL, client_run, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* cannot fail for SIG_SETMASK */
    return result;
}

static enum fan_status client_start(struct fan_error *reterr)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return fan_fail(reterr, FAN_FATAL, "cannot initialize the HTTP client library");
    }
    client.multi = curl_multi_init();
    client.stopping = false;
    if (client.multi == NULL) {
        curl_global_cleanup();
        return fan_fail(reterr, FAN_RETRY, "could not make the HTTP client: out of memory");
    }
    /* Idle connections beyond this are closed, oldest first. */
    (void)curl_multi_setopt(client.multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX);
    int result = thread_start();
    if (result != 0) {
        (void)curl_multi_cleanup(client.multi); /* nothing is in it */
        curl_global_cleanup();
        return fan_fail_errno(reterr, FAN_RETRY, result,
                              "could not start the HTTP client's thread");
    }
    return FAN_OK;
}

enum fan_status client_open(struct fan_error *reterr)
{
    lock_take();
    bool first = client.users == 0;
    enum fan_status status = first ? client_start(reterr) : FAN_OK;
    client.users += status == FAN_OK;
    lock_give();
    return status;
}

void client_close(void)
{
    lock_take();
    FAN_ASSERT(client.users > 0);
    client.users--;
    bool last = client.users == 0;
    client.stopping = last;
    lock_give();
    if (!last) {
        return;
    }
    (void)curl_multi_wakeup(client.multi);   /* fails only for a bad handle */
    (void)pthread_join(client.thread, NULL); /* it is ours and not joined yet */
    (void)curl_multi_cleanup(client.multi);  /* nothing is in it */
    client.multi = NULL;
    curl_global_cleanup();
}

void client_submit(struct transfer *transfer)
{
    lock_take();
    transfer->user->active++;
    transfer->next = client.arrived;
    client.arrived = transfer;
    lock_give();
    (void)curl_multi_wakeup(client.multi); /* fails only for a bad handle */
}

void client_cancel(struct client_user *user)
{
    lock_take();
    if (user->active > 0) {
        user->leaving = true;
        client.cancelling = true;
        (void)curl_multi_wakeup(client.multi); /* fails only for a bad handle */
        while (user->active > 0) {
            (void)pthread_cond_wait(&client.changed, &client.lock); /* woken or not: look again */
        }
        user->leaving = false;
    }
    lock_give();
}
