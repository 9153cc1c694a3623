// Text for stdout, gathered and written at once: no C library is here to do it.

#pragma once
#include "wasi.h"

static char output[64 << 10];
static u32 output_count;

static void say_bytes(const char *text, u32 count) {
    for (u32 i = 0; i < count && output_count < sizeof output; i++) output[output_count++] = text[i];
}

static u32 length_of(const char *text) {
    u32 count = 0;
    while (text[count]) count++;
    return count;
}

static void say(const char *text) { say_bytes(text, length_of(text)); }

static void say_number(u64 number) {
    char digits[20];
    u32 count = 0;
    do digits[sizeof digits - ++count] = '0' + number % 10; while (number /= 10);
    say_bytes(digits + sizeof digits - count, count);
}

static void flush(void) {
    for (u32 done = 0, count; done < output_count; done += count) {
        part rest = {output + done, output_count - done};
        if (fd_write(1, &rest, 1, &count)) __builtin_trap();
    }
    output_count = 0;
}

static int same(const void *a, const void *b, u32 count) {
    const u8 *left = a, *right = b;
    for (u32 i = 0; i < count; i++) if (left[i] != right[i]) return 0;
    return 1;
}
