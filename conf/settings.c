#include "conf/settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "conf/decode.h"
#include "conf/tables.h"

static void release_text_map(struct conf_text_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        free(map->pairs[i].key);
        free(map->pairs[i].value);
    }
    free(map->pairs);
}

static void release_text_list(struct conf_text_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i]);
    }
    free(list->items);
}

static void release_sections(const struct conf_option *option, struct conf_section_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        void *item = (char *)list->items + i * option->table->size;
        if (option->type == CONF_SECTION_MAP) {
            free(*(char **)item); /* the key, which no option of the table covers */
        }
        conf_section_release(option->table, item);
    }
    free(list->items);
}

static void release_field(const struct conf_option *option, void *field)
{
    switch (option->type) {
    case CONF_TEXT:
        free(*(char **)field);
        break;
    case CONF_SECRET:
        secret_release(field);
        break;
    case CONF_TEXT_LIST:
        release_text_list(field);
        break;
    case CONF_TEXT_MAP:
        release_text_map(field);
        break;
    case CONF_SECTION:
        conf_section_release(option->table, field);
        break;
    case CONF_SECTION_LIST:
    case CONF_SECTION_MAP:
        release_sections(option, field);
        break;
    default:
        break; /* a plain number */
    }
}

void conf_section_release(const struct conf_table *table, void *section)
{
    for (size_t i = 0; i < table->options_count; i++) {
        release_field(&table->options[i], (char *)section + table->options[i].offset);
    }
    if (table->family != CONF_FAMILY_NONE) {
        void *extension = *(void **)((char *)section + table->extension_offset);
        const struct conf_table *extension_table =
            *(const struct conf_table **)((char *)section + table->extension_table_offset);
        if (extension != NULL && extension_table != NULL) {
            conf_section_release(extension_table, extension);
        }
        free(extension);
    }
    memset(section, 0, table->size);
}

bool guard_step_parse(const char *name, enum guard_step *ret_step)
{
    static const char *const names[] = {[GUARD_WARN] = "warn",
                                        [GUARD_SPILL] = "spill",
                                        [GUARD_DETACH] = "detach",
                                        [GUARD_STOP] = "stop",
                                        [GUARD_DROP_SLOT] = "drop_slot"};
    for (size_t step = 0; step < CONF_COUNT(names); step++) {
        if (strcmp(names[step], name) == 0) {
            *ret_step = (enum guard_step)step;
            return true;
        }
    }
    return false;
}

void settings_release(struct settings *settings)
{
    if (settings != NULL) {
        conf_section_release(&conf_root_table, settings);
    }
}
