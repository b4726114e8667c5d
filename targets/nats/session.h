/*
 * session.h - publishes batches to JetStream, over a connection that is made when it is needed.
 *
 * A batch goes out wave by wave (wave.h); the first wave that is not acknowledged whole ends it.
 * The connection is closed when it fails or an acknowledgement does not come: the events are then
 * sent again over another, and the stream knows those that it has by their ids.
 *
 * Threading:  one thread at a time.
 */
#ifndef TARGETS_NATS_SESSION_H
#define TARGETS_NATS_SESSION_H

#include <nats/nats.h>

#include "base/redactor.h"
#include "targets/clerk.h"
#include "targets/errand.h"
#include "targets/nats/options.h"
#include "targets/nats/subject.h"

enum { INBOX_MAX = 64 };

struct session {
    const struct nats_options *options; /* borrowed, as the next five */
    const struct encode_context *encode;
    const struct subjects *subjects;
    const struct redactor *redactor;
    struct clerk *clerk;
    size_t format;
    struct bytes subject; /* room for one, with its NUL */

    size_t server; /* which of the options' is used or tried next */
    struct errand *dialling;
    natsConnection *connection; /* NULL: none */
    natsSubscription *inbox;
    char inbox_name[INBOX_MAX];
    uint64_t serial; /* of the next message; its acknowledgement comes to `<inbox>.<serial>` */
};

/* What became of one event. */
enum publish_fate { PUBLISH_PENDING = 0, PUBLISH_TAKEN, PUBLISH_POISON };

/* What became of a batch. */
struct publication {
    const struct batch *batch;
    uint8_t *fates; /* owned: enum publish_fate of each event */
    size_t taken;
    enum fan_status status; /* the gravest; FAN_OK: all are taken */
    struct fan_error error;
};

void session_init(struct session *session);
void session_close(struct session *session);
void session_release(struct session *session);

/* FAN_AGAIN: the target stops. Otherwise `publication` says it all. */
enum fan_status session_publish(struct session *session, struct publication *publication,
                                int64_t deadline_us) FAN_MUST_CHECK;

#endif
