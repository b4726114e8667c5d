#include "tests/unit/redis_script.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    STEPS_MAX = 64,
    LOG_MAX = 1 << 18,
    ARGUMENTS_MAX = 32,
    INPUT_MAX = 1 << 20,
    WAIT_SECONDS = 10
};

struct step {
    char *name; /* NULL: taken */
    char *reply;
};

struct redis_script {
    int listener;
    int stopper; /* an eventfd */
    uint16_t port;
    pthread_t thread;

    /* Of the connection; the thread's. */
    int peer;
    char *input;
    size_t input_size;
    size_t queued;
    bool in_multi;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    unsigned connections;
    struct step steps[STEPS_MAX];
    size_t steps_count;
    char log[LOG_MAX];
    size_t log_size;
};

/* False: stop. */
static bool wait_readable(struct redis_script *script, int descriptor)
{
    struct pollfd polled[] = {{.fd = script->stopper, .events = POLLIN},
                              {.fd = descriptor, .events = POLLIN}};
    return poll(polled, 2, -1) > 0 && polled[0].revents == 0;
}

/* Reads one command that is there whole; returns the bytes that it takes, 0: more are needed,
 * SIZE_MAX: it is none. */
static size_t parse(struct redis_script *script, const char **arguments, size_t *sizes,
                    size_t *ret_count)
{
    char *at = script->input;
    char *end = at + script->input_size;
    if (at < end && *at != '*') {
        return SIZE_MAX;
    }
    char *line = memchr(at, '\n', (size_t)(end - at));
    if (line == NULL) {
        return 0;
    }
    size_t count = strtoul(at + 1, NULL, 10);
    if (count == 0 || count > ARGUMENTS_MAX) {
        return SIZE_MAX;
    }
    at = line + 1;
    for (size_t index = 0; index < count; index++) {
        line = memchr(at, '\n', (size_t)(end - at));
        if (line == NULL) {
            return 0;
        }
        sizes[index] = strtoul(at + 1, NULL, 10);
        if ((size_t)(end - line) < sizes[index] + 3) {
            return 0;
        }
        arguments[index] = line + 1;
        at = line + 1 + sizes[index] + 2;
    }
    *ret_count = count;
    return (size_t)(at - script->input);
}

static void log_command(struct redis_script *script, const char **arguments, const size_t *sizes,
                        size_t count)
{
    (void)pthread_mutex_lock(&script->lock);
    for (size_t index = 0; index < count; index++) {
        bool text = index == 2 && sizes[0] == 6 && memcmp(arguments[0], "SCRIPT", 6) == 0;
        if (!text && script->log_size + sizes[index] + 2 < LOG_MAX) {
            memcpy(script->log + script->log_size, arguments[index], sizes[index]);
            script->log_size += sizes[index];
            script->log[script->log_size++] = ' ';
        }
    }
    script->log[script->log_size > 0 ? script->log_size - 1 : 0] = '\n';
    (void)pthread_cond_broadcast(&script->changed);
    (void)pthread_mutex_unlock(&script->lock);
}

/* The step for this command, or NULL; its reply is the caller's. */
static bool take_step(struct redis_script *script, const char *name, size_t size, char **ret_reply)
{
    bool found = false;
    (void)pthread_mutex_lock(&script->lock);
    for (size_t at = 0; at < script->steps_count && !found; at++) {
        struct step *step = &script->steps[at];
        if (step->name != NULL && strlen(step->name) == size &&
            memcmp(step->name, name, size) == 0) {
            found = true;
            *ret_reply = step->reply;
            free(step->name);
            *step = (struct step){0};
        }
    }
    (void)pthread_mutex_unlock(&script->lock);
    return found;
}

