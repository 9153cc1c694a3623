/*
 * Two inputs, joined by the first field of their lines: `key<TAB>rest` in both gives `key<TAB>rest of 0<TAB>rest of 1`
 * for every pair of lines with equal keys. Both must be sorted by key, byte by byte (LC_ALL=C sort).
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

struct input {
    const char *name;
    FILE *file;
    char *line, *before;
    size_t room, room_before;
    ssize_t length, length_before; /* without the newline; -1 at the end */
    long number;
};

/* All lines of input 1 with one key, one after the other. */
struct group {
    char *text;
    size_t size, room;
};

static size_t key_length(const char *line, ssize_t length) {
    const char *tab = memchr(line, '\t', (size_t)length);
    return tab ? (size_t)(tab - line) : (size_t)length;
}

static int compare(const char *a, ssize_t length_a, const char *b, ssize_t length_b) {
    size_t of_a = key_length(a, length_a), of_b = key_length(b, length_b);
    int found = memcmp(a, b, of_a < of_b ? of_a : of_b);
    return found ? found : (of_a > of_b) - (of_a < of_b);
}

static void open_input(struct input *in) {
    in->file = fopen(in->name, "r");
    if (!in->file) {
        fprintf(stderr, "join: there is no %s: give two inputs\n", in->name);
        exit(2);
    }
}

/* Read the next line; the one before is kept to see that they are in order. */
static void next(struct input *in) {
    char *line = in->line;
    size_t room = in->room;
    in->line = in->before, in->room = in->room_before;
    in->before = line, in->room_before = room, in->length_before = in->length;
    in->length = getline(&in->line, &in->room, in->file);
    if (in->length < 0) return;
    if (in->length && in->line[in->length - 1] == '\n') in->length--;
    in->number++;
    if (in->number > 1 && compare(in->before, in->length_before, in->line, in->length) > 0) {
        fprintf(stderr, "join: line %ld of %s is not in order: sort it with LC_ALL=C sort\n", in->number, in->name);
        exit(2);
    }
}

static void add(struct group *group, const char *rest, size_t length) {
    size_t size = group->size + sizeof length + length;
    if (size > group->room) {
        group->room = 2 * size;
        group->text = realloc(group->text, group->room);
        if (!group->text) {
            fprintf(stderr, "join: too many lines with one key\n");
            exit(2);
        }
    }
    memcpy(group->text + group->size, &length, sizeof length);
    memcpy(group->text + group->size + sizeof length, rest, length);
    group->size = size;
}

int main(void) {
    static struct input left = {.name = "api://input/0"}, right = {.name = "api://input/1"};
    static struct group group;
    open_input(&left);
    open_input(&right);
    next(&left);
    next(&right);
    while (left.length >= 0) {
        while (right.length >= 0 && compare(right.line, right.length, left.line, left.length) < 0) next(&right);
        for (group.size = 0; right.length >= 0 && !compare(right.line, right.length, left.line, left.length);) {
            size_t key = key_length(right.line, right.length);
            add(&group, right.line + key, (size_t)right.length - key);
            next(&right);
        }
        do {
            for (size_t at = 0, length; at < group.size; at += sizeof length + length) {
                memcpy(&length, group.text + at, sizeof length);
                fwrite(left.line, 1, (size_t)left.length, stdout);
                fwrite(group.text + at + sizeof length, 1, length, stdout);
                putchar('\n');
            }
            next(&left);
        } while (left.length >= 0 && !compare(left.before, left.length_before, left.line, left.length));
    }
    return ferror(stdout) || fflush(stdout) ? 1 : 0;
}
