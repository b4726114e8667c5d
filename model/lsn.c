#include "model/lsn.h"

#include <stdio.h>

size_t lsn_format(struct fan_lsn lsn, char text[LSN_TEXT_SIZE])
{
    int length = snprintf(text, LSN_TEXT_SIZE, "%X/%X", (unsigned)(lsn.value >> 32),
                          (unsigned)(lsn.value & 0xffffffffu));
    return length > 0 ? (size_t)length : 0;
}

/* Reads 1 to 8 hexadecimal digits and moves past them. */
static bool half_parse(const char **text, uint32_t *ret_half)
{
    uint32_t half = 0;
    int digits = 0;
    for (; digits < 9; digits++, (*text)++) {
        char character = **text;
        uint32_t digit;
        if (character >= '0' && character <= '9') {
            digit = (uint32_t)(character - '0');
        } else if (character >= 'A' && character <= 'F') {
            digit = (uint32_t)(character - 'A' + 10);
        } else if (character >= 'a' && character <= 'f') {
            digit = (uint32_t)(character - 'a' + 10);
        } else {
            break;
        }
        half = half << 4 | digit;
    }
    *ret_half = half;
    return digits >= 1 && digits <= 8;
}

bool lsn_parse(const char *text, struct fan_lsn *ret_lsn)
{
    uint32_t high;
    uint32_t low;
    if (!half_parse(&text, &high) || *text++ != '/' || !half_parse(&text, &low) || *text != '\0') {
        return false;
    }
    ret_lsn->value = (uint64_t)high << 32 | low;
    return true;
}
