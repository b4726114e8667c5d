#include "conf/load.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "conf/check.h"
#include "conf/decode.h"
#include "conf/override.h"
#include "conf/tables.h"
#include "conf/yaml.h"

enum { PATH_SIZE = 4200 };

/* ---- merging ---- */

struct merge_level {
    struct conf_node *into;
    struct conf_node *next; /* the next child of the other map */
};

/* Moves one child over; returns true when both are maps and must be merged key by key. */
static bool merge_child(struct conf_node *into, struct conf_node *child)
{
    struct conf_node *old = conf_node_child(into, child->key);
    if (old != NULL && old->kind == CONF_NODE_MAP && child->kind == CONF_NODE_MAP) {
        return true;
    }
    bool pipelines = into->parent == NULL && strcmp(child->key, "pipelines") == 0;
    if (old != NULL && pipelines && old->kind == CONF_NODE_SEQUENCE &&
        child->kind == CONF_NODE_SEQUENCE) {
        for (struct conf_node *item = child->first; item != NULL;) {
            struct conf_node *next = item->next;
            conf_node_append(old, item);
            item = next;
        }
        return false;
    }
    if (old != NULL) {
        conf_node_remove(old);
    }
    conf_node_append(into, child);
    return false;
}

/* Puts `over` onto `base`. The stack is as deep as a tree can be. */
static void merge(struct conf_node *base, struct conf_node *over)
{
    struct merge_level levels[CONF_DEPTH_MAX + 1];
    size_t depth = 0;
    levels[0] = (struct merge_level){.into = base, .next = over->first};
    for (;;) {
        struct merge_level *level = &levels[depth];
        struct conf_node *child = level->next;
        if (child == NULL) {
            if (depth == 0) {
                return;
            }
            depth--;
            continue;
        }
        level->next = child->next;
        if (merge_child(level->into, child)) {
            depth++;
            levels[depth] = (struct merge_level){.into = conf_node_child(level->into, child->key),
                                                 .next = child->first};
        }
    }
}

/* ---- reading ---- */

struct loading {
    struct conf_tree tree;
    struct conf_report *report;
};

static void add_root(struct loading *loading, struct conf_file *file)
{
    size_t errors_before = loading->report->errors;
    struct conf_node *root = conf_yaml_parse(&loading->tree, file, loading->report);
    if (root == NULL) {
        return;
    }
    if (root->kind != CONF_NODE_MAP) {
        if (loading->report->errors == errors_before) {
            conf_report_add(loading->report, CONF_ERROR, &root->place,
                            "start with `sources:` and `pipelines:`",
                            "the file must be a section with keys");
        }
        return;
    }
    if (loading->tree.root == NULL) {
        loading->tree.root = root;
    } else {
        merge(loading->tree.root, root);
    }
}

static void add_text(struct loading *loading, const char *name, const char *text, size_t size,
                     bool exposed)
{
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3; /* a byte order mark, as some editors write it */
        size -= 3;
    }
    struct conf_file *file = conf_tree_add_file(&loading->tree, CONF_FILE_YAML, name, text, size);
    if (file == NULL) {
        conf_report_add(loading->report, CONF_ERROR, NULL, NULL,
                        "cannot read \"%s\": more than %d files, or out of memory", name,
                        CONF_FILES_MAX);
        return;
    }
    file->exposed = exposed;
    add_root(loading, file);
}

static void add_file(struct loading *loading, const char *path)
{
    FAN_CLEANUP(fan_close_p) int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    if (descriptor < 0 || fstat(descriptor, &info) != 0) {
        conf_report_add(loading->report, CONF_ERROR, NULL, "name the conf with -c PATH",
                        "cannot open \"%s\": %s", path, strerrordesc_np(errno));
        return;
    }
    if (S_ISFIFO(info.st_mode)) {
        (void)fcntl(descriptor, F_SETFL, 0); /* `-c <(command)`: wait for what it writes */
    }
    struct bytes content;
    bytes_init(&content, CONF_FILE_MAX + 1);
    struct fan_error error = {0};
    if (S_ISDIR(info.st_mode)) {
        conf_report_add(loading->report, CONF_ERROR, NULL, NULL, "cannot read \"%s\": not a file",
                        path);
    } else if (fs_read_descriptor(descriptor, path, &content, &error) != FAN_OK) {
        conf_report_add(loading->report, CONF_ERROR, NULL, "split it into files of conf.d", "%s",
                        error.text);
    } else {
        bool exposed = S_ISREG(info.st_mode) && (info.st_mode & (S_IRGRP | S_IROTH)) != 0;
        const char *text = content.data != NULL ? (const char *)content.data : "";
        add_text(loading, path, text, content.size, exposed);
        if (content.data != NULL) {
            explicit_bzero(content.data, content.capacity);
        }
    }
    bytes_release(&content);
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t size = strlen(name);
    size_t suffix_size = strlen(suffix);
    return size > suffix_size && strcmp(name + size - suffix_size, suffix) == 0;
}

