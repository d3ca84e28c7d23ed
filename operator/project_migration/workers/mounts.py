"""What the kernel says of the mount that a directory lies on (proc_pid_mountinfo(5))."""

from __future__ import annotations

_ID, _OPTIONS = 0, 5


def is_mounted_read_only(descriptor: int, fdinfo: str | None = None, mountinfo: str | None = None) -> bool:
    """Whether this mount of a file system is read-only, whatever the file system itself is.

    The texts of ``/proc/self/fdinfo/N`` and ``/proc/self/mountinfo`` may be given, for tests.
    """
    fdinfo = _text(f"/proc/self/fdinfo/{descriptor}") if fdinfo is None else fdinfo
    number = next((line.split()[1] for line in fdinfo.splitlines() if line.startswith("mnt_id:")), "")
    mountinfo = _text("/proc/self/mountinfo") if mountinfo is None else mountinfo
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        if fields[_ID] == number:
            return "ro" in fields[_OPTIONS].split(",")
    return False


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except OSError:
        return ""
