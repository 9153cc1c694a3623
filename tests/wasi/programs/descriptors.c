// Checks of what is done with an open descriptor.

#include "checks.h"

static int file;

static u64 size_of(int fd) {
    int error = fd_filestat_get(fd, &stat);
    return error ? (u64)-error : stat.size;
}

static void check_fd_advise(void) {
    file = opened("file", CREATE);
    for (int advice = 0; advice <= 5; advice++) GIVES(SUCCESS, fd_advise(file, 10, 50, advice));
    GIVES(0, size_of(file));
    GIVES(EBADF, fd_advise(ROOT, 0, 0, 0));
    GIVES(EBADF, fd_advise(UNUSED, 0, 0, 0));
}

static void check_fd_allocate(void) {
    file = opened("file", CREATE);
    GIVES(SUCCESS, fd_allocate(file, 0, 100));
    GIVES(100, size_of(file));
    GIVES(SUCCESS, fd_allocate(file, 10, 10));
    GIVES(100, size_of(file));
    GIVES(SUCCESS, fd_allocate(file, 90, 20));
    GIVES(110, size_of(file));
    GIVES(EBADF, fd_allocate(ROOT, 0, 1));
    GIVES(EBADF, fd_allocate(UNUSED, 0, 1));
}

static void check_fd_close(void) {
    file = opened("file", CREATE);
    HOLDS(file > ROOT);
    GIVES(SUCCESS, fd_close(file));
    GIVES(EBADF, fd_close(file));
    GIVES(EBADF, fd_fdstat_get(file, &state));
    GIVES(EBADF, fd_close(UNUSED));
    GIVES(EBADF, fd_close(-1));
    // What was opened through a preopened directory outlives it.
    int directory = opened("tmp", DIRECTORY);
    GIVES(SUCCESS, fd_close(ROOT));
    GIVES(EBADF, fd_fdstat_get(ROOT, &state));
    GIVES(SUCCESS, fd_fdstat_get(directory, &state));
    GIVES(DIRECTORY_TYPE, state.type);
    GIVES(SUCCESS, open_with(directory, 0, P("new"), CREATE, R_FILE, 0));
    GIVES(SUCCESS, fd_close(0));
    GIVES(-EBADF, read_some(0, 1));
}

static void check_fd_datasync(void) {
    file = opened("file", CREATE);
    GIVES(SUCCESS, write_text(file, P("text")));
    GIVES(SUCCESS, fd_datasync(file));
    GIVES(EBADF, fd_datasync(ROOT));
    GIVES(EBADF, fd_datasync(UNUSED));
}

static void check_fd_sync(void) {
    file = opened("file", CREATE);
    GIVES(SUCCESS, write_text(file, P("text")));
    GIVES(SUCCESS, fd_sync(file));
    GIVES(EBADF, fd_sync(ROOT));
    GIVES(EBADF, fd_sync(UNUSED));
}

static void check_fd_fdstat_get(void) {
    GIVES(SUCCESS, fd_fdstat_get(ROOT, &state));
    GIVES(DIRECTORY_TYPE, state.type);
    GIVES(0, state.flags);
    HOLDS(state.base & R_PATH_OPEN);
    HOLDS(state.base & R_READDIR);
    GIVES(0, state.base & (R_SEEK | R_TELL | R_SET_SIZE));
    GIVES(R_FILE, state.inheriting & R_FILE);
    GIVES(SUCCESS, open_with(ROOT, 0, P("file"), CREATE, R_READ, APPEND));
    GIVES(SUCCESS, fd_fdstat_get(last_fd, &state));
    GIVES(REGULAR_TYPE, state.type);
    GIVES(APPEND, state.flags);
    GIVES(R_READ, state.base & (R_READ | R_WRITE));
    GIVES(SUCCESS, OPEN("file", 0, R_WRITE));
    GIVES(SUCCESS, fd_fdstat_get(last_fd, &state));
    GIVES(0, state.flags);
    GIVES(R_WRITE, state.base & (R_READ | R_WRITE));
    for (int fd = 0; fd < 3; fd++) GIVES(SUCCESS, fd_fdstat_get(fd, &state));
    GIVES(EBADF, fd_fdstat_get(UNUSED, &state));
}

