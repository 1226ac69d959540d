"""The download of a model in this process: what is asked for, what is kept, and every fault of a hub."""

from __future__ import annotations

import fcntl
import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dbtui.core import hub_cache
from dbtui.core.base_model import find_model
from dbtui.core.download import Plan, fetch, is_missing, make_plan, plan_missing
from dbtui.core.errors import DbtuiError
from dbtui.core.receive import Listener

UNET = "unet/diffusion_pytorch_model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"
SMALL = {
    "model_index.json", "unet/config.json", "vae/config.json", "text_encoder/config.json",
    "scheduler/scheduler_config.json", "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json",
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("hub_here")


def download(listener: Listener | None = None) -> Plan:
    listener = listener or Listener()
    plan = make_plan("tiny/sd", listener)
    fetch(plan, listener)
    return plan


def leftovers() -> list[Path]:
    return list(hub_cache.cache_root().rglob("*.incomplete"))


def test_only_what_is_needed_is_downloaded_and_the_model_is_found_without_a_request(
    hub: Any, hollow_model: Path
) -> None:
    assert is_missing(hub.name)
    plan = make_plan(hub.name, Listener())
    assert [remote.file for remote in plan.weights] == [UNET, VAE, TEXT]
    assert plan.size == sum(len(hub.files[file]) for file in (UNET, VAE, TEXT))
    coming = find_model(hub.name, plan.coming())
    assert not any(path.exists() for path in coming.weights.values())
    fetch(plan, Listener())
    asked = [seen.path.partition(f"/resolve/{hub.commit}/")[2] for seen in hub.seen if "/resolve/" in seen.path]
    assert {*asked} == SMALL | {UNET, VAE, TEXT}
    assert len([seen for seen in hub.seen if seen.method == "GET" and "/resolve/" in seen.path]) == len({*asked})
    before = len(hub.seen)
    assert not is_missing(hub.name) and plan_missing(hub.name, Listener()) is None
    assert find_model(hub.name).fingerprint() == find_model(str(hollow_model)).fingerprint()
    assert find_model(hub.name).parameters == find_model(str(hollow_model)).parameters
    assert len(hub.seen) == before and not leftovers()


@pytest.mark.parametrize("file", sorted((SMALL - {"tokenizer/tokenizer_config.json"}) | {UNET, VAE, TEXT}))
def test_a_model_that_lacks_a_file_is_completed(file: str, hub: Any) -> None:
    download()
    (find_model(hub.name).path / file).unlink()
    assert is_missing(hub.name)
    hub.seen.clear()
    download()
    assert not is_missing(hub.name)
    assert len([seen for seen in hub.seen if seen.method == "GET" and "/resolve/" in seen.path]) <= 1


def test_the_cache_is_the_one_that_every_tool_of_the_hub_reads(hub: Any) -> None:
    from huggingface_hub import scan_cache_dir, try_to_load_from_cache

    download()
    root = hub_cache.cache_root()
    assert Path(try_to_load_from_cache(hub.name, UNET, cache_dir=root)).read_bytes() == hub.files[UNET]
    (repository,) = scan_cache_dir(root).repos
    assert (repository.repo_id, repository.nb_files) == (hub.name, 10)
    blob = find_model(hub.name).weights["unet"].resolve()
    assert blob.name == hashlib.sha256(hub.files[UNET]).hexdigest(), "named as other tools would name it"


@pytest.mark.parametrize(
    "dialect",
    [{"linked": False}, {"etags": "sha1"}, {"linked": False, "etags": "sha256"}, {"linked": False, "etags": "odd"},
     {"commit": False}, {"head": False}, {"ranges": False},
     {"commit": False, "linked": False, "etags": "none", "head": False, "ranges": False, "lengths": False}],
    ids=lambda dialect: " ".join(dialect),
)  # fmt: skip
def test_a_hub_that_says_less_is_understood(dialect: dict[str, Any], hub: Any) -> None:
    hub.speak(**dialect)
    words = make_plan(hub.name, Listener()).words()
    assert ("of unknown size" in words) is (not dialect.get("head", True))
    download()
    model = find_model(hub.name)
    assert {part: path.read_bytes() for part, path in model.weights.items()} == {
        "unet": hub.files[UNET], "vae": hub.files[VAE], "text_encoder": hub.files[TEXT],
    }  # fmt: skip


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_is_resumed_where_it_was(ranges: bool, hub: Any, waits: list[float]) -> None:
    hub.speak(ranges=ranges)
    hub.fail(UNET, cut=400, times=1)
    hub.fail(VAE, cut=300, times=2)
    said: list[str] = []
    download(Listener(say=said.append))
    assert [seen.start for seen in hub.asked(UNET)] == ["", "bytes=400-"]
    assert find_model(hub.name).weights["unet"].read_bytes() == hub.files[UNET]
    assert find_model(hub.name).weights["vae"].read_bytes() == hub.files[VAE]
    assert len(said) == len(waits) == 3 and "at 400 of" in said[0]


def test_a_hub_that_is_gone_is_waited_for_and_then_named_and_the_next_download_goes_on(
    hub: Any, waits: list[float]
) -> None:
    plan = make_plan(hub.name, Listener())
    hub.fail(UNET, cut=400, times=1)
    hub.fail(UNET, status=502)
    with pytest.raises(DbtuiError, match="in trouble"):
        fetch(plan, Listener())
    assert len(waits) > 3 and waits == sorted(waits)
    hub.faults.clear()
    assert make_plan(hub.name, Listener()).arrived == 400
    download()
    assert hub.asked(UNET)[-1].start == "bytes=400-"
    assert find_model(hub.name).weights["unet"].read_bytes() == hub.files[UNET]
    assert len(hub.asked("model_index.json")) == len(hub.asked("unet/config.json")) == 1, "the small ones were here"


def test_any_number_of_cuts_is_fine_while_something_arrives(hub: Any, waits: list[float]) -> None:
    hub.fail(UNET, cut=100)
    download()
    assert len(hub.asked(UNET)) == len(hub.files[UNET]) // 100 + 1 == len(waits) + 1
    assert find_model(hub.name).weights["unet"].read_bytes() == hub.files[UNET]


def test_cuts_that_never_come_further_end_in_words(hub: Any, waits: list[float]) -> None:
    hub.speak(ranges=False)
    for _ in range(10):
        hub.fail(UNET, cut=400, times=1)
        hub.fail(UNET, cut=300, times=1)
    with pytest.raises(DbtuiError, match="cut"):
        download()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_that_always_ends_too_early_is_given_up_soon(ranges: bool, hub: Any, waits: list[float]) -> None:
    hub.speak(ranges=ranges)
    hub.fail(UNET, cut=400, times=1 if ranges else 1_000)
    hub.fail(UNET, cut=0)
    with pytest.raises(DbtuiError, match=f"400 of {len(hub.files[UNET]):,} bytes"):
        download()
    assert sum(waits) < 10 and is_missing(hub.name)


def test_a_partial_file_that_is_longer_than_the_file_is_begun_again(hub: Any) -> None:
    plan = make_plan(hub.name, Listener())
    (unet,) = (remote for remote in plan.weights if remote.part == "unet")
    plan.snapshot.partial(unet.file, unet.facts.digest).write_bytes(bytes(5000))
    fetch(plan, Listener())
    assert find_model(hub.name).weights["unet"].read_bytes() == hub.files[UNET]


CORRUPT: dict[str, Callable[[bytes], bytes]] = {
    "wrong hash": lambda data: data[:-1] + b"!",
    "too short": lambda data: data[:-7],
    "too long": lambda data: data + b"and more",
}


@pytest.mark.parametrize("kind", CORRUPT)
@pytest.mark.parametrize("lengths", [True, False])
@pytest.mark.parametrize("file", [UNET, "vae/config.json"])
def test_a_wrong_file_is_reported_and_not_kept(
    kind: str, lengths: bool, file: str, hub: Any, waits: list[float]
) -> None:
    hub.speak(lengths=lengths)
    hub.fail(file, wrong=CORRUPT[kind])
    with pytest.raises(DbtuiError) as caught:
        download()
    cut = kind == "too short" and not lengths and file == UNET
    assert caught.value.title == ("The download was cut" if cut else "A file from the hub is wrong")
    assert is_missing(hub.name) and (cut or not leftovers())
    assert not (Path(hub_cache.find_snapshot(hub.name) or "/nowhere") / file).exists()
    hub.faults.clear()
    download()
    assert not is_missing(hub.name) and not leftovers()


def test_what_is_no_safetensors_file_is_not_kept_even_if_its_hash_is_right(hub: Any) -> None:
    hub.files[UNET] = b"\x80\x04pickled"
    with pytest.raises(DbtuiError, match="no whole safetensors file"):
        download()
    assert is_missing(hub.name) and not leftovers()


def test_what_is_no_json_is_not_kept_even_if_the_hub_tells_no_hash(hub: Any) -> None:
    hub.speak(linked=False, etags="none", lengths=False)
    hub.fail("unet/config.json", wrong=lambda data: data[:-7])
    with pytest.raises(DbtuiError, match="not JSON"):
        download()
    assert is_missing(hub.name) and not leftovers()


def test_half_precision_is_taken_only_where_there_is_no_other_and_said(hub: Any) -> None:
    half = "unet/diffusion_pytorch_model.fp16.safetensors"
    hub.files[half] = hub.files.pop(UNET)
    plan = make_plan(hub.name, Listener())
    assert [remote.file for remote in plan.weights] == [half, VAE, TEXT]
    assert "unet: only half precision (fp16) is offered" in plan.words()
    fetch(plan, Listener())
    assert find_model(hub.name).weights["unet"].name == "diffusion_pytorch_model.fp16.safetensors" and not is_missing(
        hub.name
    )


def test_the_safety_checker_is_downloaded_only_when_it_is_wanted(hub: Any) -> None:
    index = json.loads(hub.files["model_index.json"])
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    hub.files |= {
        "model_index.json": json.dumps(index).encode(),
        "safety_checker/model.safetensors": hub.files[VAE],
        "safety_checker/config.json": b"{}",
        "feature_extractor/preprocessor_config.json": b"{}",
    }
    download()
    assert not hub.asked("safety_checker/model.safetensors") and not is_missing(hub.name)
    assert is_missing(hub.name, safety=True)
    plan = make_plan(hub.name, Listener(), safety=True)
    assert [remote.part for remote in plan.weights] == [] or plan.weights[0].part == "safety_checker"
    fetch(plan, Listener())
    assert not is_missing(hub.name, safety=True)
    assert not hub.asked("safety_checker/model.safetensors"), "the cache has a file of that hash"


def test_a_disk_without_room_is_named_before_the_weights(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbtui.core.download.free_space", lambda folder: 2000)
    with pytest.raises(DbtuiError, match="too full") as caught:
        download()
    assert "HF_HOME" in caught.value.hint and not hub.asked(UNET)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_disk_that_fills_up_is_named(hub: Any) -> None:
    plan = make_plan(hub.name, Listener())
    (unet,) = (remote for remote in plan.weights if remote.part == "unet")
    plan.snapshot.partial(unet.file, unet.facts.digest).symlink_to("/dev/full")
    with pytest.raises(DbtuiError, match="disk is full"):
        fetch(plan, Listener())


def test_two_downloads_of_a_file_take_turns(hub: Any) -> None:
    plan = make_plan(hub.name, Listener())
    (unet,) = (remote for remote in plan.weights if remote.part == "unet")
    half = threading.Event()
    hub.fail(UNET, stall=half, times=1)
    first = threading.Thread(target=fetch, args=(plan, Listener()))
    first.start()
    waited = threading.Event()

    def progress(phase: str, done: int, total: int) -> None:
        if phase.startswith("waiting"):
            waited.set()
            half.set()

    deadline = threading.Event()
    while not hub.asked(UNET):
        assert not deadline.wait(0.01)
    fetch(plan, Listener(progress))
    first.join(60)
    assert waited.is_set() and len(hub.asked(UNET)) == 1
    assert find_model(hub.name).weights["unet"].read_bytes() == hub.files[UNET]
    lock = hub_cache.cache_root() / ".locks" / "models--tiny--sd" / f"{unet.facts.digest}.lock"
    with open(lock) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_wish_to_end_is_heard_between_bytes_and_in_a_pause(hub: Any) -> None:
    class Enough(Exception):
        pass

    def progress(phase: str, done: int, total: int) -> None:
        if done >= 400:
            raise Enough

    hub.fail(UNET, cut=400, times=1)
    plan = make_plan(hub.name, Listener())
    with pytest.raises(Enough):
        fetch(plan, Listener(progress))
    assert make_plan(hub.name, Listener()).arrived == 400
    hub.fail(UNET, status=429, headers={"Retry-After": "60"})
    calls: list[str] = []

    def impatient(phase: str, done: int, total: int) -> None:
        calls.append(phase)
        if len(calls) == 3:
            raise Enough

    with pytest.raises(Enough):
        fetch(plan, Listener(impatient))
