// What the conformance programs share: `program FUNCTION` runs the checks of one function of WASI and prints those that
// failed, one a line, then how many there were. The exit code is 0 when none failed, 1 when some did, 2 for no such name.
// Each starts in a tree of its own, where `/` is descriptor 3 and holds an empty `tmp`.

#pragma once
#include "output.h"

enum { ROOT = 3, UNUSED = 99 };

static u32 checks, failures;

static void check(const char *what, u64 got, u64 wanted) {
    checks++;
    if (got == wanted) return;
    failures++;
    say(what);
    say(": ");
    say_number(got);
    say(", not ");
    say_number(wanted);
    say("\n");
}

// The text of the call is the name of the check.
#define GIVES(wanted, ...) check(#__VA_ARGS__, (u64)(__VA_ARGS__), (u64)(wanted))
#define HOLDS(...) GIVES(1, !!(__VA_ARGS__))
// A literal as pointer and length, NULs inside of it included.
#define P(text) (text), (u32)(sizeof(text) - 1)

static int last_fd;
static u32 count;
static u64 position;
static filestat stat;
static fdstat state;
static char space[4096];

static int open_with(int at, int follow, const char *path, u32 length, int how, u64 rights, int flags) {
    return path_open(at, follow, path, length, how, rights, R_ALL, flags, &last_fd);
}
#define OPEN(path, how, rights) open_with(ROOT, 0, P(path), how, rights, 0)

static int opened(const char *path, int how) {
    int error = open_with(ROOT, 0, path, length_of(path), how, how & DIRECTORY ? R_READDIR : R_FILE, 0);
    if (error) { check(path, error, SUCCESS); return UNUSED; }
    return last_fd;
}

static int write_text(int fd, const char *text, u32 length) {
    part content = {text, length};
    return fd_write(fd, &content, 1, &count);
}

// The bytes read, or minus the error number.
static int read_some(int fd, u32 length) {
    part target = {space, length};
    int error = fd_read(fd, &target, 1, &count);
    return error ? -error : (int)count;
}

static void make_file(const char *path, const char *text) {
    int fd = opened(path, CREATE | TRUNCATE);
    check(path, write_text(fd, text, length_of(text)), SUCCESS);
    check(path, fd_close(fd), SUCCESS);
}

static int holds(const char *path, const char *text) {
    int fd = opened(path, 0);
    int got = read_some(fd, sizeof space), right = got == (int)length_of(text) && same(space, text, got);
    fd_close(fd);
    return right;
}

typedef struct { const char *name; void (*run)(void); } entry;

static int run_checks(const entry *table) {
    static u8 *arguments[16], text[1024];
    u32 argc, size;
    if (args_sizes_get(&argc, &size) || argc < 2 || argc > 16 || size > sizeof text || args_get(arguments, text)) return 2;
    for (; table->name; table++) {
        if (!same(table->name, arguments[1], length_of(table->name) + 1)) continue;
        table->run();
        say_number(checks);
        say(" checks\n");
        flush();
        return failures ? 1 : 0;
    }
    return 2;
}

#define CHECKS(...) \
    void _start(void) { static const entry table[] = {__VA_ARGS__, {0, 0}}; proc_exit(run_checks(table)); }
