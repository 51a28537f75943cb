"""Artifacts in an S3 bucket, on Amazon or any compatible server."""

import importlib.util
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from optuna.artifacts import Boto3ArtifactStore
from optuna.artifacts._protocol import ArtifactStore

from atml.errors import CannotWrite, StorageError
from atml.words import hide_credentials

# Slashes may be missing: `Path("s3://BUCKET")` has lost one. One letter is a drive of Windows.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/*(.*)", re.DOTALL)
_CREDENTIALS = re.compile(r":.*@", re.DOTALL)
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 10, 60, 5


def split_s3(place: str | Path) -> tuple[str, str] | None:
    """Return bucket and prefix of `s3://BUCKET/PREFIX`, of which the prefix may be empty; None for a folder.

    Raises:
        StorageError: it has another scheme, names no bucket, or holds credentials, which are not shown.
    """
    url = _URL.fullmatch(str(place))
    scheme, rest = url.groups() if url else (None, str(place))
    bucket, _, prefix = rest.partition("/")
    if _CREDENTIALS.search(rest) or (scheme and re.search("[@:?#]", bucket)):
        raise StorageError(
            "the URL of the artifacts must be s3://BUCKET or s3://BUCKET/PREFIX, without credentials or "
            "options; set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL_S3 instead"
        )
    if scheme is None:
        return None
    if scheme.lower() != "s3":
        raise StorageError(f"artifacts are kept in a folder or in s3://BUCKET/PREFIX but got {scheme}://…")
    if not bucket:
        raise StorageError(f"{place}: names no bucket; write s3://BUCKET or s3://BUCKET/PREFIX")
    return bucket, prefix.strip("/")


def require_boto3() -> None:
    """Raise StorageError unless boto3 is installed."""
    if importlib.util.find_spec("boto3") is None:
        raise StorageError("artifacts in S3 need boto3: pip install 'atml[s3]'")


def open_s3(bucket: str, prefix: str) -> ArtifactStore:
    """Open a bucket with boto3's credentials and endpoint.

    They come from environment variables (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL_S3),
    `~/.aws/` or the machine's role.

    Raises:
        StorageError: boto3 is missing or the bucket name is invalid.
        CannotWrite: the credentials, the bucket or the server is missing; names which.
    """
    require_boto3()
    import boto3
    from botocore.config import Config

    url = f"s3://{bucket}/{prefix}".rstrip("/")
    with _explained(url):
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"max_attempts": ATTEMPTS, "mode": "standard"},
        )
        client = boto3.session.Session().client("s3", config=config)
        client.head_bucket(Bucket=bucket)
    return S3Store(url, prefix, Boto3ArtifactStore(bucket, client))


class S3Store:
    """Optuna's store for a bucket with a prefix, with errors that say what to do."""

    def __init__(self, url: str, prefix: str, store: ArtifactStore) -> None:
        self._url = url
        self._prefix = f"{prefix}/" if prefix else ""
        self._store = store

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Return an artifact, read whole since its content may fail to arrive too."""
        with _explained(self._url):
            return io.BytesIO(self._store.open_reader(self._prefix + artifact_id).read())

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Store the content of `content_body`.

        Raises:
            CannotWrite: the bucket cannot be written to; gives the reason.
        """
        with _explained(self._url):
            self._store.write(self._prefix + artifact_id, content_body)

    def remove(self, artifact_id: str) -> None:
        """Delete an artifact."""
        with _explained(self._url):
            self._store.remove(self._prefix + artifact_id)


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Raise botocore's errors as one sentence that says what to do."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error, ValueError) as error:
        # All other errors may go away: the bucket is created, credentials renewed, the network fixed.
        kind = StorageError if isinstance(error, ParamValidationError | ValueError) else CannotWrite
        raise kind(f"{url}: {_advice(error)}") from None


def _advice(error: Any) -> str:
    from botocore import exceptions

    match error:
        case ValueError():
            return "AWS_ENDPOINT_URL_S3 is not a URL; write http://HOST:PORT or https://HOST"
        case exceptions.NoCredentialsError() | exceptions.PartialCredentialsError():
            return "no S3 credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        case exceptions.ConnectionError() | exceptions.HTTPClientError():
            return "the S3 server does not answer; check AWS_ENDPOINT_URL_S3 and the network"
        case exceptions.ParamValidationError():
            return "this is not a valid bucket name"
        case exceptions.ClientError(response={"Error": {"Code": "404" | "NoSuchBucket"}}):
            return "there is no such bucket; create it first"
        case exceptions.ClientError(response={"ResponseMetadata": {"HTTPStatusCode": 401 | 403}}):
            return "the S3 server refuses these credentials for this bucket; check key, secret and policy"
    return f"the S3 server or its client reports: {hide_credentials(str(error).splitlines()[0])}; fix this"
