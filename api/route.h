/*
 * route.h - the one table of what the API serves: method, path and handler.
 */
#ifndef API_ROUTE_H
#define API_ROUTE_H

#include "api/request.h"

enum route_method { ROUTE_GET, ROUTE_POST };

struct route {
    enum route_method method;
    const char *path; /* a segment "{name}" stands for any one segment */
    request_handler *handler;
    bool slow;                /* the handler waits: it runs on the thread of verbs.h */
    int argument;             /* for handlers that serve several routes */
    const char *const *query; /* the query parameters that are known; ends with NULL; may be NULL */
    bool socket_only;         /* shows row values: not over TCP, where nobody asks who reads */
    const char *help;         /* for docs/api.md */
};

extern const struct route routes[];
extern const size_t routes_count;

/*
 * The route of a request, or NULL with the refusal in `answer` (400, 404, 405). Writes the decoded
 * {name}. HEAD is served as GET.
 */
const struct route *route_find(const char *method, const char *path, char name[REQUEST_NAME_MAX],
                               struct answer *answer);

#endif
