// Checks of what is done with paths beneath a directory, and of listing one.

#include "checks.h"

static filestat other;
#define STAT(path, follow) path_filestat_get(ROOT, follow, P(path), &stat)
#define MKDIR(path) path_create_directory(ROOT, P(path))
#define RMDIR(path) path_remove_directory(ROOT, P(path))
#define UNLINK(path) path_unlink_file(ROOT, P(path))
#define RENAME(old, new) path_rename(ROOT, P(old), ROOT, P(new))
#define LINK(old, new) path_link(ROOT, 0, P(old), ROOT, P(new))
#define SYMLINK(content, path) path_symlink(P(content), ROOT, P(path))
#define READLINK(path) path_readlink(ROOT, P(path), space, sizeof space, &count)
#define FOLLOWED(path, how) open_with(ROOT, FOLLOW, P(path), how, R_READ, 0)

static void check_path_create_directory(void) {
    GIVES(SUCCESS, MKDIR("dir"));
    GIVES(SUCCESS, STAT("dir", 0));
    GIVES(DIRECTORY_TYPE, stat.type);
    GIVES(EEXIST, MKDIR("dir"));
    GIVES(SUCCESS, MKDIR("dir/nested"));
    GIVES(SUCCESS, MKDIR("slash/"));
    GIVES(SUCCESS, MKDIR("dir/../dir/./up"));
    GIVES(ENOENT, MKDIR("none/nested"));
    make_file("file", "");
    GIVES(EEXIST, MKDIR("file"));
    GIVES(ENOTDIR, MKDIR("file/nested"));
    GIVES(SUCCESS, SYMLINK("none", "dangling"));
    GIVES(EEXIST, MKDIR("dangling"));
    GIVES(ENOENT, MKDIR(""));
    GIVES(EEXIST, MKDIR("."));
    GIVES(EPERM, MKDIR(".."));
    GIVES(EPERM, MKDIR("/dir2"));
    GIVES(EPERM, MKDIR("../dir2"));
    GIVES(EINVAL, MKDIR("a\0b"));
    GIVES(EILSEQ, MKDIR("a\xff"));
    GIVES(EBADF, path_create_directory(UNUSED, P("dir3")));
    GIVES(EBADF, path_create_directory(1, P("dir3")));
}

static void check_path_filestat_get(void) {
    GIVES(SUCCESS, MKDIR("dir"));
    make_file("dir/file", "text");
    GIVES(SUCCESS, STAT("dir/file", 0));
    GIVES(REGULAR_TYPE, stat.type);
    GIVES(4, stat.size);
    GIVES(1, stat.links);
    other = stat;
    GIVES(SUCCESS, SYMLINK("dir/file", "link"));
    GIVES(SUCCESS, STAT("link", 0));
    GIVES(SYMBOLIC_LINK_TYPE, stat.type);
    GIVES(8, stat.size);
    GIVES(SUCCESS, STAT("link", FOLLOW));
    GIVES(REGULAR_TYPE, stat.type);
    GIVES(other.inode, stat.inode);
    GIVES(SUCCESS, SYMLINK("dir", "way"));
    GIVES(SUCCESS, STAT("way/file", 0));
    GIVES(other.inode, stat.inode);
    GIVES(SUCCESS, STAT("way", 0));
    GIVES(SYMBOLIC_LINK_TYPE, stat.type);
    GIVES(SUCCESS, STAT("way/", 0));
    GIVES(DIRECTORY_TYPE, stat.type);
    GIVES(SUCCESS, STAT(".", 0));
    GIVES(DIRECTORY_TYPE, stat.type);
    GIVES(SUCCESS, STAT("dir/.", 0));
    GIVES(SUCCESS, STAT("dir/..", 0));
    GIVES(ENOTDIR, STAT("dir/file/", 0));
    GIVES(ENOTDIR, STAT("dir/file/x", 0));
    GIVES(ENOTDIR, STAT("dir/file/..", 0));
    GIVES(ENOENT, STAT("none", 0));
    GIVES(ENOENT, STAT("", 0));
    GIVES(EPERM, STAT("..", 0));
    GIVES(EPERM, STAT("dir/../..", 0));
    GIVES(EPERM, STAT("/dir", 0));
    GIVES(EINVAL, STAT("dir\0", 0));
    GIVES(SUCCESS, SYMLINK("self", "self"));
    GIVES(ELOOP, STAT("self", FOLLOW));
    GIVES(ELOOP, STAT("self/x", 0));
    GIVES(SUCCESS, STAT("self", 0));
    GIVES(SUCCESS, SYMLINK("../tmp", "out"));
    GIVES(EPERM, STAT("out", FOLLOW));
    GIVES(EBADF, path_filestat_get(1, 0, P("dir"), &stat));
    GIVES(EBADF, path_filestat_get(UNUSED, 0, P("dir"), &stat));
}

