"""FFmpeg's conversion of sample format, layout and rate, without threads of its own.

PyAV's `AudioResampler` is the same graph of filters, but starts a thread for each core with every
one. None of these filters uses them, and a server with many requests had thousands.
"""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.audio.format import AudioFormat
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.filter import Graph


class AudioResampler:
    """Converts frames of one format; the interface of PyAV's class of this name."""

    def __init__(self, sample_format: str, layout: str | AudioLayout, rate: int) -> None:
        """Take the form of the result."""
        self._format = AudioFormat(sample_format)
        self._layout = AudioLayout(layout)
        self._rate = rate
        self._graph: Graph | None = None

    def resample(self, frame: AudioFrame | None) -> list[AudioFrame]:
        """Return the frames that are ready; None ends the stream and returns the rest.

        Raises:
            av.FFmpegError: The format cannot be converted.
            ValueError: The same.
        """
        if self._graph is None:
            if frame is None:
                return []
            self._graph = self._new_graph(frame)
        self._graph.push(frame)
        return list(self._ready(self._graph))

    def _new_graph(self, frame: AudioFrame) -> Graph:
        graph = Graph()
        graph.threads = 1  # none beside the caller's
        source = graph.add_abuffer(
            sample_rate=frame.sample_rate,
            format=frame.format,
            layout=frame.layout,
            time_base=frame.time_base,
        )
        form = f"sample_rates={self._rate}:sample_fmts={self._format.name}"
        convert = graph.add("aformat", f"{form}:channel_layouts={self._layout.name}")
        source.link_to(convert)
        convert.link_to(graph.add("abuffersink"))
        graph.configure()
        return graph

    @staticmethod
    def _ready(graph: Graph) -> Iterator[AudioFrame]:
        while True:
            try:
                found = graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            assert isinstance(found, AudioFrame)
            yield found
