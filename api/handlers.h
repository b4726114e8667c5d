/*
 * handlers.h - the handlers that the table in route.c names, by noun.
 *
 * Each fills its answer whole. Handlers run on the API thread, one at a time; those of routes that
 * are `slow` run on a thread of their own beside it, one at a time as well.
 */
#ifndef API_HANDLERS_H
#define API_HANDLERS_H

#include "api/request.h"

void handle_health(const struct request *request, struct answer *answer);
void handle_ready(const struct request *request, struct answer *answer);
void handle_metrics(const struct request *request, struct answer *answer);
void handle_status(const struct request *request, struct answer *answer);
void handle_version(const struct request *request, struct answer *answer);
void handle_pipelines(const struct request *request, struct answer *answer);
void handle_pipeline(const struct request *request, struct answer *answer);
void handle_checkpoints(const struct request *request, struct answer *answer);
/* `argument` is the enum pipeline_verb. */
void handle_pipeline_verb(const struct request *request, struct answer *answer);
void handle_letters(const struct request *request, struct answer *answer);
void handle_letters_count(const struct request *request, struct answer *answer);
void handle_letter(const struct request *request, struct answer *answer);
void handle_letters_replay(const struct request *request, struct answer *answer);
void handle_letters_purge(const struct request *request, struct answer *answer);
void handle_log_level(const struct request *request, struct answer *answer);

#endif
