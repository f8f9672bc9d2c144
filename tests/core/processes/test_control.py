from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from meshwright.processes.control import WATCH_AGAIN_S, Control
from meshwright.processes.exposition import render
from meshwright.processes.fleet import Fleet
from meshwright.processes.reading import Load, check
from meshwright.traffic.checked import CheckedConfig
from meshwright_sdk import ConfigDocument, ConfigError, Tasks
from meshwright_sdk.testing import ManualClock
from tests.core.processes.fake_worker import YAML, FakeSource, FakeWorker

OTHER = YAML.replace("orders/*", "orders/{id}")
WRONG = YAML.replace("to: orders", "to: ordres")


class FakePart:
    def __init__(self) -> None:
        self.version = 0
        self.prepared: list[int] = []
        self.discarded: list[int] = []
        self.problem = ""

    async def prepare(self, config: CheckedConfig, version: int) -> None:
        if self.problem:
            raise ConfigError([self.problem])
        self.prepared.append(version)

    async def commit(self, version: int) -> None:
        self.version = version

    async def discard(self, version: int) -> None:
        self.discarded.append(version)


async def started(
    *workers: FakeWorker,
    source: FakeSource | None = None,
    clock: ManualClock | None = None,
    load: Load = check,
    within_s: float = 10.0,
) -> Control:
    control = Control(
        source or FakeSource(), load, Fleet(answer_s=within_s), clock=clock or ManualClock(), acknowledge_s=within_s
    )
    await control.start()
    await control.admit(workers)
    return control


@asynccontextmanager
async def following(control: Control) -> AsyncIterator[None]:
    tasks = Tasks()
    tasks.spawn(control.follow(), name="watch")
    await asyncio.sleep(0)
    try:
        yield
    finally:
        await tasks.close()


async def test_a_new_worker_serves_the_version_in_use() -> None:
    worker = FakeWorker()

    control = await started(worker)

    assert (worker.version, worker.prepared) == (1, set())
    assert control.applied is not None
    assert control.applied.version == 1
    assert control.ready


async def test_it_is_ready_only_with_a_worker_and_not_while_it_drains() -> None:
    worker = FakeWorker()
    control = await started()
    assert not control.ready

    await control.admit([worker])
    assert control.ready

    control.draining = True
    assert not control.ready


async def test_a_reload_reaches_every_worker_and_part() -> None:
    workers = FakeWorker("0"), FakeWorker("1")
    control = await started(*workers)
    part = FakePart()
    control.parts.append(part)

    outcome = await control.reload("asked for")

    assert (outcome.result, outcome.version) == ("applied", 2)
    assert [each.version for each in (*workers, part)] == [2, 2, 2]


async def test_a_wrong_document_reaches_no_worker_and_says_why() -> None:
    worker, source = FakeWorker(), FakeSource()
    control = await started(worker, source=source)
    source.text = WRONG

    outcome = await control.reload("asked for")

    assert (outcome.result, outcome.version, worker.version) == ("rejected", 1, 1)
    assert [str(problem) for problem in outcome.problems] == [
        'gateway.yaml:4: routes[0].to: expected one of the services orders; got "ordres" (did you mean "orders"?)'
    ]
    assert control.last_rejected is not None
    assert control.last_rejected.problems == outcome.problems
    assert (control.last_rejected.version, control.last_rejected.at) == (2, 1_700_000_000.0)


async def test_one_worker_that_cannot_prepare_stops_all_of_them() -> None:
    able, unable = FakeWorker("0"), FakeWorker("1")
    control = await started(able, unable)
    unable.failure["prepare"] = ConfigError(["gateway.yaml:2: no", "gateway.yaml:3: neither"])

    outcome = await control.reload("asked for")

    assert (outcome.result, able.version, unable.version) == ("rejected", 1, 1)
    assert list(outcome.problems) == ["gateway.yaml:2: no", "gateway.yaml:3: neither"]
    assert (able.prepared, able.discarded, unable.discarded) == (set(), [2], [2])