static void check_path_filestat_set_times(void) {
    make_file("file", "");
    GIVES(SUCCESS, path_filestat_set_times(ROOT, 0, P("file"), 1000, 2222000000100, ATIM | MTIM));
    GIVES(SUCCESS, STAT("file", 0));
    GIVES(1000, stat.atim);
    GIVES(2222000000100, stat.mtim);
    GIVES(SUCCESS, SYMLINK("file", "link"));
    GIVES(SUCCESS, path_filestat_set_times(ROOT, 0, P("link"), 0, 3333000000000, MTIM));
    GIVES(SUCCESS, STAT("link", 0));
    GIVES(3333000000000, stat.mtim);
    GIVES(SUCCESS, STAT("link", FOLLOW));
    GIVES(2222000000100, stat.mtim);
    GIVES(SUCCESS, path_filestat_set_times(ROOT, FOLLOW, P("link"), 0, 4444000000000, MTIM));
    GIVES(SUCCESS, STAT("file", 0));
    GIVES(4444000000000, stat.mtim);
    GIVES(SUCCESS, path_filestat_set_times(ROOT, 0, P("file"), 0, 0, MTIM_NOW));
    GIVES(SUCCESS, STAT("file", 0));
    HOLDS(stat.mtim > 1000000000000000000);
    GIVES(EINVAL, path_filestat_set_times(ROOT, 0, P("file"), 0, 0, MTIM | MTIM_NOW));
    GIVES(EINVAL, path_filestat_set_times(ROOT, 0, P("file"), 0, 0, ATIM | ATIM_NOW));
    GIVES(SUCCESS, path_filestat_set_times(ROOT, 0, P("tmp"), 0, 5555000000000, MTIM));
    GIVES(SUCCESS, STAT("tmp", 0));
    GIVES(5555000000000, stat.mtim);
    GIVES(ENOENT, path_filestat_set_times(ROOT, 0, P("none"), 0, 0, MTIM));
    GIVES(EPERM, path_filestat_set_times(ROOT, 0, P("../x"), 0, 0, MTIM));
    GIVES(EBADF, path_filestat_set_times(UNUSED, 0, P("file"), 0, 0, MTIM));
}

static void check_path_link(void) {
    make_file("file", "text");
    GIVES(SUCCESS, LINK("file", "link"));
    GIVES(SUCCESS, STAT("link", 0));
    GIVES(2, stat.links);
    other = stat;
    GIVES(SUCCESS, STAT("file", 0));
    GIVES(other.inode, stat.inode);
    GIVES(SUCCESS, OPEN("link", TRUNCATE, R_FILE));
    GIVES(SUCCESS, write_text(last_fd, P("changed")));
    HOLDS(holds("file", "changed"));
    GIVES(EEXIST, LINK("file", "link"));
    GIVES(EEXIST, LINK("file", "file"));
    GIVES(EEXIST, LINK("file", "tmp"));
    GIVES(SUCCESS, UNLINK("file"));
    GIVES(SUCCESS, STAT("link", 0));
    GIVES(1, stat.links);
    int directory = opened("tmp", DIRECTORY);
    GIVES(SUCCESS, path_link(ROOT, 0, P("link"), directory, P("below")));
    HOLDS(holds("tmp/below", "changed"));
    GIVES(EPERM, LINK("tmp", "again"));
    GIVES(ENOENT, LINK("none", "again"));
    GIVES(ENOENT, LINK("link", "none/again"));
    GIVES(ENOENT, LINK("link", "again/"));
    GIVES(ENOTDIR, LINK("link/", "again"));
    GIVES(SUCCESS, SYMLINK("target", "dangling"));
    GIVES(SUCCESS, LINK("dangling", "second"));
    GIVES(SUCCESS, STAT("second", 0));
    GIVES(SYMBOLIC_LINK_TYPE, stat.type);
    GIVES(2, stat.links);
    GIVES(EEXIST, LINK("link", "dangling"));
    GIVES(EINVAL, path_link(ROOT, FOLLOW, P("dangling"), ROOT, P("third")));
    GIVES(EPERM, LINK("../x", "again"));
    GIVES(EPERM, LINK("link", "../x"));
    GIVES(EPERM, LINK("link", "/x"));
    GIVES(EBADF, path_link(UNUSED, 0, P("link"), ROOT, P("again")));
    GIVES(EBADF, path_link(ROOT, 0, P("link"), UNUSED, P("again")));
}

