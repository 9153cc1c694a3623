// Does what a script on stdin says, one operation a line, and prints an error number and what came of each.
// Words are parted by one space each and may be empty; paths are bytes without spaces and newlines.
// Descriptors are kept in slots 0 to 7; slot 0 is the preopened directory, and an empty slot holds none that is open.

#include "output.h"

enum { SLOTS = 8, UNUSED = 99 };
static int slots[SLOTS] = {3, UNUSED, UNUSED, UNUSED, UNUSED, UNUSED, UNUSED, UNUSED};
static char script[64 << 10], *cursor = script, *script_end;
static char space[16 << 10];

typedef struct { const char *text; u32 length; } word;

static word next_word(void) {
    word found = {cursor, 0};
    while (cursor < script_end && *cursor != ' ' && *cursor != '\n') cursor++;
    found.length = cursor - found.text;
    if (cursor < script_end && *cursor == ' ') cursor++;
    return found;
}

static s64 next_number(void) {
    word digits = next_word();
    int negative = digits.length && *digits.text == '-';
    s64 number = 0;
    for (u32 i = negative; i < digits.length; i++) number = number * 10 + (digits.text[i] - '0');
    return negative ? -number : number;
}

static int *next_slot(void) { return &slots[next_number() % SLOTS]; }
static int next_fd(void) { return *next_slot(); }

// Which number a descriptor gets next is each system's own, so none is used again by accident.
static void forget(int fd) {
    for (u32 i = 0; i < SLOTS; i++) if (slots[i] == fd) slots[i] = UNUSED;
}

static void space_and_number(u64 number) { say(" "); say_number(number); }

// Bytes as text in one word; what no letter is becomes a dot.
static void space_and_bytes(const char *bytes, u32 count) {
    say(" [");
    for (u32 i = 0; i < count; i++) say_bytes(bytes[i] > ' ' && bytes[i] < 127 ? bytes + i : ".", 1);
    say("]");
}

// Sizes and links of directories, devices, inodes and the clock's times are each file system's own.
static void say_stat(const filestat *stat) {
    space_and_number(stat->type);
    if (stat->type != DIRECTORY_TYPE) { space_and_number(stat->size); space_and_number(stat->links); }
    if (stat->mtim < 1000000000000000000) space_and_number(stat->mtim);
    else say(" now");
}

static int say_listing(int fd, u32 page) {
    u64 cookie = 0;
    for (u32 rounds = 0; rounds < 1000; rounds++) {
        u32 used, at = 0;
        int error = fd_readdir(fd, space, page, cookie, &used);
        if (error) return error;
        while (at + sizeof(dirent) <= used) {
            dirent found;
            __builtin_memcpy(&found, space + at, sizeof found);
            if (at + sizeof found + found.name_length > used) break;
            space_and_bytes(space + at + sizeof found, found.name_length);
            say_number(found.type);
            at += sizeof found + found.name_length;
            cookie = found.next;
        }
        if (used < page) return SUCCESS;
    }
    return EIO;
}

static void say_error(int error) { space_and_number(error); }

