/*
 * tree.h - a parsed conf document as plain nodes that remember where they were written.
 *
 * One tree holds everything that one load reads: the files (their text serves the caret lines of
 * faults), and the nodes of all of them, which merging moves about. Whoever fills it (YAML today,
 * JSON for the API) leaves no type of its library behind.
 *
 * A node is DISCLOSED once the decoder has matched it to a key that is not secret. Everything else
 * (secrets, values of unknown keys, what was never looked at) is masked where lines are shown.
 *
 * Ownership:  the tree owns files and nodes; conf_tree_release() erases both, because they hold
 *             inline secrets.
 * Threading:  one thread.
 * Limits:     CONF_FILES_MAX files of CONF_FILE_MAX bytes, CONF_NODES_MAX nodes, CONF_DEPTH_MAX.
 */
#ifndef CONF_TREE_H
#define CONF_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum {
    CONF_FILE_MAX = 1024 * 1024,
    CONF_FILES_MAX = 256,
    CONF_NODES_MAX = 200000,
    CONF_DEPTH_MAX = 32,
    CONF_KEYS_MAX = 2000, /* of one section */
};

enum conf_file_kind {
    CONF_FILE_YAML,        /* has lines to show */
    CONF_FILE_ENVIRONMENT, /* an override: `name` says which, there is no line */
    CONF_FILE_SET,
};

struct conf_file {
    char *name; /* as the user wrote it */
    char *text; /* NUL-terminated; NULL for overrides */
    size_t size;
    uint32_t index; /* in reading order */
    enum conf_file_kind kind;
    bool parsed;       /* all its nodes are in the tree */
    bool exposed;      /* group or others may read it */
    bool exposed_said; /* the fault about it was reported */
};

/* Where something stands: [start, end) in bytes; end == start marks a point. */
struct conf_place {
    struct conf_file *file; /* NULL: nowhere (a default) */
    size_t start;
    size_t end;
};

enum conf_node_kind { CONF_NODE_SCALAR, CONF_NODE_SEQUENCE, CONF_NODE_MAP };

struct conf_node {
    enum conf_node_kind kind;
    bool plain;     /* a scalar without quotes: only there are null and ~ special */
    bool disclosed; /* see above */
    char *key;      /* of a map entry; NULL for others */
    size_t key_size;
    char *text; /* of a scalar, NUL-terminated; may hold further NULs */
    size_t text_size;
    struct conf_place key_place;
    struct conf_place place;
    struct conf_node *parent;
    struct conf_node *first; /* children, in file order */
    struct conf_node *last;
    struct conf_node *next;
    size_t children_count;
    struct conf_node *all_next; /* every node of the tree, for the masks */
    size_t depth;
};

struct conf_arena_block;

struct conf_tree {
    struct conf_node *root; /* NULL: an empty document */
    struct conf_node *all;
    size_t nodes_count;
    struct conf_file *files[CONF_FILES_MAX];
    uint32_t files_count;
    struct conf_arena_block *blocks;
};

/* Accepts a zeroed tree. */
void conf_tree_release(struct conf_tree *tree);

/* Copies `name` and `text` (NULL for overrides). Returns NULL when memory or the limit is out. */
struct conf_file *conf_tree_add_file(struct conf_tree *tree, enum conf_file_kind kind,
                                     const char *name, const char *text, size_t size);

/* A node without parent, or NULL when memory or the limit is out. Texts are copied. */
struct conf_node *conf_tree_add_node(struct conf_tree *tree, enum conf_node_kind kind,
                                     struct conf_place place);
bool conf_node_set_key(struct conf_tree *tree, struct conf_node *node, const char *key, size_t size,
                       struct conf_place place);
bool conf_node_set_text(struct conf_tree *tree, struct conf_node *node, const char *text,
                        size_t size);

void conf_node_append(struct conf_node *parent, struct conf_node *child);
void conf_node_remove(struct conf_node *child);

/* The child with that key, or NULL; also NULL unless `map` is a map. */
struct conf_node *conf_node_child(const struct conf_node *map, const char *key);

/* The item of a list of maps whose `name` (else `type`) is that text, or NULL. */
struct conf_node *conf_node_item(const struct conf_node *list, const char *name, size_t size);

/* A list item's `name`, else its `type`, as a scalar node, or NULL. */
const struct conf_node *conf_node_item_name(const struct conf_node *item);

bool conf_node_is_null(const struct conf_node *node);

/* Allocates zeroed memory that lives as long as the tree. */
void *conf_tree_alloc(struct conf_tree *tree, size_t size);

/* One-based line, and column in characters, of an offset in the file's text. */
void conf_file_position(const struct conf_file *file, size_t offset, uint32_t *ret_line,
                        uint32_t *ret_column);

/* The bounds of the line that holds `offset`, without its line end. */
void conf_file_line(const struct conf_file *file, size_t offset, size_t *ret_start,
                    size_t *ret_end);

#endif
