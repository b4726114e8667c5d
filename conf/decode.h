/*
 * decode.h - from nodes to structs, by the tables of option.h, with every fault in one go.
 *
 * The decoder never stops at a fault: what could not be decoded keeps its default, and the faults
 * are in the report. References are expanded here, on parsed scalars. Nodes whose keys are not
 * secret are disclosed (tree.h), so that faults may show them.
 *
 * Ownership:  the decoded struct owns its values; conf_section_release() frees them, also after
 *             faults.
 * Threading:  one thread.
 * Errors:     report->errors grew.
 */
#ifndef CONF_DECODE_H
#define CONF_DECODE_H

#include "conf/expand.h"
#include "conf/option.h"
#include "conf/report.h"
#include "conf/settings.h"
#include "conf/tree.h"

struct conf_decoder {
    struct conf_tree *tree;
    struct conf_report *report;
    const struct conf_plugins *plugins;
    struct expand_environment environment;
};

/* Decodes `node` into `ret_section`, which is zeroed and of the table's size. */
void conf_decode(const struct conf_decoder *decoder, struct conf_node *node,
                 const struct conf_table *table, void *ret_section);

/* Frees what a section owns, and zeroes it; secrets are erased. */
void conf_section_release(const struct conf_table *table, void *section);

/* The plug-in of that type, or NULL. */
const struct conf_plugin *conf_plugin_find(const struct conf_plugins *plugins,
                                           enum conf_family family, const char *type);

/* Where a node stands, as `pipelines.orders.batch`; "" for the root. */
enum { CONF_PATH_SIZE = 256 };
void conf_node_path(const struct conf_node *node, char path[CONF_PATH_SIZE]);

/* A type or a format that the design knows and this version has not. */
bool conf_name_is_unavailable(const char *name);

#endif
