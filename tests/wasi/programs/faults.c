// Checks of arguments that are none: pointers that lead out of the guest's memory, for every function that takes one, and
// numbers that WASI does not define. Nothing is done, and EFAULT or EINVAL says why. Wasmtime's own WASI ends the program
// instead, so this runs on ours alone.

#include "checks.h"

#define OUT(type) ((type *)-4)
static u8 *pointers[16], texts[1024];
static part inside = {space, 8}, outside = {OUT(char), 8}, wrapping = {space, 0xffffffff};
static u64 first;
static u16 flags;
static subscription wanted;
static event happened;

static void check_args(void) {
    GIVES(EFAULT, args_sizes_get(OUT(u32), &count));
    GIVES(EFAULT, args_sizes_get(&count, OUT(u32)));
    GIVES(EFAULT, args_get(OUT(u8 *), texts));
    GIVES(EFAULT, args_get(pointers, OUT(u8)));
}

static void check_environ(void) {
    GIVES(EFAULT, environ_sizes_get(&count, OUT(u32)));
    GIVES(EFAULT, environ_get(OUT(u8 *), texts));
    GIVES(EFAULT, environ_get(pointers, OUT(u8)));
}

static void check_process(void) {
    GIVES(EFAULT, clock_res_get(REALTIME, OUT(u64)));
    GIVES(EFAULT, clock_time_get(REALTIME, 0, OUT(u64)));
    GIVES(EFAULT, random_get(OUT(char), 32));
    GIVES(EFAULT, poll_oneoff(OUT(subscription), &happened, 1, &count));
    wanted.tag = EVENT_WRITE;
    wanted.fd = 1;
    GIVES(EFAULT, poll_oneoff(&wanted, OUT(event), 1, &count));
    GIVES(EFAULT, poll_oneoff(&wanted, &happened, 1, OUT(u32)));
}

static void check_descriptors(void) {
    int file = opened("file", CREATE);
    GIVES(SUCCESS, write_text(file, P("0123456789")));
    GIVES(EFAULT, fd_fdstat_get(file, OUT(fdstat)));
    GIVES(EFAULT, fd_filestat_get(file, OUT(filestat)));
    GIVES(EFAULT, fd_prestat_get(ROOT, OUT(prestat)));
    GIVES(EFAULT, fd_readdir(ROOT, OUT(char), 256, 0, &count));
    GIVES(EFAULT, fd_readdir(ROOT, space, 256, 0, OUT(u32)));
    GIVES(EFAULT, fd_tell(file, OUT(u64)));
    GIVES(EFAULT, fd_seek(file, 0, SET, OUT(u64)));
    fd_seek(file, 0, SET, &first);
    GIVES(EFAULT, fd_read(file, OUT(part), 1, &count));
    GIVES(EFAULT, fd_read(file, &outside, 1, &count));
    GIVES(EFAULT, fd_read(file, &wrapping, 1, &count));
    GIVES(EFAULT, fd_read(file, &inside, 1, OUT(u32)));
    GIVES(EFAULT, fd_pread(file, OUT(part), 1, 0, &count));
    GIVES(EFAULT, fd_pread(file, &outside, 1, 0, &count));
    GIVES(EFAULT, fd_write(file, OUT(part), 1, &count));
    GIVES(EFAULT, fd_write(file, &outside, 1, &count));
    GIVES(EFAULT, fd_write(file, &wrapping, 1, &count));
    GIVES(EFAULT, fd_pwrite(file, OUT(part), 1, 0, &count));
    GIVES(EFAULT, fd_pwrite(file, &outside, 1, 0, &count));
    HOLDS(holds("file", "0123456789"));
}

static void check_paths(void) {
    GIVES(SUCCESS, path_symlink(P("elsewhere"), ROOT, P("link")));
    GIVES(EFAULT, path_create_directory(ROOT, OUT(char), 8));
    GIVES(EFAULT, path_filestat_get(ROOT, 0, OUT(char), 8, &stat));
    GIVES(EFAULT, path_filestat_get(ROOT, 0, P("tmp"), OUT(filestat)));
    GIVES(EFAULT, path_filestat_set_times(ROOT, 0, OUT(char), 8, 0, 0, MTIM));
    GIVES(EFAULT, path_link(ROOT, 0, OUT(char), 8, ROOT, P("new")));
    GIVES(EFAULT, path_link(ROOT, 0, P("link"), ROOT, OUT(char), 8));
    GIVES(EFAULT, path_open(ROOT, 0, OUT(char), 8, CREATE, R_READ, 0, 0, &last_fd));
    GIVES(EFAULT, path_open(ROOT, 0, P("new"), CREATE, R_READ, 0, 0, OUT(int)));
    GIVES(EFAULT, path_readlink(ROOT, OUT(char), 8, space, 8, &count));
    GIVES(EFAULT, path_readlink(ROOT, P("link"), OUT(char), 8, &count));
    GIVES(EFAULT, path_remove_directory(ROOT, OUT(char), 8));
    GIVES(EFAULT, path_rename(ROOT, OUT(char), 8, ROOT, P("new")));
    GIVES(EFAULT, path_rename(ROOT, P("link"), ROOT, OUT(char), 8));
    GIVES(EFAULT, path_symlink(OUT(char), 8, ROOT, P("new")));
    GIVES(EFAULT, path_symlink(P("x"), ROOT, OUT(char), 8));
    GIVES(EFAULT, path_unlink_file(ROOT, OUT(char), 8));
    GIVES(ENOENT, path_filestat_get(ROOT, 0, P("new"), &stat));
}

static void check_numbers(void) {
    int file = opened("file", CREATE);
    GIVES(EINVAL, clock_res_get(4, &first));
    GIVES(EINVAL, clock_time_get(4, 0, &first));
    GIVES(EINVAL, fd_advise(file, 0, 0, 6));
    GIVES(EINVAL, fd_fdstat_set_flags(file, 32));
    GIVES(EINVAL, fd_filestat_set_times(file, 0, 0, 16));
    GIVES(EINVAL, fd_seek(file, 0, 3, &position));
    GIVES(EINVAL, path_filestat_get(ROOT, 2, P("file"), &stat));
    GIVES(EINVAL, path_filestat_set_times(ROOT, 0, P("file"), 0, 0, 16));
    GIVES(EINVAL, path_filestat_set_times(ROOT, 2, P("file"), 0, 0, MTIM));
    GIVES(EINVAL, path_link(ROOT, 2, P("file"), ROOT, P("link")));
    GIVES(EINVAL, path_open(ROOT, 2, P("file"), 0, R_READ, 0, 0, &last_fd));
    GIVES(EINVAL, path_open(ROOT, 0, P("file"), 16, R_READ, 0, 0, &last_fd));
    GIVES(EINVAL, path_open(ROOT, 0, P("file"), 0, R_READ, 0, 32, &last_fd));
    wanted.tag = 3;
    GIVES(EINVAL, poll_oneoff(&wanted, &happened, 1, &count));
    GIVES(SUCCESS, path_filestat_get(ROOT, 0, P("file"), &stat));
    GIVES(1, stat.links);
    GIVES(0, stat.size);
}

CHECKS({"numbers", check_numbers}, {"args", check_args}, {"environ", check_environ}, {"process", check_process}, {"descriptors", check_descriptors},
       {"paths", check_paths})
