#include "targets/http/reply.h"

#include <curl/curl.h>
#include <strings.h>

#define SECOND_US INT64_C(1000000)
#define RETRY_AFTER_MAX_US (3600 * SECOND_US)

void reply_reset(struct reply *reply)
{
    struct bytes content = reply->content;
    bytes_clear(&content);
    content.size_max = REPLY_SIZE_MAX;
    *reply = (struct reply){.content = content};
}

void reply_release(struct reply *reply)
{
    bytes_release(&reply->content);
    *reply = (struct reply){0};
}

/* "HTTP/1.1 200 OK" or "HTTP/2 200". */
static bool is_status_line(const char *line, size_t size)
{
    return size > 5 && memcmp(line, "HTTP/", 5) == 0;
}

static void take_retry_after(struct reply *reply, const char *value, size_t size)
{
    while (size > 0 && (*value == ' ' || *value == '\t')) {
        value++;
        size--;
    }
    while (size > 0 && (uint8_t)value[size - 1] <= ' ') {
        size--;
    }
    if (size < sizeof(reply->retry_after)) {
        memcpy(reply->retry_after, value, size);
        reply->retry_after[size] = '\0';
    }
}

bool reply_take_header(struct reply *reply, const char *line, size_t size)
{
    static const char name[] = "retry-after:";
    if (is_status_line(line, size)) {
        reply->retry_after[0] = '\0'; /* what came before was an interim answer */
        reply->headers_ended = false;
    } else if (size > 0 && (line[0] == '\r' || line[0] == '\n')) {
        reply->headers_ended = true;
    } else if (size > sizeof(name) - 1 && strncasecmp(line, name, sizeof(name) - 1) == 0) {
        take_retry_after(reply, line + sizeof(name) - 1, size - (sizeof(name) - 1));
    }
    reply->headers_size += size;
    reply->too_long = reply->too_long || reply->headers_size > REPLY_HEADERS_MAX;
    return !reply->too_long;
}

bool reply_take_content(struct reply *reply, const char *data, size_t size)
{
    size_t room = REPLY_SIZE_MAX - reply->content.size;
    bytes_append(&reply->content, data, size < room ? size : room);
    reply->too_long = reply->too_long || size > room || !bytes_ok(&reply->content);
    return !reply->too_long;
}

int64_t reply_retry_after_us(const char *text, int64_t wall_us)
{
    size_t digits = strspn(text, "0123456789");
    if (digits > 0 && text[digits] == '\0') {
        int64_t seconds = 0;
        for (size_t i = 0; i < digits && seconds < RETRY_AFTER_MAX_US / SECOND_US; i++) {
            seconds = seconds * 10 + (text[i] - '0');
        }
        int64_t wanted = seconds * SECOND_US;
        return wanted < RETRY_AFTER_MAX_US ? wanted : RETRY_AFTER_MAX_US;
    }
    time_t moment = text[0] == '\0' ? -1 : curl_getdate(text, NULL);
    if (moment < 0 || moment <= wall_us / SECOND_US) {
        return 0;
    }
    int64_t wait = (int64_t)moment - wall_us / SECOND_US;
    return wait < RETRY_AFTER_MAX_US / SECOND_US ? wait * SECOND_US : RETRY_AFTER_MAX_US;
}
