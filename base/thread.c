#include "base/thread.h"

#include <pthread.h>
#include <stdio.h>

#include "base/assert.h"

static _Thread_local char self_marker; /* its address names the thread, without a system call */

void thread_owner_bind(struct thread_owner *owner)
{
    uintptr_t self = (uintptr_t)&self_marker;
    uintptr_t before = atomic_exchange(&owner->thread, self);
    FAN_ASSERT(before == 0 || before == self);
}

void thread_owner_unbind(struct thread_owner *owner)
{
    uintptr_t before = atomic_exchange(&owner->thread, 0);
    FAN_ASSERT(before == 0 || before == (uintptr_t)&self_marker);
}

void thread_owner_assert(const struct thread_owner *owner)
{
    uintptr_t thread = atomic_load_explicit(&owner->thread, memory_order_relaxed);
    FAN_ASSERT(thread == 0 || thread == (uintptr_t)&self_marker);
}

void thread_set_name(const char *name)
{
    char shortened[16];
    (void)snprintf(shortened, sizeof(shortened), "%s", name); /* longer names are cut */
    (void)pthread_setname_np(pthread_self(), shortened);      /* only a help for people */
}
