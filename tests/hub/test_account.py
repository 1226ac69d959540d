"""login and logout: where the token goes, and where it never does."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def token_file(hub_environment: dict[str, str]) -> Path:
    return Path(hub_environment["HF_HOME"]) / "token"


def known_to_huggingface_hub(environment: dict[str, str]) -> str:
    code = "import huggingface_hub; print(huggingface_hub.get_token())"
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stdout.strip()


def test_a_piped_token_is_checked_stored_for_every_tool_and_removed(
    hub: Any, dbtui: Command, token_file: Path, hub_environment: dict[str, str]
) -> None:
    token_file.parent.mkdir()
    token_file.write_text("an older one")
    token_file.chmod(0o644)
    result = dbtui("login", hub=hub, text=f"{hub.token}\n")
    assert result.returncode == 0, result.stderr
    assert "somebody" in result.stdout and hub.token not in result.stdout + result.stderr
    assert [seen.token for seen in hub.seen] == [f"Bearer {hub.token}"]
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    assert known_to_huggingface_hub(hub_environment) == hub.token
    (token_file.parent / "stored_tokens").write_text(f"[laptop]\nhf_token = {hub.token}\n")
    result = dbtui("logout", "--json", hub=hub)
    assert json.loads(result.stdout)["logged_in"] is False
    assert known_to_huggingface_hub(hub_environment) == "None"
    assert not [file for file in token_file.parent.rglob("*") if file.is_file() and hub.token in file.read_text()]
    assert "Nobody" in dbtui("logout", hub=hub).stdout


def test_a_typed_token_is_not_shown(hub: Any, hub_environment: dict[str, str], token_file: Path) -> None:
    pid, handle = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-m", "dbtui", "login"], {**hub_environment, "HF_ENDPOINT": hub.url})
    text = b""
    while b"not shown" not in text or not text.rstrip().endswith(b":"):
        text += os.read(handle, 65536)
    os.write(handle, f"{hub.token}\n".encode())
    try:
        while more := os.read(handle, 65536):
            text += more
    except OSError:
        pass  # the end of a terminal
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(handle)
    assert b"somebody" in text and hub.token.encode() not in text
    assert token_file.read_text() == hub.token


def test_a_token_that_the_hub_does_not_accept_is_not_stored(hub: Any, dbtui: Command, token_file: Path) -> None:
    result = dbtui("login", "--json", hub=hub, text="hf_expired\n")
    assert result.returncode == 1 and f"{hub.url}/settings/tokens" in result.stderr
    assert "hf_expired" not in result.stdout + result.stderr
    assert not token_file.exists()


@pytest.mark.parametrize("text", ["", "\n", "two words\n", "hf_\u2713\n", "hf_\x1b[2J\n", "hf_" + "a" * 2000])
def test_what_is_no_token_is_not_sent(text: str, hub: Any, dbtui: Command, token_file: Path) -> None:
    result = dbtui("login", hub=hub, text=text)
    assert result.returncode == 2 and not token_file.exists() and hub.seen == []
    assert "Traceback" not in result.stderr and "\x1b" not in result.stderr


def test_bytes_that_are_no_text_are_no_token(hub: Any, hub_environment: dict[str, str], token_file: Path) -> None:
    environment = {**hub_environment, "HF_ENDPOINT": hub.url, "PYTHONIOENCODING": "utf-8:strict"}
    command = [sys.executable, "-m", "dbtui", "login"]
    result = subprocess.run(command, input=b"hf_\xff\xfe\n", env=environment, capture_output=True)
    assert result.returncode == 2 and b"no token" in result.stderr and b"Traceback" not in result.stderr
    assert not token_file.exists()


def test_a_token_that_cannot_be_read_is_said_to_be_that(hub: Any, dbtui: Command, token_file: Path) -> None:
    token_file.parent.mkdir()
    token_file.write_bytes(f"{hub.token}\xff".encode("latin-1"))
    for command in (["sample", "tiny/sd", "a toy"], ["doctor"]):
        result = dbtui(*command, hub=hub)
        assert "it is no text" in result.stderr + result.stdout and "dbtui logout" in result.stderr + result.stdout
        assert "Traceback" not in result.stderr and hub.token not in result.stderr + result.stdout
    assert hub.seen == []
    assert dbtui("logout", hub=hub).returncode == 0 and not token_file.exists()


def test_a_token_that_is_given_as_an_argument_is_not_repeated(hub: Any, dbtui: Command, token_file: Path) -> None:
    result = dbtui("login", "hf_on_the_command_line", hub=hub)
    assert result.returncode == 2 and not token_file.exists()
    assert "hf_on_the_command_line" not in result.stdout + result.stderr and "not an argument" in result.stderr


@pytest.mark.parametrize("why", ["offline", "unreachable", "unknown"])
def test_a_token_that_cannot_be_checked_is_stored_and_that_is_said(
    why: str, hub: Any, dbtui: Command, token_file: Path
) -> None:
    more = {"HF_HUB_OFFLINE": "1"} if why == "offline" else {}
    if why == "unreachable":
        hub.server_close()
    if why == "unknown":
        hub.fail("whoami", status=404)
    result = dbtui("login", "--json", hub=hub, text=hub.token, **more)
    assert result.returncode == 0 and "unchecked" in result.stderr
    answer = json.loads(result.stdout)
    assert (answer["logged_in"], answer["account"], answer["path"]) == (True, None, str(token_file))
    assert token_file.read_text() == hub.token


def test_a_token_of_the_environment_is_mentioned(hub: Any, dbtui: Command) -> None:
    result = dbtui("login", hub=hub, text=hub.token, HF_TOKEN="hf_of_the_shell")
    assert "HF_TOKEN is set" in result.stderr and "hf_of_the_shell" not in result.stderr
    result = dbtui("logout", "--json", hub=hub, HF_TOKEN="hf_of_the_shell")
    assert json.loads(result.stdout)["logged_in"] is True and "unset it" in result.stderr
