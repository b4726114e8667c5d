#include "encode/time_text.h"

void time_text_set(struct time_text *time, int64_t time_us)
{
    enum { MICROS_SIZE = 6, END_SIZE = 1 };
    int64_t second = time_us / 1000000;
    if (time->size == 0 || second != time->second || time_us < 0) {
        time->size = clock_format_utc(time_us, time->text);
        time->second = second;
        return;
    }
    int64_t micros = time_us % 1000000;
    char *digits = time->text + time->size - MICROS_SIZE - END_SIZE;
    for (int i = MICROS_SIZE - 1; i >= 0; i--) {
        digits[i] = (char)('0' + micros % 10);
        micros /= 10;
    }
}
