/*
 * reference.h - the pages that are generated from tables: docs/cli.md, docs/pgfan.1, docs/api.md.
 */
#ifndef CLI_REFERENCE_H
#define CLI_REFERENCE_H

#include <stdio.h>

void reference_write_man(FILE *file);
void reference_write_cli(FILE *file);
void reference_write_api(FILE *file);

#endif
