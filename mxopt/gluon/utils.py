"""Utilities of gluon scripts."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import warnings

from ..clipping import clip_global_norm
from ..nd import array, view

__all__ = ["check_sha1", "clip_global_norm", "download", "split_and_load", "split_data"]


def split_data(data, num_slice, batch_axis=0, even_split=True):
    """Cut a batch into slices.

    Parameters
    ----------
    data : array
    num_slice : int
    batch_axis : int, default 0
    even_split : bool, default True
        Refuse a batch that cannot be cut evenly; otherwise the first slices get one more.

    Returns
    -------
    list of NDArray
        Views of the data; along a later axis than the first, copies.
    """
    data = view(data)
    size = data.shape[batch_axis]
    if even_split and size % num_slice:
        raise ValueError(
            f"data of shape {data.shape} cannot be cut into {num_slice} equal slices along axis "
            f"{batch_axis}; use a batch size that can, or even_split=False"
        )
    step, more = divmod(size, num_slice)
    ends = [(i + 1) * step + min(i + 1, more) for i in range(num_slice)]
    key = (slice(None),) * (batch_axis % data.ndim)
    return [data[(*key, slice(begin, end))] for begin, end in zip([0, *ends], ends)]


def split_and_load(data, ctx_list, batch_axis=0, even_split=True):
    """Cut a batch into a slice for each context.

    Parameters
    ----------
    data : array
        Whatever is not an NDArray becomes a float32 one.
    ctx_list : list of Context
    batch_axis : int, default 0
        The axis that is cut.
    even_split : bool, default True
        Refuse a size that the number of parts does not divide.

    Returns
    -------
    list of NDArray
    """
    if not hasattr(data, "as_in_context"):
        data = array(data, ctx=ctx_list[0])
    if len(ctx_list) == 1:
        return [data.as_in_context(ctx_list[0])]
    slices = split_data(data, len(ctx_list), batch_axis, even_split)
    return [part.as_in_context(ctx) for part, ctx in zip(slices, ctx_list)]


def check_sha1(filename, sha1_hash):
    """Whether a file has a SHA-1 sum.

    Parameters
    ----------
    filename : str
    sha1_hash : str
        In hexadecimal digits.

    Returns
    -------
    bool
    """
    found = hashlib.sha1()
    with open(filename, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            found.update(block)
    return found.hexdigest() == sha1_hash


class _OtherContent(ValueError, UserWarning):
    """A download whose checksum is not the one asked for; MXNet raises a UserWarning."""


def download(url, path=None, overwrite=False, sha1_hash=None, retries=5, verify_ssl=True):
    """Download a file, unless it exists.

    Parameters
    ----------
    url : str
    path : str, optional
        A folder, or the file's name; by default the URL's last part.
    overwrite : bool
        Download the file even if it exists.
    sha1_hash : str, optional
        The SHA-1 that the file must have, whether it exists or is downloaded.
    retries : int, default 5
        Attempts after the first has failed.
    verify_ssl : bool, default True
        Ask the server for a valid certificate.

    Returns
    -------
    str
        The file's name. The file appears only once it is complete.

    Raises
    ------
    OSError
        The download failed.
    ValueError
        The content has another checksum. An existing file is kept.
    """
    if retries < 0:
        raise ValueError(f"retries must be 0 or more, got {retries}")
    last = url.split("/")[-1]
    name = last if path is None else os.path.expanduser(path)
    if path is not None and os.path.isdir(name):
        name = os.path.join(name, last)
    if not os.path.basename(name):
        raise ValueError(f"the URL {url!r} does not end in a file's name; pass path")
    if not overwrite and os.path.exists(name) and (sha1_hash is None or check_sha1(name, sha1_hash)):
        return name
    if not verify_ssl:
        warnings.warn("the server's certificate is not verified", UserWarning, stacklevel=2)
    folder = os.path.dirname(os.path.abspath(name))
    os.makedirs(folder, exist_ok=True)
    for attempt in range(retries + 1):
        try:
            _fetch(url, name, folder, sha1_hash, verify_ssl)
            break
        except OSError:
            if attempt == retries:
                raise
    return name


def _fetch(url, name, folder, sha1_hash, verify_ssl):
    import ssl  # only here: most scripts download nothing
    import urllib.request

    context = None if verify_ssl else ssl._create_unverified_context()
    answer = urllib.request.urlopen(url, timeout=60, context=context)
    handle, made = tempfile.mkstemp(prefix=f".{os.path.basename(name)}.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file, answer:
            shutil.copyfileobj(answer, file)
        if sha1_hash is not None and not check_sha1(made, sha1_hash):
            raise _OtherContent(f"{url} has another SHA-1 sum than {sha1_hash}; it was changed, or cut")
        os.chmod(made, 0o644)  # as any file, not as a temporary one
        os.replace(made, name)
    except BaseException:
        os.unlink(made)
        raise


def shape_is_known(shape):
    """Whether a shape has no unknown dimension."""
    return shape is not None and all(size > 0 for size in shape)


def _indent(s_, numSpaces):
    first, *rest = s_.split("\n")
    return "\n".join([first, *(" " * numSpaces + line for line in rest)])
