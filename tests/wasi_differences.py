"""Where our WASI and wasmtime's own give different answers, and why: the one list, which the tests hold to be complete.

docs/reference/guests.md tells the same to people.
"""

from __future__ import annotations

DIFFERENCES: dict[tuple[str, str], dict[str, str]] = {
    # Wasmtime has no fd_allocate (ENOTSUP); ours makes room, as the standard says.
    ("native", "fd_allocate"): {
        "fd_allocate(file, 0, 100)": "58",
        "fd_allocate(file, 10, 10)": "58",
        "fd_allocate(file, 90, 20)": "58",
        "size_of(file)": "0",
    },
    # Wasmtime opens a file that it creates for writing, whatever rights were asked for, and shows them.
    ("native", "fd_fdstat_get"): {"state.base & (R_READ | R_WRITE)": "66"},
    # Wasmtime keeps no rights (ENOTSUP); ours can be given up, and not taken back, as the standard says.
    ("native", "fd_fdstat_set_rights"): {
        "fd_fdstat_set_rights(file, state.base, state.inheriting)": "58",
        "fd_fdstat_set_rights(file, state.base & ~(R_READ | R_WRITE), 0)": "58",
        "fd_fdstat_set_rights(file, state.base | R_READ, 0)": "58",
        "fd_fdstat_set_rights(file, state.base, R_READ)": "58",
        "state.base & (R_READ | R_WRITE)": "66",
        "state.inheriting": "1073741823",
    },
    # The same; wasmtime opens for reading without being asked, and not for synchronous writing (ENOTSUP).
    ("native", "path_open"): {
        'write_text(last_fd, P("text"))': "0",
        "read_some(last_fd, 1)": "0",
        'open_with(ROOT, 0, P("file"), 0, R_FILE, APPEND | DSYNC | SYNC)': "58",
        "state.flags": "0",
    },
    # Wasmtime fails the whole call for one bad descriptor; ours says so in that one's event, as the standard does.
    ("private", "poll_oneoff"): {"poll_oneoff(wanted + 1, happened, 1, &count)": "0"},
    ("host", "poll_oneoff"): {"poll_oneoff(wanted + 1, happened, 1, &count)": "0"},
    # The private root is open without having been given: to programs without directories, 3 is free.
    ("private", "sock_accept"): {"sock_accept(ROOT, 0, &last_fd)": "8"},
    ("private", "sock_recv"): {"sock_recv(ROOT, &target, 1, 0, &count, &flags)": "8"},
    ("private", "sock_send"): {"sock_send(ROOT, &content, 1, 0, &count)": "8"},
    ("private", "sock_shutdown"): {"sock_shutdown(ROOT, 3)": "8"},
    # Wasmtime refuses a slash behind the directory's name, which its suite of tests lists as a fault of its own.
    ("native", "path_remove_directory"): {'RMDIR("slash/")': "28"},
}
"""By place and function: the text of a check, and what it gets there."""