static int keep_entry(const struct dirent *entry)
{
    return entry->d_name[0] != '.' &&
           (has_suffix(entry->d_name, ".yaml") || has_suffix(entry->d_name, ".yml"));
}

/* By bytes: alphasort() would follow the locale, and the order decides who wins. */
static int compare_entries(const struct dirent **left, const struct dirent **right)
{
    return strcmp((*left)->d_name, (*right)->d_name);
}

/* Every *.yaml of a directory in name order. Returns how many there were. */
static size_t add_directory(struct loading *loading, const char *path)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, keep_entry, compare_entries);
    if (count < 0) {
        conf_report_add(loading->report, CONF_ERROR, NULL, NULL, "cannot read directory \"%s\": %s",
                        path, strerrordesc_np(errno));
        return 0;
    }
    size_t read = 0;
    for (int i = 0; i < count; i++) {
        char file[PATH_SIZE];
        bool slash = path[0] != '\0' && path[strlen(path) - 1] == '/';
        int length =
            snprintf(file, sizeof(file), "%s%s%s", path, slash ? "" : "/", entries[i]->d_name);
        if (length < 0 || (size_t)length >= sizeof(file)) {
            conf_report_add(loading->report, CONF_ERROR, NULL, NULL, "a path in \"%s\" is too long",
                            path);
        } else if (!has_suffix(entries[i]->d_name, ".yaml")) {
            conf_report_add(loading->report, CONF_WARNING, NULL, "rename it to .yaml",
                            "\"%s\" is not read: its name does not end in .yaml", file);
        } else {
            add_file(loading, file);
            read++;
        }
        free(entries[i]);
    }
    free(entries);
    return read;
}

static void add_path(struct loading *loading, const char *path)
{
    char beside[PATH_SIZE];
    bool directory = fs_is_directory(path);
    if (directory) {
        if (add_directory(loading, path) == 0 && loading->report->errors == 0) {
            conf_report_add(loading->report, CONF_ERROR, NULL, "put the conf there as pgfan.yaml",
                            "directory \"%s\" has no *.yaml file", path);
        }
        (void)snprintf(beside, sizeof(beside), "%s/conf.d", path); /* too long: not found */
    } else {
        add_file(loading, path);
        const char *slash = strrchr(path, '/');
        (void)snprintf(beside, sizeof(beside), "%.*sconf.d",
                       slash != NULL ? (int)(slash - path + 1) : 0, path); /* too long: not found */
    }
    if (fs_is_directory(beside)) {
        (void)add_directory(loading, beside); /* an empty conf.d is fine */
    }
}

/* ---- all of it ---- */

static enum fan_status finish(struct loading *loading, const struct conf_decoder *decoder,
                              bool readable, struct settings *ret_settings)
{
    struct settings settings = {0};
    if (readable && loading->tree.root != NULL) {
        conf_decode(decoder, loading->tree.root, &conf_root_table, &settings);
        conf_check(decoder, &settings);
    }
    conf_report_finish(loading->report, &loading->tree);
    conf_tree_release(&loading->tree);
    if (loading->report->errors > 0) {
        settings_release(&settings);
        return FAN_FATAL;
    }
    *ret_settings = settings;
    return FAN_OK;
}

static bool all_parsed(const struct conf_tree *tree)
{
    for (uint32_t i = 0; i < tree->files_count; i++) {
        if (!tree->files[i]->parsed) {
            return false;
        }
    }
    return tree->files_count > 0;
}

enum fan_status conf_load(const struct conf_request *request, const struct conf_plugins *plugins,
                          struct settings *ret_settings, struct conf_report *report)
{
    struct loading loading = {.report = report};
    const char *const *environment =
        request->environment != NULL ? request->environment : (const char *const *)environ;
    const struct conf_decoder decoder = {.tree = &loading.tree,
                                         .report = report,
                                         .plugins = plugins,
                                         .environment = {.variables = environment}};
    add_path(&loading, request->path);
    /* Without every file, faults about what is missing would be noise. */
    bool readable = all_parsed(&loading.tree) && loading.tree.root != NULL;
    if (readable) {
        conf_override_environment(&decoder);
        for (size_t i = 0; i < request->sets_count; i++) {
            conf_override_set(&decoder, request->sets[i]);
        }
    }
    return finish(&loading, &decoder, readable, ret_settings);
}

enum fan_status conf_load_text(const char *name, const char *text, size_t size,
                               const struct conf_plugins *plugins, struct settings *ret_settings,
                               struct conf_report *report)
{
    static const char *const no_variables[] = {NULL};
    struct loading loading = {.report = report};
    const struct conf_decoder decoder = {.tree = &loading.tree,
                                         .report = report,
                                         .plugins = plugins,
                                         .environment = {.variables = no_variables}};
    add_text(&loading, name, text, size, false);
    bool readable = all_parsed(&loading.tree) && loading.tree.root != NULL;
    return finish(&loading, &decoder, readable, ret_settings);
}
