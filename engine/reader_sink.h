/*
 * reader_sink.h - the functions that a source calls: routing of changes into the intakes.
 */
#ifndef ENGINE_READER_SINK_H
#define ENGINE_READER_SINK_H

#include "sources/source.h"

void reader_sink_init(struct source_sink *sink);

#endif
