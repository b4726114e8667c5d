#include "engine/persist.h"

#include <stdlib.h>

void persist_job_free(struct persist_job *job)
{
    if (job == NULL) {
        return;
    }
    free(job->checkpoints);
    free(job->pipelines);
    free(job->gaps);
    free(job);
}
