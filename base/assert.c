#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void fan_assert_failed(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "pgfan: broken invariant at %s:%d: %s\n", file, line,
                  condition); /* last */
    abort();
}
