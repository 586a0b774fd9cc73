"""CRC-32 as zlib computes it, by ISA-L where that is installed: it is ten times as fast."""

try:
    from isal.isal_zlib import crc32
except ImportError:
    from zlib import crc32

__all__ = ["combined", "crc32"]

#: The polynomial of CRC-32, its bits reversed.
_POLYNOMIAL = 0xEDB88320


def combined(first, second, length):
    """The checksum of two pieces that follow each other, from theirs.

    Parameters
    ----------
    first, second : int
        The checksums of the pieces.
    length : int
        How many bytes the second piece has.
    """
    # A zero byte multiplies the remainder of what was before by x**8, so `length` of them by x**(8 * length).
    factor, power, bits = 1 << 31, 1 << 30, 8 * length
    while bits:
        if bits & 1:
            factor = _product(factor, power)
        power = _product(power, power)
        bits >>= 1
    return _product(first, factor) ^ second


def _product(one, other):
    """The product of two polynomials over bits, modulo that of CRC-32; the highest bit is x**0."""
    result = 0
    for bit in range(31, -1, -1):
        if one >> bit & 1:
            result ^= other
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
    return result