async def test_what_all_workers_say_is_told_once() -> None:
    workers = [FakeWorker(str(number)) for number in range(3)]
    control = await started(*workers)
    for worker in workers:
        worker.failure["prepare"] = ConfigError(["gateway.yaml:2: no"])

    assert list((await control.reload("asked for")).problems) == ["gateway.yaml:2: no"]


async def test_a_worker_that_fails_in_another_way_rejects_the_version_too() -> None:
    able, unable = FakeWorker("0"), FakeWorker("1")
    control = await started(able, unable)
    unable.failure["prepare"] = KeyError("x")

    outcome = await control.reload("asked for")

    problem = "worker 1: expected version 2 to be ready; got KeyError: 'x'"
    assert (outcome.result, list(outcome.problems), able.discarded) == ("rejected", [problem], [2])
    assert outcome.reason == "configuration"


async def test_a_worker_that_ends_meanwhile_is_not_heard_and_its_replacement_follows() -> None:
    able, ended, replacement = FakeWorker("0"), FakeWorker("1"), FakeWorker("1")
    control = await started(able, ended)
    ended.failure["prepare"] = ConnectionResetError()

    outcome = await control.reload("asked for")
    await control.admit([replacement])

    assert (outcome.result, able.version, replacement.version) == ("applied", 2, 2)


async def test_a_version_that_ends_every_worker_is_rejected() -> None:
    workers = FakeWorker("0"), FakeWorker("1")
    control = await started(*workers)
    for worker in workers:
        worker.failure["prepare"] = ConnectionResetError()

    outcome = await control.reload("asked for")

    assert (outcome.result, outcome.reason) == ("rejected", "workers")
    assert str(outcome.problems[0]) == "worker 0: expected version 2 to be ready; got the end of the worker"


async def test_a_worker_that_does_not_answer_is_given_up_and_holds_up_nothing_again() -> None:
    able, hanging = FakeWorker("0"), FakeWorker("1")
    control = await started(able, hanging, within_s=0.05)
    hanging.hangs.update(("prepare", "discard"))

    outcome = await control.reload("asked for")

    assert (outcome.result, outcome.reason) == ("rejected", "workers")
    assert (able.given_up, hanging.given_up, able.discarded) == (False, True, [2])
    assert (await control.reload("asked for")).result == "applied"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
async def test_whatever_a_worker_or_the_check_raises_is_a_rejection(error: BaseException) -> None:
    worker = FakeWorker()
    control = await started(worker)
    worker.failure["prepare"] = error
    assert (await control.reload("asked for")).result == "rejected"

    def fail(document: object) -> CheckedConfig:
        raise error

    control._load = fail
    assert (await control.reload("asked for")).result == "rejected"


async def test_a_reload_while_draining_is_not_the_configurations_fault() -> None:
    control = await started(FakeWorker())
    control.draining = True

    outcome = await control.reload("asked for")

    assert (outcome.result, outcome.reason) == ("rejected", "draining")


async def test_a_version_that_nobody_acknowledges_in_time_is_rejected() -> None:
    able, hanging = FakeWorker("0"), FakeWorker("1")
    control = await started(able, hanging, within_s=0.05)
    hanging.hangs.add("prepare")

    outcome = await control.reload("asked for")

    assert list(outcome.problems) == ["worker 1: expected version 2 to be ready within 0.05 s; got no answer"]
    assert (able.version, able.discarded) == (1, [2])


async def test_a_worker_that_prepared_but_does_not_commit_is_given_up() -> None:
    able, unable = FakeWorker("0"), FakeWorker("1")
    control = await started(able, unable)
    unable.failure["commit"] = ConnectionResetError()

    outcome = await control.reload("asked for")

    assert (outcome.result, outcome.version, able.version) == ("applied", 2, 2)
    assert (able.given_up, unable.given_up) == (False, True)