static void check_path_open(void) {
    GIVES(ENOENT, OPEN("file", 0, R_READ));
    GIVES(SUCCESS, OPEN("file", CREATE | EXCLUSIVE, R_FILE));
    GIVES(SUCCESS, write_text(last_fd, P("text")));
    GIVES(EEXIST, OPEN("file", CREATE | EXCLUSIVE, R_READ));
    GIVES(SUCCESS, OPEN("file", CREATE, R_READ));
    GIVES(4, read_some(last_fd, 10));
    GIVES(ENOTDIR, OPEN("file", DIRECTORY, R_READ));
    GIVES(SUCCESS, OPEN("file", TRUNCATE, R_WRITE));
    HOLDS(holds("file", ""));
    make_file("file", "text");
    GIVES(SUCCESS, OPEN("file", TRUNCATE, 0));
    HOLDS(holds("file", ""));
    GIVES(SUCCESS, OPEN("file", 0, 0));
    HOLDS(last_fd > ROOT);

    GIVES(SUCCESS, open_with(ROOT, 0, P("file"), 0, R_FILE, APPEND | DSYNC | SYNC));
    GIVES(SUCCESS, fd_fdstat_get(last_fd, &state));
    GIVES(APPEND | DSYNC | SYNC, state.flags);

    // Directories.
    GIVES(SUCCESS, OPEN("tmp", 0, R_READ));
    GIVES(SUCCESS, fd_fdstat_get(last_fd, &state));
    GIVES(DIRECTORY_TYPE, state.type);
    GIVES(SUCCESS, OPEN("tmp", DIRECTORY, R_READ));
    GIVES(EISDIR, OPEN("tmp", 0, R_READ | R_WRITE));
    GIVES(EISDIR, OPEN("tmp", DIRECTORY, R_READ | R_WRITE));
    GIVES(EISDIR, OPEN("tmp", CREATE, R_READ));
    GIVES(EEXIST, OPEN("tmp", CREATE | EXCLUSIVE, R_READ));
    GIVES(EISDIR, OPEN("tmp", TRUNCATE, R_READ));
    GIVES(EINVAL, OPEN("tmp", DIRECTORY | CREATE, R_READ));
    GIVES(EINVAL, OPEN("none", DIRECTORY | CREATE, R_READ));
    GIVES(EINVAL, OPEN("tmp", DIRECTORY | EXCLUSIVE, R_READ));
    GIVES(EINVAL, OPEN("tmp", DIRECTORY | TRUNCATE, R_READ));
    GIVES(SUCCESS, open_with(ROOT, 0, P("."), 0, 0, NONBLOCK));
    GIVES(SUCCESS, OPEN(".", DIRECTORY, R_ALL & ~R_WRITE));

    // Paths as people should not write them.
    GIVES(SUCCESS, MKDIR("dir"));
    GIVES(SUCCESS, MKDIR("dir/nested"));
    make_file("dir/nested/file", "deep");
    HOLDS(holds("dir/.//nested/../../dir/nested/../nested///./file", "deep"));
    GIVES(EPERM, OPEN("/dir/nested/file", 0, R_READ));
    GIVES(EPERM, OPEN("/", 0, R_READ));
    GIVES(EPERM, OPEN("..", 0, R_READ));
    GIVES(EPERM, OPEN("dir/nested/../../../dir/nested/file", 0, R_READ));
    GIVES(EINVAL, OPEN("dir/nested/file\0", 0, R_READ));
    GIVES(ENOTDIR, OPEN("dir/nested/file/", 0, R_READ));
    GIVES(ENOTDIR, OPEN("dir/nested/file///", 0, R_READ));
    GIVES(ENOTDIR, OPEN("dir/nested/file/x", CREATE, R_READ));
    GIVES(ENOTDIR, OPEN("dir/nested/file/.", 0, R_READ));
    GIVES(SUCCESS, OPEN("dir/nested/", 0, R_READ));
    GIVES(SUCCESS, OPEN("dir/nested///", 0, R_READ));
    GIVES(EISDIR, OPEN("new/", CREATE, R_READ));
    GIVES(ENOENT, OPEN("none/", 0, R_READ));
    GIVES(ENOENT, OPEN("", 0, R_READ));
    GIVES(ENOENT, OPEN("none/..", 0, R_READ));
    GIVES(EILSEQ, OPEN("a\xff", CREATE, R_READ));
    for (u32 i = 0; i < 256; i++) space[i] = 'n';
    GIVES(ENAMETOOLONG, open_with(ROOT, 0, space, 256, CREATE, R_READ, 0));
    GIVES(SUCCESS, open_with(ROOT, 0, space, 255, CREATE, R_READ, 0));

    // Symbolic links.
    GIVES(SUCCESS, SYMLINK("nested", "dir/link"));
    GIVES(ELOOP, OPEN("dir/link", 0, R_READ));
    GIVES(ELOOP, OPEN("dir/link", DIRECTORY, R_READ));
    GIVES(SUCCESS, OPEN("dir/link/", DIRECTORY, R_READ));
    GIVES(SUCCESS, OPEN("dir/link/file", 0, R_READ));
    GIVES(SUCCESS, FOLLOWED("dir/link", DIRECTORY));
    GIVES(SUCCESS, SYMLINK("target", "dangling"));
    GIVES(ELOOP, OPEN("dangling", 0, R_READ));
    GIVES(ELOOP, OPEN("dangling", CREATE, R_READ));
    GIVES(EEXIST, OPEN("dangling", CREATE | EXCLUSIVE, R_READ));
    GIVES(ENOENT, FOLLOWED("dangling", 0));
    GIVES(EEXIST, FOLLOWED("dangling", CREATE | EXCLUSIVE));
    GIVES(SUCCESS, FOLLOWED("dangling", CREATE));
    GIVES(SUCCESS, STAT("target", 0));
    GIVES(SUCCESS, SYMLINK("b", "a"));
    GIVES(SUCCESS, SYMLINK("a", "b"));
    GIVES(ELOOP, FOLLOWED("a", 0));
    GIVES(ELOOP, OPEN("a", 0, R_READ));
    GIVES(SUCCESS, SYMLINK("../../../tmp", "dir/out"));
    GIVES(EPERM, FOLLOWED("dir/out", 0));
    GIVES(SUCCESS, SYMLINK("../dir/../file", "dir/back"));
    GIVES(SUCCESS, FOLLOWED("dir/back", 0));

    // A directory deeper down is a root of its own.
    int below = opened("dir", DIRECTORY);
    GIVES(SUCCESS, open_with(below, 0, P("nested/file"), 0, R_READ, 0));
    GIVES(EPERM, open_with(below, 0, P("../file"), 0, R_READ, 0));
    GIVES(EPERM, open_with(below, FOLLOW, P("back"), 0, R_READ, 0));
    GIVES(ENOTDIR, open_with(opened("file", 0), 0, P("x"), CREATE, R_READ, 0));
    GIVES(EBADF, open_with(1, 0, P("x"), CREATE, R_READ, 0));
    GIVES(EBADF, open_with(UNUSED, 0, P("x"), CREATE, R_READ, 0));
}

