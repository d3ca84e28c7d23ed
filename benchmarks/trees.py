"""Makes directory trees: ones that are hard to copy, and plain ones of many files or a few large ones.

Run ``python -m benchmarks.trees make DIR --files 3000 --seed 1``. The same seed makes the same tree, but for what an
ordinary user may not make: devices, other owners, file capabilities, objects that their own owner cannot read.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import random
import socket
import stat
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

#: Nanoseconds since 1970, an odd number of them, so that what cuts times is found out.
_EPOCH = 1_600_000_000_123_456_789

ODD_NAMES = (
    b"-rf",
    b"--help",
    b" leading and trailing ",
    b"new\nline",
    b"tab\tand\rreturn",
    b"back\\slash",
    b"quote'\"`$(id)",
    b"star*?[x]",
    b"#comment",
    b"!negated",
    b"~",
    b"...",
    b".hidden",
    "größe-\u4f60\u597d-\U0001f600".encode(),
    "e\u0301 is not \u00e9".encode(),
    "\u202egnp.exe".encode(),
    b"latin1-\xe9\xff",
    b"\x01\x7f control",
    b"newline at the end\n",
    b"n" * 255,
)

#: access ACL: owner rwx, user 1234 r-x, group r-x, mask r-x, others ---; default ACL likewise. See acl(5) and
#: linux/posix_acl_xattr.h: a version, then tag, permissions and id of each entry.
_NO_ID = 0xFFFFFFFF
_ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, permissions, who)
    for tag, permissions, who in ((1, 7, _NO_ID), (2, 5, 1234), (4, 5, _NO_ID), (16, 5, _NO_ID), (32, 0, _NO_ID))
)

#: cap_net_bind_service=ep, as a file's capability (linux/capability.h, revision 2).
_CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)


@dataclass
class Maker:
    """Makes things below one root. What cannot be made here is left out, and noted."""

    root: bytes
    random: random.Random
    privileged: bool
    left_out: list[str] = field(default_factory=list)
    made: int = 0
    _content: bytes = b""

    def __post_init__(self) -> None:
        self._content = self.random.randbytes(1 << 20)

    def path(self, *parts: bytes) -> bytes:
        return os.path.join(self.root, *parts)

    def bytes(self, size: int) -> bytes:
        start = self.random.randrange(len(self._content))
        return (self._content[start:] + self._content * (size // len(self._content) + 1))[:size]

    def file(self, path: bytes, size: int, mode: int = 0o644) -> bytes:
        with open(path, "wb") as stream:
            stream.write(self.bytes(size))
        os.chmod(path, mode)
        self.age(path)
        self.made += 1
        return path

    def directory(self, *parts: bytes) -> bytes:
        path = self.path(*parts)
        os.makedirs(path, exist_ok=True)
        return path

    def age(self, path: bytes) -> None:
        moment = _EPOCH + self.random.randrange(10**17)
        os.utime(path, ns=(moment + 1, moment), follow_symlinks=False)

    @contextlib.contextmanager
    def optional(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.left_out.append(f"{what} ({os.strerror(error.errno or errno.EIO)})")


def make_hard(root: str | bytes, files: int = 3000, seed: int = 1) -> list[str]:
    """Makes a tree of everything that makes trees hard. Returns what had to be left out."""
    maker = Maker(os.fsencode(root), random.Random(seed), os.geteuid() == 0)
    maker.directory()
    for part in (_many, _names, _deep, _links, _holes, _attributes, _modes, _specials, _times, _owners, _closed):
        part(maker, files) if part is _many else part(maker)
    return maker.left_out


def _many(maker: Maker, files: int) -> None:
    """Ordinary files: half of them spread over directories, the others in one."""
    for number in range(files // 2):
        top, middle = number % 7, number % 53
        directory = maker.directory(b"many", b"top%d" % top, b"middle%d" % middle)
        maker.file(os.path.join(directory, b"file%d.txt" % number), _small(maker.random))
    directory = maker.directory(b"many", b"crowded")
    for number in range(files - files // 2):
        maker.file(os.path.join(directory, b"%06d" % number), _small(maker.random))
    maker.file(maker.path(b"many", b"a megabyte"), 1 << 20)
    maker.file(maker.path(b"many", b"more than a megabyte"), (3 << 20) + 17)


def _small(rng: random.Random) -> int:
    return 0 if rng.random() < 0.05 else int(10 * 1000 ** rng.random())


def _names(maker: Maker) -> None:
    directory = maker.directory(b"names")
    for name in ODD_NAMES:
        maker.file(os.path.join(directory, name), 11)
        inner = maker.directory(b"names", b"inner", name)
        maker.file(os.path.join(inner, name), 7)
    maker.directory(b"empty", b"more", b"and more")


def _deep(maker: Maker) -> None:
    """A path beyond 5,000 bytes, which no single call takes."""
    name = b"deep" * 50
    descriptor = os.open(maker.directory(b"deep"), os.O_RDONLY)
    try:
        for _ in range(26):
            os.mkdir(name, dir_fd=descriptor)
            below = os.open(name, os.O_RDONLY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        inner = os.open(b"at the bottom", os.O_WRONLY | os.O_CREAT, 0o640, dir_fd=descriptor)
        os.write(inner, b"found\n")
        os.utime(inner, ns=(_EPOCH, _EPOCH))
        os.close(inner)
        os.symlink(b"at the bottom", b"link", dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _links(maker: Maker) -> None:
    directory = maker.directory(b"links")
    for name, target in (
        (b"relative", b"../many"),
        (b"absolute", b"/etc/passwd"),
        (b"dangling", b"nowhere/at/all"),
        (b"to itself", b"to itself"),
        (b"up and out", b"../../../../../../etc"),
        (b"long", b"x/" * 1500 + b"x"),
        (b"odd\xff\n", b"odd\xff\n"),
    ):
        os.symlink(target, os.path.join(directory, name))
        maker.age(os.path.join(directory, name))
    for group in range(20):
        first = maker.file(os.path.join(directory, b"hard%d" % group), 100 + group)
        for number in range(1 + group % 3):
            other = maker.directory(b"links", b"others%d" % number)
            os.link(first, os.path.join(other, b"hard%d-%d" % (group, number)))
    # two files alike that do not belong together
    one = maker.file(os.path.join(directory, b"twin one"), 0)
    two = maker.file(os.path.join(directory, b"twin two"), 0)
    os.utime(one, ns=(_EPOCH, _EPOCH))
    os.utime(two, ns=(_EPOCH, _EPOCH))


def _holes(maker: Maker) -> None:
    directory = maker.directory(b"holes")
    size = 8 << 20
    for name, pieces in (
        (b"only a hole", ()),
        (b"data first", (0,)),
        (b"data last", (size - 4096,)),
        (b"data within", (1 << 20, 5 << 20)),
    ):
        path = os.path.join(directory, name)
        with open(path, "wb") as stream:
            for offset in pieces:
                stream.seek(offset)
                stream.write(maker.bytes(4096))
            stream.truncate(size)
        maker.age(path)


def _attributes(maker: Maker) -> None:
    directory = maker.directory(b"attributes")
    with maker.optional("user attributes"):
        path = maker.file(os.path.join(directory, b"user"), 5)
        os.setxattr(path, "user.comment", b"kept \x00 bytes")
        os.setxattr(path, "user.empty", b"")
        read_only = maker.file(os.path.join(directory, b"read-only"), 5)
        os.setxattr(read_only, "user.comment", b"of a file that its owner cannot write")
        os.chmod(read_only, 0o400)
        os.setxattr(maker.directory(b"attributes", b"tagged"), "user.tag", b"a directory's")
    with maker.optional("ACLs"):
        os.setxattr(maker.file(os.path.join(directory, b"acl"), 5), "system.posix_acl_access", _ACL)
        inherited = maker.directory(b"attributes", b"default acl")
        maker.file(os.path.join(inherited, b"from before it had one"), 5)
        os.setxattr(inherited, "system.posix_acl_default", _ACL)
        maker.file(os.path.join(inherited, b"inheriting"), 5)
        maker.directory(b"attributes", b"default acl", b"inner")
    if maker.privileged:
        with maker.optional("trusted attributes"):
            os.setxattr(maker.file(os.path.join(directory, b"trusted"), 5), "trusted.note", b"root's")
        with maker.optional("file capabilities"):
            path = maker.file(os.path.join(directory, b"capable"), 5, 0o755)
            os.setxattr(path, "security.capability", _CAPABILITY)
    else:
        maker.left_out.append("trusted attributes and file capabilities (not root)")


def _modes(maker: Maker) -> None:
    directory = maker.directory(b"modes")
    for mode in (0o400, 0o444, 0o600, 0o755, 0o777, 0o1644, 0o2755, 0o4755, 0o6711):
        maker.file(os.path.join(directory, b"%04o" % mode), 3, mode)
    for mode in (0o555, 0o700, 0o1777, 0o2775, 0o500):
        inner = maker.directory(b"modes", b"directory %04o" % mode)
        maker.file(os.path.join(inner, b"content"), 3)
        maker.directory(b"modes", b"directory %04o" % mode, b"below")
        maker.file(os.path.join(inner, b"below", b"content"), 3)
        os.chmod(inner, mode)


def _specials(maker: Maker) -> None:
    directory = maker.directory(b"specials")
    os.mkfifo(os.path.join(directory, b"pipe"), 0o620)
    maker.age(os.path.join(directory, b"pipe"))
    with socket.socket(socket.AF_UNIX) as server:  # by a descriptor: a socket's path is 108 bytes at most
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            server.bind(f"/proc/self/fd/{descriptor}/socket")
        finally:
            os.close(descriptor)
    if not maker.privileged:
        maker.left_out.append("devices (not root)")
        return
    with maker.optional("devices"):
        os.mknod(os.path.join(directory, b"null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(os.path.join(directory, b"loop"), stat.S_IFBLK | 0o660, os.makedev(7, 200))


def _times(maker: Maker) -> None:
    directory = maker.directory(b"times")
    for name, moment in (
        (b"before 1970", -(10**15) - 1),
        (b"1970", 0),
        (b"after 2038", 3 * 10**18 + 7),
        (b"a nanosecond", _EPOCH + 1),
    ):
        path = maker.file(os.path.join(directory, name), 4)
        os.utime(path, ns=(moment, moment))
    for number in range(5):
        maker.age(maker.directory(b"times", b"directory%d" % number))


def _owners(maker: Maker) -> None:
    if not maker.privileged:
        maker.left_out.append("other owners (not root)")
        return
    directory = maker.directory(b"owners")
    for uid, gid in ((1000, 1000), (8536, 8536), (0, 1234), (65534, 0)):
        path = maker.file(os.path.join(directory, b"%d-%d" % (uid, gid)), 6)
        os.chown(path, uid, gid)
        os.chmod(path, 0o4750)
        inner = maker.directory(b"owners", b"directory %d-%d" % (uid, gid))
        os.chown(maker.file(os.path.join(inner, b"content"), 2), uid, gid)
        os.chown(inner, uid, gid)
        link = os.path.join(directory, b"link %d-%d" % (uid, gid))
        os.symlink(b"nowhere", link)
        os.chown(link, uid, gid, follow_symlinks=False)


def _closed(maker: Maker) -> None:
    """What its own owner may not read: only root copies that."""
    if not maker.privileged:
        maker.left_out.append("objects that nobody but root may read (not root)")
        return
    directory = maker.directory(b"closed")
    maker.file(os.path.join(directory, b"file"), 9, 0o000)
    inner = maker.directory(b"closed", b"directory")
    maker.file(os.path.join(inner, b"content"), 9)
    os.chown(os.path.join(inner, b"content"), 1000, 1000)
    os.chmod(inner, 0o000)


def make_small(root: str | Path, files: int, seed: int = 1) -> int:
    """Many small files as in a source tree: 0.1 to 16 KiB, 25 a directory. Returns their bytes."""
    rng = random.Random(seed)
    content = rng.randbytes(1 << 20)
    total, directory = 0, ""
    for number in range(files):
        if number % 25 == 0:
            group = number // 25
            directory = f"{root}/part{group % 20}/module{group // 20 % 20}/package{group}"
            os.makedirs(directory, exist_ok=True)
        size, start = int(100 * 164 ** rng.random()), rng.randrange(1 << 19)
        with open(f"{directory}/file_{number}.py", "wb", buffering=0) as stream:
            stream.write(content[start : start + size])
        total += size
    return total


def make_large(root: str | Path, files: int, size: int, seed: int = 1) -> int:
    """A few large files of random bytes. Returns their bytes."""
    os.makedirs(root, exist_ok=True)
    block = random.Random(seed).randbytes(16 << 20)
    for number in range(files):
        with open(f"{root}/model-{number:05d}.bin", "wb", buffering=0) as stream:
            left = size
            while left:
                left -= stream.write(block[: min(left, len(block))])
    return files * size


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trees", description=__doc__.split("\n\n")[0])
    parser.add_argument("command", choices=["make"])
    parser.add_argument("directory", metavar="DIR", help="made if it is missing; should be empty")
    parser.add_argument("--files", type=int, default=3000, help="ordinary files among the odd ones (3000)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for what in make_hard(arguments.directory, arguments.files, arguments.seed):
        print(f"left out: {what}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
