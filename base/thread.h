/*
 * thread.h - an owner for each mutable object, checked when it is used.
 *
 * An object that only one thread may touch embeds a struct thread_owner. The thread that takes the
 * object binds it; every function of the object asserts it. Ownership moves by unbinding and
 * binding again; the hand-over itself must be ordered by a lock or a queue.
 *
 * Threading:  the owner field is atomic, so that a wrong thread is found and not a data race.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <stdatomic.h>
#include <stdint.h>

struct thread_owner {
    _Atomic uintptr_t thread; /* 0 while nobody owns the object */
};

void thread_owner_bind(struct thread_owner *owner);
void thread_owner_unbind(struct thread_owner *owner);

/* Ends the process when another thread than the caller owns the object; unowned is allowed. */
void thread_owner_assert(const struct thread_owner *owner);

/* Names the calling thread for debuggers and `top -H`; at most 15 bytes are kept. */
void thread_set_name(const char *name);

#endif