static void check_path_readlink(void) {
    GIVES(SUCCESS, SYMLINK("target", "link"));
    for (u32 i = 0; i < 10; i++) space[i] = '.';
    GIVES(SUCCESS, path_readlink(ROOT, P("link"), space, 10, &count));
    GIVES(6, count);
    HOLDS(same(space, "target....", 10));
    for (u32 i = 0; i < 10; i++) space[i] = '.';
    GIVES(SUCCESS, path_readlink(ROOT, P("link"), space, 4, &count));
    GIVES(4, count);
    HOLDS(same(space, "targ......", 10));
    GIVES(SUCCESS, path_readlink(ROOT, P("link"), space, 0, &count));
    GIVES(0, count);
    make_file("file", "");
    GIVES(EINVAL, READLINK("file"));
    GIVES(EINVAL, READLINK("tmp"));
    GIVES(ENOENT, READLINK("none"));
    GIVES(ENOENT, READLINK(""));
    GIVES(EPERM, READLINK("../x"));
    GIVES(SUCCESS, SYMLINK("tmp", "way"));
    GIVES(SUCCESS, SYMLINK("x", "tmp/inner"));
    GIVES(SUCCESS, READLINK("way/inner"));
    GIVES(1, count);
    GIVES(EBADF, path_readlink(UNUSED, P("link"), space, 10, &count));
}

