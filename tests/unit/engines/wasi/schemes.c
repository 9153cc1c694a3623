/* What programs do with `buffer: blob: kv: call:`: one command a run; the exit code is the first errno. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char block[64 << 10];

static void must(int is_well, const char *what) {
    if (is_well) return;
    int number = errno;
    perror(what);
    exit(number);
}

static int opened(const char *path, int flags) {
    int fd = open(path, flags, 0666);
    must(fd >= 0, path);
    return fd;
}

static void put(int fd, const char *text) {
    must(write(fd, text, strlen(text)) == (ssize_t)strlen(text), "write");
}

static void copy(int from) {
    ssize_t size;
    while ((size = read(from, block, sizeof block)) > 0) must(write(STDOUT_FILENO, block, size) == size, "output");
    must(size == 0, "read");
}

/* Called by others, without arguments: leave the input in a buffer, echo it; no input is a failure. */
static int called(void) {
    ssize_t size = read(STDIN_FILENO, block, sizeof block);
    if (size <= 0) return 9;
    must(write(opened("buffer://mine-called", O_WRONLY | O_CREAT | O_TRUNC), block, size) == size, "write");
    must(write(STDOUT_FILENO, block, size) == size, "output");
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 3) return called();
    const char *command = argv[1], *path = argv[2], *text = argc > 3 ? argv[3] : "";
    if (!strcmp(command, "cat")) {
        copy(opened(path, O_RDONLY));
    } else if (!strcmp(command, "put") || !strcmp(command, "append") || !strcmp(command, "create")) {
        int more = *command == 'p' ? O_TRUNC : *command == 'a' ? O_APPEND : O_EXCL;
        int fd = opened(path, O_WRONLY | O_CREAT | more);
        for (int i = 3; i < argc; i++) put(fd, argv[i]);
        must(close(fd) == 0, "close");
    } else if (!strcmp(command, "stdio")) {
        /* Neither flushed nor closed by hand. */
        FILE *file = fopen(path, "w");
        must(file != NULL, path);
        fprintf(file, "%s\n", text);
    } else if (!strcmp(command, "leave")) {
        put(opened(path, O_WRONLY | O_CREAT | O_TRUNC), text);
        puts("left");
        exit(argc > 4 ? atoi(argv[4]) : 0);
    } else if (!strcmp(command, "trap")) {
        put(opened(path, O_WRONLY | O_CREAT | O_TRUNC), text);
        __builtin_trap();
    } else if (!strcmp(command, "spin")) {
        put(opened(path, O_WRONLY | O_CREAT | O_TRUNC), text);
        for (volatile int i = 0;; i++) {}
    } else if (!strcmp(command, "patch")) {
        int fd = opened(path, O_RDWR | O_CREAT);
        must(pwrite(fd, text, strlen(text), atoi(argv[4])) >= 0, "pwrite");
        must(lseek(fd, 0, SEEK_SET) == 0, "lseek");
        copy(fd);
        must(close(fd) == 0, "close");
    } else if (!strcmp(command, "call")) {
        int fd = opened(path, O_RDWR);
        for (int i = 3; i < argc; i++) put(fd, argv[i]);
        copy(fd);
    } else if (!strcmp(command, "size")) {
        struct stat found;
        must(stat(path, &found) == 0, path);
        printf("%lld %d", (long long)found.st_size, S_ISREG(found.st_mode));
    } else if (!strcmp(command, "rm")) {
        must(unlink(path) == 0, path);
    } else if (!strcmp(command, "flood")) {
        int fd = opened(path, O_WRONLY | O_CREAT | O_TRUNC);
        memset(block, 'x', sizeof block);
        for (int i = 0; i < 16 * atoi(text); i++) must(write(fd, block, sizeof block) == sizeof block, "write");
        must(close(fd) == 0, "close");
    } else if (!strcmp(command, "tail")) {
        int fd = opened(path, O_RDONLY);
        must(lseek(fd, -atoi(text), SEEK_END) >= 0, "lseek");
        copy(fd);
    }
    return 0;
}
