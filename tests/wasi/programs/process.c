// Checks of what is no file: arguments, environment, clocks, random bytes, polling, sockets, the end of the program.
// Started with the arguments FUNCTION "" "two words" "ü" and the environment HOME=/tmp EMPTY=.

#include "checks.h"

static u8 *pointers[16], texts[1024];
static u32 size;

static void check_args_sizes_get(void) {
    GIVES(SUCCESS, args_sizes_get(&count, &size));
    GIVES(5, count);
    // The name of the program is the host's choice.
    GIVES(SUCCESS, args_get(pointers, texts));
    GIVES(length_of((char *)pointers[0]) + 1 + sizeof "args_sizes_get" + sizeof "" + sizeof "two words" + sizeof "ü", size);
}

static void check_args_get(void) {
    GIVES(SUCCESS, args_get(pointers, texts));
    HOLDS(pointers[0] == texts);
    HOLDS(same(pointers[1], P("args_get\0")));
    HOLDS(same(pointers[2], P("\0")));
    HOLDS(same(pointers[3], P("two words\0")));
    HOLDS(same(pointers[4], P("ü\0")));
    GIVES(0, (u64)(u32)pointers[5]);
}

static void check_environ_sizes_get(void) {
    GIVES(SUCCESS, environ_sizes_get(&count, &size));
    GIVES(2, count);
    GIVES(sizeof "HOME=/tmp" + sizeof "EMPTY=", size);
}

static void check_environ_get(void) {
    GIVES(SUCCESS, environ_get(pointers, texts));
    HOLDS(same(pointers[0], P("HOME=/tmp\0")));
    HOLDS(same(pointers[1], P("EMPTY=\0")));
}

static u64 first, second;

static void check_clock_res_get(void) {
    GIVES(SUCCESS, clock_res_get(REALTIME, &first));
    HOLDS(first > 0 && first <= 1000000000);
    GIVES(SUCCESS, clock_res_get(MONOTONIC, &first));
    HOLDS(first > 0 && first <= 1000000000);
    GIVES(EBADF, clock_res_get(PROCESS_TIME, &first));
    GIVES(EBADF, clock_res_get(THREAD_TIME, &first));
}

static void check_clock_time_get(void) {
    GIVES(SUCCESS, clock_time_get(REALTIME, 0, &first));
    HOLDS(first > 1000000000000000000);
    GIVES(SUCCESS, clock_time_get(MONOTONIC, 1, &first));
    GIVES(SUCCESS, clock_time_get(MONOTONIC, 1, &second));
    HOLDS(second >= first);
    GIVES(EBADF, clock_time_get(PROCESS_TIME, 0, &first));
    GIVES(EBADF, clock_time_get(THREAD_TIME, 0, &first));
}

static void check_random_get(void) {
    static u8 bytes[64];
    u32 zeros = 0;
    GIVES(SUCCESS, random_get(bytes, 32));
    for (u32 i = 0; i < 64; i++) zeros += !bytes[i];
    HOLDS(zeros >= 32 && zeros < 48);
    GIVES(SUCCESS, random_get(bytes, 0));
}

static void check_sched_yield(void) { GIVES(SUCCESS, sched_yield()); }

