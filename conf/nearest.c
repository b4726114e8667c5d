#include "conf/nearest.h"

#include <ctype.h>
#include <string.h>

enum { WORD_MAX = 63 };

static size_t smaller(size_t left, size_t right)
{
    return left < right ? left : right;
}

static int folded(char character)
{
    return character == '-' ? '_' : tolower((unsigned char)character);
}

static size_t distance_of(const char *left, size_t left_size, const char *right, size_t right_size)
{
    size_t rows[3][WORD_MAX + 1]; /* the current row and the two before it */
    for (size_t j = 0; j <= right_size; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= left_size; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *higher = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= right_size; j++) {
            int letter = folded(left[i - 1]);
            int other = folded(right[j - 1]);
            row[j] =
                smaller(smaller(above[j] + 1, row[j - 1] + 1), above[j - 1] + (letter != other));
            if (i > 1 && j > 1 && letter == folded(right[j - 2]) && other == folded(left[i - 2])) {
                row[j] = smaller(row[j], higher[j - 2] + 1);
            }
        }
    }
    return rows[left_size % 3][right_size];
}

void nearest_init(struct nearest *nearest, const char *word)
{
    *nearest = (struct nearest){.word = word};
}

void nearest_offer(struct nearest *nearest, const char *candidate)
{
    size_t size = strlen(nearest->word);
    size_t candidate_size = strlen(candidate);
    if (size == 0 || size > WORD_MAX || candidate_size > WORD_MAX) {
        return;
    }
    size_t distance = distance_of(nearest->word, size, candidate, candidate_size);
    size_t most = size <= 3 ? 1 : size <= 6 ? 2 : 3; /* short words are all near each other */
    if (distance <= most && (nearest->best == NULL || distance < nearest->distance)) {
        nearest->best = candidate;
        nearest->distance = distance;
    }
}
