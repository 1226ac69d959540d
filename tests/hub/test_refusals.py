"""What a hub refuses, and what is refused of what it has: each answered in words, the token told to nobody."""

from __future__ import annotations

import json
import shutil
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

from dbtui.core import hub_cache
from dbtui.core.base_model import find_model
from dbtui.core.download import Plan, fetch, is_missing, make_plan, plan_missing
from dbtui.core.errors import DbtuiError, UsageError
from dbtui.core.receive import Listener

UNET = "unet/diffusion_pytorch_model.safetensors"

pytestmark = pytest.mark.usefixtures("hub_here")


def download(listener: Listener | None = None) -> Plan:
    listener = listener or Listener()
    plan = make_plan("tiny/sd", listener)
    fetch(plan, listener)
    return plan


def log_in(token: str) -> None:
    from dbtui.core.hub_account import store_token

    store_token(token)


@pytest.mark.parametrize("path", ["/api/models", "model_index.json", "unet/config.json"])
@pytest.mark.parametrize(
    "status,logged_in,words",
    [
        (401, False, ["401", "not logged in", "dbtui login", "{page}"]),
        (401, True, ["401", "token", "dbtui login", "{page}"]),
        (403, False, ["gated", "not logged in", "dbtui login", "{page}"]),
        (403, True, ["gated", "you are logged in", "Accept", "fine-grained", "{page}"]),
        (404, False, ["404", "not logged in", "{page}"]),
        (418, False, ["418", "{page}"]),
    ],
)
def test_a_refusal_says_what_to_do(
    path: str, status: int, logged_in: bool, words: list[str], hub: Any, waits: list[float]
) -> None:
    if logged_in:
        log_in(hub.token)
    hub.fail(path, status=status)
    with pytest.raises(DbtuiError) as caught:
        download()
    text = f"{caught.value} {caught.value.hint}"
    for word in words:
        assert word.replace("{page}", f"{hub.url}/tiny/sd") in text
    assert hub.token not in text and not waits, "what a person has to mend is not tried again"


def test_a_name_that_is_misspelt_is_answered_with_the_nearest(hub: Any) -> None:
    download()
    with pytest.raises(UsageError) as caught:
        make_plan("tiny/sdd", Listener())
    assert "Did you mean tiny/sd?" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        make_plan("stable-diffusion-v1-5/stable-difusion-v1-5", Listener())
    assert "Did you mean stable-diffusion-v1-5/stable-diffusion-v1-5?" in caught.value.hint
    hub.fail("/api/models", status=401)  # as the public hub answers for what is not there, where nobody is logged in
    with pytest.raises(DbtuiError, match="401") as refused:
        make_plan("tiny/sdd", Listener())
    assert "Did you mean tiny/sd?" in refused.value.hint and "dbtui login" in refused.value.hint


@pytest.mark.parametrize("path", ["/api/models", "unet/config.json", UNET])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_that_is_busy_is_asked_again_after_the_time_it_names(
    path: str, status: int, hub: Any, waits: list[float]
) -> None:
    hub.fail(path, status=status, headers={"Retry-After": "17"}, times=2)
    said: list[str] = []
    download(Listener(say=said.append))
    assert waits == [17, 17] and not is_missing(hub.name)
    assert str(status) in said[0] and "17 s" in said[0]


def test_a_hub_that_stays_busy_is_named(hub: Any, waits: list[float]) -> None:
    hub.fail("/api/models", status=429)
    with pytest.raises(DbtuiError, match="slow down"):
        download()
    assert waits
    waits.clear()
    hub.faults[0].headers = {"Retry-After": "3600"}
    with pytest.raises(DbtuiError, match="1:00:00"):
        download()
    assert not waits, "an hour is not waited out"


@pytest.mark.parametrize("wait", ["9" * 400, "9" * 5000, "-5", "Fri, 99 Nov 99999999999 00:00:00 GMT", "soon"])
def test_a_time_to_wait_that_makes_no_sense_is_as_good_as_none(wait: str, hub: Any, waits: list[float]) -> None:
    hub.fail("/api/models", status=429, headers={"Retry-After": wait}, times=1)
    download()
    assert waits == [1.0]


@pytest.mark.parametrize("size", ["9" * 400, "9" * 5000, "-1", "x"])
def test_a_size_that_makes_no_sense_is_as_good_as_none(size: str, hub: Any) -> None:
    hub.sizes = size
    download()
    assert not is_missing(hub.name)


