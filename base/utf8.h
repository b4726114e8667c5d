/*
 * utf8.h - validation of UTF-8 as RFC 3629 defines it.
 *
 * Shortest forms only, no surrogates, nothing above U+10FFFF.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The length in bytes (1 to 4) of the valid sequence at `bytes`, or 0 if there is none. */
size_t utf8_sequence(const uint8_t *bytes, size_t size);

bool utf8_valid(const uint8_t *bytes, size_t size);

#endif
