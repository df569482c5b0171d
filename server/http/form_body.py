"""Reads a multipart form as it arrives: the file passes through, the fields are small."""

from __future__ import annotations

from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ..status import MalformedBody, TooLarge

MAX_REST_BYTES = 2**16  # of the form beside the file
_MAX_FIELDS = 100


@dataclass
class _Part:
    """A part of the form: its `content-disposition`, and the value if it is no file."""

    disposition: bytearray = field(default_factory=bytearray)
    name: str = ""
    is_file: bool = False
    value: bytearray = field(default_factory=bytearray)


class FormBody:
    """Takes the file out of a form, piece by piece.

    Attributes:
        items: Each field's name and value, in the form's order; None for the file.
    """

    def __init__(self, content_type: str) -> None:
        """Expect a form.

        Args:
            content_type: The header, which holds the boundary.

        Raises:
            MalformedBody: The header holds no boundary, or one that is too long.
        """
        self.items: list[tuple[str, str | None]] = []
        self._part = _Part()
        self._header = (bytearray(), bytearray())  # name and value of the one that is read
        self._file: list[bytes] = []  # what this piece holds of it
        self._num_rest_bytes = 0
        self._has_ended = False
        _, options = parse_options_header(content_type)
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": lambda data, start, end: self._add(0, data[start:end]),
                    "on_header_value": lambda data, start, end: self._add(1, data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._take,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except KeyError:
            raise _malformed("the content-type has no boundary") from None
        except FormParserError as error:
            raise _malformed(str(error)) from None

    def feed(self, piece: bytes) -> bytes:
        """Return what the next piece of the body holds of the file.

        Raises:
            MalformedBody: The form is malformed, or has a second file or too many fields.
            TooLarge: What is beside the file is over its limit.
        """
        self._file.clear()
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise _malformed(str(error)) from None
        file = b"".join(self._file)
        self._num_rest_bytes += len(piece) - len(file)
        if self._num_rest_bytes > MAX_REST_BYTES:
            raise TooLarge(
                f"the form beside the file is over the limit of {MAX_REST_BYTES} bytes", "body"
            )
        return file

    def finish(self) -> bytes:
        """Return nothing: the body is complete.

        Raises:
            MalformedBody: The form is not.
        """
        if not self._has_ended:
            raise _malformed("it ends before its closing boundary")
        return b""

    def _begin_part(self) -> None:
        self._part = _Part()

    def _add(self, which: int, text: bytes) -> None:
        self._header[which].extend(text)

    def _end_header(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._part.disposition = value
        self._header = (bytearray(), bytearray())

    def _end_headers(self) -> None:
        part = self._part
        _, options = parse_options_header(bytes(part.disposition))
        if b"name" not in options:
            raise _malformed('a part has no content-disposition with a "name"')
        part.name = _decode(options[b"name"])
        part.is_file = b"filename" in options
        if part.is_file and any(value is None for _, value in self.items):
            raise _malformed("it holds more than one file")
        if len(self.items) > _MAX_FIELDS:
            raise _malformed(f"it has more than {_MAX_FIELDS} fields")

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._part.is_file:
            self._file.append(data[start:end])
        else:
            self._part.value += data[start:end]

    def _end_part(self) -> None:
        part = self._part
        self.items.append((part.name, None if part.is_file else _decode(part.value)))

    def _end(self) -> None:
        self._has_ended = True


def _decode(text: bytes | bytearray) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _malformed(why: str) -> MalformedBody:
    return MalformedBody(f"the form is malformed: {why}", "body")