static void perform(char operation) {
    int fd = next_fd(), error, *slot;
    u32 count = 0;
    u64 number = 0;
    filestat stat;
    fdstat state;
    word path, other;
    switch (operation) {
    case 'o': {
        slot = next_slot();
        int follow = next_number(), opened = UNUSED;
        path = next_word();
        int how = next_number();
        u64 rights = next_number();
        error = path_open(fd, follow, path.text, path.length, how, rights, R_ALL, next_number(), &opened);
        if (!error) {
            fd_close(*slot);
            *slot = opened;
        }
        say_error(error);
        break;
    }
    case 'c':
        error = fd_close(fd);
        if (!error) forget(fd);
        say_error(error);
        break;
    case 'r': {
        part target = {space, next_number()};
        error = fd_read(fd, &target, 1, &count);
        say_error(error);
        if (!error) space_and_bytes(space, count);
        break;
    }
    case 'R': {
        part target = {space, next_number()};
        error = fd_pread(fd, &target, 1, next_number(), &count);
        say_error(error);
        if (!error) space_and_bytes(space, count);
        break;
    }
    case 'w': {
        path = next_word();
        part content = {path.text, path.length};
        error = fd_write(fd, &content, 1, &count);
        say_error(error);
        if (!error) space_and_number(count);
        break;
    }
    case 'W': {
        path = next_word();
        part content = {path.text, path.length};
        error = fd_pwrite(fd, &content, 1, next_number(), &count);
        say_error(error);
        if (!error) space_and_number(count);
        break;
    }
    case 's': {
        s64 offset = next_number();
        int whence = next_number();
        error = fd_seek(fd, offset, whence == 0 ? SET : whence == 1 ? CUR : END, &number);
        say_error(error);
        if (!error) space_and_number(number);
        break;
    }
    case 't':
        error = fd_tell(fd, &number);
        say_error(error);
        if (!error) space_and_number(number);
        break;
    case 'S': say_error(fd_filestat_set_size(fd, next_number())); break;
    case 'f':
        error = fd_filestat_get(fd, &stat);
        say_error(error);
        if (!error) say_stat(&stat);
        break;
    case 'F':
        error = fd_fdstat_get(fd, &state);
        say_error(error);
        if (!error) { space_and_number(state.type); space_and_number(state.flags); }
        break;
    case 'g': say_error(fd_fdstat_set_flags(fd, next_number())); break;
    case 'T': say_error(fd_filestat_set_times(fd, 0, next_number(), MTIM)); break;
    case 'N': {
        int target = next_fd();
        error = fd_renumber(fd, target);
        if (!error && target != fd) forget(fd);
        say_error(error);
        break;
    }
    case 'L': say_error(say_listing(fd, next_number())); break;
    case 'p':
        number = next_number();
        path = next_word();
        error = path_filestat_get(fd, number, path.text, path.length, &stat);
        say_error(error);
        if (!error) say_stat(&stat);
        break;
    case 'P':
        number = next_number();
        path = next_word();
        say_error(path_filestat_set_times(fd, number, path.text, path.length, 0, next_number(), MTIM));
        break;
    case 'm': path = next_word(); say_error(path_create_directory(fd, path.text, path.length)); break;
    case 'x': path = next_word(); say_error(path_remove_directory(fd, path.text, path.length)); break;
    case 'u': path = next_word(); say_error(path_unlink_file(fd, path.text, path.length)); break;
    case 'n': {
        path = next_word();
        int target = next_fd();
        other = next_word();
        say_error(path_rename(fd, path.text, path.length, target, other.text, other.length));
        break;
    }
    case 'l': {
        path = next_word();
        int target = next_fd();
        other = next_word();
        say_error(path_link(fd, 0, path.text, path.length, target, other.text, other.length));
        break;
    }
    case 'y':
        path = next_word();
        other = next_word();
        say_error(path_symlink(path.text, path.length, fd, other.text, other.length));
        break;
    case 'k':
        path = next_word();
        error = path_readlink(fd, path.text, path.length, space, next_number(), &count);
        say_error(error);
        if (!error) space_and_bytes(space, count);
        break;
    default: proc_exit(2);
    }
}

void _start(void) {
    u32 count;
    script_end = script;
    do {
        part rest = {script_end, (u32)(script + sizeof script - script_end)};
        if (!rest.count || fd_read(0, &rest, 1, &count)) proc_exit(3);
        script_end += count;
    } while (count);
    while (cursor < script_end) {
        word operation = next_word();
        say_bytes(operation.text, operation.length);
        perform(operation.text[0]);
        say("\n");
        while (cursor < script_end && *cursor != '\n') cursor++;
        cursor++;
        if (output_count > sizeof output / 2) flush();
    }
    flush();
    proc_exit(0);
}
