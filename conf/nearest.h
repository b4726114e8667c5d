/*
 * nearest.h - the "did you mean" of unknown keys, names and choices.
 *
 * Distance is the number of letters to insert, remove, replace, or swap with their neighbour
 * (optimal string alignment), case and the difference of - and _ aside.
 */
#ifndef CONF_NEAREST_H
#define CONF_NEAREST_H

#include <stddef.h>

struct nearest {
    const char *word; /* what was written; borrowed */
    const char *best; /* borrowed from the candidates; NULL while none is near */
    size_t distance;
};

/* Words longer than 63 bytes have no neighbours. */
void nearest_init(struct nearest *nearest, const char *word);
void nearest_offer(struct nearest *nearest, const char *candidate);

#endif
