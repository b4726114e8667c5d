/*
 * excerpt.h - the line of a fault as it may be shown: with everything masked that may be secret.
 *
 * Shown are keys, the values of disclosed nodes (see tree.h) and the signs of YAML. Where a file
 * could not be parsed nothing is known of its values: then only the key of the line is shown, and a
 * value that has no look of a secret.
 */
#ifndef CONF_EXCERPT_H
#define CONF_EXCERPT_H

#include "conf/tree.h"

/* Returns the masked line that holds `start` (free it), or NULL where it is empty or memory is out. `ret_caret` and
 * `ret_caret_length` say, in characters, where the mark of [start, end) goes below it. */
char *conf_excerpt(const struct conf_tree *tree, const struct conf_file *file, size_t start,
                   size_t end, uint32_t *ret_caret, uint32_t *ret_caret_length);

#endif
