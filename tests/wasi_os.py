"""The scripts of file operations, done by Python's `os` on a directory of the host: what the host itself makes of them.

For scripts that stay within their directory by themselves (plain paths, from the root) and for the operations that the
host has under the same name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from moc_server_ext.guest_api.errno import Errno

READ, WRITE = 1 << 1, 1 << 6
_TYPES = {stat.S_IFDIR: 3, stat.S_IFREG: 4, stat.S_IFLNK: 7}
NOW = 10**18
_OF_FILES = (b"r", b"R", b"w", b"W", b"s", b"t", b"S")

Answer = tuple[bytes, ...]


def _words(*values: int) -> Answer:
    return tuple(b"%d" % value for value in values)


def _bytes(content: bytes) -> bytes:
    return b"[" + bytes(byte if 32 < byte < 127 else ord(".") for byte in content) + b"]"


class HostScript:
    """One script on one directory, closed by :meth:`close`."""

    def __init__(self, root: Path) -> None:
        self._slots: list[int | None] = [os.open(root, os.O_RDONLY | os.O_DIRECTORY), *[None] * 7]

    def close(self) -> None:
        """Close whatever is open."""
        for fd in self._slots:
            if fd is not None:
                os.close(fd)

    def perform(self, line: bytes) -> Answer:
        """Do one line of a script; gives its answer, as `answers` gives those of the program."""
        operation, slot, *words = line.split(b" ")
        try:
            fd = self._slots[int(slot)]
            if fd is None:
                raise OSError(errno.EBADF, "closed")
            if operation in _OF_FILES and stat.S_ISDIR(os.fstat(fd).st_mode):
                raise OSError(errno.EBADF, "WASI neither reads nor seeks in directories")
            return (operation, b"0", *getattr(self, f"do_{operation.decode()}")(fd, *words))
        except OSError as error:
            return operation, b"%d" % Errno[errno.errorcode[error.errno or errno.EIO]]

    def do_o(self, fd: int, slot: bytes, follow: bytes, path: bytes, how: bytes, rights: bytes, flags: bytes) -> Answer:
        wanted, create, rest = int(rights), int(how) & 1, int(how)
        if rest & 2 and rest & 13:
            raise OSError(errno.EINVAL, "a directory cannot be created or truncated by opening it")
        mode = os.O_RDWR if wanted & READ and wanted & WRITE else os.O_WRONLY if wanted & WRITE else os.O_RDONLY
        mode |= os.O_CREAT if create else 0
        mode |= (
            (os.O_DIRECTORY if rest & 2 else 0)
            | (os.O_EXCL if rest & 4 and create else 0)
            | (os.O_TRUNC if rest & 8 else 0)
        )
        mode |= 0 if int(follow) else os.O_NOFOLLOW
        mode |= os.O_APPEND if int(flags) & 1 else 0
        if rest & 2 and not int(follow) and self._is_link(fd, path):
            raise OSError(errno.ELOOP, "WASI refuses the link that is not followed, the host what is no directory")
        opened = os.open(path, mode | os.O_CLOEXEC, 0o666, dir_fd=fd)
        old = self._slots[int(slot)]
        if old is not None:
            os.close(old)
        self._slots[int(slot)] = opened
        return ()

    def do_c(self, fd: int) -> Answer:
        os.close(fd)
        self._slots[self._slots.index(fd)] = None
        return ()

    def do_r(self, fd: int, count: bytes) -> Answer:
        return (_bytes(os.read(fd, int(count))),)

    def do_R(self, fd: int, count: bytes, offset: bytes) -> Answer:
        return (_bytes(os.pread(fd, int(count), int(offset))),)

    def do_w(self, fd: int, content: bytes) -> Answer:
        return _words(os.write(fd, content))

    def do_W(self, fd: int, content: bytes, offset: bytes) -> Answer:
        return _words(os.pwrite(fd, content, int(offset)))

    def do_s(self, fd: int, offset: bytes, whence: bytes) -> Answer:
        return _words(os.lseek(fd, int(offset), int(whence)))

    def do_t(self, fd: int) -> Answer:
        return _words(os.lseek(fd, 0, os.SEEK_CUR))

    def do_S(self, fd: int, size: bytes) -> Answer:
        os.ftruncate(fd, int(size))
        return ()

    def do_f(self, fd: int) -> Answer:
        return self._stat(os.fstat(fd))

    def do_T(self, fd: int, mtime: bytes) -> Answer:
        os.utime(fd, ns=(os.fstat(fd).st_atime_ns, int(mtime)))
        return ()

    def do_p(self, fd: int, follow: bytes, path: bytes) -> Answer:
        return self._stat(os.stat(path, dir_fd=fd, follow_symlinks=bool(int(follow))))

    def do_P(self, fd: int, follow: bytes, path: bytes, mtime: bytes) -> Answer:
        follows = bool(int(follow))
        before = os.stat(path, dir_fd=fd, follow_symlinks=follows)
        os.utime(path, ns=(before.st_atime_ns, int(mtime)), dir_fd=fd, follow_symlinks=follows)
        return ()

    def do_L(self, fd: int, page: bytes) -> Answer:
        with os.scandir(fd) as entries:
            found = [
                _bytes(entry.name.encode()) + b"%d" % self._type(entry.stat(follow_symlinks=False)) for entry in entries
            ]
        return tuple(sorted([*found, b"[.]3", b"[..]3"]))

    def do_m(self, fd: int, path: bytes) -> Answer:
        os.mkdir(path, dir_fd=fd)
        return ()

    def do_x(self, fd: int, path: bytes) -> Answer:
        os.rmdir(path, dir_fd=fd)
        return ()

    def do_u(self, fd: int, path: bytes) -> Answer:
        os.unlink(path, dir_fd=fd)
        return ()

    def do_n(self, fd: int, old: bytes, target: bytes, new: bytes) -> Answer:
        os.rename(old, new, src_dir_fd=fd, dst_dir_fd=self._slots[int(target)])
        return ()

    def do_l(self, fd: int, old: bytes, target: bytes, new: bytes) -> Answer:
        os.link(old, new, src_dir_fd=fd, dst_dir_fd=self._slots[int(target)], follow_symlinks=False)
        return ()

    def do_y(self, fd: int, content: bytes, path: bytes) -> Answer:
        os.symlink(content, path, dir_fd=fd)
        return ()

    def do_k(self, fd: int, path: bytes, count: bytes) -> Answer:
        return (_bytes(os.readlink(path, dir_fd=fd)[: int(count)]),)

    @staticmethod
    def _is_link(fd: int, path: bytes) -> bool:
        try:
            return stat.S_ISLNK(os.stat(path, dir_fd=fd, follow_symlinks=False).st_mode)
        except OSError:
            return False

    @staticmethod
    def _type(found: os.stat_result) -> int:
        return _TYPES[stat.S_IFMT(found.st_mode)]

    def _stat(self, found: os.stat_result) -> Answer:
        kind = self._type(found)
        numbers = [kind] if kind == 3 else [kind, found.st_size, found.st_nlink]
        time = b"now" if found.st_mtime_ns >= NOW else b"%d" % found.st_mtime_ns
        return (*_words(*numbers), time)


def on_the_host(script: list[bytes], root: Path) -> list[Answer]:
    """Do a whole script on a directory."""
    with contextlib.closing(HostScript(root)) as host:
        return [host.perform(line) for line in script]


def tree_of(root: Path) -> dict[str, object]:
    """Give what lies below a directory: contents of files, targets of links, None for directories."""
    found: dict[str, object] = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        found[name] = os.readlink(path) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
    return found