static void check_fd_fdstat_set_flags(void) {
    GIVES(SUCCESS, open_with(ROOT, 0, P("file"), CREATE, R_FILE, APPEND));
    file = last_fd;
    GIVES(SUCCESS, write_text(file, P("aaaa")));
    GIVES(SUCCESS, fd_seek(file, 0, SET, &position));
    GIVES(SUCCESS, write_text(file, P("bbbb")));
    GIVES(8, size_of(file));
    GIVES(SUCCESS, fd_fdstat_set_flags(file, 0));
    GIVES(SUCCESS, fd_fdstat_get(file, &state));
    GIVES(0, state.flags);
    GIVES(SUCCESS, fd_seek(file, 0, SET, &position));
    GIVES(SUCCESS, write_text(file, P("cccc")));
    HOLDS(holds("file", "ccccbbbb"));
    GIVES(SUCCESS, fd_fdstat_set_flags(file, APPEND | NONBLOCK));
    GIVES(SUCCESS, fd_fdstat_get(file, &state));
    GIVES(APPEND | NONBLOCK, state.flags);
    GIVES(EINVAL, fd_fdstat_set_flags(file, DSYNC));
    GIVES(EBADF, fd_fdstat_set_flags(ROOT, 0));
    GIVES(EBADF, fd_fdstat_set_flags(UNUSED, 0));
}

static void check_fd_fdstat_set_rights(void) {
    file = opened("file", CREATE);
    GIVES(SUCCESS, write_text(file, P("text")));
    GIVES(SUCCESS, fd_fdstat_get(file, &state));
    GIVES(SUCCESS, fd_fdstat_set_rights(file, state.base, state.inheriting));
    GIVES(SUCCESS, fd_fdstat_set_rights(file, state.base & ~(R_READ | R_WRITE), 0));
    GIVES(SUCCESS, fd_fdstat_get(file, &state));
    GIVES(0, state.base & (R_READ | R_WRITE));
    HOLDS(state.base & R_SEEK);
    GIVES(0, state.inheriting);
    GIVES(ENOTCAPABLE, fd_fdstat_set_rights(file, state.base | R_READ, 0));
    GIVES(ENOTCAPABLE, fd_fdstat_set_rights(file, state.base, R_READ));
    GIVES(EBADF, fd_fdstat_set_rights(UNUSED, 0, 0));
}

static void check_fd_filestat_get(void) {
    file = opened("file", CREATE);
    GIVES(SUCCESS, write_text(file, P("text")));
    GIVES(SUCCESS, fd_filestat_get(file, &stat));
    GIVES(REGULAR_TYPE, stat.type);
    GIVES(1, stat.links);
    GIVES(4, stat.size);
    u64 now, inode = stat.inode, device = stat.device;
    clock_time_get(REALTIME, 0, &now);
    HOLDS(stat.mtim <= now && stat.mtim > now - 60000000000);
    HOLDS(stat.ctim <= now && stat.ctim > now - 60000000000);
    HOLDS(stat.atim <= now && stat.atim > now - 60000000000);
    GIVES(SUCCESS, path_filestat_get(ROOT, 0, P("file"), &stat));
    GIVES(inode, stat.inode);
    GIVES(device, stat.device);
    GIVES(SUCCESS, fd_filestat_get(ROOT, &stat));
    GIVES(DIRECTORY_TYPE, stat.type);
    HOLDS(stat.inode != inode);
    GIVES(device, stat.device);
    GIVES(SUCCESS, path_unlink_file(ROOT, P("file")));
    GIVES(SUCCESS, fd_filestat_get(file, &stat));
    GIVES(0, stat.links);
    GIVES(4, stat.size);
    for (int fd = 0; fd < 3; fd++) GIVES(SUCCESS, fd_filestat_get(fd, &stat));
    GIVES(EBADF, fd_filestat_get(UNUSED, &stat));
}

