from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io import read, read_windows, write

EVENTS = Events([3, 0, 8], [1, 5, 0], [10, 10, 2_000_099], [0, 1, 1], (9, 6))


def put(path, text):
    path.write_bytes(text.encode("latin-1"))
    return path


def reason_of(path, **arguments):
    with pytest.raises(EventFileError) as caught:
        read(path, **arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("uzh", "0.000010 3 1 0\n0.000010 0 5 1\n2.000099 8 0 1\n"),
        ("xytp", "3 1 10 0\n0 5 10 1\n8 0 2000099 1\n"),
        ("csv", "%geometry:9,6\nx,y,t,p\n3,1,10,0\n0,5,10,1\n8,0,2000099,1\n"),
    ],
)
def test_worked_example(tmp_path, block_events, kind, text):
    path = put(tmp_path / "a.text", text)
    assert read(path, encoding=kind) == EVENTS
    assert [len(part) for part in read_windows(path, count=2, encoding=kind, sensor_size=(9, 6))] == [2, 1]
    write(tmp_path / "b", EVENTS, encoding=kind)
    assert (tmp_path / "b").read_text() == text


@pytest.mark.parametrize(
    "text",
    [
        "3 1 10 0\n0 5 10 1\n8 0 2000099 1",
        "3 1 10 0\r\n\r\n0 5 10 1\r\n8 0 2000099 1\r\n",
        "# x y t p\n\n \t\n  # and more\n3\t1  10 \t0\t\n 0 5 10 1 \n\n8 0 2000099 1\n\n",
        "3 1 10 -1\n0 5 10 1\n8 0 2000099 +1\n",
        "3.0 1.0 1.0e+01 0.0\n0.000 5. 10 1e0\n8. .0 2.000099e6 1\n",
        "3.000000000000000000e+00 1.00 1.000000000000000000e+01 0\n0 50e-1 010 1\n80.0e-1 0e9 +2.000099000000000000e+06 1E+00\n",
    ],
)
def test_what_else_is_read(tmp_path, block_events, text):
    assert read(put(tmp_path / "a.txt", text), encoding="xytp") == EVENTS


@pytest.mark.parametrize(
    ("digits", "microseconds"),
    [
        ("2.097134001", 2_097_134),
        ("2.1957200009999998", 2_195_720),
        ("2.0971344999999999999999999", 2_097_134),
        ("2.0971345", 2_097_135),
        ("0.0000005", 1),
        ("0.00000049", 0),
        ("5e-06", 5),
        ("1.5E-05", 15),
        ("1e-30", 0),
        ("-0.000003", -3),
        ("1548352800.195720", 1_548_352_800_195_720),
        ("9223372036854.775807", 2**63 - 1),
        ("-9223372036854.775808", -(2**63)),
    ],
)
def test_seconds_become_microseconds_digit_by_digit(tmp_path, digits, microseconds):
    assert read(put(tmp_path / "a.txt", f"{digits} 1 2 1\n"), encoding="uzh").t.tolist() == [microseconds]


@given(number=st.integers(-(10**18), 10**18), places=st.integers(0, 12), exponent=st.integers(-8, 8))
@settings(deadline=None, max_examples=200)
def test_every_way_to_write_a_number(new_path, number, places, exponent):
    digits = f"{abs(number):0{places + 1}d}"
    text = f"{'-' * (number < 0)}{digits[: len(digits) - places]}.{digits[len(digits) - places :]}e{exponent:+d}"
    value = Fraction(number) * Fraction(10) ** (exponent - places)
    rounded = int(abs(value) * 10**6 + Fraction(1, 2)) * (-1 if value < 0 else 1)
    for encoding, line, expected in (
        ("uzh", f"{text} 1 2 1\n", rounded if abs(rounded) < 2**63 else None),
        ("xytp", f"1 2 {text} 1\n", int(value) if value.denominator == 1 and abs(value) < 2**63 else None),
    ):
        path = put(new_path(".txt"), line)
        if expected is None:
            assert "t is not a time" in reason_of(path, encoding=encoding)
        else:
            assert read(path, encoding=encoding).t.tolist() == [expected]


@pytest.mark.parametrize("first", ["0.5 3 4 0\n", "5e-06 3 4 0\n", "# seconds\n\n0. 3 4 0\n"])
def test_seconds_are_recognised_by_their_point(tmp_path, first):
    assert read(put(tmp_path / "a.txt", first + "0.6 1 2 1\n"), sensor_size=(9, 9)).x.tolist() == [3, 1]