static void check_poll_oneoff(void) {
    static subscription wanted[3];
    static event happened[3];
    GIVES(EINVAL, poll_oneoff(wanted, happened, 0, &count));

    wanted[0].userdata = 7;
    wanted[0].tag = EVENT_CLOCK;
    wanted[0].clock.id = MONOTONIC;
    wanted[0].clock.timeout = 2000000;
    clock_time_get(MONOTONIC, 0, &first);
    GIVES(SUCCESS, poll_oneoff(wanted, happened, 1, &count));
    clock_time_get(MONOTONIC, 0, &second);
    HOLDS(second - first >= 2000000);
    GIVES(1, count);
    GIVES(7, happened[0].userdata);
    GIVES(EVENT_CLOCK, happened[0].type);
    GIVES(SUCCESS, happened[0].error);

    wanted[0].clock.timeout = first;
    wanted[0].clock.flags = ABSOLUTE_TIME;
    GIVES(SUCCESS, poll_oneoff(wanted, happened, 1, &count));
    GIVES(1, count);
    wanted[0].clock.id = REALTIME;
    clock_time_get(REALTIME, 0, &first);
    wanted[0].clock.timeout = first + 1000000;
    GIVES(SUCCESS, poll_oneoff(wanted, happened, 1, &count));
    clock_time_get(REALTIME, 0, &second);
    HOLDS(second >= first + 1000000);

    // What is ready comes before a clock that has long to go.
    wanted[0].clock.id = MONOTONIC;
    wanted[0].clock.flags = 0;
    wanted[0].clock.timeout = 600000000000;
    wanted[1].userdata = 8;
    wanted[1].tag = EVENT_WRITE;
    wanted[1].fd = 1;
    wanted[2].userdata = 9;
    wanted[2].tag = EVENT_READ;
    wanted[2].fd = opened("file", CREATE);
    GIVES(SUCCESS, poll_oneoff(wanted, happened, 3, &count));
    GIVES(2, count);
    GIVES(8, happened[0].userdata);
    GIVES(EVENT_WRITE, happened[0].type);
    GIVES(SUCCESS, happened[0].error);
    GIVES(9, happened[1].userdata);
    GIVES(EVENT_READ, happened[1].type);
    GIVES(SUCCESS, happened[1].error);

    wanted[1].tag = EVENT_READ;
    wanted[1].fd = 0;
    GIVES(SUCCESS, poll_oneoff(wanted + 1, happened, 1, &count));
    GIVES(1, count);
    GIVES(SUCCESS, happened[0].error);

    wanted[1].fd = UNUSED;
    GIVES(EBADF, poll_oneoff(wanted + 1, happened, 1, &count));
}

static void check_proc_raise(void) { GIVES(ENOTSUP, proc_raise(6)); }

static void check_sock_accept(void) {
#ifndef WASI_UNSTABLE
    GIVES(EBADF, sock_accept(UNUSED, 0, &last_fd));
    GIVES(ENOTSOCK, sock_accept(1, 0, &last_fd));
    GIVES(ENOTSOCK, sock_accept(ROOT, 0, &last_fd));
#endif
}

static void check_sock_recv(void) {
    part target = {space, 4};
    u16 flags;
    GIVES(EBADF, sock_recv(UNUSED, &target, 1, 0, &count, &flags));
    GIVES(ENOTSOCK, sock_recv(0, &target, 1, 0, &count, &flags));
    GIVES(ENOTSOCK, sock_recv(ROOT, &target, 1, 0, &count, &flags));
}

static void check_sock_send(void) {
    part content = {"text", 4};
    GIVES(EBADF, sock_send(UNUSED, &content, 1, 0, &count));
    GIVES(ENOTSOCK, sock_send(1, &content, 1, 0, &count));
    GIVES(ENOTSOCK, sock_send(ROOT, &content, 1, 0, &count));
}

static void check_sock_shutdown(void) {
    GIVES(EBADF, sock_shutdown(UNUSED, 3));
    GIVES(ENOTSOCK, sock_shutdown(1, 3));
    GIVES(ENOTSOCK, sock_shutdown(ROOT, 3));
}

// Its check is the exit code, which the other functions leave alone.
static void check_proc_exit(void) {
    say("0 checks\n");
    flush();
    proc_exit(33);
}

#define CHECK(name) {#name, check_##name}
CHECKS(CHECK(args_get), CHECK(args_sizes_get), CHECK(environ_get), CHECK(environ_sizes_get), CHECK(clock_res_get),
       CHECK(clock_time_get), CHECK(random_get), CHECK(sched_yield), CHECK(poll_oneoff), CHECK(proc_raise), CHECK(proc_exit),
       CHECK(sock_accept), CHECK(sock_recv), CHECK(sock_send), CHECK(sock_shutdown))
