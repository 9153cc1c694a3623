// What C programs do with files, streams and the rest of WASI, one small program an argument:
// `programs NAME [ARGUMENTS]`. Those that `test_programs.py` also runs on wasmtime's own WASI print nothing that may
// differ between two right answers (inodes, times, the order of a listing).

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void tell(const char *what, int result) {
    if (result < 0) printf("%s: %s\n", what, strerror(errno));
    else printf("%s: ok\n", what);
}

static void put(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    if (!file) { printf("fopen %s: %s\n", path, strerror(errno)); return; }
    fputs(text, file);
    fclose(file);
}

static void show(const char *path) {
    char content[256];
    FILE *file = fopen(path, "r");
    if (!file) { printf("%s: %s\n", path, strerror(errno)); return; }
    size_t count = fread(content, 1, sizeof content, file);
    printf("%s: %zu bytes: %.*s\n", path, count, (int)count, content);
    fclose(file);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }

static void list(const char *path) {
    char *names[1200];
    size_t count = 0;
    DIR *directory = opendir(path);
    if (!directory) { printf("opendir %s: %s\n", path, strerror(errno)); return; }
    for (struct dirent *entry; (entry = readdir(directory)) && count < 1200;) {
        names[count] = malloc(strlen(entry->d_name) + 4);
        sprintf(names[count++], "%s%s", entry->d_name, entry->d_type == DT_DIR ? "/" : "");
    }
    closedir(directory);
    qsort(names, count, sizeof *names, by_name);
    printf("%s (%zu):", path, count);
    for (size_t i = 0; i < count && i < 12; i++) printf(" %s", names[i]);
    printf("\n");
}

static int copy(const char *from, const char *to) {
    FILE *in = strcmp(from, "-") ? fopen(from, "r") : stdin, *out = strcmp(to, "-") ? fopen(to, "w") : stdout;
    if (!in || !out) { perror(in ? to : from); return 1; }
    char line[100];
    while (fgets(line, sizeof line, in)) fputs(line, out);
    return fclose(out) ? 1 : 0;
}

static int arguments(int argc, char **argv) {
    for (int i = 1; i < argc; i++) printf("%d=%s\n", i, argv[i]);
    printf("HOME=%s NONE=%s\n", getenv("HOME"), getenv("NONE") ? "set" : "unset");
    return 0;
}

static int files(void) {
    put("/tmp/a", "first\n");
    FILE *file = fopen("/tmp/a", "a+");
    fputs("second\n", file);
    rewind(file);
    char line[20];
    printf("%s", fgets(line, sizeof line, file));
    fseek(file, -3, SEEK_END);
    printf("%ld %c\n", ftell(file), fgetc(file));
    fclose(file);
    show("/tmp/a");
    struct stat found;
    tell("stat", stat("/tmp/a", &found));
    printf("%lld %d %d\n", (long long)found.st_size, S_ISREG(found.st_mode), S_ISDIR(found.st_mode));
    tell("truncate", truncate("/tmp/a", 3));
    show("/tmp/a");
    tell("rename", rename("/tmp/a", "/b"));
    show("/tmp/a");
    show("/b");
    tell("unlink", unlink("/b"));
    show("/b");
    int fd = open("/tmp/p", O_RDWR | O_CREAT | O_EXCL, 0600);
    pwrite(fd, "0123456789", 10, 5);
    printf("%zd %lld\n", write(fd, "abcd", 4), (long long)lseek(fd, 0, SEEK_CUR));
    char middle[4] = "";
    printf("%zd %s\n", pread(fd, middle, 3, 4), middle + 1);
    close(fd);
    return 0;
}

static int directories(void) {
    char path[64];
    tell("mkdir", mkdir("/tmp/d", 0700));
    tell("mkdir", mkdir("/tmp/d/sub", 0700));
    for (int i = 0; i < 1000; i++) {
        sprintf(path, "/tmp/d/a-rather-long-name-of-a-file-%04d", i);
        put(path, "");
    }
    list("/tmp/d");
    tell("rmdir", rmdir("/tmp/d"));
    tell("chdir", chdir("/tmp/d"));
    put("here", "relative");
    show("/tmp/d/here");
    show("../d/./sub/../here");
    tell("rename", rename("/tmp/d", "/moved"));
    list("/");
    return 0;
}

// Removes entries while it lists them, which must not hide any of the others.
static int clean(void) {
    char path[64];
    mkdir("/tmp/d", 0700);
    for (int i = 0; i < 1000; i++) {
        sprintf(path, "/tmp/d/a-rather-long-name-of-a-file-%04d", i);
        put(path, "");
    }
    DIR *directory = opendir("/tmp/d");
    int removed = 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        if (entry->d_type == DT_REG && unlinkat(dirfd(directory), entry->d_name, 0) == 0) removed++;
    closedir(directory);
    printf("%d removed\n", removed);
    tell("rmdir", rmdir("/tmp/d"));
    return 0;
}

