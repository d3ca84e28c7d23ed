"""Files of a tracking server from and to buckets: on a server that checks signatures."""

from __future__ import annotations

import hashlib
import signal
import time
from dataclasses import replace
from pathlib import Path

from tests.local.mlflow.buckets import Bucket, Files

LARGE = bytes(range(256)) * 4096 * 12  # 12 MiB: three parts

FILES = {
    "1/aaa/artifacts/model/MLmodel": b"flavors: {}",
    "1/aaa/artifacts/büro #1%41 ?.txt": "straße".encode(),
    "1/aaa/artifacts/empty": b"",
    "1/bbb/artifacts/large.bin": LARGE,
    "2/ccc/artifacts/notes.txt": b"notes",
    "10/ddd/artifacts/x": b"x",
}


def digests(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def below(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file() and ".project-migration" not in path.parts)
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def written(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def test_objects_go_from_bucket_to_bucket_and_directories_get_their_new_names(
    tmp_path: Path, bucket: Bucket, other_bucket: Bucket
) -> None:
    bucket.put(FILES)
    replace(bucket, prefix="mlflow").put({"elsewhere": b"!"})
    files = Files(tmp_path, bucket, other_bucket)
    files.arrange(moves={"1": "7"})
    survey = files.good("survey")
    assert (survey.counts["files"], survey.counts["targetEmpty"]) == (len(FILES), 1)
    assert survey.counts["bytes"] == sum(map(len, FILES.values()))
    copied = files.good("copy", workers=4)
    assert (copied.counts["copied"], copied.counts["failed"]) == (len(FILES), 0)
    moved = {f"7{name[1:]}" if name.startswith("1/") else name: content for name, content in FILES.items()}
    assert other_bucket.tree() == digests(moved)
    assert files.good("verify").counts["verified"] == len(FILES)
    again = files.good("copy", workers=4, again=True)
    assert (again.counts["alreadyThere"], again.counts.get("copied", 0)) == (len(FILES), 0)


def test_only_wanted_directories_move(tmp_path: Path, bucket: Bucket, other_bucket: Bucket) -> None:
    bucket.put(FILES)
    files = Files(tmp_path, bucket, other_bucket)
    files.arrange(moves={"1": "3"}, only=["1/bbb", "2"])
    files.good("copy")
    assert set(other_bucket.tree()) == {"3/bbb/artifacts/large.bin", "2/ccc/artifacts/notes.txt"}


def test_a_directory_goes_into_a_bucket_and_comes_back_as_it_was(
    tmp_path: Path, bucket: Bucket, other_bucket: Bucket
) -> None:
    source = written(tmp_path / "old", FILES | {"mlflow.db": b"rows"})
    there = Files(tmp_path / "there", source, bucket)
    there.arrange()
    assert there.good("survey", exclude=["/mlflow.db"]).counts["files"] == len(FILES)
    there.good("copy", exclude=["/mlflow.db"])
    assert there.good("verify", exclude=["/mlflow.db"]).counts["verified"] == len(FILES)
    assert bucket.tree() == digests(FILES)
    back = Files(tmp_path / "back", bucket, tmp_path / "new")
    back.arrange()
    survey = back.good("survey")
    assert survey.facts["target"]["exists"] is False
    back.good("copy", requireEmpty=True)
    assert below(tmp_path / "new") == digests(FILES)
    assert back.good("verify").counts["verified"] == len(FILES)
    again = back.good("copy", requireEmpty=True, again=True)
    assert again.counts["alreadyThere"] == len(FILES)


def test_links_are_named_since_no_bucket_holds_them(tmp_path: Path, bucket: Bucket) -> None:
    source = written(tmp_path / "old", {"1/a": b"a"})
    (source / "1" / "link").symlink_to("a")
    files = Files(tmp_path, source, bucket)
    files.arrange()
    record = files.run("copy")
    assert record.reason == "CopyIncomplete"
    assert "1/link" in record.message
    assert set(bucket.tree()) == {"1/a"}


def test_a_name_that_no_directory_can_have_is_told_and_the_others_arrive(tmp_path: Path, bucket: Bucket) -> None:
    bucket.put({"1/a": b"a", "1/a/b": b"b", "2/c": b"c"})
    files = Files(tmp_path, bucket, tmp_path / "new")
    files.arrange()
    record = files.run("copy", workers=1)
    assert (record.reason, record.counts["failed"]) == ("CopyIncomplete", 1)
    assert (tmp_path / "new" / "2" / "c").read_bytes() == b"c"


def test_a_killed_copy_is_gone_on_with_and_taken_back_to_the_last_object(
    tmp_path: Path, bucket: Bucket, other_bucket: Bucket
) -> None:
    many = {f"1/r{number}/artifacts/f": b"x" * 2000 for number in range(120)}
    bucket.put(many)
    other_bucket.put({"1/r5/artifacts/f": many["1/r5/artifacts/f"], "theirs": b"theirs"})
    files = Files(tmp_path, bucket, other_bucket)
    files.arrange()
    with files.start("copy", workers=2, bandwidth=60_000) as process:
        deadline = time.monotonic() + 60
        while len(other_bucket.tree()) < 10 and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
    begun = len(other_bucket.tree())
    assert 10 <= begun < len(many)
    record = files.good("copy", workers=4)
    assert record.counts["alreadyThere"] >= begun - 1
    assert other_bucket.tree() == digests(many | {"theirs": b"theirs"})
    assert files.run("clear", look=True).reason == "CopyIncomplete"
    assert files.good("clear").counts["removed"] == len(many) - 1
    assert set(other_bucket.tree()) == {"1/r5/artifacts/f", "theirs"}
    files.good("clear", look=True)


def test_another_object_of_the_same_name_stays_unless_it_may_be_replaced(
    tmp_path: Path, bucket: Bucket, other_bucket: Bucket
) -> None:
    bucket.put({"1/a": b"ours", "1/b": b"b"})
    other_bucket.put({"1/a": b"them"})
    files = Files(tmp_path, bucket, other_bucket)
    files.arrange()
    record = files.run("copy")
    assert record.reason == "NameClash"
    assert "1/a" in record.message
    assert other_bucket.read("1/a") == b"them"
    files.good("copy", replace=True)
    assert other_bucket.read("1/a") == b"ours"
    assert "what it replaced" in files.run("clear").message
    assert set(other_bucket.tree()) == {"1/a"}


def test_a_changed_and_a_lost_object_are_found(tmp_path: Path, bucket: Bucket, other_bucket: Bucket) -> None:
    bucket.put({"1/a": b"one", "1/b": b"two", "1/c": b"three"})
    files = Files(tmp_path, bucket, other_bucket)
    files.arrange()
    files.good("copy")
    other_bucket.put({"1/a": b"eno"})
    other_bucket.client.remove_object(other_bucket.name, f"{other_bucket.prefix}/1/b")
    record = files.run("verify")
    assert record.reason == "VerifyFailed"
    assert (record.counts["missing"], record.counts["different"], record.counts["verified"]) == (1, 1, 1)


def test_what_keeps_us_out_of_a_bucket_is_told_by_its_reason(
    tmp_path: Path, bucket: Bucket, other_bucket: Bucket
) -> None:
    bucket.put({"1/a": b"a"})
    wrong = replace(other_bucket, store=replace(other_bucket.store, secret_key="not the secret"))
    nobody = replace(other_bucket, store=replace(other_bucket.store, endpoint="http://127.0.0.1:1"))
    lost = replace(other_bucket, name="never-made")
    for number, (target, reason) in enumerate(
        ((wrong, "AuthenticationFailed"), (nobody, "ObjectStoreUnreachable"), (lost, "BucketNotFound"))
    ):
        files = Files(tmp_path / str(number), bucket, target)
        files.arrange()
        record = files.run("survey")
        assert record.reason == reason, record.message
        assert "not the secret" not in record.to_json()
    assert other_bucket.tree() == {}


def test_a_right_to_read_is_not_taken_for_one_to_write(tmp_path: Path, bucket: Bucket, other_bucket: Bucket) -> None:
    bucket.put({"1/a": b"a"})
    access, secret = other_bucket.store.reader
    closed = replace(other_bucket, store=replace(other_bucket.store, access_key=access, secret_key=secret))
    files = Files(tmp_path, bucket, closed)
    files.arrange()
    record = files.run("survey")
    assert (record.reason, record.succeeded) == ("PermissionDenied", False)
