/*
 * yaml.h - YAML text to conf nodes, through libfyaml behind a guard.
 *
 * Accepted is what a conf needs: one document of maps, lists and scalars. Anchors, aliases, tags,
 * directives, a second document, duplicate and non-scalar keys are faults at their place. Version
 * 0.7.12 of libfyaml never returns from some lines that start with `%`; such a line is refused
 * before the library sees it, as are broken UTF-8 and NUL bytes.
 *
 * Threading:  one thread; libfyaml is given text only, and opens nothing.
 * Limits:     those of tree.h.
 */
#ifndef CONF_YAML_H
#define CONF_YAML_H

#include "conf/report.h"
#include "conf/tree.h"

/* Returns the root of the document in `file`, or NULL with faults in the report. An empty document
 * is an empty map. */
struct conf_node *conf_yaml_parse(struct conf_tree *tree, struct conf_file *file,
                                  struct conf_report *report);

#endif