async def test_a_part_that_refuses_keeps_the_workers_out_of_it() -> None:
    worker, first, second = FakeWorker(), FakePart(), FakePart()
    control = await started(worker)
    control.parts.extend((first, second))
    second.problem = "admin.bind: expected a free address"
    worker.failure["prepare"] = AssertionError("a worker was asked")

    outcome = await control.reload("asked for")

    assert list(outcome.problems) == ["admin.bind: expected a free address"]
    assert (first.version, first.discarded) == (0, [2])


async def test_every_attempt_has_a_number_of_its_own() -> None:
    source = FakeSource()
    control = await started(FakeWorker(), source=source)

    source.text = WRONG
    rejected = await control.reload("asked for")
    source.text = OTHER
    applied = await control.reload("asked for")

    assert (rejected.version, applied.version) == (1, 3)
    assert control.last_rejected is None


async def test_reloads_do_not_overlap() -> None:
    worker = FakeWorker()
    control = await started(worker)

    outcomes = await asyncio.gather(*(control.reload("asked for") for _ in range(3)))

    assert [outcome.version for outcome in outcomes] == [2, 3, 4]
    assert (worker.version, worker.most_prepared) == (4, 1)


async def test_a_reload_that_was_asked_for_builds_anew_also_when_nothing_changed() -> None:
    control = await started(FakeWorker())

    assert (await control.reload("asked for")).result == "applied"


async def test_a_change_of_the_text_is_taken_over() -> None:
    worker, source = FakeWorker(), FakeSource()
    control = await started(worker, source=source)

    async with following(control):
        await source.changed(OTHER)

    assert worker.version == 2


async def test_the_log_names_what_has_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="meshwright.control")
    (tmp_path / "filters").mkdir()
    own = "from meshwright_sdk import filter\n\n@filter\nasync def own(request, call_next):\n    ...\n"
    (tmp_path / "filters" / "own.py").write_text(own)
    (tmp_path / "path").write_text("/orders/*")
    text = YAML.replace('"/orders/*"', "'${file:path}'") + "plugins: [./filters/own.py]\n"
    source = FakeSource(text, tmp_path)
    control = await started(FakeWorker(), source=source)

    async with following(control):
        (tmp_path / "filters" / "own.py").write_text(f"{own}# changed\n")
        await source.changed(text)
        (tmp_path / "path").write_text("/orders")
        await source.changed(text + "# changed\n")

    applied = [record.message for record in caplog.records if "is in use" in record.message]
    assert applied == [
        "version 2 is in use (filters/own.py changed)",
        "version 3 is in use (gateway.yaml and path changed)",
    ]


async def test_a_change_that_changes_nothing_is_left_alone_and_forgets_the_rejection() -> None:
    worker, source = FakeWorker(), FakeSource()
    control = await started(worker, source=source)

    rejections = []
    async with following(control):
        for text in (WRONG, YAML):
            await source.changed(text)
            rejections.append(control.last_rejected is not None)

    assert rejections == [True, False]
    assert worker.version == 1


async def test_a_change_of_a_file_that_the_text_speaks_of_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "path"
    path.write_text("/orders/*")
    text = YAML.replace("/orders/*", f"${{file:{path}}}")
    worker, source = FakeWorker(), FakeSource(text)
    control = await started(worker, source=source)
    assert source.files == {path}

    async with following(control):
        await source.changed(text)
        assert worker.version == 1
        path.write_text("/orders")
        await source.changed(text)

    assert worker.version == 2


