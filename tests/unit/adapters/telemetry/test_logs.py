import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.adapters.telemetry.logs import LogFormat, make_handler
from modelyard.adapters.telemetry.redaction import REDACTED, Redactor
from modelyard.tenancy.key import new_secret

CANARY = "c4n4ry-Pa55w0rd"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("tests.redaction")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.handlers.clear()


def written(
    logger: logging.Logger, log_format: LogFormat = "json", stream: io.StringIO | None = None
) -> io.StringIO:
    stream = stream or io.StringIO()
    logger.handlers[:] = [make_handler(log_format, stream, ["operators-own-key"])]
    return stream


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer {}",
        "authorization=Basic {}",
        "{{'x-api-key': '{}'}}",
        '{{"password": "{}", "a": 1}}',
        "postgresql+psycopg://modelyard:{}@db/modelyard failed",
        "connecting with host=db password={} dbname=x",
        "GET /v2/models?token={}&x=1",
        "(b'authorization', secret=b'{}')",
        "MODELYARD_ADMIN_KEY={}",
    ],
)
def test_no_canary_in_any_place(log_format: LogFormat, text: str, logger: logging.Logger) -> None:
    stream = written(logger, log_format)
    said = text.format(CANARY)
    logger.info(said)
    logger.info("%s", said)
    logger.info("in a field", extra={"detail": said, "nested": {"list": [said, (said,)]}})
    logger.info(
        "named",
        extra={"password": CANARY, "nested": {"Authorization": CANARY, "api-key": [CANARY]}},
    )
    try:
        raise RuntimeError(said)
    except RuntimeError:
        logger.exception("failed")
    assert CANARY not in stream.getvalue()
    assert REDACTED in stream.getvalue()
    assert "in a field" in stream.getvalue()


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_our_own_keys_are_hidden_wherever_they_stand(
    log_format: LogFormat, logger: logging.Logger
) -> None:
    stream, secret = written(logger, log_format), new_secret()
    logger.warning(
        "key %s/%s or operators-own-key", secret, secret[:20], extra={"raw": secret.encode()}
    )
    assert secret[3:15] not in stream.getvalue()
    assert "operators-own-key" not in stream.getvalue()


def test_what_is_no_secret_stays() -> None:
    redactor = Redactor()
    for text in (
        "job job_0198c2 of my_model took 3 s at http://127.0.0.1:8000/v2/models?email=a@b.c",
        "12 tokens per second; the key name is 'nightly'",
        "my_dataset",
    ):
        assert redactor.text(text) == text
    fields = {"key_id": "key_1", "tokens": 5, "rows": None, "share": 0.5}
    assert redactor.fields(fields) == fields


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_value_can_be_redacted(value: Any) -> None:
    json.dumps(Redactor().fields({"value": value}))


def test_json_lines_hold_the_fields(logger: logging.Logger) -> None:
    stream = written(logger)
    logger.info("job %s started", "job_1", extra={"attempt": 2})
    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "message": "job job_1 started",
        "level": "info",
        "logger": "tests.redaction",
        "attempt": 2,
    }


def test_auto_is_json_unless_on_a_terminal(logger: logging.Logger) -> None:
    assert written(logger, "auto").getvalue() == ""
    stream = written(logger, "auto")
    logger.info("hello")
    assert json.loads(stream.getvalue())["message"] == "hello"
    stream = written(logger, "auto", Terminal())
    logger.info("hello")
    assert "hello" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_a_value_cannot_forge_a_line(logger: logging.Logger) -> None:
    for log_format in ("json", "console"):
        stream = written(logger, log_format)
        logger.info("name is x\nERROR forged \x1b[31m", extra={"name_": "y\rERROR forged\x1b]0;"})
        assert stream.getvalue().count("\n") == 1
        assert "\r" not in stream.getvalue()
        assert "\x1b" not in stream.getvalue()


def test_a_record_that_cannot_be_formatted_shows_no_arguments(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = written(logger)
    logger.info("%d rows", CANARY)
    assert CANARY not in stream.getvalue() + "".join(capsys.readouterr())
    assert "could not be written: TypeError" in stream.getvalue()


def test_a_process_logs_everything_in_one_form() -> None:
    code = f"""
import logging, threading, warnings
logging.getLogger("uvicorn").addHandler(logging.StreamHandler())
from modelyard.adapters.telemetry.logs import configure_logs
configure_logs("json", "info")
logging.getLogger("uvicorn.error").info("up with Bearer {CANARY}")
logging.getLogger("uvicorn.access").info("left out")
logging.getLogger("sqlalchemy.engine").info("left out")
logging.getLogger("modelyard.x").debug("left out")
warnings.warn("beware of token={CANARY}")
def run(): raise ValueError("password={CANARY}")
thread = threading.Thread(target=run); thread.start(); thread.join()
raise RuntimeError("postgresql://u:{CANARY}@h/d")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert CANARY not in done.stderr + done.stdout
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["logger"] for line in lines] == [
        "uvicorn.error",
        "py.warnings",
        "modelyard.adapters.telemetry.logs",
        "modelyard.adapters.telemetry.logs",
    ]
    assert "RuntimeError" in lines[3]["exception"]
