/*
 * scalar.h - decoding of single values: one scalar node, one option, one field.
 *
 * The lowest part of decode.h, apart because it knows every type's spelling while decode.c knows
 * only structure.
 */
#ifndef CONF_SCALAR_H
#define CONF_SCALAR_H

#include "conf/decode.h"

/* Decodes a scalar type into its field; a fault leaves the field as it was. */
void conf_scalar_decode(const struct conf_decoder *decoder, struct conf_node *node,
                        const struct conf_option *option, void *field);

/* Decodes the option's default, which must be valid, into a zeroed field. */
void conf_scalar_default(const struct conf_decoder *decoder, const struct conf_option *option,
                         void *field);

/* A list of scalars, or one scalar. */
void conf_scalar_list(const struct conf_decoder *decoder, struct conf_node *node,
                      const struct conf_option *option, struct conf_text_list *ret_list);

/* The expanded text of a scalar that is not secret (free it), or NULL after reporting. */
char *conf_scalar_text(const struct conf_decoder *decoder, struct conf_node *node,
                       const struct conf_option *option);

/* Whether an option holds a libpq connection string. */
bool conf_option_is_dsn(const struct conf_option *option);

#endif
