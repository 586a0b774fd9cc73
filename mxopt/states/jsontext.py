"""JSON one value at a time: only what the caller builds from it is in memory.

``json.loads`` of the whole text would let a malicious header (millions of empty objects) take twenty times
the file's size before anything could be checked. The json module still scans the values, and walking takes
about a quarter of the time of loading thousands of small arrays.
"""

import json

from mxopt.states.errors import ForeignStateFile, StateFileError

_MAX_DIGITS = 320
_SPACE = " \t\n\r"


class JSONText:
    """A cursor in a JSON text: walks through containers and hands out their values one by one.

    Parameters
    ----------
    text : str
    where : str
        What errors call the text.
    """

    def __init__(self, text, where):
        self._text, self._where = text, where
        self._at = 0
        self._scan = json.JSONDecoder(
            object_pairs_hook=_object, parse_int=_integer, parse_constant=_constant
        ).scan_once

    def wrong(self, what):
        """The error for what is at the cursor."""
        return ForeignStateFile(f"{self._where} {what}")

    def peek(self):
        """The next character that is not a space; empty at the end."""
        text, at = self._text, self._at
        character = text[at : at + 1]
        if character > " ":
            return character
        while text[at : at + 1] in _SPACE and at < len(text):
            at += 1
        self._at = at
        return text[at : at + 1]

    def end(self):
        """Make sure that nothing follows."""
        if self.peek():
            raise self.wrong(f"is not JSON: something follows its end, character {self._at}")

    def items(self):
        """Walk through an array; the caller takes one value per iteration."""
        self._take("[")
        if self.peek() == "]":
            self._at += 1
            return
        while True:
            yield
            if self._more("]"):
                return

    def members(self):
        """Walk through an object's names; the caller takes the value of each."""
        self._take("{")
        if self.peek() == "}":
            self._at += 1
            return
        while True:
            if self.peek() != '"':
                raise self._broken()
            name = self.scalar()
            self._take(":")
            yield name
            if self._more("}"):
                return

    def scalar(self):
        """A value that is not a container."""
        if self.peek() in ("", "[", "{"):
            raise self._broken()
        return self._value(self._text, self._at, 0)

    def short_object(self, limit):
        """An object as a dict; it must be at most `limit` characters long and contain no objects."""
        self.peek()
        end = self._text.find("}", self._at, self._at + limit)
        if end < 0 or self._text[self._at] != "{":
            return None
        return self._value(self._text[self._at : end + 1], 0, self._at)

    def _value(self, text, at, offset):
        try:
            value, end = self._scan(text, at)
        except StopIteration:
            raise self._broken() from None
        except StateFileError as error:
            raise self.wrong(f"cannot be: {error}") from None
        except RecursionError:
            raise self.wrong("is nested too deeply") from None
        except ValueError as error:
            raise self.wrong(f"is not JSON: {error}") from None
        self._at = offset + end
        return value

    def _take(self, character):
        if self.peek() != character:
            raise self._broken()
        self._at += 1

    def _more(self, closing):
        """Whether a container ends here; skips a comma."""
        character = self.peek()
        if character not in (closing, ","):
            raise self._broken()
        self._at += 1
        return character == closing

    def _broken(self):
        return self.wrong(f"is not JSON: character {self._at} is {self._text[self._at : self._at + 1]!r}")


def _object(pairs):
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ForeignStateFile("a name occurs twice in one object")
    return result


def _integer(digits):
    if len(digits) > _MAX_DIGITS:
        raise ForeignStateFile(f"an integer of {len(digits)} digits")
    return int(digits)


def _constant(name):
    raise ForeignStateFile(f"{name} is not JSON")
