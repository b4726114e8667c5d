#include "model/row.h"

bool row_check(struct wire *wire, size_t columns_max)
{
    size_t columns_count = wire_u16(wire);
    if (!wire_ok(wire) || columns_count > columns_max) {
        return false;
    }
    for (size_t i = 0; i < columns_count; i++) {
        switch (wire_u8(wire)) {
        case ROW_NULL:
        case ROW_UNCHANGED:
            break;
        case ROW_TEXT:
        case ROW_BINARY:
            (void)wire_bytes(wire, wire_u32(wire)); /* only moves; a short read is sticky */
            break;
        default: /* unknown, or the 0 of a read past the end */
            return false;
        }
    }
    return wire_ok(wire);
}
