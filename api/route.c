#include "api/route.h"

#include <string.h>

#include "api/handlers.h"
#include "conf/option.h"
#include "engine/state.h"

#define GET(route_path, function, ...)                                                             \
    {                                                                                              \
        .method = ROUTE_GET, .path = (route_path), .handler = (function), __VA_ARGS__              \
    }
#define POST(route_path, function, ...)                                                            \
    {                                                                                              \
        .method = ROUTE_POST, .path = (route_path), .handler = (function), __VA_ARGS__             \
    }

static const char *const label_query[] = {"label", NULL};
static const char *const list_query[] = {"pipeline", "target", "table", "key",     "since", "error",
                                         "cause",    "after",  "limit", "payload", NULL};
static const char *const count_query[] = {"pipeline", "target", "table", "key", "since",
                                          "error",    "cause",  "after", NULL};
static const char *const full_query[] = {"full", NULL};

const struct route routes[] = {
    GET("/healthz", handle_health,
        .help = "200 unless a source has failed for good or every pipeline of one source has "
                "failed; then 503 with names"),
    GET("/health", handle_health, .help = "as /healthz"),
    GET("/health/live", handle_health, .help = "as /healthz"),
    GET("/readyz", handle_ready,
        .help = "200 when every pipeline and source does what it should, else 503; with states"),
    GET("/ready", handle_ready, .help = "as /readyz"),
    GET("/health/ready", handle_ready, .help = "as /readyz"),
    GET("/metrics", handle_metrics, .help = "counters and gauges in Prometheus' text format"),
    GET("/status", handle_status, .help = "everything: sources, pipelines, store, versions"),
    GET("/version", handle_version, .help = "versions of the program and its libraries"),
    GET("/pipelines", handle_pipelines, .query = label_query,
        .help =
            "all pipelines; `?label=key:value` or `?label=key` selects, several must all match"),
    GET("/pipelines/{name}", handle_pipeline, .help = "one pipeline, by name or by id"),
    GET("/pipelines/{name}/checkpoints", handle_checkpoints,
        .help = "of each target: what is durable there, what is settled, and for how long that has "
                "not moved"),
    POST("/pipelines/{name}/pause", handle_pipeline_verb, .argument = PIPELINE_PAUSE, .slow = true,
         .help = "nothing more is delivered after the answer; what is queued is kept"),
    POST("/pipelines/{name}/resume", handle_pipeline_verb, .argument = PIPELINE_RESUME,
         .slow = true, .help = "goes on after a pause, with what was queued first"),
    POST("/pipelines/{name}/stop", handle_pipeline_verb, .argument = PIPELINE_STOP, .slow = true,
         .help = "what is in flight is flushed, the checkpoint saved, nothing kept in memory"),
    POST("/pipelines/{name}/start", handle_pipeline_verb, .argument = PIPELINE_START, .slow = true,
         .help = "starts again after a stop or an error, from the checkpoint"),
    POST("/pipelines/{name}/restart", handle_pipeline_verb, .argument = PIPELINE_RESTART,
         .slow = true,
         .help = "a stop and a start; targets that wait for an operator are tried at once"),
    GET("/dead-letters", handle_letters, .slow = true, .query = list_query, .socket_only = true,
        .help = "dead letters in the order of adding; see below for what selects them"),
    GET("/dead-letters/count", handle_letters_count, .slow = true, .query = count_query,
        .help = "how many there are, by cause, their bytes and the oldest"),
    GET("/dead-letters/{name}", handle_letter, .slow = true, .query = full_query,
        .socket_only = true,
        .help = "one, by number, with its payload up to 64 KiB; whole with `?full=true`"),
    POST("/dead-letters/replay", handle_letters_replay, .slow = true,
         .help = "delivers them again; body as below, with `dry_run`"),
    POST("/dead-letters/purge", handle_letters_purge, .slow = true,
         .help = "gives them up and leaves gap rows; body as below, with `confirm`"),
    POST("/log-level", handle_log_level, .help = "body `{\"level\":\"error|warn|info|debug\"}`"),
};
const size_t routes_count = CONF_COUNT(routes);

static size_t segment_size(const char *path)
{
    return strcspn(path, "/");
}

/* Whether the path has the pattern's shape; where {name} stands goes to ret_name. */
static bool matches(const char *pattern, const char *path, const char **ret_name,
                    size_t *ret_name_size)
{
    while (*pattern == '/' && *path == '/') {
        pattern++;
        path++;
        size_t pattern_size = segment_size(pattern);
        size_t path_size = segment_size(path);
        if (*pattern == '{' && path_size > 0) {
            *ret_name = path;
            *ret_name_size = path_size;
        } else if (pattern_size != path_size || memcmp(pattern, path, path_size) != 0) {
            return false;
        }
        pattern += pattern_size;
        path += path_size;
    }
    return *pattern == '\0' && *path == '\0';
}

static bool method_fits(const struct route *route, const char *method)
{
    return route->method == ROUTE_POST ? strcmp(method, "POST") == 0
                                       : strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

const struct route *route_find(const char *method, const char *path, char name[REQUEST_NAME_MAX],
                               struct answer *answer)
{
    const struct route *other = NULL;
    for (size_t i = 0; i < routes_count; i++) {
        const char *at = "";
        size_t size = 0;
        if (!matches(routes[i].path, path, &at, &size)) {
            continue;
        }
        if (!method_fits(&routes[i], method)) {
            other = &routes[i];
            continue;
        }
        if (size >= REQUEST_NAME_MAX) {
            answer_refusal(answer, 400, "BAD_REQUEST", NULL, "name in the path is too long");
            return NULL;
        }
        memcpy(name, at, size);
        name[size] = '\0';
        if (!request_decode(name)) {
            answer_refusal(answer, 400, "BAD_REQUEST", NULL, "path has a faulty %% sequence");
            return NULL;
        }
        return &routes[i];
    }
    if (other != NULL) {
        answer->allow = other->method == ROUTE_POST ? "POST" : "GET, HEAD";
        answer_refusal(answer, 405, "METHOD_NOT_ALLOWED", NULL, "method \"%s\" is not for \"%s\"",
                       method, other->path);
        return NULL;
    }
    answer_refusal(answer, 404, "NOT_FOUND", "docs/api.md lists the paths", "no such path");
    return NULL;
}