static void check_fd_filestat_set_size(void) {
    file = opened("file", CREATE);
    GIVES(SUCCESS, write_text(file, P("text")));
    GIVES(SUCCESS, fd_filestat_set_size(file, 6));
    GIVES(SUCCESS, fd_tell(file, &position));
    GIVES(4, position);
    GIVES(SUCCESS, fd_seek(file, 0, SET, &position));
    GIVES(6, read_some(file, 10));
    HOLDS(same(space, "text\0\0", 6));
    GIVES(SUCCESS, fd_filestat_set_size(file, 2));
    HOLDS(holds("file", "te"));
    GIVES(EINVAL, fd_filestat_set_size(file, -1));
    GIVES(SUCCESS, OPEN("file", 0, R_READ));
    GIVES(EINVAL, fd_filestat_set_size(last_fd, 1));
    GIVES(EBADF, fd_filestat_set_size(ROOT, 0));
    GIVES(EBADF, fd_filestat_set_size(UNUSED, 0));
}

static void check_fd_filestat_set_times(void) {
    file = opened("file", CREATE);
    GIVES(SUCCESS, fd_filestat_set_times(file, 1111000000000, 2222000000100, ATIM | MTIM));
    GIVES(0, size_of(file));
    GIVES(1111000000000, stat.atim);
    GIVES(2222000000100, stat.mtim);
    GIVES(SUCCESS, fd_filestat_set_times(file, 5, 3333000000000, MTIM));
    GIVES(0, size_of(file));
    GIVES(1111000000000, stat.atim);
    GIVES(3333000000000, stat.mtim);
    GIVES(SUCCESS, fd_filestat_set_times(file, 0, 0, ATIM_NOW));
    GIVES(0, size_of(file));
    HOLDS(stat.atim > 1000000000000000000);
    GIVES(3333000000000, stat.mtim);
    GIVES(SUCCESS, fd_filestat_set_times(file, 0, 0, 0));
    GIVES(EINVAL, fd_filestat_set_times(file, 0, 0, MTIM | MTIM_NOW));
    GIVES(EINVAL, fd_filestat_set_times(file, 0, 0, ATIM | ATIM_NOW));
    GIVES(SUCCESS, fd_filestat_set_times(ROOT, 0, 4444000000000, MTIM));
    GIVES(SUCCESS, fd_filestat_get(ROOT, &stat));
    GIVES(4444000000000, stat.mtim);
    GIVES(EBADF, fd_filestat_set_times(UNUSED, 0, 0, 0));
}

static void check_fd_pread(void) {
    file = opened("file", CREATE);
    GIVES(SUCCESS, write_text(file, P("0123456789")));
    part two[2] = {{space, 2}, {space + 2, 3}};
    GIVES(SUCCESS, fd_pread(file, two, 1, 4, &count));
    GIVES(2, count);
    HOLDS(same(space, "45", 2));
    GIVES(SUCCESS, fd_pread(file, two + 1, 1, 8, &count));
    GIVES(2, count);
    GIVES(SUCCESS, fd_pread(file, two, 1, 10, &count));
    GIVES(0, count);
    GIVES(SUCCESS, fd_pread(file, two, 0, 0, &count));
    GIVES(0, count);
    GIVES(SUCCESS, fd_tell(file, &position));
    GIVES(10, position);
    GIVES(EINVAL, fd_pread(file, two, 1, -1, &count));
    GIVES(SUCCESS, OPEN("file", 0, R_WRITE));
    GIVES(EBADF, fd_pread(last_fd, two, 1, 0, &count));
    GIVES(EBADF, fd_pread(ROOT, two, 1, 0, &count));
    GIVES(ESPIPE, fd_pread(0, two, 1, 0, &count));
    GIVES(EBADF, fd_pread(UNUSED, two, 1, 0, &count));
}

