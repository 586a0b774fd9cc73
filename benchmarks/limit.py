"""The streaming limit of this machine, on the same arrays that a step works on."""

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import mxopt


@functools.cache
def _library():
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or "cc"
    target = Path(tempfile.mkdtemp(), "streams.so")
    source = Path(__file__).with_name("streams.c")
    flags = ["-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", "-funroll-loops"]
    subprocess.run([compiler, *flags, str(source), "-o", str(target)], check=True)
    return ctypes.CDLL(str(target))


def stream(written, read, threads=None):
    """A function that reads all arrays and writes some of them back, unchanged.

    Parameters
    ----------
    written : list of list of ndarray
        Arrays that are read and written: by array of the rule (weight, mean, ...), then by tensor.
    read : list of list of ndarray
        Arrays that are only read.
    """
    columns = [*written, *read]
    tensors = len(columns[0])
    flat = [array for column in columns for array in column]
    pointers = (ctypes.c_void_p * len(flat))(*(array.ctypes.data for array in flat))
    sizes = (ctypes.c_ssize_t * tensors)(*(array.nbytes for array in columns[0]))
    function = _library().stream

    def run():
        count = threads or mxopt.get_num_threads()
        if not function(len(columns), len(written), tensors, pointers, sizes, count):
            raise ValueError(f"no loop that reads {len(columns)} arrays and writes {len(written)}")

    run.keep = flat
    return run
