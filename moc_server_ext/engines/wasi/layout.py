"""Numbers and structures of WASI as they lie in guest memory, for both versions that are served.

Owns no behaviour. ``wasi_unstable`` ("snapshot 0") differs from ``wasi_snapshot_preview1`` in three places: the order
of ``whence``, the width of ``nlink`` in ``filestat``, and the layout of ``subscription``; the pairs below are named so.

References
----------
WASI preview 1 and snapshot 0, ``typenames.witx``.
"""

from __future__ import annotations

from struct import Struct

U32 = 0xFFFF_FFFF
U64 = 0xFFFF_FFFF_FFFF_FFFF

# filetype
UNKNOWN_TYPE = 0
DIRECTORY_TYPE = 3
REGULAR_TYPE = 4
SYMBOLIC_LINK_TYPE = 7

# lookupflags
FOLLOW = 1

# oflags
OPEN_CREATE = 1
OPEN_DIRECTORY = 2
OPEN_EXCLUSIVE = 4
OPEN_TRUNCATE = 8

# fdflags
FLAG_APPEND = 1
FLAG_DSYNC = 2
FLAG_NONBLOCK = 4
FLAG_RSYNC = 8
FLAG_SYNC = 16
ALL_FLAGS = 0x1F

# advice: normal, sequential, random, willneed, dontneed, noreuse
LAST_ADVICE = 5

# fstflags
SET_ATIM = 1
SET_ATIM_NOW = 2
SET_MTIM = 4
SET_MTIM_NOW = 8

# rights
RIGHT_DATASYNC = 1 << 0
RIGHT_READ = 1 << 1
RIGHT_SEEK = 1 << 2
RIGHT_SET_FLAGS = 1 << 3
RIGHT_SYNC = 1 << 4
RIGHT_TELL = 1 << 5
RIGHT_WRITE = 1 << 6
RIGHT_ADVISE = 1 << 7
RIGHT_ALLOCATE = 1 << 8
RIGHT_CREATE_DIRECTORY = 1 << 9
RIGHT_CREATE_FILE = 1 << 10
RIGHT_LINK_SOURCE = 1 << 11
RIGHT_LINK_TARGET = 1 << 12
RIGHT_OPEN = 1 << 13
RIGHT_READDIR = 1 << 14
RIGHT_READLINK = 1 << 15
RIGHT_RENAME_SOURCE = 1 << 16
RIGHT_RENAME_TARGET = 1 << 17
RIGHT_PATH_STAT = 1 << 18
RIGHT_PATH_SET_SIZE = 1 << 19
RIGHT_PATH_SET_TIMES = 1 << 20
RIGHT_STAT = 1 << 21
RIGHT_SET_SIZE = 1 << 22
RIGHT_SET_TIMES = 1 << 23
RIGHT_SYMLINK = 1 << 24
RIGHT_REMOVE_DIRECTORY = 1 << 25
RIGHT_UNLINK = 1 << 26
RIGHT_POLL = 1 << 27
ALL_RIGHTS = (1 << 30) - 1
READING = RIGHT_READ | RIGHT_ADVISE | RIGHT_STAT | RIGHT_SET_FLAGS | RIGHT_POLL
WRITING = RIGHT_WRITE | RIGHT_DATASYNC | RIGHT_SYNC | RIGHT_STAT | RIGHT_SET_FLAGS | RIGHT_POLL
FILE_RIGHTS = READING | WRITING | RIGHT_SEEK | RIGHT_TELL | RIGHT_ALLOCATE | RIGHT_SET_SIZE | RIGHT_SET_TIMES
# Bits 9 to 21 and 23 to 26, and the two of synchronising.
DIRECTORY_RIGHTS = (0x1FFF << 9) | (0xF << 23) | RIGHT_SYNC | RIGHT_DATASYNC

# whence, as (origin of 0, of 1, of 2) with the words of io.SEEK_*
WHENCE_PREVIEW1 = (0, 1, 2)
WHENCE_UNSTABLE = (1, 2, 0)

# clockid
CLOCK_REALTIME = 0
CLOCK_MONOTONIC = 1

# poll
EVENT_CLOCK = 0
EVENT_FD_READ = 1
EVENT_FD_WRITE = 2
EVENT_HANGUP = 1
SUBSCRIPTION_ABSOLUTE = 1

IOVEC = Struct("<II")
PRESTAT = Struct("<II")
FDSTAT = Struct("<BxHxxxxQQ")
DIRENT = Struct("<QQIBxxx")
EVENT = Struct("<QHBxxxxxQHxxxxxx")
# dev, ino, filetype, nlink, size, atim, mtim, ctim
FILESTAT_PREVIEW1 = Struct("<QQBxxxxxxxQQQQQ")
FILESTAT_UNSTABLE = Struct("<QQBxxxIQQQQ")
# userdata, tag, then either clock id, timeout, precision, flags or a descriptor in the place of the clock id
SUBSCRIPTION_PREVIEW1 = Struct("<QBxxxxxxxIxxxxQQHxxxxxx")
# snapshot 0 has one more word, an identifier, before the clock id; a descriptor lies where that identifier begins.
SUBSCRIPTION_UNSTABLE = Struct("<QBxxxxxxxQIxxxxQQHxxxxxx")
