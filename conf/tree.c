#include "conf/tree.h"

#include <stdlib.h>
#include <string.h>

enum { ARENA_BLOCK_SIZE = 65536 };

struct conf_arena_block {
    struct conf_arena_block *next;
    size_t size;
    size_t used;
    _Alignas(max_align_t) unsigned char data[];
};

void *conf_tree_alloc(struct conf_tree *tree, size_t size)
{
    size = (size + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
    struct conf_arena_block *block = tree->blocks;
    if (block == NULL || block->size - block->used < size) {
        size_t capacity = size > ARENA_BLOCK_SIZE ? size : ARENA_BLOCK_SIZE;
        block = calloc(1, sizeof(*block) + capacity);
        if (block == NULL) {
            return NULL;
        }
        block->size = capacity;
        block->next = tree->blocks;
        tree->blocks = block;
    }
    void *memory = block->data + block->used;
    block->used += size;
    return memory;
}

void conf_tree_release(struct conf_tree *tree)
{
    for (uint32_t i = 0; i < tree->files_count; i++) {
        if (tree->files[i]->text != NULL) {
            explicit_bzero(tree->files[i]->text, tree->files[i]->size);
        }
        free(tree->files[i]->text);
        free(tree->files[i]->name);
        free(tree->files[i]);
    }
    while (tree->blocks != NULL) {
        struct conf_arena_block *next = tree->blocks->next;
        explicit_bzero(tree->blocks->data, tree->blocks->used);
        free(tree->blocks);
        tree->blocks = next;
    }
    *tree = (struct conf_tree){0};
}

static char *copy_text(const char *text, size_t size)
{
    char *copy = malloc(size + 1);
    if (copy != NULL) {
        if (size > 0) {
            memcpy(copy, text, size);
        }
        copy[size] = '\0';
    }
    return copy;
}

struct conf_file *conf_tree_add_file(struct conf_tree *tree, enum conf_file_kind kind,
                                     const char *name, const char *text, size_t size)
{
    struct conf_file *file = tree->files_count < CONF_FILES_MAX ? calloc(1, sizeof(*file)) : NULL;
    if (file == NULL) {
        return NULL;
    }
    file->kind = kind;
    file->size = size;
    file->index = tree->files_count;
    file->name = copy_text(name, strlen(name));
    file->text = text != NULL ? copy_text(text, size) : NULL;
    if (file->name == NULL || (text != NULL && file->text == NULL)) {
        free(file->name);
        free(file->text);
        free(file);
        return NULL;
    }
    tree->files[tree->files_count++] = file;
    return file;
}

struct conf_node *conf_tree_add_node(struct conf_tree *tree, enum conf_node_kind kind,
                                     struct conf_place place)
{
    struct conf_node *node =
        tree->nodes_count < CONF_NODES_MAX ? conf_tree_alloc(tree, sizeof(*node)) : NULL;
    if (node != NULL) {
        node->kind = kind;
        node->place = place;
        node->all_next = tree->all;
        tree->all = node;
        tree->nodes_count++;
    }
    return node;
}

static char *arena_text(struct conf_tree *tree, const char *text, size_t size)
{
    char *copy = conf_tree_alloc(tree, size + 1); /* zeroed, hence terminated */
    if (copy != NULL && size > 0) {
        memcpy(copy, text, size);
    }
    return copy;
}

bool conf_node_set_key(struct conf_tree *tree, struct conf_node *node, const char *key, size_t size,
                       struct conf_place place)
{
    node->key = arena_text(tree, key, size);
    node->key_size = size;
    node->key_place = place;
    return node->key != NULL;
}

bool conf_node_set_text(struct conf_tree *tree, struct conf_node *node, const char *text,
                        size_t size)
{
    node->text = arena_text(tree, text, size);
    node->text_size = size;
    return node->text != NULL;
}

void conf_node_append(struct conf_node *parent, struct conf_node *child)
{
    child->parent = parent;
    child->depth = parent->depth + 1;
    child->next = NULL;
    if (parent->last != NULL) {
        parent->last->next = child;
    } else {
        parent->first = child;
    }
    parent->last = child;
    parent->children_count++;
}

void conf_node_remove(struct conf_node *child)
{
    struct conf_node *parent = child->parent;
    struct conf_node *before = NULL;
    for (struct conf_node *at = parent->first; at != child; at = at->next) {
        before = at;
    }
    if (before != NULL) {
        before->next = child->next;
    } else {
        parent->first = child->next;
    }
    if (parent->last == child) {
        parent->last = before;
    }
    parent->children_count--;
    child->parent = NULL;
    child->next = NULL;
}

struct conf_node *conf_node_child(const struct conf_node *map, const char *key)
{
    if (map == NULL || map->kind != CONF_NODE_MAP) {
        return NULL;
    }
    size_t size = strlen(key);
    for (struct conf_node *child = map->first; child != NULL; child = child->next) {
        if (child->key_size == size && memcmp(child->key, key, size) == 0) {
            return child;
        }
    }
    return NULL;
}

const struct conf_node *conf_node_item_name(const struct conf_node *item)
{
    const struct conf_node *name = conf_node_child(item, "name");
    name = name != NULL ? name : conf_node_child(item, "type");
    return name != NULL && name->kind == CONF_NODE_SCALAR ? name : NULL;
}

struct conf_node *conf_node_item(const struct conf_node *list, const char *name, size_t size)
{
    for (struct conf_node *item = list->first; item != NULL; item = item->next) {
        const struct conf_node *text = conf_node_item_name(item);
        if (text != NULL && text->text_size == size && memcmp(text->text, name, size) == 0) {
            return item;
        }
    }
    return NULL;
}

bool conf_node_is_null(const struct conf_node *node)
{
    return node->kind == CONF_NODE_SCALAR && node->plain &&
           (node->text_size == 0 || strcmp(node->text, "~") == 0 ||
            strcmp(node->text, "null") == 0 || strcmp(node->text, "Null") == 0 ||
            strcmp(node->text, "NULL") == 0);
}

void conf_file_position(const struct conf_file *file, size_t offset, uint32_t *ret_line,
                        uint32_t *ret_column)
{
    uint32_t line = 1;
    uint32_t column = 1;
    for (size_t at = 0; at < offset && at < file->size; at++) {
        unsigned char byte = (unsigned char)file->text[at];
        bool crlf = byte == '\r' && at + 1 < file->size && file->text[at + 1] == '\n';
        if (byte == '\n' || (byte == '\r' && !crlf)) {
            line++;
            column = 1;
        } else if ((byte & 0xc0) != 0x80) {
            column++;
        }
    }
    *ret_line = line;
    *ret_column = column;
}

static bool is_line_end(char character)
{
    return character == '\n' || character == '\r';
}

void conf_file_line(const struct conf_file *file, size_t offset, size_t *ret_start, size_t *ret_end)
{
    size_t start = offset < file->size ? offset : file->size;
    while (start > 0 && !is_line_end(file->text[start - 1])) {
        start--;
    }
    size_t end = start;
    while (end < file->size && !is_line_end(file->text[end])) {
        end++;
    }
    *ret_start = start;
    *ret_end = end;
}
