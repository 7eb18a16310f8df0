"""Translates the errors of a store into `StorageError`, with cause and fix."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError, InvalidPathError, PermissionDeniedError, UnauthenticatedError

from gridtide.clock import SET_CLOCK
from gridtide.errors import StorageError

_UNWRITABLE = "Make it writable for this user, or choose another lake"


_ABSENT = "Check that this is the right lake, and the right path within it"


_NO_FOLDER = "It is not a folder: name another one, or move it away"


_REFUSED = "Check the credentials (AWS_PROFILE or the block), and that they may list, read, write and delete there"


_UNREADABLE = "Rename or move what has that name: no file of a lake has such a one"


_EXPIRED = "Sign in again (such as `aws sso login`), or renew the credentials of the block"


STORE_FIXES: dict[str, str] = {
    str(errno.ENOSPC): "Free space there, then run again",
    str(errno.EDQUOT): "Free space there, then run again",
    str(errno.EACCES): _UNWRITABLE,
    str(errno.EPERM): _UNWRITABLE,
    str(errno.EROFS): _UNWRITABLE,
    str(errno.ENOENT): _ABSENT,
    str(errno.EEXIST): _NO_FOLDER,
    str(errno.ENOTDIR): _NO_FOLDER,
    str(errno.EISDIR): "A folder has the name of this file: rename or move the folder",
    str(errno.EFBIG): "Raise the limit of file sizes (`ulimit -f unlimited`), or choose another disk",
    str(errno.EMFILE): "Raise the limit of open files: ulimit -n 4096",
    str(errno.ENAMETOOLONG): "Choose a shorter output_folder or name, or a lake with a shorter path",
    "NoSuchKey": _ABSENT,
    "NoSuchBucket": "Create the bucket, or correct its name in the lake's address",
    **dict.fromkeys(("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"), _REFUSED),
    **dict.fromkeys(("ExpiredToken", "InvalidToken"), _EXPIRED),
    "RequestTimeTooSkewed": SET_CLOCK,
    "PermanentRedirect": "Set AWS_REGION to the region of the bucket",
}
"""The fix by error number of the operating system, or by error code of S3."""


_ERRNO = re.compile(r"\(os error (\d+)\)")


_CODE = re.compile(r"<Code>(\w+)</Code>")


_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")


@contextmanager
def translate_errors(subject: str, happened: str) -> Iterator[None]:
    """Turns errors of the store into a `StorageError` about `subject`: what `happened`, the cause, and the fix.

    The store's own error is left out of the traceback, because S3 echoes session tokens in its responses.
    """
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        raise StorageError(subject, f"{happened}: {describe_cause(error)}", _find_fix(error)) from None


def is_refusal(error: StorageError) -> bool:
    """Whether the store refused the request because this user or these credentials may not make it."""
    return error.fix in (_UNWRITABLE, _REFUSED)


def _error_text(error: Exception) -> str:
    """Returns the text of the store's error; an error of the operating system is put in the form that the store
    uses."""
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.strerror} (os error {error.errno})"
    return str(error)


def describe_cause(error: Exception) -> str:
    """Returns the first line of the error without debugging detail, or the message in S3's XML."""
    error_text = _error_text(error)
    if isinstance(error, InvalidPathError):  # the name in it may have line breaks
        return ascii(error_text.partition("\n\nDebug source")[0])[1:-1]
    if code := _CODE.search(error_text):
        message = _MESSAGE.search(error_text)
        return f"{message[1].rstrip('.')} ({code[1]})" if message else code[1]
    first_line = error_text.partition("\n")[0].partition("<?xml")[0]
    return re.sub(r"^Generic \S+ error: |\?\S+", "", first_line).strip(" :")  # a query may contain a signature


def _find_fix(error: Exception) -> str:
    """Returns the fix for `error`; the store gives the system's error number and S3's code only in its text."""
    error_text = _error_text(error)
    match = _ERRNO.search(error_text) or _CODE.search(error_text)
    if match and match[1] in STORE_FIXES:
        return STORE_FIXES[match[1]]
    if isinstance(error, InvalidPathError):
        return _UNREADABLE
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return _REFUSED
    return "Check that the lake is there and can be reached"
