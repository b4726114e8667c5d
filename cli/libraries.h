/*
 * libraries.h - the version of the program and of every library it runs with.
 */
#ifndef CLI_LIBRARIES_H
#define CLI_LIBRARIES_H

#include "api/api.h"

/* As found at run time; the program itself comes first. Valid for ever. Not thread-safe: the main
 * thread asks first. */
const struct api_version *libraries_versions(size_t *ret_count);

#endif
