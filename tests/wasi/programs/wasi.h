// WASI without a C library: the functions as a module imports them, under either name, and their structures.
// `-DWASI_UNSTABLE` asks for `wasi_unstable`, whose `whence`, `filestat` and `subscription` differ.

#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;

#ifdef WASI_UNSTABLE
#define WASI_MODULE "wasi_unstable"
#else
#define WASI_MODULE "wasi_snapshot_preview1"
#endif
#define IMPORT(name, ...) __attribute__((import_module(WASI_MODULE), import_name(#name))) int name(__VA_ARGS__)

typedef struct { const void *at; u32 count; } part;
typedef struct { u8 type; u16 flags; u64 base, inheriting; } fdstat;
typedef struct { u64 next, inode; u32 name_length; u8 type; } dirent;
typedef struct { u32 tag, name_length; } prestat;
typedef struct { u64 userdata; u16 error; u8 type; u64 bytes; u16 flags; } event;
#ifdef WASI_UNSTABLE
typedef struct { u64 device, inode; u8 type; u32 links; u64 size, atim, mtim, ctim; } filestat;
typedef struct { u64 userdata; u8 tag; union { u32 fd; struct { u64 identifier; u32 id; u64 timeout, precision; u16 flags; } clock; }; } subscription;
enum { CUR, END, SET };
#else
typedef struct { u64 device, inode; u8 type; u64 links, size, atim, mtim, ctim; } filestat;
typedef struct { u64 userdata; u8 tag; union { u32 fd; struct { u32 id; u64 timeout, precision; u16 flags; } clock; }; } subscription;
enum { SET, CUR, END };
#endif

enum {
    SUCCESS, E2BIG, EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, EALREADY, EBADF, EBADMSG, EBUSY, ECANCELED, ECHILD,
    ECONNABORTED, ECONNREFUSED, ECONNRESET, EDEADLK, EDESTADDRREQ, EDOM, EDQUOT, EEXIST, EFAULT, EFBIG, EHOSTUNREACH, EIDRM, EILSEQ,
    EINPROGRESS, EINTR, EINVAL, EIO, EISCONN, EISDIR, ELOOP, EMFILE, EMLINK, EMSGSIZE, EMULTIHOP, ENAMETOOLONG, ENETDOWN, ENETRESET,
    ENETUNREACH, ENFILE, ENOBUFS, ENODEV, ENOENT, ENOEXEC, ENOLCK, ENOLINK, ENOMEM, ENOMSG, ENOPROTOOPT, ENOSPC, ENOSYS, ENOTCONN,
    ENOTDIR, ENOTEMPTY, ENOTRECOVERABLE, ENOTSOCK, ENOTSUP, ENOTTY, ENXIO, EOVERFLOW, EOWNERDEAD, EPERM, EPIPE, EPROTO,
    EPROTONOSUPPORT, EPROTOTYPE, ERANGE, EROFS, ESPIPE, ESRCH, ESTALE, ETIMEDOUT, ETXTBSY, EXDEV, ENOTCAPABLE,
};
enum { UNKNOWN_TYPE, BLOCK_TYPE, CHARACTER_TYPE, DIRECTORY_TYPE, REGULAR_TYPE, DATAGRAM_TYPE, STREAM_TYPE, SYMBOLIC_LINK_TYPE };
enum { FOLLOW = 1 };
enum { CREATE = 1, DIRECTORY = 2, EXCLUSIVE = 4, TRUNCATE = 8 };
enum { APPEND = 1, DSYNC = 2, NONBLOCK = 4, RSYNC = 8, SYNC = 16 };
enum { ATIM = 1, ATIM_NOW = 2, MTIM = 4, MTIM_NOW = 8 };
enum { REALTIME, MONOTONIC, PROCESS_TIME, THREAD_TIME };
enum { EVENT_CLOCK, EVENT_READ, EVENT_WRITE };
enum { ABSOLUTE_TIME = 1 };

