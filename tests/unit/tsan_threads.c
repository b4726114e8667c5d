/*
 * C11 threads as POSIX threads, for a program under the thread sanitizer: it follows only those, and a
 * library's thread that it does not know ends the program at its first allocation.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

struct beginning {
    thrd_start_t function;
    void *argument;
};

static void *begin(void *argument)
{
    struct beginning beginning = *(struct beginning *)argument;
    free(argument);
    return (void *)(intptr_t)beginning.function(beginning.argument);
}

int thrd_create(thrd_t *thread, thrd_start_t function, void *argument)
{
    struct beginning *beginning = malloc(sizeof(*beginning));
    if (beginning == NULL) {
        return thrd_nomem;
    }
    *beginning = (struct beginning){.function = function, .argument = argument};
    if (pthread_create(thread, NULL, begin, beginning) != 0) {
        free(beginning);
        return thrd_error;
    }
    return thrd_success;
}

int thrd_join(thrd_t thread, int *ret_result)
{
    void *result;
    if (pthread_join(thread, &result) != 0) {
        return thrd_error;
    }
    if (ret_result != NULL) {
        *ret_result = (int)(intptr_t)result;
    }
    return thrd_success;
}

/* What librdkafka does with its own memory is not for us to judge: it is not instrumented. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:librdkafka\n";
}