static int errors(void) {
    put("/tmp/f", "abc");
    mkdir("/tmp/d", 0700);
    put("/tmp/d/x", "");
    tell("open none", open("/tmp/none", O_RDONLY));
    tell("open under file", open("/tmp/f/x", O_RDONLY));
    tell("open file slash", open("/tmp/f/", O_RDONLY));
    tell("open exclusive", open("/tmp/f", O_RDWR | O_CREAT | O_EXCL, 0600));
    tell("open file as directory", open("/tmp/f", O_RDONLY | O_DIRECTORY));
    tell("open directory to write", open("/tmp/d", O_WRONLY));
    tell("create in none", open("/tmp/none/x", O_WRONLY | O_CREAT, 0600));
    tell("open empty", open("", O_RDONLY));
    tell("mkdir exists", mkdir("/tmp/d", 0700));
    tell("mkdir over file", mkdir("/tmp/f", 0700));
    tell("mkdir in none", mkdir("/tmp/none/x", 0700));
    tell("rmdir full", rmdir("/tmp/d"));
    tell("rmdir file", rmdir("/tmp/f"));
    tell("rmdir none", rmdir("/tmp/none"));
    tell("unlink none", unlink("/tmp/none"));
    tell("unlink file slash", unlink("/tmp/f/"));
    tell("rename none", rename("/tmp/none", "/tmp/x"));
    tell("rename file over directory", rename("/tmp/f", "/tmp/d"));
    tell("rename directory over file", rename("/tmp/d", "/tmp/f"));
    tell("rename into itself", rename("/tmp/d", "/tmp/d/y"));
    struct stat found;
    tell("stat none", stat("/tmp/none", &found));
    tell("stat under file", stat("/tmp/f/x", &found));
    tell("access", access("/tmp/f", R_OK));
    int fd = open("/tmp/f", O_RDONLY);
    tell("write to a reader", write(fd, "x", 1));
    tell("seek before start", lseek(fd, -1, SEEK_SET));
    tell("close", close(fd));
    tell("close again", close(fd));
    fd = open("/tmp/f", O_WRONLY);
    tell("read from a writer", read(fd, &found, 1));
    fd = open("/tmp/d", O_RDONLY | O_DIRECTORY);
    tell("write to a directory", write(fd, "x", 1));
    tell("readlink file", readlink("/tmp/f", (char *)&found, 10));
    tell("readlink none", readlink("/tmp/none", (char *)&found, 10));
    char longer[300];
    memset(longer, 'x', sizeof longer);
    longer[299] = 0;
    tell("a long name", open(longer, O_RDONLY));
    return 0;
}

static int limits(void) {
    static char block[1 << 16];
    int fd, count = 0, error = 0;
    while ((fd = open("/tmp/many", O_RDWR | O_CREAT, 0600)) >= 0) count++;
    printf("%d files: %s\n", count, strerror(errno));
    fd = 4;
    for (count = 0; write(fd, block, sizeof block) > 0; count++) {}
    error = errno;
    printf("%d blocks: %s\n", count, strerror(error));
    return 0;
}

static int clocks(void) {
    struct timespec before, after, pause = {0, 20000000};
    clock_gettime(CLOCK_MONOTONIC, &before);
    nanosleep(&pause, NULL);
    clock_gettime(CLOCK_MONOTONIC, &after);
    long long passed = (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec;
    printf("%s %s\n", passed >= 20000000 ? "slept" : "woke early", time(NULL) > 1600000000 ? "now" : "long ago");
    struct pollfd ready = {0, POLLIN, 0};
    printf("poll %d\n", poll(&ready, 1, -1));
    return 0;
}

static int numbers(void) {
    unsigned char bytes[16];
    struct timespec now;
    getentropy(bytes, sizeof bytes);
    for (int i = 0; i < 16; i++) printf("%02x", bytes[i]);
    clock_gettime(CLOCK_REALTIME, &now);
    printf(" %lld.%09ld\n", (long long)now.tv_sec, now.tv_nsec);
    return 0;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    if (!strcmp(name, "copy")) return copy(argc > 2 ? argv[2] : "-", argc > 3 ? argv[3] : "-");
    if (!strcmp(name, "arguments")) return arguments(argc, argv);
    if (!strcmp(name, "files")) return files();
    if (!strcmp(name, "directories")) return directories();
    if (!strcmp(name, "clean")) return clean();
    if (!strcmp(name, "errors")) return errors();
    if (!strcmp(name, "limits")) return limits();
    if (!strcmp(name, "clocks")) return clocks();
    if (!strcmp(name, "numbers")) return numbers();
    if (!strcmp(name, "terminal")) return printf("%d%d%d\n", isatty(0), isatty(1), isatty(2)) < 0;
    if (!strcmp(name, "complain")) return fprintf(stderr, "wrong: %d\n", 42) < 0;
    if (!strcmp(name, "exit")) exit(atoi(argv[2]));
    if (!strcmp(name, "lines")) {
        for (int i = 0; i < 10000; i++) printf("line %d\n", i);
        return 0;
    }
    return 99;
}