static void check_path_remove_directory(void) {
    GIVES(SUCCESS, MKDIR("dir"));
    GIVES(SUCCESS, RMDIR("dir"));
    GIVES(ENOENT, STAT("dir", 0));
    GIVES(SUCCESS, MKDIR("dir"));
    GIVES(SUCCESS, MKDIR("slash"));
    GIVES(SUCCESS, RMDIR("slash/"));
    make_file("dir/file", "");
    GIVES(ENOTEMPTY, RMDIR("dir"));
    GIVES(ENOTDIR, RMDIR("dir/file"));
    GIVES(ENOTDIR, RMDIR("dir/file/"));
    GIVES(ENOENT, RMDIR("none"));
    GIVES(ENOENT, RMDIR(""));
    GIVES(EINVAL, RMDIR("."));
    GIVES(EINVAL, RMDIR("dir/."));
    GIVES(EINVAL, RMDIR("tmp/.."));
    GIVES(EPERM, RMDIR(".."));
    GIVES(EPERM, RMDIR("/dir"));
    GIVES(SUCCESS, SYMLINK("tmp", "link"));
    GIVES(ENOTDIR, RMDIR("link"));
    // One that is open lives on, empty.
    GIVES(SUCCESS, MKDIR("open"));
    int directory = opened("open", DIRECTORY);
    GIVES(SUCCESS, RMDIR("open"));
    GIVES(ENOENT, open_with(directory, 0, P("new"), CREATE, R_READ, 0));
    GIVES(ENOENT, path_create_directory(directory, P("new")));
    GIVES(SUCCESS, fd_filestat_get(directory, &stat));
    GIVES(SUCCESS, fd_close(directory));
    GIVES(EBADF, path_remove_directory(UNUSED, P("dir")));
}

