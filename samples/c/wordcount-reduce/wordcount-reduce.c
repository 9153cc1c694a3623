/*
 * The reducer of a word count, and its combiner: lines `key<TAB>count` in, one line for each run of equal keys out, with
 * the sum of its counts. Give it lines that are sorted by key.
 *
 * Keys are any bytes but TAB and newline, of any length; counts and sums are whole numbers below 2^64. A line that is
 * anything else ends the program with exit code 2 and a message that has the line's number.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES (64 << 10)
#define NUMBER_BYTES 20

struct bytes {
    char *at;
    size_t size, room;
};

static struct bytes input;       /* what is read and not yet consumed */
static struct bytes output;      /* what is not yet written */
static struct bytes current_key; /* the key whose counts are being summed */
static uint64_t sum;
static uint64_t line_number;
static int has_key;

static size_t write_decimal(char *to, uint64_t number) {
    char digits[NUMBER_BYTES];
    size_t size = 0;
    do digits[NUMBER_BYTES - ++size] = '0' + number % 10;
    while (number /= 10);
    memcpy(to, digits + NUMBER_BYTES - size, size);
    return size;
}

static void write_all(int descriptor, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t written = write(descriptor, bytes, size);
        if (written < 0) _exit(1);
        bytes += written;
        size -= written;
    }
}

static _Noreturn void refuse(const char *why) {
    char number[NUMBER_BYTES];
    write_all(STDERR_FILENO, "wordcount-reduce: line ", 23);
    write_all(STDERR_FILENO, number, write_decimal(number, line_number));
    write_all(STDERR_FILENO, ": ", 2);
    write_all(STDERR_FILENO, why, strlen(why));
    write_all(STDERR_FILENO, "\n", 1);
    _exit(2);
}

static void make_room(struct bytes *bytes, size_t room) {
    if (room <= bytes->room) return;
    if (room < 2 * bytes->room) room = 2 * bytes->room;
    bytes->at = realloc(bytes->at, room);
    if (bytes->at == NULL) refuse("there is not enough memory for it");
    bytes->room = room;
}

static void flush(void) {
    write_all(STDOUT_FILENO, output.at, output.size);
    output.size = 0;
}

static void end_key(void) {
    make_room(&output, output.size + current_key.size + 1 + NUMBER_BYTES + 1);
    char *to = output.at + output.size;
    memcpy(to, current_key.at, current_key.size);
    to += current_key.size;
    *to++ = '\t';
    to += write_decimal(to, sum);
    *to++ = '\n';
    output.size = to - output.at;
    if (output.size >= READ_BYTES) flush();
}

static uint64_t parse_count(const char *digits, const char *end) {
    uint64_t count = 0;
    if (digits == end) refuse("expected a whole number behind the TAB, found nothing");
    for (; digits < end; digits++) {
        unsigned digit = (unsigned char)*digits - '0';
        if (digit > 9) refuse("expected a whole number behind the TAB");
        if (__builtin_mul_overflow(count, 10, &count) || __builtin_add_overflow(count, digit, &count))
            refuse("the count does not fit into 64 bits");
    }
    return count;
}

static void take_line(const char *line, size_t size) {
    line_number++;
    const char *tab = memchr(line, '\t', size);
    if (tab == NULL) refuse("expected KEY<TAB>COUNT, found no TAB");
    size_t key_size = tab - line;
    uint64_t count = parse_count(tab + 1, line + size);
    if (has_key && key_size == current_key.size && memcmp(line, current_key.at, key_size) == 0) {
        if (__builtin_add_overflow(sum, count, &sum)) refuse("the sum does not fit into 64 bits");
        return;
    }
    if (has_key) end_key();
    make_room(&current_key, key_size + 1);
    memcpy(current_key.at, line, key_size);
    current_key.size = key_size;
    sum = count;
    has_key = 1;
}

int main(void) {
    for (;;) {
        make_room(&input, input.size + READ_BYTES);
        ssize_t size = read(STDIN_FILENO, input.at + input.size, READ_BYTES);
        if (size < 0) return 1;
        if (size == 0) break;
        /* What was there before has no newline: only the new bytes need a look. */
        char *line = input.at, *look = input.at + input.size, *end = look + size, *newline;
        while ((newline = memchr(look, '\n', end - look)) != NULL) {
            take_line(line, newline - line);
            line = look = newline + 1;
        }
        input.size = end - line;
        memmove(input.at, line, input.size);
    }
    if (input.size > 0) take_line(input.at, input.size);
    if (has_key) end_key();
    flush();
    return 0;
}