static bool say(const struct redis_script *script, const char *text)
{
    size_t size = strlen(text);
    return send(script->peer, text, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static bool is(const char *name, size_t size, const char *word)
{
    return strlen(word) == size && memcmp(name, word, size) == 0;
}

static bool answer_usual(struct redis_script *script, const char *name, size_t size)
{
    char text[64];
    if (is(name, size, "MULTI")) {
        script->in_multi = true;
        script->queued = 0;
        return say(script, "+OK\r\n");
    }
    if (is(name, size, "EXEC")) {
        script->in_multi = false;
        (void)snprintf(text, sizeof(text), "*%zu\r\n", script->queued);
        bool fine = say(script, text);
        for (size_t at = 0; at < script->queued && fine; at++) {
            fine = say(script, ":1\r\n");
        }
        return fine;
    }
    if (script->in_multi) {
        script->queued++;
        return say(script, "+QUEUED\r\n");
    }
    return say(script, is(name, size, "PING")     ? "+PONG\r\n"
                       : is(name, size, "SCRIPT") ? "$1\r\nx\r\n"
                       : is(name, size, "WAIT")   ? ":1\r\n"
                                                  : "+OK\r\n");
}

/* False: the connection is over. */
static bool answer(struct redis_script *script, const char *name, size_t size)
{
    char *reply;
    if (!take_step(script, name, size, &reply)) {
        return answer_usual(script, name, size);
    }
    if (reply == NULL) {
        char byte;
        while (wait_readable(script, script->peer) && recv(script->peer, &byte, 1, 0) > 0) {
        }
        return false;
    }
    if (reply[0] == '=') {
        free(reply);
        return answer_usual(script, name, size);
    }
    script->queued += script->in_multi && is(name, size, "EVALSHA");
    bool fine = reply[0] != '\0' && say(script, reply);
    free(reply);
    return fine;
}

static void serve(struct redis_script *script)
{
    script->input_size = 0;
    script->in_multi = false;
    for (;;) {
        const char *arguments[ARGUMENTS_MAX] = {0};
        size_t sizes[ARGUMENTS_MAX] = {0};
        size_t count = 0;
        size_t taken = parse(script, arguments, sizes, &count);
        if (taken == SIZE_MAX) {
            return;
        }
        if (taken == 0) {
            ssize_t size = wait_readable(script, script->peer)
                               ? recv(script->peer, script->input + script->input_size,
                                      INPUT_MAX - script->input_size, 0)
                               : 0;
            if (size <= 0) {
                return;
            }
            script->input_size += (size_t)size;
            continue;
        }
        log_command(script, arguments, sizes, count);
        if (!answer(script, arguments[0], sizes[0])) {
            return;
        }
        memmove(script->input, script->input + taken, script->input_size - taken);
        script->input_size -= taken;
    }
}

static void *run(void *argument)
{
    struct redis_script *script = argument;
    while (wait_readable(script, script->listener)) {
        script->peer = accept(script->listener, NULL, NULL);
        if (script->peer < 0) {
            continue;
        }
        (void)pthread_mutex_lock(&script->lock);
        script->connections++;
        (void)pthread_mutex_unlock(&script->lock);
        serve(script);
        (void)close(script->peer);
    }
    return NULL;
}

struct redis_script *redis_script_start(void)
{
    struct redis_script *script = calloc(1, sizeof(*script));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    script->input = malloc(INPUT_MAX);
    script->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    script->stopper = eventfd(0, EFD_CLOEXEC);
    (void)pthread_mutex_init(&script->lock, NULL);
    (void)pthread_cond_init(&script->changed, NULL);
    if (bind(script->listener, (struct sockaddr *)&address, size) != 0 ||
        listen(script->listener, 16) != 0 ||
        getsockname(script->listener, (struct sockaddr *)&address, &size) != 0 ||
        pthread_create(&script->thread, NULL, run, script) != 0) {
        abort();
    }
    script->port = ntohs(address.sin_port);
    return script;
}

void redis_script_stop(struct redis_script *script)
{
    (void)eventfd_write(script->stopper, 1);
    (void)pthread_join(script->thread, NULL);
    (void)close(script->stopper);
    (void)close(script->listener);
    for (size_t at = 0; at < script->steps_count; at++) {
        free(script->steps[at].name);
        free(script->steps[at].reply);
    }
    (void)pthread_cond_destroy(&script->changed);
    (void)pthread_mutex_destroy(&script->lock);
    free(script->input);
    free(script);
}

uint16_t redis_script_port(const struct redis_script *script)
{
    return script->port;
}

void redis_script_add(struct redis_script *script, const char *name, const char *reply)
{
    (void)pthread_mutex_lock(&script->lock);
    if (script->steps_count < STEPS_MAX) {
        script->steps[script->steps_count++] =
            (struct step){.name = strdup(name), .reply = reply != NULL ? strdup(reply) : NULL};
    }
    (void)pthread_mutex_unlock(&script->lock);
}

const char *redis_script_log(struct redis_script *script)
{
    static char copy[LOG_MAX];
    (void)pthread_mutex_lock(&script->lock);
    memcpy(copy, script->log, script->log_size);
    copy[script->log_size] = '\0';
    (void)pthread_mutex_unlock(&script->lock);
    return copy;
}

unsigned redis_script_connections(struct redis_script *script)
{
    (void)pthread_mutex_lock(&script->lock);
    unsigned connections = script->connections;
    (void)pthread_mutex_unlock(&script->lock);
    return connections;
}

bool redis_script_wait(struct redis_script *script, const char *text)
{
    struct timespec deadline;
    (void)clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += WAIT_SECONDS;
    int result = 0;
    (void)pthread_mutex_lock(&script->lock);
    while (memmem(script->log, script->log_size, text, strlen(text)) == NULL && result == 0) {
        result = pthread_cond_timedwait(&script->changed, &script->lock, &deadline);
    }
    (void)pthread_mutex_unlock(&script->lock);
    return result == 0;
}