def test_a_part_that_is_no_part_is_named_and_what_arrived_is_kept(hub: Any, waits: list[float]) -> None:
    hub.fail(UNET, cut=100, times=1)
    for said in (f"bytes {'9' * 5000}-1/2", "all of it"):
        hub.fail(UNET, status=206, headers={"Content-Range": said})
        with pytest.raises(DbtuiError, match="makes no sense") as caught:
            download()
        assert "kept" in caught.value.hint
        hub.faults.pop()
    (partial,) = hub_cache.cache_root().rglob("*.incomplete")
    assert partial.stat().st_size == 100
    download()
    assert not is_missing(hub.name)


def test_names_that_are_no_text_are_only_names(hub: Any) -> None:
    hub.speak(commit=False)
    hub.files["\ud800.bin"] = b""
    download()
    assert not is_missing(hub.name)


def test_a_hub_that_cannot_be_reached_is_named(hub: Any, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    hub.server_close()
    for token in (hub.token, f"{hub.token}\u2713"):  # the second is no header
        log_in(token)
        with pytest.raises(DbtuiError, match="cannot be reached") as caught:
            download()
        assert hub.url in caught.value.message and waits
        assert hub.token not in f"{caught.value} {caught.value.hint}"
    for address in ("file:///etc", "nonsense", "http://[::1"):
        monkeypatch.setenv("HF_ENDPOINT", address)
        with pytest.raises(DbtuiError, match="cannot be reached"):
            download()


def test_a_login_page_in_place_of_the_hub_is_named(hub: Any) -> None:
    hub.fail("/api/models", status=200)
    with pytest.raises(DbtuiError, match="makes no sense"):
        download()


def test_the_token_goes_to_the_hub_and_not_to_where_it_sends_on(hub: Any, start_hub: Callable[..., Any]) -> None:
    log_in(hub.token)
    hub.storage = start_hub(hub.files)
    hub.storage.speak(linked=False, etags="path")
    hub.speak(linked=False, etags="none")
    download()
    assert find_model(hub.name).weights["unet"].read_bytes() == hub.files[UNET], "a storage's tag is no hash"
    assert len(hub.storage.asked(UNET)) == 1
    assert {seen.token for seen in hub.storage.seen} == {""}
    assert {seen.token for seen in hub.seen} == {f"Bearer {hub.token}"}
    hub.storage.fail(UNET, cut=100, times=1)
    shutil.rmtree(hub_cache.cache_root())
    download()
    assert [seen.start for seen in hub.storage.asked(UNET)][1:] == ["", "bytes=100-"]
    assert {seen.token for seen in hub.storage.seen} == {""}


def test_a_password_in_the_address_is_shown_to_the_hub_and_to_nobody_else(
    hub: Any, start_hub: Callable[..., Any], waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(hub.token)
    monkeypatch.setenv("HF_ENDPOINT", hub.url.replace("://", "://somebody:p%40ss@"))
    hub.storage = start_hub(hub.files)
    plan = download()
    assert {seen.token for seen in hub.seen} == {"Basic " + b64encode(b"somebody:p@ss").decode()}
    assert {seen.token for seen in hub.storage.seen} == {""}
    shutil.rmtree(hub_cache.cache_root())
    hub.server_close()
    said: list[str] = []
    with pytest.raises(DbtuiError, match="cannot be reached") as caught:
        download(Listener(say=said.append))
    text = f"{caught.value} {caught.value.hint} {said} {plan.words()}"
    assert hub.url in text and "p%40ss" not in text and "p@ss" not in text


def test_a_redirect_to_a_file_of_this_machine_is_not_followed(hub: Any, waits: list[float]) -> None:
    hub.fail("model_index.json", status=302, headers={"Location": "file:///etc/passwd"})
    with pytest.raises(DbtuiError, match="cannot be reached"):
        download()
    hub.faults[0].headers = {"Location": f"{hub.url}/tiny/sd/resolve/main/model_index.json"}
    with pytest.raises(DbtuiError, match="leads nowhere"):
        download()


@pytest.mark.parametrize(
    "change,words",
    [
        ({UNET: None, "unet/diffusion_pytorch_model.fp16.safetensors": None}, ["diffusion_pytorch_model.bin", "can run code"]),
        ({UNET: None, "unet/diffusion_pytorch_model.fp16.safetensors": None,
          "unet/diffusion_pytorch_model.safetensors.index.json": b"{}",
          "unet/diffusion_pytorch_model-00001-of-00002.safetensors": b""}, ["00001-of-00002", "single safetensors"]),
        ({"model_index.json": None}, ["model_index.json", "model.ckpt"]),
        ({"vae/config.json": None}, ["vae/config.json"]),
        ({"tokenizer/tokenizer.json": None}, ["no tokenizer"]),
        ({"model_index.json": b"[]"}, ["not a JSON object"]),
    ],
    ids=["bin only", "sharded", "no index", "no config", "no tokenizer", "index is a list"],
)  # fmt: skip
def test_a_model_that_cannot_be_used_is_refused_before_its_weights(
    change: dict[str, bytes | None], words: list[str], hub: Any
) -> None:
    for file, content in change.items():
        hub.files.pop(file, None)
        if content is not None:
            hub.files[file] = content
    with pytest.raises(DbtuiError) as caught:
        download()
    for word in words:
        assert word in f"{caught.value} {caught.value.hint}"
    assert not any(seen.path.endswith(".safetensors") for seen in hub.seen)


@pytest.mark.parametrize(
    "change,words",
    [
        ({"_class_name": "StableDiffusionXLPipeline"}, "Stable Diffusion XL"),
        ({"unet": ["my_unet", "MyUNet"]}, "code that comes with a model is never run"),
    ],
)
def test_another_family_is_refused_after_one_small_file(change: dict[str, Any], words: str, hub: Any) -> None:
    hub.files["model_index.json"] = json.dumps(json.loads(hub.files["model_index.json"]) | change).encode()
    with pytest.raises(DbtuiError, match=words):
        download()
    assert [seen.path.rpartition("/")[2] for seen in hub.seen] == ["main", "model_index.json"]


def test_offline_asks_nobody(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match="not on this machine"):
        plan_missing(hub.name, Listener())
    assert hub.seen == []


@pytest.mark.parametrize(
    "name",
    [
        "mini",
        "../evil",
        "a/../b",
        "a--b/c",
        "a/b/c",
        "/abs/path",
        "~/x",
        "a/b\n",
        "",
        "a/" + "b" * 200,
        "a/b.ckpt",
        "a/b.Safetensors",
    ],
)
def test_what_is_no_id_never_reaches_the_hub(name: str, hub: Any) -> None:
    assert not is_missing(name) and hub.seen == []


@pytest.mark.parametrize("told", [True, False], ids=["announced", "endless"])
def test_a_small_file_that_is_large_is_not_taken(told: bool, hub: Any) -> None:
    """Nobody is asked about the configs, so none may fill the disk."""
    hub.files["unet/config.json"] = b"{" + b" " * (3 << 20) + b"}"
    if not told:
        hub.speak(lengths=False)
    with pytest.raises(DbtuiError, match="wrong") as caught:
        download()
    assert "more than 1.0 MB" in caught.value.message
    assert not list(hub_cache.cache_root().rglob("*.incomplete"))


def test_a_list_that_comes_a_byte_at_a_time_is_not_waited_for(
    hub: Any, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbtui.core import hub as asking

    monkeypatch.setattr(asking, "LONGEST_LISTING", -1.0)
    with pytest.raises(DbtuiError, match="cannot be reached") as caught:
        download()
    assert "took longer" in caught.value.message


def test_a_file_that_comes_a_byte_at_a_time_is_not_waited_for(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dbtui.core import receive

    monkeypatch.setattr(receive, "GRACE", -1e6)
    with pytest.raises(DbtuiError, match="too slow") as caught:
        download()
    assert "kept" in caught.value.hint


@pytest.mark.parametrize("target", ["http://[::1", "file:///etc/passwd", "http://169.254.169.254/", "http://a b/"])
def test_a_redirect_that_leads_nowhere_is_not_followed(target: str, hub: Any, waits: list[float]) -> None:
    hub.fail("unet/config.json", status=302, headers={"Location": target}, times=9)
    with pytest.raises(DbtuiError, match=r"cannot be reached|leads nowhere"):
        download()


def test_configs_are_looked_at_before_the_weights_are_fetched(hub: Any) -> None:
    config = json.loads(hub.files["text_encoder/config.json"])
    hub.files["text_encoder/config.json"] = json.dumps({**config, "auto_map": {"AutoModel": "evil.Evil"}}).encode()
    with pytest.raises(DbtuiError, match="never run"):
        make_plan("tiny/sd", Listener())
    assert not hub.asked("safetensors") and is_missing("tiny/sd")
