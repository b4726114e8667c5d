/*
 * client.h - the one thread of a process that moves HTTP transfers.
 *
 * All HTTP targets share one thread and one libcurl multi handle, so the number of threads does not
 * grow with them. A transfer is an easy handle that is set up and ready to go. The thread gives it
 * to libcurl, and calls `done` when it has ended.
 *
 * Ownership:  a transfer is the client's from client_submit() until `done` answers false, or
 *             until client_cancel() of its user returns.
 * Threading:  submit and cancel from any thread; `done` on the client's thread. client_open() and
 *             client_close() one at a time.
 * Limits:     none of its own: targets bound their open requests.
 */
#ifndef TARGETS_HTTP_CLIENT_H
#define TARGETS_HTTP_CLIENT_H

#include <curl/curl.h>
#include <stdbool.h>

#include "base/status.h"

/* Somebody with transfers: a target. Zeroed at first. */
struct client_user {
    unsigned active; /* transfers submitted and not yet ended; under the client's lock */
    bool leaving;    /* under the client's lock */
};

struct transfer {
    CURL *handle;
    struct client_user *user;

    /* The transfer has ended. True: the handle was set up anew, and goes again. False: the client
     * forgets the transfer and touches it no more. */
    bool (*done)(struct transfer *transfer, CURLcode code);

    struct transfer *next; /* the client's own */
    struct transfer *previous;
};

/* Counted: the first call starts the thread, the last client_close() ends it. */
enum fan_status client_open(struct fan_error *reterr) FAN_MUST_CHECK;
void client_close(void);

/* Never blocks. */
void client_submit(struct transfer *transfer);

/* Ends every transfer of the user, and returns when none will call `done` any more. */
void client_cancel(struct client_user *user);

#endif