def test_a_table_of_floats_may_be_either(tmp_path):
    path = put(tmp_path / "a.txt", "1.0 2.0 3.0 1.0\n")
    assert "none of the encodings with this suffix: uzh, xytp; if you know better, pass encoding" in reason_of(path)
    assert read(path, encoding="xytp").t.tolist() == [3]
    assert read(path, encoding="uzh").t.tolist() == [1_000_000]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("3 1 10", "p is missing or no number"),
        ("3", "y is missing"),
        ("3 1 10 0 7", "more than four values"),
        ("3 1 10 0x", "more than four values"),
        ("3 1x 10 0", "y is missing or no number"),
        ("3,1,10,0", "x is missing or no number"),
        ("x 1 10 0", "x is missing or no number"),
        ("- 1 10 0", "x is missing or no number"),
        (". 1 10 0", "x is missing or no number"),
        ("# 3 1 10 0", "x is missing or no number"),
        ("3 1 nan 0", "t is missing or no number"),
        ("3e 1 10 0", "x is not a pixel"),
        ("-3 1 10 0", "x is not a pixel, a whole number from 0 to 32767"),
        ("3 32768 10 0", "y is not a pixel"),
        ("3.5 1 10 0", "x is not a pixel"),
        ("3.00000000000000000000001 1 10 0", "x is not a pixel"),
        ("3 1 0.25 0", "t is not a time; microseconds are whole numbers"),
        ("3 1 9223372036854775808 0", "t is not a time"),
        ("3 1 1e99999999999999999999 0", "t is not a time"),
        ("3 1 18446744073709551617 0", "t is not a time"),
        ("3 1 100000000000000000000000 0", "t is not a time"),
        ("3 1 10 2", "p is not a polarity, 0/1 or -1/+1"),
        ("3 1 10 -1", "p mixes -1 and 0"),
        ("3 1 10 \0", "p is missing"),
        ("3 1 10 0\r\r", "more than four values"),
        ("\r3 1 10 0", "more than four values"),
    ],
)
def test_the_first_bad_line_is_named(tmp_path, block_events, line, reason):
    path = put(tmp_path / "a.txt", f"# hello\n1 1 5 0\n\n1 2 6 1\n{line}\n3 1 10 2\n")
    said = reason_of(path, encoding="xytp")
    assert f"byte 25: line 5, {line!r}: " in said
    assert reason in said
    assert said.endswith("a line is x y t p")


def test_a_last_line_without_end_is_taken_if_no_cut_can_have_changed_it(tmp_path):
    assert len(read(put(tmp_path / "a.csv", "x,y,t,p\n1,2,3,1\n1,2,33,1"))) == 2
    said = reason_of(put(tmp_path / "b.csv", "x,y,p,t\n1,2,1,3\n1,2,1,33"))
    assert "byte 16: line 3 does not end: truncated within a number" in said


@pytest.mark.parametrize("header", ["p,t,x,y", "polarity,timestamp,x,y", "pol, ts ,X,Y", '"on","t","x","y"', "# by me\n\np,t,x,y"])
def test_columns_of_a_csv_file(tmp_path, block_events, header):
    path = put(tmp_path / "a.csv", f"{header}\r\n0,10,3,1\r\n1, 10 ,0,5\n1,2000099,8,0\n")
    assert read(path) == EVENTS


def test_prophesees_csv_file(tmp_path):
    assert read(put(tmp_path / "a.csv", "%geometry:640,480\n3,1,0,10\n0,5,1,10\n")) == Events([3, 0], [1, 5], [10, 10], [0, 1], (640, 480))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("3,1,0,10\n0,5,1,10\n", "it must name the columns x, y, t and p in their order"),
        ("x,y,t\n1,2,3\n", "must name the columns"),
        ("x,y,t,p,camera\n1,2,3,0,1\n", "must name the columns"),
        ("x,y,t,on,p\n1,2,3,0,1\n", "must name the columns"),
        ("x;y;t;p\n1;2;3;0\n", "must name the columns"),
        ("%geometry:0,6\nx,y,t,p\n", "the header's geometry is (0, 6)"),
        ("%geometry:99999,6\nx,y,t,p\n", "the header's geometry is (99999, 6)"),
        ("%geometry:9,6\n", "must name the columns"),
        ("x,y,t,p\n1 2 3 0\n", "y is missing or no number"),
        ("x,y,t,p\n1,,3,0\n", "y is missing or no number"),
        ("x,y,t,p\n1,2,0.003,0\n", "t is not a time; microseconds are whole numbers"),
        ("x,y,t,p\n", "holds no events and no sensor size"),
    ],
)
def test_csv_files_that_are_none(tmp_path, text, reason):
    assert reason in reason_of(put(tmp_path / "a.csv", text))


def test_no_events(tmp_path):
    for encoding in ("uzh", "xytp"):
        with pytest.raises(EventFileError, match="there are no events, and a text without events has 0 bytes"):
            write(tmp_path / "a.txt", Events.empty((9, 6)), encoding=encoding)
    assert read(put(tmp_path / "a.txt", "# nothing\n\n"), sensor_size=(9, 6)) == Events.empty((9, 6))


@pytest.mark.parametrize("kind", ["xytp", "csv"])
@pytest.mark.parametrize("text", ["x,y,t,p\n" + "1" * 2_000_000, "#" * 2_000_000, "\n" * 2_000_000, "#\n" * 1_000_000, " " * 2_000_000])
def test_what_never_ends_is_given_up(tmp_path, peak_memory, kind, text):
    path = put(tmp_path / "a.csv", text)
    assert peak_memory(lambda: reason_of(path, encoding=kind)) < 3 * len(text)


def test_uzh_recording(realdata):
    path = realdata / "formats" / "davis240.events.txt"
    recording = read(path, sensor_size=(240, 180))
    assert (len(recording), recording.t[0], recording.t[-1]) == (20_000, 2_097_134, 2_195_729)
    seconds, x, y, p = np.loadtxt(path, unpack=True)
    expected = Events(x, y, np.rint(seconds * 1e6), p, (240, 180))
    assert recording == expected


def test_mnist_dvs_clips(realdata):
    for path in sorted((realdata / "MNIST-DVS-text").glob("*.txt"))[::10]:
        recording = read(path, sensor_size=(128, 128))
        x, y, t, p = np.loadtxt(path, dtype=int, unpack=True)
        assert recording == Events(x, y, t, p, (128, 128))
        assert recording.t[-1] == 200_010  # a sentinel, which is the dataset's business