static void check_path_rename(void) {
    GIVES(SUCCESS, MKDIR("source"));
    GIVES(SUCCESS, RENAME("source", "target"));
    GIVES(ENOENT, STAT("source", 0));
    GIVES(SUCCESS, MKDIR("source"));
    GIVES(SUCCESS, RENAME("source", "target"));
    GIVES(SUCCESS, MKDIR("source"));
    make_file("target/file", "inside");
    GIVES(ENOTEMPTY, RENAME("source", "target"));
    GIVES(ENOTDIR, RENAME("source", "target/file"));
    GIVES(SUCCESS, RENAME("target", "source"));
    HOLDS(holds("source/file", "inside"));
    make_file("one", "1");
    make_file("two", "2");
    GIVES(SUCCESS, RENAME("one", "two"));
    HOLDS(holds("two", "1"));
    GIVES(ENOENT, STAT("one", 0));
    GIVES(SUCCESS, RENAME("two", "two"));
    GIVES(SUCCESS, LINK("two", "three"));
    GIVES(SUCCESS, RENAME("two", "three"));
    GIVES(SUCCESS, STAT("two", 0));
    GIVES(EISDIR, RENAME("two", "tmp"));
    GIVES(ENOTDIR, RENAME("tmp", "two"));
    GIVES(EINVAL, RENAME("source", "source/below"));
    GIVES(ENOTEMPTY, RENAME("source/file", "source"));
    GIVES(SUCCESS, MKDIR("d"));
    GIVES(SUCCESS, RENAME("d/", "e"));
    GIVES(SUCCESS, RENAME("e", "d/"));
    GIVES(SUCCESS, RENAME("d/", "e/"));
    GIVES(ENOTDIR, RENAME("two/", "four"));
    GIVES(ENOTDIR, RENAME("two", "four/"));
    GIVES(ENOENT, RENAME("none", "four"));
    GIVES(ENOENT, RENAME("two", "none/four"));
    GIVES(EPERM, RENAME("../x", "four"));
    GIVES(EPERM, RENAME("two", "../four"));
    GIVES(EPERM, RENAME("two", "/four"));
    GIVES(EBUSY, RENAME(".", "four"));
    GIVES(EBUSY, RENAME("two", "."));
    GIVES(SUCCESS, SYMLINK("two", "link"));
    GIVES(SUCCESS, RENAME("link", "moved"));
    GIVES(SUCCESS, STAT("moved", 0));
    GIVES(SYMBOLIC_LINK_TYPE, stat.type);
    // A file that is replaced lives on for those who have it open.
    make_file("new", "new");
    int file = opened("two", 0);
    GIVES(SUCCESS, RENAME("new", "two"));
    GIVES(1, read_some(file, 10));
    int directory = opened("tmp", DIRECTORY);
    GIVES(SUCCESS, path_rename(ROOT, P("two"), directory, P("two")));
    HOLDS(holds("tmp/two", "new"));
    GIVES(EBADF, path_rename(UNUSED, P("a"), ROOT, P("b")));
    GIVES(EBADF, path_rename(ROOT, P("moved"), UNUSED, P("b")));
}

static void check_path_symlink(void) {
    GIVES(SUCCESS, SYMLINK("tmp", "link"));
    GIVES(SUCCESS, STAT("link", 0));
    GIVES(SYMBOLIC_LINK_TYPE, stat.type);
    GIVES(3, stat.size);
    GIVES(EEXIST, SYMLINK("tmp", "link"));
    GIVES(EEXIST, SYMLINK("x", "tmp"));
    GIVES(ENOENT, SYMLINK("source", "new/"));
    GIVES(EEXIST, SYMLINK("source", "tmp/"));
    make_file("file", "");
    GIVES(ENOTDIR, SYMLINK("source", "file/"));
    GIVES(EEXIST, SYMLINK("source", "file"));
    GIVES(ENOENT, SYMLINK("x", "none/link"));
    GIVES(SUCCESS, SYMLINK("..", "tmp/up"));
    GIVES(SUCCESS, STAT("tmp/up/file", 0));
    GIVES(EPERM, SYMLINK("/", "root"));
    GIVES(EPERM, SYMLINK("/tmp", "root"));
    GIVES(ENOENT, SYMLINK("", "nothing"));
    GIVES(EPERM, SYMLINK("x", "../link"));
    GIVES(EPERM, SYMLINK("x", "/link"));
    GIVES(EINVAL, SYMLINK("a\0b", "nul"));
    GIVES(EBADF, path_symlink(P("x"), UNUSED, P("y")));
    GIVES(EBADF, path_symlink(P("x"), 1, P("y")));
}

