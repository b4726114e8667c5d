#include "tests/unit/nats_script.h"

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

enum { STEPS_MAX = 64, LOG_MAX = 1 << 18, INPUT_MAX = 1 << 20, WAIT_SECONDS = 10 };

struct step {
    unsigned index;
    bool used;
    const char *answer;
};

struct nats_script {
    int listener;
    int stopper; /* an eventfd */
    uint16_t port;
    pthread_t thread;

    /* The thread's. */
    int peer;
    unsigned messages;
    char *input; /* of the connection */
    size_t input_size;
    char sid[32]; /* of its inbox */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    struct step steps[STEPS_MAX];
    size_t steps_count;
    char log[LOG_MAX];
    size_t log_size;
};

/* False: stop. */
static bool wait_readable(const struct nats_script *script, int descriptor)
{
    struct pollfd polled[] = {{.fd = script->stopper, .events = POLLIN},
                              {.fd = descriptor, .events = POLLIN}};
    return poll(polled, 2, -1) > 0 && polled[0].revents == 0;
}

static bool say(const struct nats_script *script, const char *text)
{
    size_t size = strlen(text);
    return send(script->peer, text, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static void log_line(struct nats_script *script, const char *line)
{
    (void)pthread_mutex_lock(&script->lock);
    size_t size = strlen(line);
    if (script->log_size + size + 2 < LOG_MAX) {
        memcpy(script->log + script->log_size, line, size);
        script->log_size += size;
        script->log[script->log_size++] = '\n';
    }
    (void)pthread_cond_broadcast(&script->changed);
    (void)pthread_mutex_unlock(&script->lock);
}

/* What stands in the place of the acknowledgement of message `index`; false: nothing does. */
static bool find_step(struct nats_script *script, unsigned index, const char **ret_answer)
{
    bool found = false;
    (void)pthread_mutex_lock(&script->lock);
    for (size_t at = 0; at < script->steps_count && !found; at++) {
        found = script->steps[at].index == index;
        *ret_answer = script->steps[at].answer;
    }
    (void)pthread_mutex_unlock(&script->lock);
    return found;
}

/* The value of a header in a static buffer, "-" when there is none. */
static const char *header(const char *head, const char *name, char value[256])
{
    const char *at = strstr(head, name);
    if (at == NULL) {
        return "-";
    }
    at += strlen(name) + 1;
    at += strspn(at, " ");
    (void)snprintf(value, 256, "%.*s", (int)strcspn(at, "\r"), at);
    return value;
}

/* Answers one message; false: the connection is over. */
static bool answer(struct nats_script *script, const char *reply)
{
    char text[1024];
    const char *words = NULL;
    unsigned index = script->messages++;
    if (!find_step(script, index, &words)) {
        words = "{\"stream\":\"CDC\",\"seq\":1}";
    }
    if (words == NULL) {
        return true;
    }
    if (strcmp(words, "close") == 0) {
        return false;
    }
    if (words[0] == '-') {
        (void)snprintf(text, sizeof(text), "%s\r\n", words);
    } else if (words[0] == '\0') {
        (void)snprintf(text, sizeof(text), "HMSG %s %s 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", reply,
                       script->sid);
    } else {
        (void)snprintf(text, sizeof(text), "MSG %s %s %zu\r\n%s\r\n", reply, script->sid,
                       strlen(words), words);
    }
    return say(script, text);
}

static bool take_message(struct nats_script *script, const char *line, const char *head,
                         size_t head_size, size_t size)
{
    char subject[512];
    char reply[256];
    char id[256];
    char stream[256];
    char head_text[1024];
    char logged[4096];
    if (sscanf(line, "HPUB %511s %255s", subject, reply) != 2) {
        return false;
    }
    (void)snprintf(head_text, sizeof(head_text), "%.*s", (int)head_size, head);
    (void)snprintf(logged, sizeof(logged), "%s %s %s %.*s", subject,
                   header(head_text, "Nats-Msg-Id", id),
                   header(head_text, "Nats-Expected-Stream", stream), (int)(size - head_size),
                   head + head_size);
    log_line(script, logged);
    return answer(script, reply);
}

/* Takes one line, and the message behind it; returns the bytes taken, 0: more are needed, SIZE_MAX:
 * the connection is over. */
static size_t take_line(struct nats_script *script)
{
    char *end = memmem(script->input, script->input_size, "\r\n", 2);
    if (end == NULL) {
        return 0;
    }
    *end = '\0';
    size_t size = (size_t)(end - script->input) + 2;
    const char *line = script->input;
    size_t head_size;
    size_t body_size;
    bool fine = true;
    if (sscanf(line, "HPUB %*s %*s %zu %zu", &head_size, &body_size) == 2) {
        if (script->input_size < size + body_size + 2) {
            *end = '\r';
            return 0;
        }
        fine = take_message(script, line, end + 2, head_size, body_size);
        size += body_size + 2;
    } else if (strcmp(line, "PING") == 0) {
        fine = say(script, "PONG\r\n");
    } else if (strncmp(line, "SUB ", 4) == 0) {
        const char *sid = strrchr(line, ' ');
        (void)snprintf(script->sid, sizeof(script->sid), "%s", sid + 1);
    } else if (strncmp(line, "CONNECT ", 8) == 0) {
        log_line(script, line);
    }
    return fine ? size : SIZE_MAX;
}

static void serve(struct nats_script *script)
{
    script->input_size = 0;
    if (!say(script, "INFO {\"server_id\":\"x\",\"version\":\"2.9.10\",\"proto\":1,"
                     "\"headers\":true,\"max_payload\":10000}\r\n")) {
        return;
    }
    for (;;) {
        size_t taken = take_line(script);
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
        memmove(script->input, script->input + taken, script->input_size - taken);
        script->input_size -= taken;
    }
}

static void *run(void *argument)
{
    struct nats_script *script = argument;
    while (wait_readable(script, script->listener)) {
        script->peer = accept(script->listener, NULL, NULL);
        if (script->peer >= 0) {
            serve(script);
            (void)close(script->peer);
        }
    }
    return NULL;
}

struct nats_script *nats_script_start(void)
{
    struct nats_script *script = calloc(1, sizeof(*script));
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

void nats_script_stop(struct nats_script *script)
{
    (void)eventfd_write(script->stopper, 1);
    (void)pthread_join(script->thread, NULL);
    (void)close(script->stopper);
    (void)close(script->listener);
    (void)pthread_cond_destroy(&script->changed);
    (void)pthread_mutex_destroy(&script->lock);
    free(script->input);
    free(script);
}

uint16_t nats_script_port(const struct nats_script *script)
{
    return script->port;
}

void nats_script_add(struct nats_script *script, unsigned index, const char *text)
{
    (void)pthread_mutex_lock(&script->lock);
    if (script->steps_count < STEPS_MAX) {
        script->steps[script->steps_count++] = (struct step){.index = index, .answer = text};
    }
    (void)pthread_mutex_unlock(&script->lock);
}

const char *nats_script_log(struct nats_script *script)
{
    static char copy[LOG_MAX];
    (void)pthread_mutex_lock(&script->lock);
    memcpy(copy, script->log, script->log_size);
    copy[script->log_size] = '\0';
    (void)pthread_mutex_unlock(&script->lock);
    return copy;
}

bool nats_script_wait(struct nats_script *script, const char *text)
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
