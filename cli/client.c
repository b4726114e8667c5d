#include "cli/client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/bytes.h"
#include "cli/conf_arguments.h"
#include "cli/failure.h"
#include "engine/engine.h"

enum { ANSWER_MAX = 256 * 1024 * 1024, URL_MAX = 30000 };

bool client_append_segment(char *path, size_t path_size, const char *text)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:";
    size_t at = strlen(path);
    for (; *text != '\0'; text++) {
        bool keep = strchr(plain, *text) != NULL;
        if (at + 4 > path_size) {
            return false;
        }
        at += (size_t)snprintf(path + at, path_size - at, keep ? "%c" : "%%%02X",
                               keep ? *text : (unsigned char)*text);
    }
    return true;
}

/* Finds the socket's path; prints the failure. */
static int find_socket(const struct arguments *arguments, char path[API_SOCKET_PATH_SIZE])
{
    struct fan_error error = {0};
    const char *given = arguments_value(arguments, "socket");
    if (given != NULL) {
        if (strlen(given) >= API_SOCKET_PATH_SIZE) {
            (void)fan_fail(&error, FAN_FATAL,
                           "cannot use socket \"%s\": at most %d bytes fit its address", given,
                           API_SOCKET_PATH_SIZE - 1); /* printed below */
            return failure_print(&error, EXIT_USAGE);
        }
        memcpy(path, given, strlen(given) + 1);
        return EXIT_FINE;
    }
    struct settings settings = {0};
    const char *data_dir = arguments_value(arguments, "data-dir");
    if (data_dir == NULL) {
        if (!conf_arguments_load(arguments, &settings)) {
            return EXIT_CONF;
        }
        data_dir = settings.data_dir;
    }
    enum fan_status status = api_socket_path(data_dir, path, &error);
    settings_release(&settings);
    return status == FAN_OK ? EXIT_FINE : failure_print(&error, EXIT_CONF);
}

static size_t take_answer(char *data, size_t size, size_t count, void *argument)
{
    struct bytes *answer = argument;
    bytes_append(answer, data, size * count);
    return bytes_ok(answer) ? size * count : 0;
}

static int fail_absent(const char *socket_path)
{
    struct fan_error error = {0};
    (void)fan_fail(&error, FAN_RETRY, "no engine answers on \"%s\"", socket_path);
    fan_error_annotate(&error, "NO_ENGINE",
                       "start it with pgfan run, or name its data directory with --data-dir");
    return failure_print(&error, EXIT_FAILED);
}

static int fail_transfer(CURLcode code, const char *socket_path)
{
    struct fan_error error = {0};
    (void)fan_fail(&error, FAN_RETRY, "the request to the engine on \"%s\" failed: %s", socket_path,
                   curl_easy_strerror(code)); /* printed below */
    return failure_print(&error, EXIT_FAILED);
}

/* The engine's own words are shown as they are. */
int client_refused(long status, const json_t *answer)
{
    struct fan_error error = {0};
    const char *message = json_string_value(json_object_get(answer, "message"));
    const char *hint = json_string_value(json_object_get(answer, "hint"));
    (void)fan_fail(&error, FAN_FATAL, "%s",
                   message == NULL ? "the engine's answer is not understood" : message);
    if (message == NULL) {
        fan_error_annotate(&error, NULL,
                           "its status is %ld; do program and engine have the same "
                           "version?",
                           status);
    } else if (hint != NULL) {
        fan_error_annotate(&error, NULL, "%s", hint);
    }
    return failure_print(&error, EXIT_FAILED);
}

/* Options that libcurl knows cannot fail but for memory, and then the transfer fails. */
static void set_options(CURL *curl, const char *socket_path, const char *url, const char *method,
                        const char *body, struct bytes *answer)
{
    (void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket_path);
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 5L);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)CLIENT_TIMEOUT_S);
    (void)curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    if (strcmp(method, "GET") != 0) {
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body == NULL ? "" : body);
    }
}

static CURLcode transfer(CURL *curl, const char *socket_path, const char *path, const char *method,
                         const char *body, struct bytes *answer, long *ret_status)
{
    char url[URL_MAX];
    (void)snprintf(url, sizeof(url), "http://localhost%s", path); /* paths are shorter */
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    set_options(curl, socket_path, url, method, body, answer);
    if (body != NULL) {
        (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    }
    CURLcode code = curl_easy_perform(curl);
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_status); /* 0 without an answer */
    curl_slist_free_all(headers);
    return code;
}

static int ask(const char *socket_path, const char *method, const char *path, const json_t *body,
               long *ret_status, json_t **ret_value)
{
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    struct bytes answer;
    bytes_init(&answer, ANSWER_MAX);
    CURL *curl = curl_easy_init();
    CURLcode code = curl == NULL || (body != NULL && text == NULL)
                        ? CURLE_OUT_OF_MEMORY
                        : transfer(curl, socket_path, path, method, text, &answer, ret_status);
    curl_easy_cleanup(curl);
    free(text);
    json_error_t fault;
    *ret_value = code != CURLE_OK || answer.size == 0
                     ? NULL
                     : json_loadb((const char *)answer.data, answer.size, 0, &fault);
    bytes_release(&answer);
    if (code == CURLE_COULDNT_CONNECT) {
        return CLIENT_NO_ENGINE;
    }
    return code == CURLE_OK ? EXIT_FINE : fail_transfer(code, socket_path);
}

int client_ask(const struct arguments *arguments, const char *method, const char *path,
               const json_t *body, long *ret_status, json_t **ret_value)
{
    char socket_path[API_SOCKET_PATH_SIZE];
    int found = find_socket(arguments, socket_path);
    *ret_status = 0;
    return found != EXIT_FINE ? found : ask(socket_path, method, path, body, ret_status, ret_value);
}

int client_request(const struct arguments *arguments, const char *method, const char *path,
                   const json_t *body, long accepted, json_t **ret_value)
{
    char socket_path[API_SOCKET_PATH_SIZE];
    int found = find_socket(arguments, socket_path);
    if (found != EXIT_FINE) {
        return found;
    }
    long status = 0;
    json_t *value = NULL;
    int asked = ask(socket_path, method, path, body, &status, &value);
    if (asked != EXIT_FINE) {
        return asked == CLIENT_NO_ENGINE ? fail_absent(socket_path) : asked;
    }
    if (value == NULL || (status != 200 && status != accepted)) {
        int failed = client_refused(status, value);
        json_decref(value);
        return failed;
    }
    *ret_value = value;
    return EXIT_FINE;
}
