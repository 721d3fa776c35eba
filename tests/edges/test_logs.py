"""The log is one JSON object a line, without tracebacks and without credentials, whoever wrote it."""

import io
import json
import logging
import os
import warnings

import pytest
import structlog
from tests.support.logging import logging_to


@pytest.fixture
def time():
    return [0.0]


@pytest.fixture
def stream(time):
    sink = io.StringIO()
    with logging_to(sink, clock=lambda: time[0]):
        yield sink


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail(error):
    raise error


def test_every_line_is_one_json_object_with_time_and_level(stream):
    structlog.get_logger("ours").info("started", release="shop/support", epoch=3)
    logging.getLogger("theirs").warning("careful: %s", "mind")
    ours, theirs = lines(stream)
    said = ("started", "info", "shop/support", 3)
    assert tuple(ours[name] for name in ("event", "level", "release", "epoch")) == said
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("careful: mind", "warning", "theirs")
    assert ours["at"].endswith("Z")


@pytest.mark.parametrize("logger", [structlog.get_logger("ours"), logging.getLogger("kopf.theirs")])
def test_an_exception_is_what_and_where_and_never_a_traceback(stream, logger):
    try:
        fail(ValueError("boom\nwith a second line"))
    except ValueError:
        logger.exception("look broke")
    (line,) = lines(stream)
    assert line["error"] == "ValueError: boom\nwith a second line"
    assert "test_logs.py:" in line["where"]
    assert "Traceback" not in stream.getvalue()


def test_what_is_below_the_level_is_not_written(stream):
    structlog.get_logger("ours").debug("detail")
    logging.getLogger("theirs").debug("detail")
    logging.getLogger("kopf.theirs").info("chatter")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    "name", ["token", "Authorization", "client_secret", "PASSWORD", "set-cookie", "api_key"]
)
def test_a_value_under_a_telling_name_is_hidden(stream, name):
    structlog.get_logger("ours").info("asked", **{name: "hunter2", "headers": {name: "hunter2"}})
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize("text", ["Bearer eyJhbGciOi.J9-_x", "header Authorization: basic dXNlcjpwYXNz="])
def test_what_looks_like_an_authorization_header_is_hidden_in_any_text(stream, text):
    secret = text.split()[-1]
    logging.getLogger("theirs").warning("request failed: %s", text)
    structlog.get_logger("ours").info("failed", why=[{"deep": text}])
    assert secret not in stream.getvalue()


def test_a_secret_in_an_exception_is_hidden(stream):
    try:
        fail(RuntimeError("401 for Bearer eyJhbGciOiJ9"))
    except RuntimeError:
        logging.getLogger("theirs").exception("failed")
    assert "eyJhbGciOiJ9" not in stream.getvalue()


def test_what_kopf_says_about_each_attempt_passes_once_per_pause(stream, time):
    kopf = logging.getLogger("kopf._cogs.clients.api")
    for second in range(61):
        time[0] = second
        kopf.error("Request attempt #%d failed", second)
    assert [line["event"] for line in lines(stream)] == [f"Request attempt #{n} failed" for n in (0, 30, 60)]


def test_a_warning_of_a_library_is_a_line_like_any_other(stream):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
    (line,) = lines(stream)
    assert "old ways" in line["event"]


def test_a_log_without_a_reader_stops_nobody():
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    with logging_to(stream):
        structlog.get_logger().warning("the flags could not be written")
    with pytest.raises(BrokenPipeError):
        stream.close()  # the line was tried, and is still in the buffer


def test_a_closed_log_stops_nobody(stream):
    stream.close()
    structlog.get_logger().warning("the flags could not be written")