#define RIGHT(bit) (1ull << (bit))
#define R_READ RIGHT(1)
#define R_SEEK RIGHT(2)
#define R_TELL RIGHT(5)
#define R_WRITE RIGHT(6)
#define R_PATH_OPEN RIGHT(13)
#define R_READDIR RIGHT(14)
#define R_PATH_SET_SIZE RIGHT(19)
#define R_SET_SIZE RIGHT(22)
#define R_ALL (RIGHT(29) - 1)
// What files can have at all: everything but `path_*`, `fd_readdir` and what sockets do.
#define R_FILE (RIGHT(0) | R_READ | R_SEEK | RIGHT(3) | RIGHT(4) | R_TELL | R_WRITE | RIGHT(7) | RIGHT(8) | RIGHT(21) | R_SET_SIZE | RIGHT(23) | RIGHT(27))

IMPORT(args_get, u8 **, u8 *);
IMPORT(args_sizes_get, u32 *, u32 *);
IMPORT(environ_get, u8 **, u8 *);
IMPORT(environ_sizes_get, u32 *, u32 *);
IMPORT(clock_res_get, int, u64 *);
IMPORT(clock_time_get, int, u64, u64 *);
IMPORT(fd_advise, int, u64, u64, int);
IMPORT(fd_allocate, int, u64, u64);
IMPORT(fd_close, int);
IMPORT(fd_datasync, int);
IMPORT(fd_fdstat_get, int, fdstat *);
IMPORT(fd_fdstat_set_flags, int, int);
IMPORT(fd_fdstat_set_rights, int, u64, u64);
IMPORT(fd_filestat_get, int, filestat *);
IMPORT(fd_filestat_set_size, int, u64);
IMPORT(fd_filestat_set_times, int, u64, u64, int);
IMPORT(fd_pread, int, const part *, u32, u64, u32 *);
IMPORT(fd_prestat_get, int, prestat *);
IMPORT(fd_prestat_dir_name, int, char *, u32);
IMPORT(fd_pwrite, int, const part *, u32, u64, u32 *);
IMPORT(fd_read, int, const part *, u32, u32 *);
IMPORT(fd_readdir, int, void *, u32, u64, u32 *);
IMPORT(fd_renumber, int, int);
IMPORT(fd_seek, int, s64, int, u64 *);
IMPORT(fd_sync, int);
IMPORT(fd_tell, int, u64 *);
IMPORT(fd_write, int, const part *, u32, u32 *);
IMPORT(path_create_directory, int, const char *, u32);
IMPORT(path_filestat_get, int, int, const char *, u32, filestat *);
IMPORT(path_filestat_set_times, int, int, const char *, u32, u64, u64, int);
IMPORT(path_link, int, int, const char *, u32, int, const char *, u32);
IMPORT(path_open, int, int, const char *, u32, int, u64, u64, int, int *);
IMPORT(path_readlink, int, const char *, u32, char *, u32, u32 *);
IMPORT(path_remove_directory, int, const char *, u32);
IMPORT(path_rename, int, const char *, u32, int, const char *, u32);
IMPORT(path_symlink, const char *, u32, int, const char *, u32);
IMPORT(path_unlink_file, int, const char *, u32);
IMPORT(poll_oneoff, const subscription *, event *, u32, u32 *);
__attribute__((import_module(WASI_MODULE), import_name("proc_exit"), noreturn)) void proc_exit(int);
IMPORT(proc_raise, int);
IMPORT(sched_yield, void);
IMPORT(random_get, void *, u32);
#ifndef WASI_UNSTABLE
IMPORT(sock_accept, int, int, int *);
#endif
IMPORT(sock_recv, int, const part *, u32, int, u32 *, u16 *);
IMPORT(sock_send, int, const part *, u32, int, u32 *);
IMPORT(sock_shutdown, int, int);
