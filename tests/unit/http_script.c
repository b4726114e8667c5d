#include "tests/unit/http_script.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 512, STEPS_MAX = 64, REQUESTS_MAX = 4096, WAIT_SECONDS = 10 };

struct connection {
    struct http_script *script;
    int descriptor;
    unsigned number;
    pthread_t thread;
};

struct http_script {
    int listener;
    uint16_t port;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool stopping;
    struct http_step steps[STEPS_MAX];
    size_t steps_count;
    size_t steps_taken;
    struct http_received requests[REQUESTS_MAX];
    size_t requests_count;
    struct connection connections[CONNECTIONS_MAX];
    unsigned connections_count;
};

static void require(bool condition, const char *what)
{
    if (!condition) {
        perror(what);
        abort();
    }
}

static bool is_stopping(struct http_script *script)
{
    (void)pthread_mutex_lock(&script->lock);
    bool stopping = script->stopping;
    (void)pthread_mutex_unlock(&script->lock);
    return stopping;
}

/* Waits for `events`; false when the server stops. */
static bool wait_for(struct connection *connection, short events)
{
    while (!is_stopping(connection->script)) {
        struct pollfd ready = {.fd = connection->descriptor, .events = events};
        if (poll(&ready, 1, 20) == 1) {
            return true;
        }
    }
    return false;
}

static bool send_all(struct connection *connection, const char *text, size_t size)
{
    while (size > 0 && wait_for(connection, POLLOUT)) {
        ssize_t count = send(connection->descriptor, text, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0 && errno != EAGAIN) {
            return false;
        }
        text += count > 0 ? count : 0;
        size -= count > 0 ? (size_t)count : 0;
    }
    return size == 0;
}

/* Reads until the head is there, then the body that it announces. False: the peer has gone. */
static bool read_request(struct connection *connection, struct http_received *ret_received)
{
    size_t capacity = 1 << 16;
    size_t size = 0;
    size_t wanted = 0;
    char *data = malloc(capacity);
    char *body = NULL;
    require(data != NULL, "memory");
    while ((body == NULL || size < wanted) && wait_for(connection, POLLIN)) {
        if (size + 1 >= capacity) {
            capacity *= 2;
            char *grown = realloc(data, capacity);
            require(grown != NULL, "memory");
            data = grown;
        }
        ssize_t count = recv(connection->descriptor, data + size, capacity - size - 1, 0);
        if (count <= 0) {
            break;
        }
        size += (size_t)count;
        data[size] = '\0';
        body = strstr(data, "\r\n\r\n");
        if (body != NULL && wanted == 0) {
            const char *length = strcasestr(data, "content-length:");
            size_t body_size = length != NULL && length < body ? strtoul(length + 15, NULL, 10) : 0;
            wanted = (size_t)(body + 4 - data) + body_size;
        }
    }
    if (body == NULL || size < wanted) {
        free(data);
        return false;
    }
    size_t head_size = (size_t)(body + 4 - data);
    *ret_received = (struct http_received){.head = strndup(data, head_size),
                                           .body = malloc(wanted - head_size + 1),
                                           .body_size = wanted - head_size,
                                           .connection = connection->number};
    require(ret_received->head != NULL && ret_received->body != NULL, "memory");
    memcpy(ret_received->body, data + head_size, wanted - head_size);
    ret_received->body[wanted - head_size] = '\0';
    free(data);
    return true;
}

static struct http_step take_step(struct http_script *script, const struct http_received *received)
{
    static char fine[] = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    struct http_step step = {HTTP_REPLY, fine};
    (void)pthread_mutex_lock(&script->lock);
    require(script->requests_count < REQUESTS_MAX, "too many requests");
    script->requests[script->requests_count++] = *received;
    if (script->steps_taken < script->steps_count) {
        step = script->steps[script->steps_taken++];
    }
    (void)pthread_cond_broadcast(&script->changed);
    (void)pthread_mutex_unlock(&script->lock);
    return step;
}

