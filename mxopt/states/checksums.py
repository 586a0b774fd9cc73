"""CRC-32 as zlib computes it, by ISA-L where that is installed: it is ten times as fast."""

try:
    from isal.isal_zlib import crc32
except ImportError:
    from zlib import crc32

__all__ = ["crc32"]