static void check_fd_pwrite(void) {
    file = opened("file", CREATE);
    GIVES(SUCCESS, write_text(file, P("0123456789")));
    part two[2] = {{"ab", 2}, {"cde", 3}};
    GIVES(SUCCESS, fd_pwrite(file, two, 1, 4, &count));
    GIVES(2, count);
    HOLDS(holds("file", "0123ab6789"));
    GIVES(SUCCESS, fd_tell(file, &position));
    GIVES(10, position);
    GIVES(SUCCESS, fd_pwrite(file, two + 1, 1, 12, &count));
    GIVES(15, size_of(file));
    GIVES(SUCCESS, fd_pwrite(file, two, 0, 0, &count));
    GIVES(0, count);
    GIVES(EINVAL, fd_pwrite(file, two, 1, -1, &count));
    GIVES(SUCCESS, open_with(ROOT, 0, P("file"), TRUNCATE, R_FILE, APPEND));
    GIVES(SUCCESS, write_text(last_fd, P("start")));
    GIVES(SUCCESS, fd_pwrite(last_fd, two, 1, 0, &count));
    GIVES(SUCCESS, fd_tell(last_fd, &position));
    GIVES(5, position);
    HOLDS(holds("file", "startab"));
    GIVES(SUCCESS, OPEN("file", 0, R_READ));
    GIVES(EBADF, fd_pwrite(last_fd, two, 1, 0, &count));
    GIVES(EBADF, fd_pwrite(ROOT, two, 1, 0, &count));
    GIVES(ESPIPE, fd_pwrite(1, two, 1, 0, &count));
    GIVES(EBADF, fd_pwrite(UNUSED, two, 1, 0, &count));
}

static prestat first;

static void check_fd_prestat_get(void) {
    GIVES(SUCCESS, fd_prestat_get(ROOT, &first));
    GIVES(0, first.tag);
    GIVES(1, first.name_length);
    GIVES(EBADF, fd_prestat_get(ROOT + 1, &first));
    GIVES(EBADF, fd_prestat_get(0, &first));
    file = opened("tmp", DIRECTORY);
    GIVES(EBADF, fd_prestat_get(file, &first));
}

static void check_fd_prestat_dir_name(void) {
    GIVES(SUCCESS, fd_prestat_dir_name(ROOT, space, 1));
    HOLDS(same(space, "/\0", 2));
    GIVES(SUCCESS, fd_prestat_dir_name(ROOT, space, 10));
    GIVES(ENAMETOOLONG, fd_prestat_dir_name(ROOT, space, 0));
    GIVES(ENOTDIR, fd_prestat_dir_name(1, space, 1));
    GIVES(EBADF, fd_prestat_dir_name(UNUSED, space, 1));
}

static void check_fd_read(void) {
    make_file("file", "0123456789");
    file = opened("file", 0);
    part two[2] = {{space, 3}, {space + 10, 4}};
    GIVES(SUCCESS, fd_read(file, two, 1, &count));
    GIVES(3, count);
    HOLDS(same(space, "012", 3));
    GIVES(7, read_some(file, 100));
    GIVES(0, read_some(file, 100));
    GIVES(0, read_some(file, 0));
    GIVES(SUCCESS, fd_read(file, two, 0, &count));
    GIVES(SUCCESS, fd_seek(file, 100, SET, &position));
    GIVES(0, read_some(file, 100));
    GIVES(SUCCESS, OPEN("file", 0, R_WRITE));
    GIVES(-EBADF, read_some(last_fd, 1));
    GIVES(-EBADF, read_some(ROOT, 1));
    GIVES(-EBADF, read_some(1, 1));
    GIVES(-EBADF, read_some(UNUSED, 1));
    GIVES(SUCCESS, fd_seek(file, 0, SET, &position));
}

static void check_fd_write(void) {
    file = opened("file", CREATE);
    part two[2] = {{"abc", 3}, {"defg", 4}};
    GIVES(SUCCESS, fd_write(file, two, 1, &count));
    GIVES(3, count);
    GIVES(SUCCESS, fd_write(file, two, 0, &count));
    GIVES(0, count);
    GIVES(SUCCESS, fd_write(file, two + 1, 1, &count));
    GIVES(4, count);
    HOLDS(holds("file", "abcdefg"));
    GIVES(SUCCESS, fd_seek(file, 10, SET, &position));
    GIVES(SUCCESS, write_text(file, P("")));
    GIVES(7, size_of(file));
    GIVES(SUCCESS, write_text(file, P("x")));
    GIVES(11, size_of(file));
    int reading = OPEN("file", 0, R_READ) ? UNUSED : last_fd;
    GIVES(EBADF, write_text(reading, P("x")));
    GIVES(EBADF, write_text(ROOT, P("x")));
    GIVES(EBADF, write_text(0, P("x")));
    GIVES(EBADF, write_text(UNUSED, P("x")));
    GIVES(11, size_of(file));
}