static void reset(struct connection *connection)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(connection->descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static void drip(struct connection *connection, const char *text)
{
    for (; *text != '\0' && send_all(connection, text, 1); text++) {
        struct pollfd nothing = {.fd = -1};
        (void)poll(&nothing, 1, 20);
    }
}

/* Waits until the peer closes. */
static void hang(struct connection *connection)
{
    char byte;
    while (wait_for(connection, POLLIN) && recv(connection->descriptor, &byte, 1, 0) > 0) {
    }
}

/* False: the connection ends. */
static bool run_step(struct connection *connection, const struct http_step *step)
{
    static const char noise[8192] = {'x'};
    switch (step->kind) {
    case HTTP_REPLY:
        return send_all(connection, step->text, strlen(step->text));
    case HTTP_REPLY_CLOSE:
        (void)send_all(connection, step->text, strlen(step->text));
        return false;
    case HTTP_REPLY_RESET:
        (void)send_all(connection, step->text, strlen(step->text));
        reset(connection);
        return false;
    case HTTP_DRIP:
        drip(connection, step->text);
        return false;
    case HTTP_HANG:
        hang(connection);
        return false;
    case HTTP_FLOOD:
        if (send_all(connection, step->text, strlen(step->text))) {
            while (send_all(connection, noise, sizeof(noise))) {
            }
        }
        return false;
    }
    return false;
}

static void *connection_run(void *argument)
{
    struct connection *connection = argument;
    struct http_received received;
    while (read_request(connection, &received)) {
        const struct http_step step = take_step(connection->script, &received);
        if (!run_step(connection, &step)) {
            break;
        }
    }
    (void)close(connection->descriptor);
    return NULL;
}

static void *accept_run(void *argument)
{
    struct http_script *script = argument;
    while (!is_stopping(script)) {
        struct pollfd ready = {.fd = script->listener, .events = POLLIN};
        if (poll(&ready, 1, 20) != 1) {
            continue;
        }
        int descriptor = accept4(script->listener, NULL, NULL, SOCK_CLOEXEC);
        if (descriptor < 0) {
            continue;
        }
        (void)pthread_mutex_lock(&script->lock);
        require(script->connections_count < CONNECTIONS_MAX, "too many connections");
        struct connection *connection = &script->connections[script->connections_count++];
        *connection = (struct connection){
            .script = script, .descriptor = descriptor, .number = script->connections_count};
        require(pthread_create(&connection->thread, NULL, connection_run, connection) == 0,
                "thread");
        (void)pthread_mutex_unlock(&script->lock);
    }
    return NULL;
}

struct http_script *http_script_start(void)
{
    struct http_script *script = calloc(1, sizeof(*script));
    require(script != NULL, "memory");
    (void)pthread_mutex_init(&script->lock, NULL);
    (void)pthread_cond_init(&script->changed, NULL);
    script->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    require(script->listener >= 0 &&
                bind(script->listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
                listen(script->listener, 64) == 0 &&
                getsockname(script->listener, (struct sockaddr *)&address, &size) == 0,
            "listen");
    script->port = ntohs(address.sin_port);
    require(pthread_create(&script->thread, NULL, accept_run, script) == 0, "thread");
    return script;
}

void http_script_stop(struct http_script *script)
{
    (void)pthread_mutex_lock(&script->lock);
    script->stopping = true;
    (void)pthread_mutex_unlock(&script->lock);
    (void)pthread_join(script->thread, NULL);
    for (unsigned i = 0; i < script->connections_count; i++) {
        (void)pthread_join(script->connections[i].thread, NULL);
    }
    for (size_t i = 0; i < script->requests_count; i++) {
        free(script->requests[i].head);
        free(script->requests[i].body);
    }
    for (size_t i = 0; i < script->steps_count; i++) {
        free(script->steps[i].text);
    }
    (void)close(script->listener);
    (void)pthread_mutex_destroy(&script->lock);
    (void)pthread_cond_destroy(&script->changed);
    free(script);
}

uint16_t http_script_port(const struct http_script *script)
{
    return script->port;
}

void http_script_add(struct http_script *script, enum http_step_kind kind, const char *text)
{
    (void)pthread_mutex_lock(&script->lock);
    require(script->steps_count < STEPS_MAX, "too many steps");
    script->steps[script->steps_count++] = (struct http_step){kind, strdup(text)};
    (void)pthread_mutex_unlock(&script->lock);
}

bool http_script_wait(struct http_script *script, size_t count)
{
    struct timespec deadline;
    (void)clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += WAIT_SECONDS;
    int result = 0;
    (void)pthread_mutex_lock(&script->lock);
    while (script->requests_count < count && result == 0) {
        result = pthread_cond_timedwait(&script->changed, &script->lock, &deadline);
    }
    bool came = script->requests_count >= count;
    (void)pthread_mutex_unlock(&script->lock);
    return came;
}

size_t http_script_count(struct http_script *script)
{
    (void)pthread_mutex_lock(&script->lock);
    size_t count = script->requests_count;
    (void)pthread_mutex_unlock(&script->lock);
    return count;
}

const struct http_received *http_script_get(struct http_script *script, size_t index)
{
    require(index < http_script_count(script), "no such request");
    return &script->requests[index];
}

const char *http_script_header(const struct http_received *received, const char *name)
{
    static char value[4096];
    size_t length = strlen(name);
    for (const char *line = strstr(received->head, "\r\n"); line != NULL;
         line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
            const char *at = line + length + 1 + (line[length + 1] == ' ');
            size_t size = strcspn(at, "\r");
            (void)snprintf(value, sizeof(value), "%.*s", (int)size, at);
            return value;
        }
    }
    return NULL;
}
