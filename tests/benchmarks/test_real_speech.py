"""That the files of `benchmarks.real` are what it says of them, made of clips of tones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import real_speech
from benchmarks.corpus import Samples, read, write_flac
from benchmarks.real_speech import Clip, SpokenFile, Utterance, cut, join, read_clips

RATE = 16_000
HEAD = "file\tlanguage\tseconds\ttranscript\n"


def tone(duration_s: float, silence_s: float = 0.0) -> Samples:
    silence = np.zeros(round(silence_s * RATE), np.float32)
    sine = 0.5 * np.sin(np.arange(round(duration_s * RATE), dtype=np.float32) * 0.3)
    return np.concatenate([silence, sine, silence])


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    """Clips of two speakers, 1 to 8 s long, each with half a second of silence around a tone."""
    made = []
    for folder, language in (("ljspeech", "en"), ("librispeech", "en"), ("foreign", "sv")):
        (tmp_path / folder).mkdir()
        for number in range(1, 9):
            path = write_flac(tmp_path / folder / f"{number}.flac", tone(number - 0.5, 0.25))
            made.append(Clip(path, language, f"{folder} {number}", float(number)))
    return made


def test_each_recording_is_read_once_and_lone_digits_and_channels_are_left_out(
    tmp_path: Path,
) -> None:
    rows = [
        "a/1.flac\ten\t2.5\tAs it was (so they said) written",
        "a/1.mp3\ten\t2.5\tAS IT WAS so they said written",
        "fsdd/7.wav\ten\t0.5\tseven",
        "b/2.wav\ten\t4\t[left] one side [right] the other",
        "c/3.wav\tsv\t3\ttyst",
    ]
    (tmp_path / "transcripts.tsv").write_text(HEAD + "\n".join(rows), encoding="utf-8")

    assert read_clips(tmp_path) == [
        Clip(tmp_path / "a/1.flac", "en", "As it was so they said written", 2.5),
        Clip(tmp_path / "c/3.wav", "sv", "tyst", 3.0),
    ]


def test_a_quote_in_a_transcript_does_not_join_rows(tmp_path: Path) -> None:
    rows = ['a/1.flac\ten\t2.5\t"begin here', 'a/2.flac\ten\t2\tand "end']
    (tmp_path / "transcripts.tsv").write_text(HEAD + "\n".join(rows), encoding="utf-8")

    assert [clip.text for clip in read_clips(tmp_path)] == ['"begin here', 'and "end']


def test_speech_is_cut_out_of_the_silence_around_it() -> None:
    speech = cut(tone(2.0, silence_s=1.5))

    assert len(speech) / RATE == pytest.approx(2.04, abs=0.011)
    assert len(cut(tone(2.0))) == 2 * RATE


def test_joined_clips_start_where_the_file_says(tmp_path: Path, clips: list[Clip]) -> None:
    file = join(tmp_path / "file.flac", clips[:3], [1.0, 2.0, 0.5], np.random.default_rng(0))

    samples = read(file.path)
    assert file.duration_s == pytest.approx(len(samples) / RATE)
    assert file.text == "ljspeech 1 ljspeech 2 ljspeech 3"
    for utterance, after_s in zip(file.utterances, (1.0, 2.0, 0.5), strict=True):
        assert utterance.start_s is not None
        start = round(utterance.start_s * RATE)
        kept = round(0.02 * RATE)
        assert np.abs(samples[start + kept : start + 3 * kept]).max() > 0.4
        assert np.abs(samples[start - round(0.4 * after_s * RATE) : start]).max() < 0.01


def test_short_is_every_kth_english_clip_of_1_to_15_s(clips: list[Clip]) -> None:
    outside = [Clip(Path("0"), "en", "too short", 0.9), Clip(Path("9"), "en", "too long", 15.1)]

    files = real_speech.short([*outside, *clips], num_clips=5)

    english = clips[:16]
    assert files == [
        SpokenFile(clip.path, clip.duration_s, (Utterance(clip.text),)) for clip in english[::4]
    ]


def test_pauses_are_files_of_about_20_to_30_s_with_long_pauses(
    tmp_path: Path, clips: list[Clip]
) -> None:
    files = real_speech.pauses(tmp_path, clips, 3)

    assert len({file.path for file in files}) == 3
    for file in files:
        assert 18 < file.duration_s <= 30
        assert all(one.text.startswith("librispeech") for one in file.utterances)
        starts_s = [one.start_s or 0.0 for one in file.utterances]
        lengths_s = [float(one.text.split()[1]) - 0.5 for one in file.utterances]
        ends_s = np.add(starts_s, lengths_s)
        assert all(1.9 < gap_s < 6.1 for gap_s in np.subtract(starts_s[1:], ends_s[:-1]))


def test_joined_files_use_each_clip_once_before_any_comes_again(
    tmp_path: Path, clips: list[Clip]
) -> None:
    files = real_speech.joined(tmp_path, clips, (20.0, 20.0))

    texts = [one.text for file in files for one in file.utterances]
    assert len(set(texts[:8])) == len(texts[:8])
    assert all(15 < file.duration_s < 32 for file in files)


def test_lj5_is_the_reader_in_order_with_short_pauses(tmp_path: Path, clips: list[Clip]) -> None:
    (file,) = real_speech.lj5(tmp_path, clips[::-1], num_clips=4)

    assert [one.text for one in file.utterances] == [f"ljspeech {n}" for n in (1, 2, 3, 4)]
    starts_s = [one.start_s or 0.0 for one in file.utterances]
    gaps_s = np.diff(starts_s) - [0.5, 1.5, 2.5]
    assert starts_s[0] == pytest.approx(0.2)
    assert all(0.14 < gap_s < 0.56 for gap_s in gaps_s)


def test_the_same_files_are_made_each_time(tmp_path: Path, clips: list[Clip]) -> None:
    contents = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        files = real_speech.pauses(folder, clips, 1) + real_speech.joined(folder, clips, (10.0,))
        contents.append([(file.path.read_bytes(), file.utterances) for file in files])

    assert contents[0] == contents[1]