static void check_fd_renumber(void) {
    make_file("one", "1");
    make_file("two", "22");
    int one = opened("one", 0), two = opened("two", 0);
    GIVES(SUCCESS, fd_renumber(one, two));
    GIVES(EBADF, fd_close(one));
    GIVES(1, size_of(two));
    GIVES(EBADF, fd_renumber(two, one));
    GIVES(EBADF, fd_renumber(UNUSED, two));
    GIVES(EBADF, fd_renumber(two, UNUSED));
    GIVES(SUCCESS, fd_renumber(two, two));
    GIVES(1, size_of(two));
    int directory = opened("tmp", DIRECTORY);
    GIVES(SUCCESS, fd_filestat_get(directory, &stat));
    u64 inode = stat.inode;
    GIVES(SUCCESS, fd_renumber(directory, ROOT));
    GIVES(SUCCESS, fd_filestat_get(ROOT, &stat));
    GIVES(inode, stat.inode);
    GIVES(EBADF, fd_fdstat_get(directory, &state));
    for (int fd = 0; fd < 3; fd += 2) {
        GIVES(SUCCESS, OPEN("other", CREATE, R_FILE));
        int target = last_fd;
        GIVES(SUCCESS, fd_renumber(fd, target));
        GIVES(SUCCESS, fd_fdstat_get(target, &state));
        GIVES(EBADF, fd_fdstat_get(fd, &state));
    }
}

static void check_fd_seek(void) {
    file = opened("file", CREATE);
    GIVES(SUCCESS, write_text(file, P("0123456789")));
    GIVES(SUCCESS, fd_seek(file, -5, CUR, &position));
    GIVES(5, position);
    GIVES(SUCCESS, fd_seek(file, 2, SET, &position));
    GIVES(2, position);
    GIVES(SUCCESS, fd_seek(file, -1, END, &position));
    GIVES(9, position);
    GIVES(SUCCESS, fd_seek(file, 1000, CUR, &position));
    GIVES(1009, position);
    GIVES(EINVAL, fd_seek(file, -2000, CUR, &position));
    GIVES(EINVAL, fd_seek(file, -1, SET, &position));
    GIVES(EINVAL, fd_seek(file, -11, END, &position));
    GIVES(SUCCESS, fd_tell(file, &position));
    GIVES(1009, position);
    GIVES(10, size_of(file));
    GIVES(EBADF, fd_seek(ROOT, 0, CUR, &position));
    GIVES(ESPIPE, fd_seek(0, 0, CUR, &position));
    GIVES(EBADF, fd_seek(UNUSED, 0, CUR, &position));
}

static void check_fd_tell(void) {
    file = opened("file", CREATE);
    GIVES(SUCCESS, fd_tell(file, &position));
    GIVES(0, position);
    GIVES(SUCCESS, write_text(file, P("0123")));
    GIVES(SUCCESS, fd_tell(file, &position));
    GIVES(4, position);
    GIVES(EBADF, fd_tell(ROOT, &position));
    GIVES(ESPIPE, fd_tell(0, &position));
    GIVES(EBADF, fd_tell(UNUSED, &position));
}

#define CHECK(name) {#name, check_##name}
CHECKS(CHECK(fd_advise), CHECK(fd_allocate), CHECK(fd_close), CHECK(fd_datasync), CHECK(fd_fdstat_get),
       CHECK(fd_fdstat_set_flags), CHECK(fd_fdstat_set_rights), CHECK(fd_filestat_get), CHECK(fd_filestat_set_size),
       CHECK(fd_filestat_set_times), CHECK(fd_pread), CHECK(fd_prestat_dir_name), CHECK(fd_prestat_get), CHECK(fd_pwrite),
       CHECK(fd_read), CHECK(fd_renumber), CHECK(fd_seek), CHECK(fd_sync), CHECK(fd_tell), CHECK(fd_write))
