"""A server of Amazon's S3 protocol for tests and benchmarks: moto's, which checks signatures and rights.

It lives in ``.venv-servers`` and keeps everything in memory.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tools.mlflow_servers import environment, low_port, python, wait
from tools.postgres_servers import NoServer

READY_SECONDS = 60.0

#: Makes a user for each list of actions. So many calls are let through without a login, and no more.
_USERS = """
import boto3, json, sys
iam = boto3.client("iam", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="first",
                   aws_secret_access_key="first")
keys = []
for actions in sys.argv[2:]:
    iam.create_user(UserName=actions[:5])
    allowed = {"Effect": "Allow", "Action": actions.split(), "Resource": "*"}
    iam.put_user_policy(UserName=actions[:5], PolicyName="s3",
                        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
    key = iam.create_access_key(UserName=actions[:5])["AccessKey"]
    keys.append([key["AccessKeyId"], key["SecretAccessKey"]])
print(json.dumps(keys))
"""
_ACTIONS = ("s3:*", "s3:Get* s3:List* s3:Head*")
_CALLS = 3 * len(_ACTIONS)


@dataclass(frozen=True, slots=True)
class ObjectStore:
    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    reader: tuple[str, str] = field(repr=False)
    """Access key and secret key of a user who may only read."""


@contextlib.contextmanager
def serving(scratch: Path) -> Iterator[ObjectStore]:
    """A server on loopback, ended afterwards."""
    port = low_port()
    endpoint = f"http://127.0.0.1:{port}"
    scratch.mkdir(parents=True, exist_ok=True)
    argv = (python(), "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port))
    settings = environment(INITIAL_NO_AUTH_ACTION_COUNT=str(_CALLS))
    log = scratch / "object-store.log"
    with log.open("ab") as stream:
        process = subprocess.Popen(argv, stdout=stream, stderr=stream, cwd=scratch, env=settings)
    try:
        wait(process, f"{endpoint}/moto-api/", log, "the object store (run `sh tools/servers.sh`)")
        (access, secret), reader = _users(endpoint)
        yield ObjectStore(endpoint, access, secret, reader)
    finally:
        process.terminate()
        process.wait(15)


def _users(endpoint: str) -> list[tuple[str, str]]:
    done = subprocess.run(
        (python(), "-c", _USERS, endpoint, *_ACTIONS),
        check=False,
        capture_output=True,
        text=True,
        timeout=READY_SECONDS,
        env=environment(),
    )
    if done.returncode:
        raise NoServer(f"the object store makes no user:\n{done.stderr[-3000:]}")
    return [(access, secret) for access, secret in json.loads(done.stdout)]