static void check_path_unlink_file(void) {
    make_file("file", "text");
    GIVES(ENOTDIR, UNLINK("file/"));
    int file = opened("file", 0);
    GIVES(SUCCESS, UNLINK("file"));
    GIVES(ENOENT, UNLINK("file"));
    GIVES(4, read_some(file, 10));
    GIVES(EISDIR, UNLINK("tmp"));
    GIVES(EISDIR, UNLINK("tmp/"));
    GIVES(EISDIR, UNLINK("."));
    GIVES(ENOENT, UNLINK(""));
    GIVES(EPERM, UNLINK(".."));
    GIVES(EPERM, UNLINK("/tmp"));
    make_file("tmp/kept", "");
    GIVES(SUCCESS, SYMLINK("tmp/kept", "link"));
    GIVES(SUCCESS, UNLINK("link"));
    GIVES(SUCCESS, STAT("tmp/kept", 0));
    GIVES(SUCCESS, SYMLINK("tmp", "way"));
    GIVES(SUCCESS, UNLINK("way/kept"));
    GIVES(EISDIR, UNLINK("way/"));
    GIVES(SUCCESS, UNLINK("way"));
    GIVES(EBADF, path_unlink_file(UNUSED, P("x")));
}

// Counts the entries from `cookie` in pages of `length` bytes; keeps the cookie after the first in `position`.
static u32 entries(int fd, u32 length, u64 cookie, u32 *longest) {
    u32 total = 0;
    for (;;) {
        u32 used, at = 0, here = 0;
        int error = fd_readdir(fd, space, length, cookie, &used);
        if (error) return -error;
        for (; at + sizeof(dirent) <= used; here++) {
            dirent found;
            __builtin_memcpy(&found, space + at, sizeof found);
            if (at + sizeof found + found.name_length > used) break;
            if (!total && !here) position = found.next;
            if (found.name_length > *longest) *longest = found.name_length;
            at += sizeof found + found.name_length;
            cookie = found.next;
        }
        total += here;
        if (used < length || !here) return total;
    }
}

static void check_fd_readdir(void) {
    u32 longest = 0;
    int directory = opened("tmp", DIRECTORY);
    GIVES(2, entries(directory, 256, 0, &longest));
    GIVES(2, longest);
    make_file("tmp/file", "");
    GIVES(SUCCESS, fd_readdir(directory, space, sizeof space, 0, &count));
    GIVES(3 * sizeof(dirent) + sizeof "...file" - 1, count);
    GIVES(SUCCESS, STAT("tmp/file", 0));
    for (u32 at = 0; at < count;) {
        dirent found;
        __builtin_memcpy(&found, space + at, sizeof found);
        at += sizeof found + found.name_length;
        if (found.name_length == 4) {
            GIVES(REGULAR_TYPE, found.type);
            GIVES(stat.inode, found.inode);
        } else GIVES(DIRECTORY_TYPE, found.type);
    }
    GIVES(3, entries(directory, 256, 0, &longest));
    GIVES(2, entries(directory, 256, position, &longest));
    GIVES(SUCCESS, SYMLINK("file", "tmp/link"));
    char name[] = "tmp/00";
    for (u32 i = 0; i < 100; i++) {
        name[4] = '0' + i / 10;
        name[5] = '0' + i % 10;
        make_file(name, "");
    }
    GIVES(104, entries(directory, 4096, 0, &longest));
    GIVES(104, entries(directory, 64, 0, &longest));
    GIVES(103, entries(directory, 64, position, &longest));
    GIVES(SUCCESS, fd_readdir(directory, space, 10, 0, &count));
    GIVES(10, count);
    GIVES(SUCCESS, fd_readdir(directory, space, 0, 0, &count));
    GIVES(0, count);
    GIVES(EBADF, fd_readdir(opened("tmp/file", 0), space, 256, 0, &count));
    GIVES(EBADF, fd_readdir(1, space, 256, 0, &count));
    GIVES(EBADF, fd_readdir(UNUSED, space, 256, 0, &count));
}

#define CHECK(name) {#name, check_##name}
CHECKS(CHECK(fd_readdir), CHECK(path_create_directory), CHECK(path_filestat_get), CHECK(path_filestat_set_times), CHECK(path_link),
       CHECK(path_open), CHECK(path_readlink), CHECK(path_remove_directory), CHECK(path_rename), CHECK(path_symlink),
       CHECK(path_unlink_file))
