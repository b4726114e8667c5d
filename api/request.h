/*
 * request.h - a request as handlers see it: free of the HTTP library, checked, and complete.
 *
 * Ownership:  everything is borrowed for the time of the handler's call.
 */
#ifndef API_REQUEST_H
#define API_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "api/answer.h"
#include "api/api.h"

enum { REQUEST_QUERY_MAX = 16, REQUEST_NAME_MAX = 512 };

struct request_query {
    const char *key;
    const char *value; /* "" when the query has no "=" */
};

struct request {
    const struct api_setup *setup;
    char name[REQUEST_NAME_MAX];       /* what stands for {name} in the path, percent-decoded */
    int argument;                      /* the route's own */
    const struct request_query *query; /* values percent-decoded */
    size_t query_count;
    const char *body;
    size_t body_size;
};

typedef void request_handler(const struct request *request, struct answer *answer);

/*
 * Decodes %XX in place. False when a % is not followed by two hexadecimal digits, or when it
 * stands for a NUL.
 */
bool request_decode(char *text);

#endif
