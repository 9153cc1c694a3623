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
RIGHT_READ = 1 << 1
RIGHT_SEEK = 1 << 2
RIGHT_TELL = 1 << 5
RIGHT_WRITE = 1 << 6
RIGHT_READDIR = 1 << 14
RIGHT_POLL = 1 << 27
_DATASYNC, _SET_FLAGS, _SYNC, _ADVISE, _ALLOCATE = 1 << 0, 1 << 3, 1 << 4, 1 << 7, 1 << 8
_FILESTAT_GET, _SET_SIZE, _SET_TIMES = 1 << 21, 1 << 22, 1 << 23
# path_* calls: bits 9 to 13, 15 to 20 and 24 to 26.
_PATHS = (0x1F << 9) | (0x3F << 15) | (0x7 << 24)
READING = RIGHT_READ | _ADVISE | _FILESTAT_GET | _SET_FLAGS | RIGHT_POLL
WRITING = RIGHT_WRITE | _DATASYNC | _SYNC | _FILESTAT_GET | _SET_FLAGS | RIGHT_POLL
FILE_RIGHTS = READING | WRITING | RIGHT_SEEK | RIGHT_TELL | _ALLOCATE | _SET_SIZE | _SET_TIMES
DIRECTORY_RIGHTS = _PATHS | RIGHT_READDIR | _FILESTAT_GET | _SET_TIMES | _SYNC | _DATASYNC | _SET_FLAGS

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