async def test_a_change_while_a_version_is_being_read_is_taken_over_by_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "path"
    path.write_text("/orders/*")
    text = YAML.replace("/orders/*", f"${{file:{path}}}")
    later = ["/third"]

    def read_slowly(document: ConfigDocument) -> CheckedConfig:
        config = check(document)
        if path.read_text() == "/second":
            path.write_text(later.pop())
        return config

    worker, source = FakeWorker(), FakeSource(text)
    control = await started(worker, source=source, load=read_slowly)

    async with following(control):
        path.write_text("/second")
        await source.changed(text)
        await source.changed(text)

    assert control.applied is not None
    assert (worker.version, control.applied.config.loaded.config.routes[0].match.path) == (3, "/third")


OWN = "from meshwright_sdk import filter\n\n@filter\nasync def own(request, call_next):\n    ...\n"


@pytest.mark.parametrize(
    "content", [None, "def", OWN.replace("own(", "other(")], ids=["missing", "broken", "without what is used"]
)
async def test_a_file_that_a_rejected_text_names_may_mend_it(tmp_path: Path, content: str | None) -> None:
    file, path = tmp_path / "own.py", tmp_path / "path"
    path.write_text("/orders/*")
    if content is not None:
        file.write_text(content)
    text = YAML.replace('"/orders/*"', "'${file:path}'")
    worker, source = FakeWorker(), FakeSource(text, tmp_path)
    control = await started(worker, source=source)

    async with following(control):
        await source.changed(f"{text}plugins: [./own.py]\nfilters: [own]\n")
        assert (worker.version, sorted(source.files)) == (1, [file, path])
        file.write_text(OWN)
        await source.changed(source.text)

    assert (worker.version, sorted(source.files)) == (3, [file, path])


async def test_the_files_of_a_version_that_no_worker_can_prepare_are_watched_until_it_is_taken_back(
    tmp_path: Path,
) -> None:
    path = tmp_path / "path"
    path.write_text("/orders/*")
    worker, source = FakeWorker(), FakeSource(base_dir=tmp_path)
    control = await started(worker, source=source)

    watched = []
    async with following(control):
        worker.failure["prepare"] = ConfigError(["it cannot"])
        for text in (YAML.replace('"/orders/*"', "'${file:path}'"), YAML):
            await source.changed(text)
            watched.append(source.files)

    assert watched == [{path}, set()]


async def test_a_watch_that_fails_is_begun_anew_after_a_pause(caplog: pytest.LogCaptureFixture) -> None:
    worker, source, clock = FakeWorker(), FakeSource(), ManualClock()
    control = await started(worker, source=source, clock=clock)

    async with following(control):
        await source.fail_watching(RuntimeError("no more inotify watches"))
        await clock.advance(WATCH_AGAIN_S)
        await source.changed(OTHER)

    assert worker.version == 2
    assert "no more inotify watches" in caplog.text


async def test_a_source_that_cannot_be_read_rejects_the_reload() -> None:
    source = FakeSource()
    control = await started(FakeWorker(), source=source)
    source.failure = FileNotFoundError(2, "No such file or directory", "gateway.yaml")

    outcome = await control.reload("asked for")

    assert list(outcome.problems) == ["[Errno 2] No such file or directory: 'gateway.yaml'"]
    assert outcome.result == "rejected"


async def test_a_first_configuration_that_is_wrong_is_raised() -> None:
    control = Control(FakeSource(WRONG), check, Fleet())

    with pytest.raises(ConfigError, match="did you mean"):
        await control.start()

    assert control.applied is None


async def test_an_unforeseen_failure_is_a_rejection_with_its_traceback_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker = FakeWorker()
    control = await started(worker)

    def fail(document: object) -> CheckedConfig:
        raise RuntimeError("surprise")

    control._load = fail
    outcome = await control.reload("asked for")

    assert list(outcome.problems) == ["the reload failed in an unforeseen way: RuntimeError: surprise"]
    assert "Traceback" in caplog.text


async def test_a_worker_that_cannot_take_the_version_in_use_is_not_counted_in() -> None:
    control = await started(FakeWorker("0"))
    late = FakeWorker("1")
    late.failure["prepare"] = ConfigError(["no"])

    with pytest.raises(ConfigError):
        await control.admit([late])

    assert list(control.fleet.workers) == ["0"]


