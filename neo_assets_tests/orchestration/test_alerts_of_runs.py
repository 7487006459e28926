"""The sensor `alerts` after real runs: which failures it reports, and which later runs end them."""

import dagster as dg

from neo_assets.lake import layout
from neo_assets.pipeline import incidents
from neo_assets_tests.orchestration.watching import FIRST, PAGE_SETS, SECOND, UI, Watch, lines_of
from neo_assets_tests.sinks import WebhookSink


def test_a_failed_run_is_reported_once_with_why_and_what_to_do(watch: Watch, sink: WebhookSink) -> None:
    assert watch.run("recompute", FIRST) == [False]
    watch.tick()
    [text] = sink.texts
    said = lines_of(text)
    assert text.startswith(f"Run failed: stored pages of page set {FIRST}\n")
    assert (said["Asset"], said["Page set"]) == ("raw_pages", FIRST)
    assert said["Why"].startswith("page 0 is not in the lake (")
    assert said["See"].startswith(f"{UI}/runs/")
    assert said["Lake"] == watch.lake.root
    assert "`neo audit --failed`" in said["Way out"]
    watch.run("recompute", FIRST)
    watch.tick()
    assert len(sink.texts) == 1, "it goes on"
    assert watch.said == "1 incident open"


def test_a_later_run_of_the_same_page_set_ends_it(watch: Watch, sink: WebhookSink) -> None:
    watch.run("recompute", FIRST, SECOND)
    watch.tick()
    assert watch.run("page_set", FIRST) == [True]
    watch.tick()
    [_, text] = sink.texts
    assert text.startswith(
        f"Over: Run failed: stored pages of page set {FIRST}\n- stored pages of page set {FIRST}: from 20"
    )
    assert SECOND not in text
    watch.tick()
    assert len(sink.texts) == 2
    assert [one.page_set for one in incidents.read(watch.lake).open] == [SECOND]


def fail_for_a_page(watch: Watch) -> None:
    """A recompute fails and is alerted about, as a stored page is missing. Then the page is back."""
    watch.fill(FIRST)
    page = watch.lake.read(layout.raw_page(0))
    watch.lake.delete(layout.raw_page(0))
    assert watch.run("recompute", FIRST) == [False]
    watch.tick()
    watch.lake.write(layout.raw_page(0), page)


def test_a_run_of_another_asset_does_not_end_it(watch: Watch, sink: WebhookSink) -> None:
    fail_for_a_page(watch)
    job = watch.defs.resolve_implicit_global_asset_job_def()
    for asset, messages in (("near_miss_count", 1), ("raw_pages", 2)):
        some = job.get_subset(asset_selection={dg.AssetKey(asset)})
        assert some.execute_in_process(instance=watch.instance, partition_key=FIRST).success
        watch.tick()
        assert len(sink.texts) == messages


def test_only_fetching_ends_the_failure_of_fetching(watch: Watch, sink: WebhookSink) -> None:
    watch.fill(FIRST)
    mark = watch.lake.read(layout.SOURCE_MARK)
    watch.lake.write(layout.SOURCE_MARK, b'{"source": "nasa"}')
    assert watch.run("page_set", FIRST) == [False]
    watch.tick()
    assert sink.texts[0].startswith(f"Run failed: page set {FIRST}\nAsset: raw_pages\n")
    watch.lake.write(layout.SOURCE_MARK, mark)
    for job, messages in (("recompute", 1), ("page_set", 2)):
        assert watch.run(job, FIRST) == [True]
        watch.tick()
        assert len(sink.texts) == messages


def test_stored_pages_that_could_not_be_read_need_not_be_fetched(watch: Watch, sink: WebhookSink) -> None:
    fail_for_a_page(watch)
    assert watch.run("recompute", FIRST) == [True]
    watch.tick()
    assert [text.splitlines()[0] for text in sink.texts] == [
        f"Run failed: stored pages of page set {FIRST}",
        f"Over: Run failed: stored pages of page set {FIRST}",
    ]


def test_a_run_that_was_killed_before_it_had_all_pages_is_over_when_they_are_fetched(
    watch: Watch, sink: WebhookSink
) -> None:
    watch.fill(FIRST)
    job = watch.defs.resolve_job_def("page_set")
    tags = {"dagster/partition": FIRST}
    run = watch.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags)
    watch.instance.report_run_failed(run, "The process that executed this run no longer exists.")
    watch.tick()
    for job_name, messages in (("recompute", 1), ("page_set", 2)):
        assert watch.run(job_name, FIRST) == [True]
        watch.tick()
        assert len(sink.texts) == messages
    assert sink.texts[0].startswith(f"Run failed: page set {FIRST}\nAsset: raw_pages\n")


def test_a_job_without_page_sets_fails_and_recovers_too(watch: Watch, sink: WebhookSink) -> None:
    watch.lake.write(layout.SOURCE_MARK, b'{"source": "nasa"}')
    assert watch.run("stats", None) == [False]
    watch.tick()
    watch.lake.delete(layout.SOURCE_MARK)
    assert watch.run("stats", None) == [True]
    watch.tick()
    assert [text.splitlines()[0] for text in sink.texts] == [
        "Run failed: catalogue_stats",
        "Over: Run failed: catalogue_stats",
    ]


def test_a_run_whose_process_was_lost_is_reported_too(watch: Watch, sink: WebhookSink) -> None:
    job = watch.defs.resolve_job_def("stats")
    run = watch.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    watch.instance.report_run_failed(run, "The process that executed this run no longer exists.")
    watch.tick()
    [text] = sink.texts
    assert text.startswith("Run failed: job stats\n")
    assert lines_of(text)["Why"] == "The process that executed this run no longer exists."
    watch.run("stats", None)
    watch.tick()
    assert sink.texts[1].startswith("Over: Run failed: job stats\n")


def test_many_at_once_are_one_message_that_names_a_few(watch: Watch, sink: WebhookSink) -> None:
    all_of_them = {
        "dagster/asset_partition_range_start": PAGE_SETS[0],
        "dagster/asset_partition_range_end": PAGE_SETS[-1],
    }
    for name, succeeds in (("recompute", False), ("page_set", True)):
        job = watch.defs.resolve_job_def(name)
        run = job.execute_in_process(instance=watch.instance, tags=all_of_them, raise_on_error=False)
        assert run.success is succeeds
        watch.tick()
    [text, over] = sink.texts
    assert text.startswith("Run failed: 7 incidents\n")
    assert [key for key in PAGE_SETS if f"page set {key}: " in text] == PAGE_SETS[:5]
    assert "\nand 2 more: see `neo alert list`, or `neo audit`\n" in text
    assert over.startswith("Over: Run failed: 7 incidents\n")