async def test_a_replacement_gets_what_is_in_use_and_not_what_was_rejected() -> None:
    first, replacement, source = FakeWorker("0"), FakeWorker("0"), FakeSource()
    control = await started(first, source=source)
    source.text = WRONG
    await control.reload("asked for")

    control.fleet.leave(first)
    await control.admit([replacement])

    assert replacement.version == 1


async def test_a_worker_that_does_not_answer_shows_as_such_among_the_others() -> None:
    first, second = FakeWorker("0"), FakeWorker("1")
    control = await started(first, second, within_s=0.05)
    second.hangs.add("status")

    statuses = await control.fleet.statuses()

    assert statuses[0]["version"] == 1
    assert statuses[1] == {"worker": "1", "pid": 1001, "error": "no answer in time"}


async def test_what_a_silent_or_dead_worker_counted_stays_in_the_sum() -> None:
    workers = FakeWorker("0"), FakeWorker("1")
    control = await started(*workers, within_s=0.05)
    for worker in workers:
        worker.counts.counter("requests_total", "Requests.").value = 5
    await control.metrics()

    workers[0].counts.counter("requests_total", "Requests.").value = 6
    workers[1].hangs.add("metrics")
    assert "\nrequests_total 11\n" in render(await control.metrics())

    control.fleet.leave(workers[1])
    assert "\nrequests_total 11\n" in render(await control.metrics())


async def test_reloads_are_counted_by_what_became_of_them() -> None:
    source = FakeSource()
    control = await started(FakeWorker(), source=source)
    await control.reload("asked for")
    source.text = WRONG
    await control.reload("asked for")

    page = render(await control.metrics())

    assert 'meshwright_reloads_total{result="applied"} 1\n' in page
    assert 'meshwright_reloads_total{result="rejected"} 1\n' in page
    assert 'meshwright_reloads_total{result="unchanged"} 0\n' in page
    assert "meshwright_config_version 2\n" in page
    assert "meshwright_workers 1\n" in page


async def test_what_was_done_by_hand_is_done_again_after_a_reload_and_in_a_new_worker() -> None:
    worker, other = FakeWorker("0"), FakeWorker("1")
    worker.uses = other.uses = {"filters.breaker": {}}
    control = await started(worker)

    await control.act("filters.breaker", "open", {})
    await control.act("filters.breaker", "closed", {})
    await control.reload("test")
    await control.admit([other])

    assert worker.committed_with == [("filters.breaker", "closed", {})]
    assert worker.acts == [("filters.breaker", each, {}) for each in ("open", "closed", "closed")]
    assert other.committed_with == other.acts == [("filters.breaker", "closed", {})]


async def test_what_was_done_by_hand_is_forgotten_with_its_use() -> None:
    worker = FakeWorker()
    worker.uses = {"filters.breaker": {}}
    control = await started(worker)
    await control.act("filters.breaker", "open", {})

    worker.uses = {}
    await control.reload("test")
    worker.uses = {"filters.breaker": {}}
    await control.reload("test")

    assert len(worker.acts) == 1


async def test_what_is_over_when_it_is_done_is_not_done_again() -> None:
    worker = FakeWorker()
    worker.uses = {"filters.cache": {}}
    control = await started(worker)

    await control.act("filters.cache", "purge", {})
    await control.reload("test")

    assert worker.acts == [("filters.cache", "purge", {})]


async def test_an_act_that_no_worker_did_is_not_kept() -> None:
    worker = FakeWorker()
    control = await started(worker)
    worker.failure["act"] = ConnectionResetError()

    with pytest.raises(ConnectionError):
        await control.act("filters.breaker", "open", {})
    del worker.failure["act"]
    worker.uses = {"filters.breaker": {}}
    await control.reload("test")

    assert worker.acts == []
